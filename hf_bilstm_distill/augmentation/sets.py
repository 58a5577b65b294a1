"""Rule-based augmentation of sets and streams: rows, each followed by its copies, without duplicates.

The copies are rows without a gold label. What they should be called is for the teacher to say.
"""

import copy
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, IterableDataset, Value
from datasets.fingerprint import Hasher
from datasets.utils import tqdm
from transformers.utils import logging

from hf_bilstm_distill.augmentation.deduplication import HashSet, hash_texts
from hf_bilstm_distill.augmentation.heuristic_augmenter import HeuristicAugmenter, as_array, batches_of, check_columns
from hf_bilstm_distill.augmentation.optional_labels import label_feature, with_optional_labels
from hf_bilstm_distill.transfer_set import AUGMENTED, LABEL, TEXT, TEXT_PAIR, check_texts, text_columns

logger = logging.get_logger(__name__)

_BATCH_SIZE = 1000
_HASH_BATCH_SIZE = 2**16
_HASH = "_text_hash"  # a column that is there while the work is done


class RowAugmenter(Protocol):
    """What `augment` can use: `HeuristicAugmenter`, or a transform of one's own.

    Its copies of a row must depend on the row and its number alone.
    """

    n_iter: int

    @property
    def is_fitted(self) -> bool:
        """Whether it can make copies without `fit`."""

    def fit(self, dataset: Any) -> Any:
        """Learn what it needs of a set."""

    def __call__(self, batch: dict[str, list[Any]], indices: list[int]) -> dict[str, list[Any]]:
        """Return each row, followed by its copies, with a column `augmented` that tells them apart."""


def augment(
    dataset: Dataset | IterableDataset, augmenter: RowAugmenter, num_proc: int | None = None
) -> Dataset | IterableDataset:
    """Return the rows of a set, each followed by its copies, without duplicates.

    The rows of the set are all kept. A copy is dropped if it equals any of them, or a copy before it.

    A stream gives the very same rows. It is read once by this function, to count its words and to know its rows, and
    then whenever the result is iterated, each time from the first row on and with the same copies. Only hashes stay in
    memory, 11 to 22 bytes for each row and copy. Since duplicates are dropped over the whole set, the result is one
    shard: of several workers of a `DataLoader` one does the work, and copies are numbered as they come. To share the
    work, augment `stream.shard(n, i)` in each of n processes, with a fitted augmenter and another seed in each; equal
    copies in two shards are then not found.

    Args:
        dataset: The training set: `text`, perhaps `text_pair`, perhaps `label` (numbers). Other columns are repeated.
        augmenter: It is fitted to the set, on a copy, unless it was fitted before.
        num_proc: How many processes to use. The rows don't depend on it. A stream has none.

    Returns:
        The set with more rows and a column `augmented`: False in its own rows, True in the copies, whose `label` is
        -100 (NaN where labels are floats or lists). A `ClassLabel` has become a plain integer, which -100 needs.

    Raises:
        ValueError: If the set cannot be used, or `num_proc` is given for a stream.
    """
    if isinstance(dataset, IterableDataset):
        if num_proc:
            raise ValueError(
                f"A stream is augmented by the process that reads it, but num_proc is {num_proc}. Drop it."
            )
        return _augment_stream(dataset, augmenter)
    check_texts(dataset)
    features = _augmented_features(dataset.features)
    num_rows = len(dataset)
    if isinstance(augmenter, HeuristicAugmenter):
        dataset = augmenter.tag(dataset, num_proc)
    if not augmenter.is_fitted:
        augmenter = copy.copy(augmenter).fit(dataset)
    rows = dataset.with_format("arrow").map(
        functools.partial(_with_copies, augmenter=augmenter),
        batched=True,
        batch_size=_BATCH_SIZE,
        with_indices=True,
        features=Features(features | {_HASH: Value("uint64")}),
        num_proc=num_proc,
        desc="Augmenting",
    )
    rows = _without_duplicates(rows, features)
    num_made, num_kept = augmenter.n_iter * num_rows, len(rows) - num_rows
    logger.info(f"Augmented {num_rows} rows: {num_made} copies made, {num_made - num_kept} of them duplicates.")
    return rows.with_format(None)


