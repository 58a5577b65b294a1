"""Hashes of texts, and a set of them that takes a few bytes each."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa

from hf_bilstm_distill.augmentation.draws import draw

_MAX_LOAD = 0.75


def hash_texts(columns: Sequence[pa.Array]) -> np.ndarray:
    """Return a number for each row, the same for the same texts, in every process.

    Args:
        columns: Arrays of strings of the same length: the texts of the rows, one after the other.

    Returns:
        `(rows,)`, uint64. Of a million rows that differ, two share a number with a probability of 3 in 100 million.
    """
    hashes, *others = (
        pd.util.hash_array(column.to_numpy(zero_copy_only=False), categorize=False) for column in columns
    )
    for other in others:
        hashes = draw(hashes, other)
    return hashes


def are_first(hashes: np.ndarray) -> np.ndarray:
    """Return which hashes are the first of those that equal them.

    Args:
        hashes: `(rows,)`, uint64.

    Returns:
        `(rows,)`, bool.
    """
    return ~pd.Series(hashes).duplicated().to_numpy()


class HashSet:
    """Hashes that were seen, in one array: 11 to 22 bytes each.

    A hash stands in the slot of its first bits, or in the next one that is free.
    """

    def __init__(self) -> None:
        self._slots = np.zeros(2**10, dtype=np.uint64)  # 0 is an empty slot
        self._count = 0

    def __len__(self) -> int:
        """Return how many hashes were seen."""
        return self._count

    @property
    def num_bytes(self) -> int:
        """How much memory they take."""
        return self._slots.nbytes

    def copy(self) -> Self:
        """Return a set of its own with the same hashes."""
        other = type(self)()
        other._slots, other._count = self._slots.copy(), self._count
        return other

    def add(self, hashes: np.ndarray) -> np.ndarray:
        """Add hashes and return which of them are new: not seen before, and the first among equals.

        Args:
            hashes: `(rows,)`, uint64, in the order of the rows.

        Returns:
            `(rows,)`, bool.
        """
        hashes = np.maximum(hashes, np.uint64(1))
        is_new = are_first(hashes)
        distinct = hashes[is_new]
        if self._count + len(distinct) > _MAX_LOAD * len(self._slots):
            self._grow(self._count + len(distinct))
        is_new[is_new] = self._insert(distinct)
        self._count += int(is_new.sum())
        return is_new

    def _grow(self, count: int) -> None:
        old = self._slots
        size = len(old)
        while count > _MAX_LOAD * size:
            size *= 2
        self._slots = np.zeros(size, dtype=np.uint64)
        self._insert(old[old > 0])

    def _insert(self, distinct: np.ndarray) -> np.ndarray:
        """Put hashes that differ from one another into the table, and return which were not there."""
        num_bits = len(self._slots).bit_length() - 1
        slots = (distinct >> np.uint64(64 - num_bits)).astype(np.int64)
        is_new = np.zeros(len(distinct), dtype=bool)
        pending = np.arange(len(distinct))
        while len(pending):
            wanted, values = slots[pending], distinct[pending]
            is_free = self._slots[wanted] == 0
            self._slots[wanted[is_free]] = values[is_free]  # of several that want one slot, one stays
            is_stored = self._slots[wanted] == values
            is_new[pending[is_free & is_stored]] = True
            pending = pending[~is_stored]
            slots[pending] = (slots[pending] + 1) % len(self._slots)
        return is_new
