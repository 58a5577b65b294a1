"""A hash too few keeps duplicates; one too many loses rows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_bilstm_distill.augmentation.deduplication import HashSet, hash_texts

# The last of 64 bits and those between: hashes that want the same slot.
HASHES = st.integers(0, 2**64 - 1) | st.integers(0, 5) | st.integers(2**64 - 5, 2**64 - 1)


def as_hashes(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, dtype=np.uint64)


@given(st.lists(st.lists(HASHES.filter(bool), max_size=20), max_size=10))
def test_new_hashes_are_those_a_set_does_not_hold(batches: list[list[int]]) -> None:
    """Duplicates kept, or copies lost that nothing equals."""
    hashes, seen = HashSet(), set()
    for batch in batches:
        expected = []
        for number in batch:
            expected.append(number not in seen)
            seen.add(number)
        assert hashes.add(as_hashes(batch)).tolist() == expected
        assert len(hashes) == len(seen)


def test_set_grows() -> None:
    """A table that is full never ends."""
    numbers = np.random.default_rng(0).integers(0, 2**64, 100_000, dtype=np.uint64)
    hashes = HashSet()
    for are_new in (True, False):
        for batch in np.split(numbers, 20):
            assert (hashes.add(batch) == are_new).all()
    assert hashes.num_bytes <= 22 * 100_000


def test_hash_of_zero_is_kept_too() -> None:
    """One text in 2**64 that is always taken for new."""
    hashes = HashSet()
    assert hashes.add(as_hashes([0, 0])).tolist() == [True, False]
    assert hashes.add(as_hashes([0])).tolist() == [False]


def test_copy_is_a_set_of_its_own() -> None:
    """The copies of one epoch taken for duplicates in the next."""
    hashes = HashSet()
    hashes.add(as_hashes([1]))
    copy = hashes.copy()
    assert copy.add(as_hashes([1, 2])).tolist() == [False, True]
    assert hashes.add(as_hashes([2])).tolist() == [True]


def test_equal_texts_have_equal_hashes_wherever_they_lie() -> None:
    """Copies that are not found again in another batch."""
    one = hash_texts([pa.array(["a film", "", "été 😀", "a film"])])
    other = hash_texts([pa.array(["x", "été 😀", "", "a film"]).slice(1)])
    assert one.dtype == np.uint64
    assert one[[2, 1, 0]].tolist() == other.tolist()
    assert len(set(one.tolist())) == 3


@pytest.mark.parametrize(
    ("one", "other"), [(("a", "b"), ("b", "a")), (("ab", ""), ("a", "b")), (("a", "a"), ("b", "b"))]
)
def test_pairs_are_told_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Exchanged or equal texts of pairs taken for duplicates."""
    first, second = hash_texts([pa.array([one[0], other[0]]), pa.array([one[1], other[1]])])
    assert first != second
