"""The augmenter of the paper: masked words, other words of the same part of speech, and n-grams."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
from datasets import Dataset, IterableDataset

from hf_bilstm_distill.augmentation.copies import Copies, Rules, make_copies, word_places
from hf_bilstm_distill.augmentation.optional_labels import no_label
from hf_bilstm_distill.augmentation.taggers import Tagger, load_tagger, tag_words
from hf_bilstm_distill.augmentation.word_pools import WordPools
from hf_bilstm_distill.augmentation.words import split_words
from hf_bilstm_distill.transfer_set import (
    AUGMENTED,
    LABEL,
    TEACHER_LOGITS,
    TEXT,
    TEXT_PAIR,
    check_texts,
    text_columns,
)

_BATCH_SIZE = 1000
_COUNT_BATCH_SIZE = 10_000

# Columns that are there while the work is done.
_PIECES = {TEXT: "_text_pieces", TEXT_PAIR: "_text_pair_pieces"}
_TAGS = {TEXT: "_text_tags", TEXT_PAIR: "_text_pair_tags"}


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
        self._pools: WordPools | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether there are words to draw replacements from, or none are needed."""
        return self._pools is not None or not self.p_pos

    def fit(self, dataset: Dataset | IterableDataset) -> Self:
        """Count the words of each part of speech in a set. Replacements are drawn from these counts.

        Args:
            dataset: The training set: `text` and, if it is one of pairs, `text_pair`. A stream is read once.

        Returns:
            This augmenter.
        """
        if isinstance(dataset, IterableDataset):
            return self.fit_to_batches(batches_of(dataset))
        check_texts(dataset)
        return self.fit_to_batches(self.tag(dataset).iter(_COUNT_BATCH_SIZE)) if self.p_pos else self

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
        check_columns(batch)
        texts = {column: pa.array(batch[column], pa.string()) for column in (TEXT, TEXT_PAIR) if column in batch}
        copies = self._copies(pa.table(texts), indices)
        rows = copies.rows.tolist()
        longer = {column: [values[row] for row in rows] for column, values in batch.items()}
        longer |= {column: made.to_pylist() for column, made in zip(texts, copies.texts, strict=True)}
        longer[AUGMENTED] = copies.is_copy.tolist()
        if LABEL in batch:
            labelled = zip(longer[LABEL], longer[AUGMENTED], strict=True)
            longer[LABEL] = [no_label(label) if is_copy else label for label, is_copy in labelled]
        return longer

    def tag(self, dataset: Dataset, num_proc: int | None = None) -> Dataset:
        """Add columns with the pieces of the texts of a set and, if words are replaced, with their tags.

        `fit` and `extend` use them where they are there. The cache holds them for all seeds, rates and numbers of
        copies.

        Args:
            dataset: The set.
            num_proc: How many processes to use.

        Returns:
            The set with these columns, in the format "arrow".
        """
        if _PIECES[TEXT] in dataset.column_names:
            return dataset
        tag = functools.partial(_tag, mask_token=self.mask_token, tagger=self.tagger if self.p_pos else None)
        return dataset.with_format("arrow").map(
            tag, batched=True, batch_size=_BATCH_SIZE, num_proc=num_proc, desc="Tagging words"
        )

    def fit_to_batches(self, batches: Iterable[pa.Table]) -> Self:
        """Count the words of each part of speech, as `fit` does, in batches of rows.

        Args:
            batches: The training set, in parts.

        Returns:
            This augmenter.
        """
        counts: Counter[tuple[str, str]] = Counter()
        for batch in map(self._tagged, batches):
            for column in text_columns(batch) if self.p_pos else ():
                pieces, tags = as_array(batch[_PIECES[column]]), as_array(batch[_TAGS[column]])
                words = pieces.flatten().take(pa.array(word_places(pieces)[2]))
                pairs = pa.table({"tag": tags.flatten(), "word": words}).group_by(["tag", "word"], use_threads=False)
                counted = (column.to_pylist() for column in pairs.aggregate([([], "count_all")]).itercolumns())
                counts.update({(tag, word): count for tag, word, count in zip(*counted, strict=True)})
        self._pools = WordPools({pair: count for pair, count in counts.items() if pair[1] != self.mask_token})
        return self

    def extend(self, batch: pa.Table, indices: Sequence[int]) -> tuple[pa.Table, np.ndarray]:
        """Return each row of a table, followed by its copies: what calling the augmenter does with columns of lists.

        Args:
            batch: Some rows. Labels must be of a type that can be missing.
            indices: The numbers of these rows in the set.

        Returns:
            The longer table without the columns that `tag` adds, and the hashes of its texts.
        """
        copies = self._copies(batch, indices)
        sources = pa.array(copies.rows)
        tags = {*_PIECES.values(), *_TAGS.values()}
        columns = {name: batch[name].take(sources) for name in batch.column_names if name not in tags}
        columns |= dict(zip(text_columns(batch), copies.texts, strict=True))
        if LABEL in columns:
            labels = as_array(batch[LABEL])
            unlabelled = pa.array([no_label(label) for label in labels.to_pylist()], labels.type)
            both = pa.concat_arrays([labels, unlabelled])
            columns[LABEL] = both.take(pa.array(copies.rows + len(labels) * copies.is_copy))
        return pa.table(columns | {AUGMENTED: copies.is_copy}), copies.hashes

    def _tagged(self, batch: pa.Table) -> pa.Table:
        if _PIECES[TEXT] in batch.column_names:
            return batch
        return _tag(batch, mask_token=self.mask_token, tagger=self.tagger if self.p_pos else None)

    def _copies(self, batch: pa.Table, indices: Sequence[int]) -> Copies:
        if not self.is_fitted:
            raise RuntimeError("This augmenter has not counted words yet. Call fit(dataset) first, or set p_pos to 0.")
        batch = self._tagged(batch)
        texts = [
            (as_array(batch[_PIECES[column]]), as_array(batch[_TAGS[column]]) if self.p_pos else None)
            for column in text_columns(batch)
        ]
        rules = Rules(self.n_iter, self.seed, self.p_mask, self.p_pos, self.p_ngram, self.mask_token, self._pools)
        return make_copies(texts, np.asarray(indices), rules)


