"""The words that may take the place of others: those of each part of speech, and how often each was counted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_bilstm_distill.augmentation.draws import integers_below


class WordPools:
    """The words of each part of speech, to be drawn as often as they were counted.

    Args:
        counts: How often each pair of a tag and a word was counted.
    """

    def __init__(self, counts: Mapping[tuple[str, str], int]) -> None:
        # Sorted, so that the order of the rows shows neither in the draws nor in the fingerprint.
        pairs = sorted(counts)
        tags = pa.array([tag for tag, _ in pairs], pa.string()).dictionary_encode()
        self._tags = tags.dictionary
        self._words = pa.array([word for _, word in pairs], pa.string())
        # How many times the words up to each one were counted, and those up to each pool.
        self._ends = np.cumsum([counts[pair] for pair in pairs], dtype=np.int64)
        last_words = np.searchsorted(tags.indices.to_numpy(), np.arange(len(self._tags)), side="right") - 1
        self._begins = np.concatenate([[0], self._ends[last_words]])

    def find(self, tags: pa.Array) -> np.ndarray:
        """Return the number of the pool of each tag.

        Args:
            tags: Any tags.

        Returns:
            As many numbers, -1 for a tag that no counted word has.
        """
        return pc.index_in(tags, value_set=self._tags).fill_null(-1).to_numpy()

    def draw_words(self, pools: np.ndarray, draws: np.ndarray) -> pa.Array:
        """Return words of pools, each as often as it was counted.

        Args:
            pools: Numbers that `find` gave, none of them -1, `(words,)`.
            draws: Random numbers, `(words,)`, uint64.

        Returns:
            As many words.
        """
        begins = self._begins[pools]
        counted = begins + integers_below(draws, self._begins[pools + 1] - begins)
        return self._words.take(pa.array(np.searchsorted(self._ends, counted, side="right")))

    def __getstate__(self) -> dict[str, Any]:
        # The buffers of an array may differ where the array does not, and the fingerprint with them. One string is
        # hashed faster than many; there is no white space in words.
        return self.__dict__ | {"_tags": self._tags.to_pylist(), "_words": "\n".join(self._words.to_pylist())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        words = state["_words"].split("\n") if state["_words"] else []
        arrays = {"_tags": pa.array(state["_tags"], pa.string()), "_words": pa.array(words, pa.string())}
        self.__dict__.update(state | arrays)
