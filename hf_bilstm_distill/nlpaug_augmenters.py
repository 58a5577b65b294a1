"""Nlpaug, both ways: the rules of augmentation as its augmenters, and its augmenters and flows for `Dataset.map`."""

import copy
import functools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any, Self

import numpy as np
import torch
from datasets import Dataset
from nlpaug import Augmenter
from nlpaug.flow import Pipeline
from nlpaug.util import Action, Method

from hf_bilstm_distill.augmentation.heuristic_augmenter import check_columns
from hf_bilstm_distill.augmentation.optional_labels import no_label
from hf_bilstm_distill.augmentation.taggers import Tagger, load_tagger, tag_words
from hf_bilstm_distill.augmentation.words import split_words
from hf_bilstm_distill.transfer_set import AUGMENTED, LABEL, TEXT, TEXT_PAIR, check_texts, text_columns

_MAX_NGRAM = 5

# Which texts of a row its copies change, in turn: of a pair the first, the second, both.
_TURNS: dict[int, list[tuple[int, ...]]] = {1: [(0,)], 2: [(0,), (1,), (0, 1)]}


class RuleAug(Augmenter):
    """An augmenter of nlpaug that draws for each text anew, from its seed and from how many texts it was given before.

    Subclasses say in `_change` what becomes of the pieces of a text, which `split_words` made.
    """

    def __init__(self, aug_p: float, mask_token: str, seed: int) -> None:
        name = type(self).__name__
        if not 0 <= aug_p <= 1:
            raise ValueError(f"aug_p of {name} must lie between 0 and 1, got {aug_p}.")
        if len(mask_token.split()) != 1:
            raise ValueError(f"mask_token must be one word without spaces, got {mask_token!r}. Take the teacher's.")
        super().__init__(name, Method.WORD, Action.SUBSTITUTE, aug_min=None, aug_max=None, aug_p=aug_p)
        self.mask_token = mask_token
        self.seed = seed
        self._num_done = 0

    def augment(self, data: str | list[Any], n: int = 1, num_thread: int = 1) -> list[Any]:
        """Return changed texts: of one text `n`, of a list of texts one each.

        Args:
            data: A text, or a list of texts.
            n: How many to make of a single text. They may be equal.
            num_thread: Not used: threads would draw in another order each time, and are slower.

        Returns:
            As many texts. An empty one stays as it is.

        Raises:
            TypeError: If there is something else than text.
        """
        if isinstance(data, str):
            return [self._changed(data) for _ in range(n)]
        if isinstance(data, list) and all(isinstance(text, str) for text in data):
            return [self._changed(text) for text in data]
        if isinstance(data, list) and all(isinstance(part, list) for part in data):
            # Within a flow, a list in a list is what `Sometimes` hands on when it has drawn nothing.
            return [self.augment(part) for part in data]
        raise TypeError(f"{self.name} takes a text or a list of texts, got {data!r}.")

    def restart(self, num_done: int = 0) -> None:
        """Draw as a new augmenter of this seed does.

        Args:
            num_done: How many texts to count as done.
        """
        self._num_done = num_done

    @classmethod
    def is_duplicate(cls, dataset: list[Any], data: Any) -> bool:
        """Return whether `data` is among the texts of `dataset`. Flows ask this."""
        return data in dataset

    def _changed(self, text: str) -> str:
        # With the name of the rule: drawing alike, one rule would replace the very words that another has masked.
        rng = random.Random(f"{self.name}-{self.seed}-{self._num_done}")
        self._num_done += 1
        return "".join(self._change(split_words(text, self.mask_token), rng))

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        # How much was drawn must not show in the fingerprint of a set, or none would be found in the cache again.
        return self.__dict__ | {"_num_done": 0}


class MaskAug(RuleAug):
    """Masks words, each with the same probability, independently of the others.

    Args:
        aug_p: Probability that a word is masked.
        mask_token: The teacher's mask token.
        seed: Same seed, same output. Give two `MaskAug` of one flow different ones.

    Source:
        Tang et al. 2019, data augmentation for distillation.

    Example:
        >>> MaskAug(aug_p=1.0).augment("a gripping film")
        ['[MASK] [MASK] [MASK]']
    """

    def __init__(self, aug_p: float = 0.1, *, mask_token: str = "[MASK]", seed: int = 0) -> None:
        super().__init__(aug_p, mask_token, seed)

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        for place in range(1, len(pieces), 2):
            if rng.random() < self.aug_p:
                _put(self.mask_token, pieces, place)
        return pieces


