"""Augmenters and flows of nlpaug for `Dataset.map`."""

import copy
import functools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any, Self

import numpy as np
import torch
from datasets import Dataset
from nlpaug import Augmenter
from nlpaug.flow import Pipeline

from hf_bilstm_distill.augmentation.heuristic_augmenter import check_columns
from hf_bilstm_distill.augmentation.optional_labels import no_label
from hf_bilstm_distill.rule_augmenters import RuleAug
from hf_bilstm_distill.transfer_set import AUGMENTED, LABEL, TEXT, TEXT_PAIR

# Which texts of a row its copies change, in turn: of a pair the first, the second, both.
_TURNS: dict[int, list[tuple[int, ...]]] = {1: [(0,)], 2: [(0,), (1,), (0, 1)]}


class NlpaugTransform:
    """Makes copies of rows with any augmenter or flow of nlpaug: a function for `Dataset.map`, and for `augment`.

    The copies of a row depend on the seed and the number of the row alone: neither `num_proc` nor `batch_size` matters.
    The global generators that nlpaug draws from (of `random`, numpy and torch) are seeded for each row and are
    afterwards as they were before. The copies of a pair change its first text, its second, both, in turn.

    Each text goes through by itself, and through a flow step by step; so what nlpaug does with lists, empty texts and
    flows in flows is no concern, and the steps of a `Sometimes` happen with its `aug_p`, without repetition until one
    does. Augmenters that split texts into words or characters keep the mask token whole and leave it as it is.
    `SpellingAug` alone keeps its words in the order of a set: it needs a fixed `PYTHONHASHSEED` to be repeatable.

    Args:
        augmenter: An augmenter or a flow. It is copied, but not its models.
        n_iter: How many copies to make of a row. Those that equal the row or one another are left out.
        mask_token: The teacher's mask token.
        seed: Another seed, other copies.

    Raises:
        TypeError: If `augmenter` is not of nlpaug.
        ValueError: If `n_iter` is not a number of copies, or `mask_token` is empty.

    Example:
        >>> from nlpaug.flow import Sequential
        >>> transform = NlpaugTransform(Sequential([MaskAug(aug_p=0.5), NgramAug()]), n_iter=2)
        >>> dataset = Dataset.from_dict({"text": ["a gripping film", "a dull story"]})
        >>> rows = dataset.map(transform, batched=True, with_indices=True, remove_columns=dataset.column_names)
        >>> rows.column_names
        ['text', 'augmented']
    """

    is_fitted = True
    """An augmenter of nlpaug needs no counts of the set."""

    def __init__(self, augmenter: Augmenter, *, n_iter: int = 20, mask_token: str = "[MASK]", seed: int = 0) -> None:
        if not isinstance(augmenter, Augmenter):
            raise TypeError(
                f"augmenter must be an augmenter or a flow of nlpaug, got {augmenter!r}. Put several into "
                "nlpaug.flow.Sequential([...])."
            )
        if not isinstance(n_iter, int) or n_iter < 0:
            raise ValueError(f"n_iter must be a whole number of copies, 0 or more, got {n_iter!r}.")
        if not mask_token:
            raise ValueError("mask_token must be one word, got an empty one. Take the teacher's.")
        self.n_iter = n_iter
        self.seed = seed
        self._augmenter = _keeping_masks(augmenter, mask_token)

    def fit(self, dataset: Dataset) -> Self:
        """Return this transform: it has nothing to count."""
        return self

    def __call__(self, batch: dict[str, list[Any]], indices: list[int]) -> dict[str, list[Any]]:
        """Return each row of a batch, followed by its copies.

        For `dataset.map(transform, batched=True, with_indices=True, remove_columns=dataset.column_names)`.

        Args:
            batch: The columns of some rows.
            indices: The numbers of these rows in the set.

        Returns:
            The same columns, longer, and `augmented`: False for a row of the set, True for a copy. In copies `label` is
            -100, or NaN where labels are floats or lists.

        Raises:
            RuntimeError: If the augmenter fails on a row, or makes something else than text of it.
            ValueError: If the rows are copies already, or hold logits, which copies cannot have.
        """
        check_columns(batch)
        columns = [column for column in (TEXT, TEXT_PAIR) if column in batch]
        rows = zip(*(batch[column] for column in columns), strict=True)
        with _generators_put_back():
            variants = [self._variants(texts, index) for texts, index in zip(rows, indices, strict=True)]
        return _with_copies(batch, columns, variants)

    def _variants(self, texts: tuple[str, ...], index: int) -> list[tuple[str, ...]]:
        """Return the texts of a row, then those of its copies that differ."""
        _seed_generators(self._augmenter, random.Random(f"{self.seed}-{index}").getrandbits(32))
        copies = (
            tuple(self._changed(text, index) if place in turn else text for place, text in enumerate(texts))
            for turn in islice(cycle(_TURNS[len(texts)]), self.n_iter)
        )
        return list(dict.fromkeys([texts, *copies]))

    def _changed(self, text: str, index: int) -> str:
        try:
            return _augmented(self._augmenter, text)
        except Exception as error:
            raise RuntimeError(
                f"The augmenter {self._augmenter.name} failed on row {index}, {text!r}: {type(error).__name__}: "
                f"{error} Leave out the row, or the augmenter that cannot take it."
            ) from error


