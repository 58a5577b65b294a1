"""Rule-based augmentation: masked words, other words of the same part of speech, and n-grams.

The copies are rows without a gold label. What they should be called is for the teacher to say.
"""

import copy
import functools
import math
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from itertools import cycle, islice
from random import Random
from typing import Any, Self

import numpy as np
from datasets import ClassLabel, Dataset, Features, LargeList, List, Value
from datasets.utils import tqdm
from transformers.utils import logging

from hf_bilstm_distill.taggers import Tagger, load_tagger, tag_words
from hf_bilstm_distill.transfer_set import (
    AUGMENTED,
    LABEL,
    NO_LABEL,
    TEACHER_LOGITS,
    TEXT,
    TEXT_PAIR,
    check_texts,
    text_columns,
)

logger = logging.get_logger(__name__)

_MAX_NGRAM = 5
_BATCH_SIZE = 1000

# Which texts of a row its copies change, in turn: of a pair the first, the second, both.
_TURNS: dict[int, list[tuple[int, ...]]] = {1: [(0,)], 2: [(0,), (1,), (0, 1)]}

# The words of one part of speech, and how many times they and those before them were counted.
_Pool = tuple[list[str], list[int]]

# A text as `split_words` gives it, and for each of its words what may take its place.
_Sentence = tuple[list[str], list[_Pool | None]]


def split_words(text: str, mask_token: str = "[MASK]") -> list[str]:
    """Split a text into words and marks, and what stands between them; joined, they are the text again.

    Words are those of the Penn Treebank: "film," is a word and a mark, "don't" is "do" and "n't", "it's" is "it" and
    "'s". Hyphenated words, numbers, abbreviations, emoji and the mask token stay whole.

    Args:
        text: Any text.
        mask_token: The word that stands for a masked one.

    Returns:
        An odd number of strings: white space (often empty) at the even places, words at the odd ones.
    """
    return _word_pattern(mask_token).split(text)


@functools.lru_cache(maxsize=16)
def _word_pattern(mask_token: str) -> re.Pattern[str]:
    # `re` does not count accents that are characters of their own, nor the vowel signs of many scripts, as letters.
    marks = "".join(char for char in map(chr, range(0x10000)) if unicodedata.category(char)[0] == "M")
    letter = rf"(?:\w[{marks}\u200c\u200d]*)"
    apostrophe = "['\u2019]"
    clitic = rf"{apostrophe}(?i:s|re|ve|ll|d|m)\b"
    negation = rf"(?i:n{apostrophe}t)\b"
    emoji = "[\u2190-\u2bff\U0001f000-\U0001faff]"
    alternatives = [
        re.escape(mask_token) + (r"\b" if mask_token[-1].isalnum() else ""),
        r"\w+://\S+",
        rf"[^\W\d_]+(?={negation})",  # do|n't
        negation,
        clitic,  # it|'s
        r"(?:[^\W\d_]\.){2,}",  # U.S.
        r"\d+(?:[.,:]\d+)+",  # 1,000.5
        rf"{letter}+(?:(?:-+|(?!{clitic}){apostrophe}){letter}+)*",  # thought-provoking, o'clock
        r"-(?i:[lr][rsc]b)-",  # the Treebank's brackets
        r"\.{2,}|-{2,}|``|''",
        "[\U0001f1e6-\U0001f1ff]{2}",  # flags
        rf"{emoji}[\ufe0f\u20e3\U0001f3fb-\U0001f3ff]*(?:\u200d{emoji}[\ufe0f\U0001f3fb-\U0001f3ff]*)*",
        r"\S",
    ]
    return re.compile(f"({'|'.join(alternatives)})")


