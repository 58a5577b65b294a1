"""Words that are cut wrongly are tagged, masked and replaced wrongly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_bilstm_distill.augmentation.words import split_words

TEXTS = st.text() | st.text(alphabet="an't \u2019s.-[MASK]\u0301\u200d😀👩\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A film, (not) good!", "A|film|,|(|not|)|good|!"),
        ("I don't think it's over", "I|do|n't|think|it|'s|over"),
        (" I  don't\tthink it's over\n", "I|do|n't|think|it|'s|over"),
        ("i did n't think it 's over", "i|did|n't|think|it|'s|over"),
        ("WE CAN\u2019T, THEY\u2019VE", "WE|CA|N\u2019T|,|THEY|\u2019VE"),
        ("the girls' rock'n'roll at 5 o'clock", "the|girls|'|rock'n'roll|at|5|o'clock"),
        ("a well-made -- 1,000.5 $ -- U.S. film...", "a|well-made|--|1,000.5|$|--|U.S.|film|..."),
        ("[MASK][MASK]s, a[MASK]", "[MASK]|[MASK]|s|,|a|[MASK]"),
        ("cafe\u0301 हिन्दी good👍🏽 👩‍👩‍👧 🇩🇪", "cafe\u0301|हिन्दी|good|👍🏽|👩‍👩‍👧|🇩🇪"),
        (" \n\t ", ""),
        ("", ""),
    ],
)
def test_words_and_marks_come_apart(text: str, words: str) -> None:
    """ "film," counted as a word of its own, or emoji and accents cut in two."""
    assert "|".join(split_words(text)[1::2]) == words


@settings(deadline=None)
@given(TEXTS)
def test_pieces_are_the_text(text: str) -> None:
    """Spaces lost or words changed in copies that nothing was done to."""
    pieces = split_words(text)
    assert "".join(pieces) == text
    assert all(not gap or gap.isspace() for gap in pieces[::2])
    assert all(word and not any(map(str.isspace, word)) for word in pieces[1::2])


@settings(deadline=None)
@given(TEXTS, st.text(alphabet=" \n\t\u00a0\u3000\x1c", min_size=1), TEXTS)
def test_words_do_not_depend_on_what_stands_beyond_a_space(first: str, spaces: str, second: str) -> None:
    """A word that is one in this text and two in the next."""
    words = split_words(first + spaces + second)[1::2]
    assert words == split_words(first)[1::2] + split_words(second)[1::2]


def test_other_mask_tokens_stay_whole() -> None:
    """A teacher's mask token cut at its brackets after another one was used."""
    assert split_words("a <mask>, [MASK]", "<mask>")[1::2] == ["a", "<mask>", ",", "[", "MASK", "]"]
    assert split_words("a <mask>, [MASK]")[1::2] == ["a", "<", "mask", ">", ",", "[MASK]"]


def test_pieces_can_be_changed() -> None:
    """The words of one text in the next."""
    split_words("a film,").clear()
    assert split_words("a film,") == ["", "a", " ", "film", "", ",", ""]
