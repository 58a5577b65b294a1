"""Texts recombined from the phrases of others: an augmenter of nlpaug."""

import random
from collections.abc import Iterator, Sequence

from datasets import Dataset
from datasets.utils import tqdm

from hf_bilstm_distill.augmentation.taggers import Tagger, load_tagger, tag_words
from hf_bilstm_distill.augmentation.words import split_words
from hf_bilstm_distill.rule_augmenters import RuleAug, all_texts

_LENGTHS = range(2, 9)  # of a phrase, in words
_PHRASES_OF_A_TEXT = 8
_TRIES = 10
_APOSTROPHES = "'\u2019"
_OUTSIDE = ""  # the tag of what stands before a text's first word, and after its last

Key = tuple[str, str, str, str]
"""The tags of the word before a phrase, of its first and last words, and of the word after it."""


class PhraseAug(RuleAug):
    """Exchanges one or two phrases of a text for phrases of other texts.

    A phrase is 2 to 8 words, at most half of its text. Another one takes its place that stands between words of the
    same parts of speech, and begins and ends with words of the same: what comes out reads like a text, and says
    something that no text said before. Long texts have more to exchange, so a text of fewer than `full_length` words is
    changed less often, in proportion.

    Args:
        texts: The texts whose phrases are taken: a list, or a set with a column `text` (and perhaps `text_pair`).
        aug_p: Probability that a text of `full_length` words or more is changed.
        full_length: See above, in words.
        tagger: A name that `load_tagger` knows, or a function from words to tags.
        mask_token: The teacher's mask token, which counts as one word.
        seed: Same seed, same output.

    Raises:
        ValueError: If `aug_p` lies outside [0, 1], or `full_length` is not positive.

    Example:
        >>> texts = ["it is a dull film with no story .", "it is a gripping tale of great men ."]
        >>> PhraseAug(texts, seed=2).augment(texts[0])
        ['it is a gripping tale of no story .']
    """

    def __init__(
        self,
        texts: Sequence[str] | Dataset,
        aug_p: float = 1.0,
        *,
        full_length: int = 20,
        tagger: str | Tagger = "lexicon",
        mask_token: str = "[MASK]",
        seed: int = 0,
    ) -> None:
        super().__init__(aug_p, mask_token, seed)
        if full_length < 1:
            raise ValueError(f"full_length must be a positive number of words, got {full_length}.")
        self.full_length = full_length
        self.tagger = tagger
        phrases: dict[Key, set[str]] = {}
        for text in tqdm(dict.fromkeys(all_texts(texts)), desc="Collecting phrases", unit="text"):
            for key, phrase in self._phrases_of(text):
                phrases.setdefault(key, set()).add(phrase)
        # Sorted, so that the order of the texts shows neither in the draws nor in the fingerprint.
        self._phrases = {key: sorted(phrases[key]) for key in sorted(phrases)}

    def _phrases_of(self, text: str) -> Iterator[tuple[Key, str]]:
        pieces, rng = split_words(text, self.mask_token), random.Random(f"{self.seed}-{text}")
        tags = self._tags(pieces)
        for place in dict.fromkeys(self._draw_phrase(pieces, rng) for _ in range(_PHRASES_OF_A_TEXT)):
            if place is not None:
                start, end = place
                yield _key(tags, start, end), "".join(pieces[2 * start + 1 : 2 * end])

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        num_words = len(pieces) // 2
        if rng.random() < self.aug_p * min(1, num_words / self.full_length):
            for _ in range(rng.randint(1, 2)):
                pieces = self._exchange(pieces, rng)
        return pieces

    def _exchange(self, pieces: list[str], rng: random.Random) -> list[str]:
        tags = self._tags(pieces)
        for _ in range(_TRIES):
            place = self._draw_phrase(pieces, rng)
            if place is None:
                continue
            start, end = place
            others = self._phrases.get(_key(tags, start, end), [])
            own = "".join(pieces[2 * start + 1 : 2 * end])
            if others and (other := rng.choice(others)) != own:
                return [*pieces[: 2 * start + 1], *split_words(other, self.mask_token)[1:-1], *pieces[2 * end :]]
        return pieces

    def _draw_phrase(self, pieces: list[str], rng: random.Random) -> tuple[int, int] | None:
        """Return the numbers of the first word of a phrase and of the one after it, or None if there is none there."""
        num_words = len(pieces) // 2
        length = rng.choice(_LENGTHS)
        if 2 * length > num_words:
            return None
        start = rng.randrange(num_words - length + 1)
        is_apart = _is_apart(pieces, start) and _is_apart(pieces, start + length)
        return (start, start + length) if is_apart else None

    def _tags(self, pieces: list[str]) -> list[str]:
        return [_OUTSIDE, *tag_words(load_tagger(self.tagger), pieces[1::2]), _OUTSIDE]


def _key(tags: list[str], start: int, end: int) -> Key:
    return tags[start], tags[start + 1], tags[end], tags[end + 1]


def _is_apart(pieces: list[str], word: int) -> bool:
    """Tell whether a word does not hang together with the one before it (do|n't)."""
    if not 0 < word < len(pieces) // 2 or pieces[2 * word]:
        return True
    before, first = pieces[2 * word - 1][-1], pieces[2 * word + 1][0]
    return first not in _APOSTROPHES and not (before.isalnum() and first.isalnum())