class HeuristicAugmenter:
    """Makes copies of rows in which words are masked or replaced, or of which only an n-gram is left.

    For each word of a copy one X is drawn from [0, 1): below `p_mask` the word becomes the mask token; from there to
    `p_mask + p_pos` another word of its part of speech takes its place, drawn as often as it was counted in the fitted
    set (so the same word may come back). Then, with probability `p_ngram`, only an n-gram is kept: n from 1 to 5 alike,
    each start alike; a text of no more than n words is kept whole. The copies of a pair change its first text, its
    second, both, in turn.

    An augmenter is a function for `Dataset.map`; `augment` calls it so and drops the duplicates. The copies of a row
    depend on the seed, the number of the row and the fitted counts alone: neither `num_proc` nor `batch_size` matters.

    The defaults are the paper's; for pairs it takes an `n_iter` of 10.

    Args:
        n_iter: How many copies to make of a row. Duplicates are dropped, so fewer may be left.
        p_mask: Probability that a word is masked.
        p_pos: Probability that a word is replaced by one of its part of speech. At 0 no tagger is loaded.
        p_ngram: Probability that only an n-gram of a copy is kept.
        mask_token: The teacher's mask token. Where a text holds it already, it stays.
        tagger: A name that `load_tagger` knows, or a function from words to tags.
        seed: Another seed, other copies.

    Raises:
        ValueError: If a probability lies outside [0, 1], or `p_mask` and `p_pos` sum to more than 1, or `n_iter` is
            not a number of copies, or `mask_token` is not one word.

    Source:
        Tang et al. 2019, data augmentation for distillation.

    Example:
        >>> from datasets import Dataset
        >>> dataset = Dataset.from_dict({"text": ["a gripping film", "a dull story"]})
        >>> augment(dataset, HeuristicAugmenter(n_iter=2)).column_names
        ['text', 'augmented']
    """

    def __init__(
        self,
        *,
        n_iter: int = 20,
        p_mask: float = 0.1,
        p_pos: float = 0.1,
        p_ngram: float = 0.25,
        mask_token: str = "[MASK]",
        tagger: str | Tagger = "lexicon",
        seed: int = 0,
    ) -> None:
        for name, probability in {"p_mask": p_mask, "p_pos": p_pos, "p_ngram": p_ngram}.items():
            if not 0 <= probability <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {probability}.")
        if p_mask + p_pos > 1:
            raise ValueError(f"p_mask + p_pos must be at most 1, got {p_mask} + {p_pos}. Lower one of them.")
        if not isinstance(n_iter, int) or n_iter < 0:
            raise ValueError(f"n_iter must be a whole number of copies, 0 or more, got {n_iter!r}.")
        if not mask_token or re.search(r"\s", mask_token):
            raise ValueError(f"mask_token must be one word without spaces, got {mask_token!r}. Take the teacher's.")
        if p_pos:
            load_tagger(tagger)
        self.n_iter = n_iter
        self.p_mask = p_mask
        self.p_pos = p_pos
        self.p_ngram = p_ngram
        self.mask_token = mask_token
        self.tagger = tagger
        self.seed = seed
        self._pools: dict[str, _Pool] | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether there are words to draw replacements from, or none are needed."""
        return self._pools is not None or not self.p_pos

    def fit(self, dataset: Dataset) -> Self:
        """Count the words of each part of speech in a set. Replacements are drawn from these counts.

        Args:
            dataset: The training set: `text` and, if it is one of pairs, `text_pair`.

        Returns:
            This augmenter.
        """
        check_texts(dataset)
        if not self.p_pos:
            return self
        counts: Counter[tuple[str, str]] = Counter()
        texts = dataset.with_format(None).select_columns(text_columns(dataset))
        for batch in tqdm(
            texts.iter(_BATCH_SIZE), total=math.ceil(len(texts) / _BATCH_SIZE), desc="Counting words", unit="batch"
        ):
            for column in batch.values():
                for text in column:
                    words = split_words(text, self.mask_token)[1::2]
                    counts.update(zip(self._tags(words), words, strict=True))
        self._pools = {}
        # Sorted, so that the order of the rows shows neither in the draws nor in the fingerprint.
        for (tag, word), count in sorted(counts.items()):
            if word != self.mask_token:
                words, cumulative = self._pools.setdefault(tag, ([], []))
                words.append(word)
                cumulative.append(count + (cumulative[-1] if cumulative else 0))
        return self

    def __call__(self, batch: dict[str, list[Any]], indices: list[int]) -> dict[str, list[Any]]:
        """Return each row of a batch, followed by its copies.

        For `dataset.map(augmenter, batched=True, with_indices=True, remove_columns=dataset.column_names)`.

        Args:
            batch: The columns of some rows.
            indices: The numbers of these rows in the set.

        Returns:
            The same columns, longer, and `augmented`: False for a row of the set, True for a copy. In copies `label` is
            -100, or NaN where labels are floats or lists. Copies equal to their row or to one another are left out.

        Raises:
            RuntimeError: If the augmenter was not fitted, but has words to replace.
        """
        if not self.is_fitted:
            raise RuntimeError("This augmenter has not counted words yet. Call fit(dataset) first, or set p_pos to 0.")
        _check_columns(batch)
        columns = [column for column in (TEXT, TEXT_PAIR) if column in batch]
        rows = zip(*(batch[column] for column in columns), strict=True)
        variants = [self._variants(texts, index) for texts, index in zip(rows, indices, strict=True)]
        sizes = [len(variants_of_row) for variants_of_row in variants]
        longer = {column: _repeated(values, sizes) for column, values in batch.items()}
        for place, column in enumerate(columns):
            longer[column] = [texts[place] for variants_of_row in variants for texts in variants_of_row]
        longer[AUGMENTED] = [number > 0 for size in sizes for number in range(size)]
        if LABEL in batch:
            unlabelled = _repeated([_no_label(label) for label in batch[LABEL]], sizes)
            labelled = zip(longer[AUGMENTED], unlabelled, longer[LABEL], strict=True)
            longer[LABEL] = [no_label if is_copy else label for is_copy, no_label, label in labelled]
        return longer

    def _tags(self, words: list[str]) -> list[str]:
        return tag_words(load_tagger(self.tagger), words)

    def _variants(self, texts: tuple[str, ...], index: int) -> list[tuple[str, ...]]:
        """Return the texts of a row, then those of its copies that differ."""
        rng = Random(f"{self.seed}-{index}")
        sentences = [self._sentence(text) for text in texts]
        copies = (
            tuple(self._changed(sentences[place], rng) if place in turn else text for place, text in enumerate(texts))
            for turn in islice(cycle(_TURNS[len(texts)]), self.n_iter)
        )
        return list(dict.fromkeys([texts, *copies]))

    def _sentence(self, text: str) -> _Sentence:
        pieces = split_words(text, self.mask_token)
        words = pieces[1::2]
        if not self._pools:
            return pieces, [None] * len(words)
        tagged = zip(words, self._tags(words), strict=True)
        return pieces, [None if word == self.mask_token else self._pools.get(tag) for word, tag in tagged]

    def _changed(self, sentence: _Sentence, rng: Random) -> str:
        """Return one copy of a sentence."""
        pieces, pools = sentence
        pieces = pieces.copy()
        draw = rng.random
        p_changed = self.p_mask + self.p_pos
        for number, pool in enumerate(pools):
            x = draw()
            if x < self.p_mask:
                _put(self.mask_token, pieces, number)
            elif x < p_changed and pool:
                words, cumulative = pool
                _put(words[bisect_right(cumulative, draw() * cumulative[-1])], pieces, number)
        if draw() < self.p_ngram:
            length = 1 + int(draw() * _MAX_NGRAM)
            if length < len(pools):
                start = int(draw() * (len(pools) - length + 1))
                pieces = pieces[2 * start + 1 : 2 * (start + length)]
        return "".join(pieces)


def augment(dataset: Dataset, augmenter: HeuristicAugmenter, num_proc: int | None = None) -> Dataset:
    """Return the rows of a set, each followed by its copies, without duplicates.

    The rows of the set are all kept. A copy is dropped if it equals any of them, or a copy before it.

    Args:
        dataset: The training set: `text`, perhaps `text_pair`, perhaps `label` (numbers). Other columns are repeated.
        augmenter: It is fitted to the set, on a copy, unless it was fitted before.
        num_proc: How many processes to use. The rows don't depend on it.

    Returns:
        The set with more rows and a column `augmented`: False in its own rows, True in the copies, whose `label` is
        -100 (NaN where labels are floats or lists). A `ClassLabel` has become a plain integer, which -100 needs.
    """
    check_texts(dataset)
    features = _augmented_features(dataset)
    dataset = dataset.with_format(None)
    if LABEL in features and features[LABEL] != dataset.features[LABEL]:
        dataset = dataset.cast_column(LABEL, features[LABEL])
    if not augmenter.is_fitted:
        augmenter = copy.copy(augmenter).fit(dataset)
    rows = dataset.map(
        augmenter,
        batched=True,
        batch_size=_BATCH_SIZE,
        with_indices=True,
        remove_columns=dataset.column_names,
        features=features,
        num_proc=num_proc,
        desc="Augmenting",
    )
    kept = _first_of_equals(rows)
    num_made, num_kept = augmenter.n_iter * len(dataset), len(kept) - len(dataset)
    logger.info(f"Augmented {len(dataset)} rows: {num_made} copies made, {num_made - num_kept} of them duplicates.")
    return rows.select(kept)


def _put(word: str, pieces: list[str], number: int) -> None:
    """Put a word in the place of another, with a space where it would grow together with its neighbour (do|n't)."""
    place = 2 * number + 1
    pieces[place] = word
    for gap in (place - 1, place + 1):
        if not pieces[gap] and 0 < gap < len(pieces) - 1 and (pieces[gap - 1][-1] + pieces[gap + 1][0]).isalnum():
            pieces[gap] = " "


def _first_of_equals(rows: Dataset) -> np.ndarray:
    """Return the numbers of the rows to keep: all originals, and the first of equal copies that equal no original."""
    is_copy = np.empty(len(rows), dtype=bool)
    # Numbers in place of the texts: eight bytes a row. Among 4 million rows two differing ones share one with a
    # probability of 4 in 10 million, and then a copy too many is dropped. They hold in this process only.
    hashes = np.empty(len(rows), dtype=np.int64)
    columns = text_columns(rows)
    start = 0
    for batch in rows.select_columns([*columns, AUGMENTED]).iter(_BATCH_SIZE):
        end = start + len(batch[AUGMENTED])
        is_copy[start:end] = batch[AUGMENTED]
        hashes[start:end] = [hash(texts) for texts in zip(*(batch[column] for column in columns), strict=True)]
        start = end
    originals, copies = np.flatnonzero(~is_copy), np.flatnonzero(is_copy)
    distinct, first = np.unique(hashes[copies], return_index=True)
    is_new = ~np.isin(distinct, hashes[originals])
    return np.sort(np.concatenate([originals, copies[first[is_new]]]))


def _augmented_features(dataset: Dataset) -> Features:
    """Return the columns of an augmented set, or stop if there is one that copies cannot have."""
    _check_columns(dataset.column_names)
    features = dict(dataset.features)
    for column in text_columns(dataset):
        features[column] = Value("string")
    if LABEL in features:
        features[LABEL] = _label_feature(features[LABEL])
    return Features(features | {AUGMENTED: Value("bool")})


def _check_columns(columns: Iterable[str]) -> None:
    if TEACHER_LOGITS in columns:
        raise ValueError(
            f"The set has a column {TEACHER_LOGITS!r}, which belongs to its texts and not to their copies. Augment "
            "first, then label with the teacher; or remove the column."
        )
    if AUGMENTED in columns:
        raise ValueError(
            f"The set has a column {AUGMENTED!r}: it was augmented before. Augment the original set, or remove the "
            "column to make copies of copies."
        )


def _label_feature(feature: Any) -> Any:
    """Return a type of label that can say "none": -100 among integers, NaN among floats and in lists."""
    if isinstance(feature, List | LargeList):
        inner = _label_feature(feature.feature)
        return type(feature)(Value("float32")) if inner == Value("int64") else feature
    dtype = str(getattr(feature, "dtype", feature))
    if isinstance(feature, ClassLabel) or dtype == "bool" or dtype.startswith(("int", "uint")):
        return Value("int64")
    if dtype.startswith("float") or dtype == "null":
        return feature
    raise ValueError(
        f"Column {LABEL!r} holds {dtype}, but labels must be numbers to be told from those of copies. Number them "
        f"(`dataset.class_encode_column({LABEL!r})`), or remove the column."
    )


def _no_label(label: Any) -> Any:
    """Return what stands for "no gold label" in the copies of a row with this label."""
    if isinstance(label, list):
        return [math.nan] * len(label)
    if isinstance(label, float):
        return math.nan
    return None if label is None else NO_LABEL


def _repeated(values: list[Any], sizes: list[int]) -> list[Any]:
    return [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]