def _augmented(augmenter: Augmenter, text: str) -> str:
    """Return one augmented text, or the text itself where the augmenter makes nothing of it."""
    if not text.strip():
        return text
    if isinstance(augmenter, Pipeline):
        for step in augmenter:
            if augmenter.draw():
                text = _augmented(step, text)
        return text
    result = augmenter.augment(text)
    while isinstance(result, list) and result:
        result = result[0]
    if result is None or result == [] or result == "":
        return text
    if not isinstance(result, str):
        raise TypeError(f"{augmenter.name} made {result!r} of it, which is no text.")
    return result


def _steps(augmenter: Augmenter) -> Iterator[Augmenter]:
    """Yield the augmenters of a flow, of the flows in it, and so on."""
    if isinstance(augmenter, Pipeline):
        for step in augmenter:
            yield from _steps(step)
    else:
        yield augmenter


@contextmanager
def _generators_put_back() -> Iterator[None]:
    # Asking for the state of a GPU that is not in use would start it, which a forked process cannot.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def _seed_generators(augmenter: Augmenter, seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # `torch.manual_seed` asks every kind of device and takes 100 us a row
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    for step in _steps(augmenter):
        if isinstance(step, RuleAug):
            step.restart(seed)


def _keeping_masks(augmenter: Augmenter, mask_token: str) -> Augmenter:
    """Return a copy of an augmenter or flow that neither splits the mask token nor changes it."""
    augmenter = copy.copy(augmenter)
    if isinstance(augmenter, Pipeline):
        augmenter[:] = [_keeping_masks(step, mask_token) for step in augmenter]
    elif hasattr(augmenter, "stopwords") and not hasattr(augmenter, "stopword_reg"):
        # One with a `stopword_reg` has a language model's tokenizer, which knows its mask token.
        augmenter.stopwords = [*(augmenter.stopwords or []), mask_token]
        augmenter.tokenizer = functools.partial(_split_around, mask_token, augmenter.tokenizer)
    return augmenter


def _split_around(mask_token: str, tokenizer: Callable[[str], list[str]], text: str) -> list[str]:
    first, *others = [tokenizer(part) for part in text.split(mask_token)]
    return [*first, *(word for words in others for word in (mask_token, *words))]


def _with_copies(
    batch: dict[str, list[Any]], columns: list[str], variants: list[list[tuple[str, ...]]]
) -> dict[str, list[Any]]:
    """Return a batch in which each row is repeated for its variants, the first of which is the row itself."""
    rows = [(row, number > 0) for row, of_row in enumerate(variants) for number in range(len(of_row))]
    longer = {column: [values[row] for row, _ in rows] for column, values in batch.items()}
    for place, column in enumerate(columns):
        longer[column] = [texts[place] for of_row in variants for texts in of_row]
    longer[AUGMENTED] = [is_copy for _, is_copy in rows]
    if LABEL in batch:
        longer[LABEL] = [no_label(batch[LABEL][row]) if is_copy else batch[LABEL][row] for row, is_copy in rows]
    return longer
