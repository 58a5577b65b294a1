"""Words and marks of a text, and what stands between them."""

import functools
import re
import unicodedata
from itertools import chain, repeat


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
    stretches = text.split()
    stripped = text.strip()
    if " ".join(stretches) != stripped:
        return _word_pattern(mask_token).split(text)
    # Most texts come here, where all work was done for other texts before.
    pieces = [*chain.from_iterable(map(_space_and_words, stretches, repeat(mask_token))), ""]
    begin = text.find(stripped)
    pieces[0] = text[:begin]
    pieces[-1] = text[begin + len(stripped) :]
    return pieces


@functools.lru_cache(maxsize=2**16)
def _space_and_words(stretch: str, mask_token: str) -> list[str]:
    """Return the words of what stands between two spaces. It has the same ones in every text: no word holds a space."""
    return [" ", *_word_pattern(mask_token).split(stretch)[1:-1]]


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