def batches_of(stream: IterableDataset) -> Iterator[pa.Table]:
    """Yield the rows of a stream in batches, or stop at one that cannot be used.

    Args:
        stream: Rows with the columns that an augmenter needs.

    Yields:
        Up to a thousand rows.
    """
    is_typed = stream.features is not None  # if not, `datasets` would find a type for each row by itself
    start = 0
    for batch in stream.with_format("arrow" if is_typed else None).iter(_BATCH_SIZE):
        batch = batch if is_typed else pa.table(batch)
        check_texts(Dataset(batch), f"the stream, from row {start} on,")
        check_columns(batch.column_names)
        start += len(batch)
        yield batch


def check_columns(columns: Iterable[str]) -> None:
    """Stop if there is a column that copies cannot have.

    Args:
        columns: Names of columns.

    Raises:
        ValueError: If the set has logits, or was augmented before.
    """
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


def as_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array.

    Args:
        column: A column of a table.

    Returns:
        The same values.
    """
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _tag(batch: pa.Table, mask_token: str, tagger: str | Tagger | None) -> pa.Table:
    """Return a batch with columns for the pieces of its texts and, if there is a tagger, the tags of their words."""
    tag = functools.partial(tag_words, load_tagger(tagger)) if tagger else None
    for column in text_columns(batch):
        pieces = [split_words(text, mask_token) for text in batch[column].to_pylist()]
        batch = batch.append_column(_PIECES[column], pa.array(pieces, pa.list_(pa.string())))
        if tag:
            tags = [tag(pieces_of_text[1::2]) for pieces_of_text in pieces]
            batch = batch.append_column(_TAGS[column], pa.array(tags, pa.list_(pa.string())))
    return batch