class PosReplacementAug(RuleAug):
    """Replaces words by words of the same part of speech, drawn as often as they were counted.

    Args:
        texts: The texts whose words are counted: a list, or a set with a column `text` (and perhaps `text_pair`).
        aug_p: Probability that a word is replaced, perhaps by itself.
        tagger: A name that `load_tagger` knows, or a function from words to tags.
        mask_token: The teacher's mask token. It is never replaced.
        seed: Same seed, same output.

    Source:
        Tang et al. 2019, data augmentation for distillation.

    Example:
        >>> PosReplacementAug(["a film", "the film"], aug_p=1.0).augment("this story")[0].split()[1]
        'film'
    """

    def __init__(
        self,
        texts: Sequence[str] | Dataset,
        aug_p: float = 0.1,
        *,
        tagger: str | Tagger = "lexicon",
        mask_token: str = "[MASK]",
        seed: int = 0,
    ) -> None:
        super().__init__(aug_p, mask_token, seed)
        if isinstance(texts, str):
            raise TypeError(f"texts must be a list of texts or a Dataset, got one text, {texts!r}. Put it in a list.")
        self.tagger = tagger
        dataset = texts if isinstance(texts, Dataset) else Dataset.from_dict({TEXT: list(texts)})
        check_texts(dataset, "texts")
        counts: Counter[tuple[str, str]] = Counter()
        for column in text_columns(dataset):
            for text in dataset.with_format(None)[column]:
                words = split_words(text, mask_token)[1::2]
                counts.update(zip(tag_words(load_tagger(tagger), words), words, strict=True))
        self._pools: dict[str, tuple[list[str], list[int]]] = {}
        # Sorted, so that the order of the texts shows neither in the draws nor in the fingerprint.
        for (tag, word), count in sorted(counts.items()):
            if word != mask_token:
                words, cumulative = self._pools.setdefault(tag, ([], []))
                words.append(word)
                cumulative.append(count + (cumulative[-1] if cumulative else 0))

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        words = pieces[1::2]
        for number, tag in enumerate(tag_words(load_tagger(self.tagger), words)):
            if rng.random() < self.aug_p and tag in self._pools and words[number] != self.mask_token:
                candidates, cumulative = self._pools[tag]
                _put(rng.choices(candidates, cum_weights=cumulative)[0], pieces, 2 * number + 1)
        return pieces


class NgramAug(RuleAug):
    """Keeps an n-gram of a text, n from 1 to 5 alike, each start alike. Shorter texts stay whole.

    Args:
        aug_p: Probability that a text is cut.
        mask_token: The teacher's mask token, which counts as one word.
        seed: Same seed, same output.

    Source:
        Tang et al. 2019, data augmentation for distillation.

    Example:
        >>> len(NgramAug(aug_p=1.0).augment("a film that has much more than five words")[0].split()) <= 5
        True
    """

    def __init__(self, aug_p: float = 0.25, *, mask_token: str = "[MASK]", seed: int = 0) -> None:
        super().__init__(aug_p, mask_token, seed)

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        if rng.random() < self.aug_p:
            length, num_words = rng.randint(1, _MAX_NGRAM), len(pieces) // 2
            if length < num_words:
                start = rng.randrange(num_words - length + 1)
                return pieces[2 * start + 1 : 2 * (start + length)]
        return pieces


def _put(word: str, pieces: list[str], place: int) -> None:
    """Put a word in the place of another, with a space where it would grow together with its neighbour (do|n't)."""
    pieces[place] = word
    for gap in (place - 1, place + 1):
        if not pieces[gap] and 0 < gap < len(pieces) - 1 and (pieces[gap - 1][-1] + pieces[gap + 1][0]).isalnum():
            pieces[gap] = " "


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