def _augment_stream(stream: IterableDataset, augmenter: RowAugmenter) -> IterableDataset:
    originals = HashSet()
    features = stream.features and _augmented_features(stream.features)
    batches = _noting_hashes(batches_of(stream), originals)
    if isinstance(augmenter, HeuristicAugmenter) and not augmenter.is_fitted:
        augmenter = copy.copy(augmenter).fit_to_batches(batches)
    for _ in batches:  # what `fit` has not read
        pass
    if not len(originals):
        raise ValueError("dataset has no rows.")
    arguments = {"stream": stream, "augmenter": augmenter, "originals": originals}
    return IterableDataset.from_generator(_stream_rows, features=features, gen_kwargs=arguments)


def _stream_rows(stream: IterableDataset, augmenter: RowAugmenter, originals: HashSet) -> Iterator[dict[str, Any]]:
    seen = originals.copy()  # each epoch forgets the copies of the one before
    start = 0
    for batch in batches_of(stream):
        rows = _with_copies(batch, range(start, start + len(batch)), augmenter)
        start += len(batch)
        yield from _distinct(rows, seen).to_pylist()


def _noting_hashes(batches: Iterable[pa.Table], seen: HashSet) -> Iterator[pa.Table]:
    for batch in tqdm(batches, desc="Counting words", unit="batch"):
        seen.add(_hashes_of(batch))
        yield batch


def _with_copies(batch: pa.Table, indices: Sequence[int], augmenter: RowAugmenter) -> pa.Table:
    """Return each row of a batch, followed by its copies, and a column with the hashes of their texts."""
    batch = with_optional_labels(batch)
    if isinstance(augmenter, HeuristicAugmenter):
        rows, hashes = augmenter.extend(batch, indices)
    else:
        rows = pa.table(augmenter(batch.to_pydict(), list(indices)))
        hashes = _hashes_of(rows)
    return rows.append_column(_HASH, pa.array(hashes))


def _without_duplicates(rows: Dataset, features: Features) -> Dataset:
    """Return all originals, and of equal copies the first, if it equals no original."""
    seen = HashSet()

    def keep(batch: pa.Table) -> pa.Table:
        if not len(seen):
            for hashes in rows.select_columns([AUGMENTED, _HASH]).iter(_HASH_BATCH_SIZE):
                seen.add(hashes[_HASH].to_numpy()[~hashes[AUGMENTED].to_numpy()])
        return _distinct(batch, seen)

    # Rows that are written anew lie one after the other: they are read many times faster than by a list of indices.
    # In one process, since each row is compared with all before it. What was seen must not show in the fingerprint.
    return rows.map(
        keep,
        batched=True,
        batch_size=_HASH_BATCH_SIZE,
        features=features,
        new_fingerprint=Hasher.hash([rows._fingerprint, "without duplicates"]),
        desc="Dropping duplicates",
    )


def _distinct(rows: pa.Table, seen: HashSet) -> pa.Table:
    """Return originals and new copies. The hashes of all originals are among those seen; those of copies are added."""
    is_copy = rows[AUGMENTED].to_numpy()
    is_kept = ~is_copy
    is_kept[is_copy] = seen.add(rows[_HASH].to_numpy()[is_copy])
    return rows.drop_columns(_HASH).filter(pa.array(is_kept))


def _hashes_of(batch: pa.Table) -> np.ndarray:
    return hash_texts([as_array(batch[column]) for column in text_columns(batch)])


def _augmented_features(features: Features) -> Features:
    """Return the columns of an augmented set, or stop if there is one that copies cannot have."""
    check_columns(features)
    texts = {column: Value("string") for column in (TEXT, TEXT_PAIR) if column in features}
    labels = {LABEL: label_feature(features[LABEL])} if LABEL in features else {}
    return Features(features | texts | labels | {AUGMENTED: Value("bool")})
