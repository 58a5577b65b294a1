"""Numbers that follow from one another make copies that are alike where they should differ."""

import numpy as np
import pytest
from scipy.stats import chisquare

from hf_bilstm_distill.augmentation.draws import are_below, draw, first_key, integers_below

NEVER = 1e-6  # seeds are fixed: a test that passes once passes always


def many(rows: int, copies: int, words: int) -> np.ndarray:
    """Draws as augmentation makes them: seed, row, copy, word."""
    keys = draw(draw(first_key(0), np.arange(rows))[:, None], np.arange(copies))
    return draw(keys[:, :, None], np.arange(words))


def test_numbers_are_those_of_splitmix64() -> None:
    """A generator of one's own making whose flaws nobody has looked for."""
    # The first outputs in the state 1234567, from the generator's reference implementation.
    numbers = draw(np.array([1234567], dtype=np.uint64), np.arange(5))
    assert numbers.tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("shift", [0, 11, 32, 60])
def test_every_part_of_a_number_is_uniform(shift: int) -> None:
    """Some words drawn more often than others."""
    parts = (many(100, 20, 100) >> np.uint64(shift)) & np.uint64(15)
    assert chisquare(np.bincount(parts.ravel().astype(int), minlength=16)).pvalue > NEVER


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["rows", "copies", "words"])
@pytest.mark.parametrize("distance", [1, 2, 16])
def test_neighbours_are_independent(axis: int, distance: int) -> None:
    """The same words masked in the next row, the next copy, or side by side."""
    numbers = many(60, 60, 60) >> np.uint64(60)
    one, other = np.delete(numbers, slice(distance), axis), np.delete(numbers, slice(-distance, None), axis)
    pairs = (one * np.uint64(16) + other).ravel().astype(int)
    assert chisquare(np.bincount(pairs, minlength=256)).pvalue > NEVER


def test_seeds_are_independent_and_any_whole_number() -> None:
    """Two seeds with copies in common, or a crash at a negative one."""
    keys = np.concatenate([first_key(seed) for seed in (0, 1, -1, 2**32, 2**64 - 2, 10**30)])
    bits = np.unpackbits(keys.view(np.uint8)).reshape(6, 64)
    differing = (bits[:, None] != bits[None]).sum(axis=2)[np.triu_indices(6, 1)]
    assert differing.min() > 12  # of 64, 32 of which differ on average, with a standard deviation of 4


def test_shares_are_as_asked_for() -> None:
    """Words changed at 0, or left out at 1."""
    numbers = np.array([0, 2**63 - 1, 2**63, 2**64 - 1], dtype=np.uint64)
    assert not are_below(numbers, 0).any()
    assert are_below(numbers, 1.0).all()
    assert are_below(numbers, 0.5).tolist() == [True, True, False, False]


@pytest.mark.parametrize("limit", [1, 3, 5, 2**20 + 1, 2**52 + 1])
def test_whole_numbers_stay_below_their_limit(limit: int) -> None:
    """A word that does not exist, once in a billion draws."""
    numbers = np.array([0, 2**64 - 1], dtype=np.uint64)
    assert integers_below(numbers, limit).tolist() == [0, limit - 1]
