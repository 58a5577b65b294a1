"""Random numbers that depend only on what they are drawn for: no generator, no order, no state.

A number is made of a seed and of counters (row, copy, word), one after the other: `draw(draw(seed, row), copy)`.
"""

import numpy as np

_STEP = 0x9E3779B97F4A7C15
_EXACT_BITS = 53  # of a float64; the rest of a draw is not used


def first_key(seed: int) -> np.ndarray:
    """Return the key with which the draws of a seed begin.

    Args:
        seed: Any whole number.

    Returns:
        `(1,)`, uint64.
    """
    return draw(np.array([seed % 2**64], dtype=np.uint64), np.zeros(1, dtype=np.uint64))


def draw(keys: np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Return a random number for each pair of a key and a counter.

    The numbers of one key are those of the generator SplitMix64 in its state `keys`, the counters being its steps.

    Args:
        keys: Numbers that this function gave, uint64.
        counters: Whole numbers from 0 on, of a shape that goes with that of `keys`.

    Returns:
        Numbers that are uniform in [0, 2**64), uint64: to be used as keys, or by `are_below` and `integers_below`.

    Source:
        Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators.
    """
    numbers = keys + (counters.astype(np.uint64) + np.uint64(1)) * np.uint64(_STEP)
    numbers ^= numbers >> np.uint64(30)
    numbers *= np.uint64(0xBF58476D1CE4E5B9)
    numbers ^= numbers >> np.uint64(27)
    numbers *= np.uint64(0x94D049BB133111EB)
    numbers ^= numbers >> np.uint64(31)
    return numbers


def are_below(draws: np.ndarray, probability: float) -> np.ndarray:
    """Return which draws lie in the part of their range that begins at 0 and has this share of it.

    Args:
        draws: What `draw` gave.
        probability: From 0 (none) to 1 (all).

    Returns:
        As many truth values.
    """
    return (draws >> np.uint64(64 - _EXACT_BITS)) < np.uint64(probability * 2**_EXACT_BITS)


def integers_below(draws: np.ndarray, limits: np.ndarray | int) -> np.ndarray:
    """Return whole numbers from 0 to below the limits, each alike.

    Args:
        draws: What `draw` gave.
        limits: One for each draw, or one for all.

    Returns:
        As many numbers, int64.
    """
    return ((draws >> np.uint64(64 - _EXACT_BITS)) * 2.0**-_EXACT_BITS * limits).astype(np.int64)
