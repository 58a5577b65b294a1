"""Recombined texts that are no texts, or that differ from run to run."""

import pickle
import random
from collections.abc import Callable
from typing import Any

import nlpaug.flow as naf
import pytest
from datasets import Dataset
from datasets.fingerprint import Hasher
from toy_tagger import by_first_letter

from hf_bilstm_distill.augmentation import augment
from hf_bilstm_distill.nlpaug_augmenters import NlpaugTransform
from hf_bilstm_distill.phrase_exchange import PhraseAug
from hf_bilstm_distill.rule_augmenters import MaskAug
from hf_bilstm_distill.transfer_set import AUGMENTED, TEXT, TEXT_PAIR

FILMS = [
    "the young director tells a long and gripping story about two old friends in a quiet town .",
    "a bored critic wrote some short and nasty words about three new films in the local paper .",
    "this clever actor gives a loud and charming speech about four good reasons in the first scene .",
    "an honest writer finds the dark and bitter truth about one rich family in an empty house .",
]


def by_nothing(words: list[str]) -> list[str]:
    """A tagger for which all words are alike."""
    return ["word"] * len(words)


def test_a_phrase_stands_where_one_of_its_kind_stood() -> None:
    """Word salad: phrases between words of another kind than their own neighbours, or from nowhere."""
    texts = ["a1 b1 c1 d1 e1 a2 g1 h1".replace("1", number) for number in "3456"]
    augmenter = PhraseAug(texts, full_length=8, tagger=by_first_letter)
    made = {copy for text in texts for copy in augmenter.augment(text, n=50)} - set(texts)
    assert len(made) > 10
    for text in made:
        assert by_first_letter(text.split()) == ["a", "b", "c", "d", "e", "a", "g", "h"]


def test_phrases_come_from_the_texts() -> None:
    """Words that no text holds, or more of another text than two phrases of eight words."""
    words = [f"w{number}" for number in range(40)]
    texts = [" ".join(words), " ".join(word.replace("w", "v") for word in words)]
    lengths = set()
    for copy in PhraseAug(texts, tagger=by_nothing).augment(texts[0], n=200):
        kinds = "".join(word[0] for word in copy.split())
        numbers = {word for word in copy.split() if word[0] == "v"}
        assert numbers <= set(texts[1].split())
        lengths |= {len(run) for run in kinds.split("w") if run}
    assert 8 in lengths
    assert max(lengths) <= 16  # the two may lie side by side


def test_long_texts_are_changed_more_often() -> None:
    """Most copies made of the shortest texts, which have the least to exchange."""
    texts = [" ".join(f"{letter}{number}" for number in range(40)) for letter in "abc"]
    augmenter = PhraseAug(texts, tagger=by_nothing, full_length=20)
    shares = []
    for num_words in (3, 10, 20, 40):
        text = " ".join(texts[0].split()[:num_words])
        shares.append(sum(copy != text for copy in augmenter.augment(text, n=300)) / 300)
    assert shares[0] == 0
    assert 0.3 < shares[1] < 0.55
    assert min(shares[2:]) > 0.85
    half = PhraseAug(texts, 0.5, tagger=by_nothing)
    assert 0.35 < sum(copy != texts[0] for copy in half.augment(texts[0], n=300)) / 300 < 0.6


def test_words_that_hang_together_stay_together() -> None:
    """`do` without its `n't`, and marks that float away from their word."""
    texts = ["we don't like it, but they don't care; it's fine, they're (not) here.", "you can't win, you won't try."]
    copies = PhraseAug(texts, full_length=1, tagger=by_nothing).augment(texts[0], n=300)
    assert len(set(copies)) > 10
    for copy in copies:
        assert not {"do", "ca", "wo", "n't", "s", "re"} & set(copy.split())
        assert " ," not in copy
        assert "  " not in copy


def test_pairs_change_in_turn_and_labels_are_dropped() -> None:
    """Copies that keep the gold label of a text that they no longer are."""
    dataset = Dataset.from_dict({TEXT: FILMS[:2] * 2, TEXT_PAIR: FILMS[2:] * 2, "label": [0, 1, 1, 0]})
    rows = augment(dataset, NlpaugTransform(PhraseAug(dataset), n_iter=6))
    copies = rows.filter(lambda is_copy: is_copy, input_columns=AUGMENTED)
    assert len(copies) > 8
    assert set(copies["label"]) == {-100}
    kept = [(row[TEXT] in FILMS, row[TEXT_PAIR] in FILMS) for row in copies]
    assert {(True, False), (False, True), (False, False)} == set(kept)


def test_same_seed_same_copies() -> None:
    """A transfer set that nobody can make again, or a cache that is never found again."""
    first, again = (PhraseAug(texts, seed=3) for texts in (FILMS, random.sample(FILMS, len(FILMS))))
    assert Hasher.hash(first) == Hasher.hash(again)
    copies = first.augment(FILMS[0], n=20)
    assert again.augment(FILMS[0], n=20) == copies
    assert pickle.loads(pickle.dumps(again)).augment(FILMS[0], n=20) == copies
    assert PhraseAug(FILMS, seed=4).augment(FILMS[0], n=20) != copies
    assert Hasher.hash(first) == Hasher.hash(again), "what was drawn must not show in the fingerprint"


def test_masks_and_flows() -> None:
    """A mask token cut to pieces, or an augmenter that nlpaug's flows cannot hold."""
    texts = [text.replace("gripping", "[MASK]") for text in FILMS]
    flow = naf.Sequential([PhraseAug(texts), MaskAug(0.2)])
    (copy,) = flow.augment(texts[0])
    assert copy != texts[0]
    for copy in PhraseAug(texts, full_length=1).augment(texts[0], n=100):
        assert "[" not in copy.replace("[MASK]", "")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PhraseAug("a film"), TypeError, "got one text, 'a film'. Put it in a list"),
        (lambda: PhraseAug([]), ValueError, "no rows"),
        (lambda: PhraseAug(FILMS, 1.5), ValueError, r"aug_p of PhraseAug must lie between 0 and 1, got 1\.5"),
        (lambda: PhraseAug(FILMS, full_length=0), ValueError, "full_length must be a positive number of words, got 0"),
        (lambda: PhraseAug(FILMS, tagger="lexikon"), ValueError, "no tagger 'lexikon'"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    """A mistake that shows as a strange copy, or as an error deep inside."""
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("text", ["", " ", "good", "a b", "!!!"])
def test_texts_without_phrases_stay_as_they_are(text: str) -> None:
    """A crash on a text that is too short to hold a phrase."""
    assert PhraseAug([*FILMS, text], full_length=1).augment(text, n=5) == [text] * 5
