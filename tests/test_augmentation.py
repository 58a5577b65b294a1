"""Copies that break the rules of augmentation teach the student from sentences nobody asked for."""

import itertools
import math
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, IterableDataset, List, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.utils.data import DataLoader
from toy_tagger import by_first_letter

from hf_bilstm_distill.augmentation import HeuristicAugmenter, augment
from hf_bilstm_distill.augmentation.words import split_words
from hf_bilstm_distill.transfer_set import AUGMENTED, LABEL, NO_LABEL, TEACHER_LOGITS, TEXT, TEXT_PAIR

MASK = "[MASK]"
FILMS = [
    "a gripping film about two old friends",
    "the dull story never finds its feet .",
    "great fun",
    "it 's not a bad idea , but the actors look tired",
    "a gripping film about two old friends",
    "",
    "she works hard and the audience does n't care",
]


def films(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict({TEXT: FILMS, **columns})


def copies_of(augmenter: HeuristicAugmenter, text: str, rows: int) -> list[str]:
    """One list of the copies of `rows` rows with the same text."""
    rows_and_copies = augmenter({TEXT: [text] * rows}, list(range(rows)))
    return [text for text, is_copy in zip(*rows_and_copies.values(), strict=True) if is_copy]


def test_a_tenth_of_the_words_is_masked_and_a_tenth_replaced() -> None:
    """Rates other than those asked for, or a mask and a replacement drawn apart from one another."""
    text = " ".join(f"w{number}" for number in range(100))
    augmenter = HeuristicAugmenter(n_iter=1, p_mask=0.1, p_pos=0.2, p_ngram=0, tagger=by_first_letter)
    augmenter.fit(Dataset.from_dict({TEXT: ["wow"]}))
    counts = Counter(word for copy in copies_of(augmenter, text, 500) for word in copy.split())
    # 50,000 words: a standard deviation of 0.0013 for 0.1 and 0.0018 for 0.2; four of them are allowed.
    assert counts[MASK] / 50_000 == pytest.approx(0.1, abs=0.0054)
    assert counts["wow"] / 50_000 == pytest.approx(0.2, abs=0.0072)


def test_replacements_are_drawn_as_often_as_they_were_counted() -> None:
    """All words of a kind alike, as if rare words were frequent."""
    augmenter = HeuristicAugmenter(n_iter=1, p_mask=0, p_pos=1, p_ngram=0, tagger=by_first_letter)
    augmenter.fit(Dataset.from_dict({TEXT: ["sea sun sun [MASK] sea sun", "sky sun tea tin sun sea"]}))
    counts = Counter(word for copy in copies_of(augmenter, "some " * 10 + "time", 1000) for word in copy.split())
    # Of the 9 words with s: 5 sun, 3 sea, 1 sky. 10,000 draws: a standard deviation below 0.005.
    assert counts["sun"] / 10_000 == pytest.approx(5 / 9, abs=0.02)
    assert counts["sea"] / 10_000 == pytest.approx(3 / 9, abs=0.02)
    assert counts["sky"] / 10_000 == pytest.approx(1 / 9, abs=0.02)
    assert counts["tea"] / 1000 == pytest.approx(1 / 2, abs=0.06)
    assert set(counts) == {"sun", "sea", "sky", "tea", "tin"}


def test_ngrams_of_each_length_begin_everywhere() -> None:
    """The last words of a sentence never seen in an n-gram, or one length more often than another."""
    words = [f"w{number}" for number in range(8)]
    augmenter = HeuristicAugmenter(n_iter=1, p_mask=0, p_pos=0, p_ngram=1)
    ngrams = [copy.split() for copy in copies_of(augmenter, " ".join(words), 20_000)]
    assert all(ngram == words[(start := words.index(ngram[0])) : start + len(ngram)] for ngram in ngrams)
    counts = Counter((len(ngram), words.index(ngram[0])) for ngram in ngrams)
    assert set(counts) == {(length, start) for length in range(1, 6) for start in range(8 - length + 1)}
    for (length, _), count in counts.items():
        expected = 20_000 / 5 / (8 - length + 1)
        assert abs(count - expected) < 4.5 * math.sqrt(expected)


def test_a_quarter_of_the_copies_are_ngrams() -> None:
    """Whole copies cut, or n-grams far too rare."""
    text = "one two three four five six seven"
    augmenter = HeuristicAugmenter(n_iter=1, p_mask=0.5, p_pos=0, p_ngram=0.25)
    lengths = [len(copy.split()) for copy in copies_of(augmenter, text, 10_000)]
    assert sum(length < 7 for length in lengths) / 10_000 == pytest.approx(0.25, abs=0.02)
    assert chisquare([lengths.count(length) for length in range(1, 6)]).pvalue > 1e-6


def changed_words(rows: int, n_iter: int, **rates: float) -> np.ndarray:
    """Which of 40 words are masked in each copy of each row: `(rows, n_iter, 40)`."""
    text = " ".join(f"w{number}" for number in range(40))
    augmenter = HeuristicAugmenter(n_iter=n_iter, p_pos=0, p_ngram=0, **rates)
    copies = copies_of(augmenter, text, rows)
    assert len(copies) == rows * n_iter  # of 2**40 masks none is drawn twice
    return np.array([[word == MASK for word in copy.split()] for copy in copies]).reshape(rows, n_iter, 40)


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["rows", "copies", "words"])
@pytest.mark.parametrize("distance", [1, 2, 7])
def test_neighbours_are_masked_independently(axis: int, distance: int) -> None:
    """The same words masked in every copy, in the next row, or in pairs."""
    masked = changed_words(200, 20, p_mask=0.5)
    length = masked.shape[axis]
    one, other = masked.take(range(distance, length), axis), masked.take(range(length - distance), axis)
    same = (one == other).mean()
    assert abs(same - 0.5) < 4.5 * 0.5 / math.sqrt(one.size)


def test_every_word_of_every_copy_is_masked_equally_often() -> None:
    """The first words, or the first copies, spared."""
    masked = changed_words(1000, 20, p_mask=0.5)
    for axes in ((0, 1), (0, 2)):
        shares = masked.mean(axis=axes)
        assert abs(shares - 0.5).max() < 4.5 * 0.5 * math.sqrt(shares.size / masked.size)


def test_numbers_of_masks_are_binomial() -> None:
    """Copies that are masked heavily beside others that are hardly touched."""
    counts = changed_words(1000, 10, p_mask=0.5).sum(axis=2)
    assert counts.var() == pytest.approx(40 / 4, rel=4.5 * math.sqrt(2 / counts.size))


def test_replacements_are_independent_of_their_neighbours_and_of_masks() -> None:
    """The same replacement side by side, or one that betrays where the masks are."""
    augmenter = HeuristicAugmenter(n_iter=1, p_mask=0.5, p_pos=0.5, p_ngram=0, tagger=by_first_letter)
    augmenter.fit(Dataset.from_dict({TEXT: ["sun sea"]}))
    copies = [copy.split() for copy in copies_of(augmenter, "some " * 40, 1000)]
    pairs = Counter((left, right) for copy in copies for left, right in itertools.pairwise(copy))
    shares = {MASK: 1 / 2, "sun": 1 / 4, "sea": 1 / 4}
    assert set(pairs) == {(left, right) for left in shares for right in shares}
    expected = [39_000 * shares[left] * shares[right] for left, right in pairs]
    # Neighbouring pairs share a word, which widens the statistic a little: hence the small value.
    assert chisquare(list(pairs.values()), expected).pvalue > 1e-5


def test_cuts_are_independent_of_masks() -> None:
    """N-grams of copies with many masks alone."""
    text = " ".join(f"w{number}" for number in range(6))
    augmenter = HeuristicAugmenter(n_iter=1, p_mask=0.5, p_pos=0, p_ngram=1)
    ngrams = [copy.split() for copy in copies_of(augmenter, text, 20_000)]
    for length in range(1, 6):
        words = [word for ngram in ngrams if len(ngram) == length for word in ngram]
        assert words.count(MASK) / len(words) == pytest.approx(0.5, abs=4.5 * 0.5 / math.sqrt(len(words)))


def test_texts_too_short_for_an_ngram_stay_whole() -> None:
    """Short phrases without copies, or with empty ones."""
    augmenter = HeuristicAugmenter(n_iter=1, p_mask=1, p_pos=0, p_ngram=1, mask_token="<mask>")
    lengths = Counter(len(copy.split()) for copy in copies_of(augmenter, " so it goes ", 5000))
    # n = 1 and n = 2 cut; 3, 4 and 5 do not.
    assert lengths[1] / 5000 == pytest.approx(1 / 5, abs=0.03)
    assert lengths[2] / 5000 == pytest.approx(1 / 5, abs=0.03)
    assert lengths[3] / 5000 == pytest.approx(3 / 5, abs=0.03)


WORDS = st.sampled_from(["ant", "ape", "bee", "bat", "bear", "cat", "cow", "b", MASK, "😀"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    corpus=st.lists(st.lists(WORDS, max_size=6), min_size=1, max_size=4),
    words=st.lists(WORDS, max_size=9),
    p_mask=st.sampled_from([0, 0.3]),
    seed=st.integers(),
)
def test_copies_hold_own_words_words_of_the_same_kind_and_masks_only(
    corpus: list[list[str]], words: list[str], p_mask: float, seed: int
) -> None:
    """Words from nowhere, nouns in the place of verbs, or words out of order."""
    augmenter = HeuristicAugmenter(p_mask=p_mask, p_pos=0.4, p_ngram=0.5, tagger=by_first_letter, seed=seed)
    augmenter.fit(Dataset.from_dict({TEXT: [" ".join(row) for row in corpus]}))
    known = {word for row in corpus for word in row} - {MASK}

    def may_stand_for(new: str, old: str) -> bool:
        is_replacement = old != MASK and new in known and new[0] == old[0]
        return new == old or (new == MASK and p_mask > 0) or is_replacement

    for copy in copies_of(augmenter, " ".join(words), 1):
        found = copy.split()
        assert len(found) == len(words) or 1 <= len(found) <= 5
        assert any(
            all(may_stand_for(new, old) for new, old in zip(found, words[start:], strict=False))
            for start in range(len(words) - len(found) + 1)
        )


def test_masks_that_stand_in_a_text_stay() -> None:
    """A mask of the user's own replaced by a noun."""
    augmenter = HeuristicAugmenter(p_mask=0, p_pos=1, p_ngram=0)
    augmenter.fit(Dataset.from_dict({TEXT: ["a good film and a bad film [MASK]"]}))
    for copy in copies_of(augmenter, "[MASK] or a nice film, [MASK].", 20):
        words = split_words(copy)[1::2]
        assert [number for number, word in enumerate(words) if word == MASK] == [0, 6]


def test_each_copy_begins_with_the_row_itself() -> None:
    """Masks that pile up from copy to copy."""
    text = " ".join(f"w{number}" for number in range(100))
    augmenter = HeuristicAugmenter(n_iter=50, p_mask=0.1, p_pos=0, p_ngram=0)
    masks = [copy.split().count(MASK) for copy in copies_of(augmenter, text, 1)]
    assert max(masks) < 30


def test_replaced_words_do_not_grow_together() -> None:
    """ "don't" becoming "dovery"; a space put where nothing was changed."""
    augmenter = HeuristicAugmenter(n_iter=1, p_mask=0, p_pos=1, p_ngram=0, tagger=lambda words: ["X"] * len(words))
    augmenter.fit(Dataset.from_dict({TEXT: ["very"]}))
    assert copies_of(augmenter, "I don't (know).", 1) == [" ".join(["very"] * 7)]
    augmenter.fit(Dataset.from_dict({TEXT: ["!"]}))
    assert copies_of(augmenter, "I don't  know.", 1) == ["! !!  !!"]


def test_ngrams_begin_and_end_with_a_word() -> None:
    """A space left over where an n-gram was cut out of "don't"."""
    augmenter = HeuristicAugmenter(p_mask=0, p_pos=0.9, p_ngram=1, tagger=lambda words: ["X"] * len(words))
    augmenter.fit(Dataset.from_dict({TEXT: ["very"]}))
    copies = copies_of(augmenter, "I don't, can't or won't say it's mine.", 20)
    assert copies
    assert all(copy == copy.strip() and "veryvery" not in copy for copy in copies)


def test_only_replaced_words_get_a_space() -> None:
    """Spaces put into the words of the user, or before marks."""
    augmenter = HeuristicAugmenter(p_mask=0.2, p_pos=0.2, p_ngram=0, tagger=by_first_letter)
    augmenter.fit(Dataset.from_dict({TEXT: ["do dogs nap"]}))
    copies = set(copies_of(augmenter, "(don't)", 40))
    own = {"(don't)", f"({MASK}n't)", f"(do{MASK})", f"({MASK}{MASK})"}
    replaced = {"(dogs n't)", "(do nap)", "(dogs nap)", f"(dogs{MASK})", f"({MASK}nap)", "(do n't)"}
    inner = {text[1:-1] for text in own | replaced}
    left = {copy.removeprefix("(").removeprefix(MASK) if not copy.startswith("(") else copy[1:] for copy in copies}
    assert {text.removesuffix(")") for text in left if text.endswith(")")} <= inner


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_blank_texts_have_no_copies(text: str) -> None:
    """A crash, or empty rows for the teacher to label."""
    dataset = Dataset.from_dict({TEXT: [text, "a film"]})
    rows = augment(dataset, HeuristicAugmenter(p_ngram=1))
    assert [row for row in rows[TEXT][:] if not row.strip()] == [text]


def test_probabilities_of_zero_make_no_copies() -> None:
    """Copies of a text that is put together in another way than it was."""
    texts = ["I don't  know,   really… ", "it 's 5 o'clock -- somewhere!"]
    augmenter = HeuristicAugmenter(p_mask=0, p_pos=0, p_ngram=0)
    assert augment(Dataset.from_dict({TEXT: texts}), augmenter)[TEXT][:] == texts


def test_copies_of_pairs_change_the_first_the_second_and_both_in_turn() -> None:
    """Pairs in which the same text is always changed, or three times as many copies as asked for."""
    augmenter = HeuristicAugmenter(n_iter=3, p_mask=1, p_pos=0, p_ngram=0)
    rows = augmenter({TEXT: ["a b"], TEXT_PAIR: ["c"]}, [0])
    masked = "[MASK] [MASK]"
    assert rows[TEXT] == ["a b", masked, "a b", masked]
    assert rows[TEXT_PAIR] == ["c", "c", MASK, MASK]
    assert rows[AUGMENTED] == [False, True, True, True]


def test_texts_of_a_pair_are_cut_apart_from_each_other() -> None:
    """The same n-gram kept in both texts, as if they were one."""
    augmenter = HeuristicAugmenter(n_iter=3, p_mask=0, p_pos=0, p_ngram=1)
    text = "one two three four five six"
    rows = augmenter({TEXT: [text] * 2000, TEXT_PAIR: [text] * 2000}, list(range(2000)))
    both = [pair for pair in zip(rows[TEXT], rows[TEXT_PAIR], strict=True) if text not in pair]
    assert len(both) == 2000
    same_length = sum(len(first.split()) == len(second.split()) for first, second in both)
    assert same_length / 2000 == pytest.approx(1 / 5, abs=0.04)


def test_words_of_both_texts_of_a_pair_are_counted() -> None:
    """Replacements from the first texts only."""
    augmenter = HeuristicAugmenter(p_mask=0, p_pos=1, p_ngram=0, tagger=by_first_letter)
    augmenter.fit(Dataset.from_dict({TEXT: ["sun"], TEXT_PAIR: ["sea"]}))
    rows = augmenter({TEXT: ["s"], TEXT_PAIR: ["s"]}, [0])
    assert set(rows[TEXT][1:]) | set(rows[TEXT_PAIR][1:]) == {"s", "sun", "sea"}


def test_row_is_followed_by_its_copies_and_keeps_its_columns() -> None:
    """Columns that slip against their rows, or gold labels on texts nobody has labelled."""
    labels, numbers = [1, 0, 1, 0, 1, 0, 1], [10, 11, 12, 13, 14, 15, 16]
    rows = augment(films(label=labels, number=numbers), HeuristicAugmenter(n_iter=4))
    assert rows.column_names == [TEXT, LABEL, "number", AUGMENTED]
    originals = [row for row in rows if not row[AUGMENTED]]
    assert [row[TEXT] for row in originals] == FILMS
    assert [row[LABEL] for row in originals] == labels
    assert [row["number"] for row in originals] == numbers
    copies = [row for row in rows if row[AUGMENTED]]
    assert {row[LABEL] for row in copies} == {NO_LABEL}
    assert rows["number"][:] == sorted(rows["number"][:])
    assert {row["number"] for row in copies} == {10, 11, 12, 13, 14, 16}  # the text of 15 is empty


@pytest.mark.parametrize(
    ("labels", "feature", "new_feature"),
    [
        ([1, 0] * 3 + [1], ClassLabel(names=["bad", "good"]), Value("int64")),
        ([True, False] * 3 + [True], Value("bool"), Value("int64")),
        ([1, 0] * 3 + [1], Value("uint8"), Value("int64")),
        ([0.5, 2.5] * 3 + [0.5], Value("float32"), Value("float32")),
        ([[1, 0], [0, 0]] * 3 + [[1, 1]], List(Value("int64")), List(Value("float32"))),
        (
            [[1.0, 0.0], [0.0, 0.0]] * 3 + [[1.0, 1.0]],
            List(Value("float64"), length=2),
            List(Value("float64"), length=2),
        ),
        ([None] * 7, Value("null"), Value("null")),
    ],
    ids=["class", "bool", "unsigned", "float", "integers", "floats", "none"],
)
def test_copies_have_no_label_of_any_type(labels: list[Any], feature: Any, new_feature: Any) -> None:
    """-100 among scores or multi-label rows, where it would be learned."""
    dataset = films(label=labels).cast_column(LABEL, feature)
    rows = augment(dataset, HeuristicAugmenter(n_iter=3))
    assert rows.features[LABEL] == new_feature
    assert rows.filter(lambda is_copy: not is_copy, input_columns=AUGMENTED)[LABEL][:] == labels
    unlabelled = rows.filter(bool, input_columns=AUGMENTED)[LABEL][:]
    assert unlabelled
    for label in unlabelled:
        values = label if isinstance(label, list) else [label]
        expected = {"float32": math.isnan, "float64": math.isnan, "null": lambda value: value is None}
        dtype = getattr(new_feature, "feature", new_feature).dtype
        assert all(expected.get(dtype, lambda value: value == NO_LABEL)(value) for value in values)


def test_text_comes_out_as_plain_strings() -> None:
    """Sets from pandas that cannot be joined with others afterwards."""
    dataset = films().cast_column(TEXT, Value("large_string")).with_format("numpy")
    assert augment(dataset, HeuristicAugmenter(n_iter=1)).features[TEXT] == Value("string")


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({LABEL: ["good"] * 7}, "'label' holds string, but labels must be numbers"),
        ({TEACHER_LOGITS: [[0.1, 0.2]] * 7}, "'teacher_logits'.*Augment first, then label"),
        ({AUGMENTED: [False] * 7}, "'augmented': it was augmented before"),
    ],
    ids=["names", "logits", "twice"],
)
def test_columns_that_copies_cannot_have_are_refused(columns: dict[str, list[Any]], error: str) -> None:
    """Logits of one text given to another."""
    with pytest.raises(ValueError, match=error):
        augment(films(**columns), HeuristicAugmenter())


def test_direct_map_refuses_logits_too() -> None:
    """Logits of one text given to another by those who call `map` themselves."""
    with pytest.raises(ValueError, match="Augment first"):
        HeuristicAugmenter(p_pos=0)({TEXT: ["a"], TEACHER_LOGITS: [[0.1]]}, [0])


def test_duplicates_are_those_a_set_of_strings_finds() -> None:
    """A text labelled twice by the teacher, or a row of the user's own lost."""
    texts = [*FILMS, "great", "[MASK] fun", "[MASK]", "great fun", " great fun"] * 2
    dataset = Dataset.from_dict({TEXT: texts})
    augmenter = HeuristicAugmenter().fit(dataset)
    with_duplicates = dataset.map(augmenter, batched=True, with_indices=True, remove_columns=[TEXT])
    seen, expected = set(texts), []
    for row in with_duplicates:
        if not row[AUGMENTED] or row[TEXT] not in seen:
            expected.append((row[TEXT], row[AUGMENTED]))
            seen.add(row[TEXT])
    rows = augment(dataset, augmenter)
    assert list(zip(rows[TEXT][:], rows[AUGMENTED][:], strict=True)) == expected
    assert len(expected) < len(with_duplicates)


def test_copies_of_a_row_differ_without_augment_too() -> None:
    """Twenty equal copies of a short phrase for those who call `map` themselves."""
    augmenter = HeuristicAugmenter(n_iter=20, p_mask=1, p_pos=0, p_ngram=0)
    assert augmenter({TEXT: ["so", MASK]}, [0, 1])[TEXT] == ["so", MASK, MASK]


def test_pairs_with_one_text_in_common_are_no_duplicates() -> None:
    """Copies dropped because one of their two texts was seen before."""
    dataset = Dataset.from_dict({TEXT: ["a b", "a b"], TEXT_PAIR: ["c", "d"]})
    rows = augment(dataset, HeuristicAugmenter(n_iter=3, p_mask=1, p_pos=0, p_ngram=0))
    both = "[MASK] [MASK]"
    pairs = [("a b", "c"), (both, "c"), ("a b", MASK), (both, MASK), ("a b", "d"), (both, "d")]
    assert list(zip(rows[TEXT][:], rows[TEXT_PAIR][:], strict=True)) == pairs


def test_no_copies_asked_for_are_none_made() -> None:
    """A set without the column that later stages read."""
    rows = augment(films(), HeuristicAugmenter(n_iter=0))
    assert rows[TEXT][:] == FILMS
    assert rows[AUGMENTED][:] == [False] * len(FILMS)


def test_rows_depend_on_neither_batches_nor_global_state() -> None:
    """Another transfer set on another machine."""
    dataset = films()
    augmenter = HeuristicAugmenter(seed=3).fit(dataset)
    maps = [
        dataset.map(augmenter, batched=True, batch_size=size, with_indices=True, remove_columns=[TEXT])
        for size in (1, 3, 1000)
    ]
    assert maps[0][:] == maps[1][:] == maps[2][:]


def test_long_texts_are_worked_on_in_parts_without_a_trace() -> None:
    """Other copies, or rows in another order, where a batch does not fit into memory at once."""
    texts = [" ".join(f"w{number % (7 + row)}" for number in range(700)) for row in range(40)]
    augmenter = HeuristicAugmenter(n_iter=20).fit(Dataset.from_dict({TEXT: texts}))
    together = augmenter({TEXT: texts, "number": list(range(40))}, list(range(40)))
    one_by_one = [augmenter({TEXT: [text], "number": [row]}, [row]) for row, text in enumerate(texts)]
    for column, values in together.items():
        assert values == [value for batch in one_by_one for value in batch[column]]


@pytest.mark.multiprocess
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_rows_do_not_depend_on_the_number_of_processes() -> None:
    """Another transfer set with `num_proc`."""
    dataset = Dataset.from_dict({TEXT: FILMS * 5})
    one, two = (augment(dataset, HeuristicAugmenter(), num_proc=processes) for processes in (None, 2))
    assert one[:] == two[:]


def test_seed_and_row_change_the_copies() -> None:
    """The same masks in every row, or a seed that does nothing."""
    dataset = Dataset.from_dict({TEXT: [FILMS[3], FILMS[3]]})
    augmenter, other = HeuristicAugmenter(seed=1).fit(dataset), HeuristicAugmenter(seed=2).fit(dataset)
    first, second = (augmenter({TEXT: [FILMS[3]]}, [row])[TEXT] for row in (0, 1))
    assert first != second
    assert first != other({TEXT: [FILMS[3]]}, [0])[TEXT]


def test_pickled_augmenter_makes_the_same_copies() -> None:
    """An augmenter that cannot be sent to another process."""
    augmenter = HeuristicAugmenter().fit(films())
    again = pickle.loads(pickle.dumps(augmenter))
    assert again({TEXT: FILMS}, list(range(7))) == augmenter({TEXT: FILMS}, list(range(7)))


RUN = """
from pathlib import Path
from datasets import load_dataset
from datasets.fingerprint import Hasher
from hf_bilstm_distill.augmentation import HeuristicAugmenter, augment
folder = %r
dataset = load_dataset("json", data_files=folder + "/texts.jsonl", cache_dir=folder, split="train")
rows = augment(dataset, HeuristicAugmenter(n_iter=5, seed=%d))
fitted = HeuristicAugmenter().fit(dataset)
fitted({"text": ["a film"]}, [0])
direct = dataset.map(fitted, batched=True, with_indices=True, remove_columns=["text"])
print(Hasher.hash(fitted), direct._fingerprint, rows._fingerprint, Hasher.hash(rows[:]))
print(*sorted((str(path), path.stat().st_mtime_ns) for path in Path(folder).rglob("cache-*.arrow")))
"""


@pytest.mark.multiprocess
def test_second_run_finds_the_rows_of_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hours of work done again because the cache is never found."""
    Dataset.from_dict({TEXT: FILMS * 40}).to_json(tmp_path / "texts.jsonl")
    other_order_of_sets = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    other_process = subprocess.run(
        [sys.executable, "-c", RUN % (str(tmp_path), 0)],
        env={**os.environ, "PYTHONHASHSEED": other_order_of_sets},
        capture_output=True,
        text=True,
        check=True,
    )
    exec(RUN % (str(tmp_path), 0), {})
    output = capsys.readouterr().out
    assert output == other_process.stdout
    assert output.count(".arrow") == 4  # tags, copies, those that are no duplicates; and copies without `augment`
    # With another seed, and so with other copies, the words are still tagged.
    exec(RUN % (str(tmp_path), 7), {})
    assert capsys.readouterr().out.count(".arrow") == 6


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"p_mask": -0.1}, "p_mask must lie between 0 and 1, got -0.1"),
        ({"p_pos": 1.5}, "p_pos must lie between 0 and 1, got 1.5"),
        ({"p_ngram": math.nan}, "p_ngram must lie between 0 and 1, got nan"),
        ({"p_mask": 0.7, "p_pos": 0.5}, r"at most 1, got 0.7 \+ 0.5. Lower one"),
        ({"n_iter": -1}, "n_iter must be a whole number of copies, 0 or more, got -1"),
        ({"n_iter": 2.5}, "got 2.5"),
        ({"mask_token": ""}, "mask_token must be one word"),
        ({"mask_token": "a mask"}, "got 'a mask'"),
        ({"tagger": "lexikon"}, "no tagger 'lexikon'"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(arguments: dict[str, Any], error: str) -> None:
    """A typing error found after an hour of tagging."""
    with pytest.raises(ValueError, match=error):
        HeuristicAugmenter(**arguments)


def test_augmenter_that_has_counted_nothing_says_so() -> None:
    """Copies without replacements, silently."""
    with pytest.raises(RuntimeError, match=r"Call fit\(dataset\) first, or set p_pos to 0"):
        HeuristicAugmenter()({TEXT: ["a film"]}, [0])


def test_no_replacements_need_no_tagger() -> None:
    """NLTK asked for where nothing is tagged."""

    def out_of_reach(words: list[str]) -> list[str]:
        raise AssertionError("tagged")

    augmenter = HeuristicAugmenter(p_pos=0, tagger=out_of_reach)
    assert augmenter.is_fitted
    assert len(augment(films(), augmenter)) > len(FILMS)


def test_row_is_tagged_once_whatever_the_number_of_copies() -> None:
    """Hours of tagging the same sentence twenty times."""
    sentences = []

    def noting(words: list[str]) -> list[str]:
        sentences.append(words)
        return ["X"] * len(words)

    augmenter = HeuristicAugmenter(n_iter=20, tagger=noting).fit(films())
    assert len(sentences) == len(FILMS)
    augmenter({TEXT: FILMS}, list(range(7)))
    assert len(sentences) == 2 * len(FILMS)


def test_augment_leaves_the_augmenter_as_it_was() -> None:
    """The words of one set in the copies of the next."""
    augmenter = HeuristicAugmenter(p_mask=0, p_pos=1, p_ngram=0, tagger=by_first_letter)
    augment(Dataset.from_dict({TEXT: ["sun sea sky"]}), augmenter)
    assert not augmenter.is_fitted
    rows = augment(Dataset.from_dict({TEXT: ["some salt"]}), augmenter)
    assert {word for text in rows[TEXT] for word in text.split()} == {"some", "salt"}


def test_fitted_augmenter_keeps_its_words() -> None:
    """The words of the training set forgotten when a set without labels is augmented."""
    augmenter = HeuristicAugmenter(p_mask=0, p_pos=1, p_ngram=0, tagger=by_first_letter)
    augmenter.fit(Dataset.from_dict({TEXT: ["sun sea sky"]}))
    rows = augment(Dataset.from_dict({TEXT: ["some"]}), augmenter)
    assert set(rows[TEXT]) == {"some", "sun", "sea", "sky"}


@pytest.mark.parametrize(
    "columns", [{"sentence": ["a"]}, {TEXT: ["a", None]}, {TEXT: []}], ids=["name", "none", "no rows"]
)
def test_sets_without_texts_are_refused(columns: dict[str, list[Any]]) -> None:
    """A crash in the middle of the work."""
    with pytest.raises(ValueError, match="dataset has no"):
        augment(Dataset.from_dict(columns), HeuristicAugmenter())


def test_numbers_of_copies_and_duplicates_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No way to see why a set is smaller than n_iter times its rows."""
    with caplog.at_level("INFO", logger="hf_bilstm_distill.augmentation.sets"):
        rows = augment(films(), HeuristicAugmenter(n_iter=5))
    duplicates = len(FILMS) * 6 - len(rows)
    assert f"Augmented 7 rows: 35 copies made, {duplicates} of them duplicates." in caplog.text


def as_stream(dataset: Dataset) -> IterableDataset:
    return dataset.to_iterable_dataset(num_shards=3)


LABELLED = {LABEL: [1, 0, 1, 0, 1, 0, 1], "number": [[1], [2], [], [3, 4], [5], [6], [7]]}


@pytest.mark.parametrize(
    "dataset",
    [
        films(),
        films(**LABELLED).cast_column(LABEL, ClassLabel(names=["bad", "good"])),
        films(**{TEXT_PAIR: FILMS[::-1], LABEL: [0.5] * 7}),
        Dataset.from_dict({TEXT: [f"{text} {number}" for number in range(400) for text in FILMS]}),
    ],
    ids=["texts", "labels", "pairs", "several batches"],
)
def test_stream_gives_the_rows_of_a_set(dataset: Dataset) -> None:
    """Another transfer set for those whose texts do not fit into memory."""
    rows = augment(dataset, HeuristicAugmenter(n_iter=6))
    stream = augment(as_stream(dataset), HeuristicAugmenter(n_iter=6))
    assert stream.features == rows.features
    # Repr, since NaN, the label of a copy among scores, does not equal itself.
    assert repr(list(stream)) == repr(rows.to_list())


def test_stream_without_types_gives_the_same_rows() -> None:
    """A generator of rows refused, or its labels lost."""

    def generate() -> Iterator[dict[str, Any]]:
        yield from films(**LABELLED)

    stream = augment(IterableDataset.from_generator(generate), HeuristicAugmenter(n_iter=6))
    assert list(stream) == augment(films(**LABELLED), HeuristicAugmenter(n_iter=6)).to_list()


def test_stream_can_be_read_again() -> None:
    """An epoch without copies, because those of the first were taken for duplicates."""
    stream = augment(as_stream(films()), HeuristicAugmenter())
    first = list(stream)
    next(iter(stream))  # and one that was broken off
    stream.set_epoch(1)
    assert list(stream) == first


def test_stream_goes_on_where_it_was() -> None:
    """Rows lost or seen twice after a checkpoint, because what was dropped as a duplicate is forgotten."""
    dataset = Dataset.from_dict({TEXT: FILMS * 3})
    stream, again = (augment(as_stream(dataset), HeuristicAugmenter()) for _ in range(2))
    rows = iter(stream)
    before = [next(rows) for _ in range(100)]
    again.load_state_dict(stream.state_dict())
    assert before + list(again) == augment(dataset, HeuristicAugmenter()).to_list()


def test_part_of_a_stream_is_augmented_as_a_set_of_its_own() -> None:
    """A crash, or the words of other parts, in one of several processes that share a stream."""
    part = as_stream(films()).shard(num_shards=3, index=1)
    rows = augment(Dataset.from_list(list(part)), HeuristicAugmenter())
    assert list(augment(part, HeuristicAugmenter())) == rows.to_list()


@pytest.mark.multiprocess
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_make_no_row_twice() -> None:
    """Duplicates that no worker sees because each has its own part."""
    dataset = Dataset.from_dict({TEXT: FILMS * 3})
    loader = DataLoader(augment(as_stream(dataset), HeuristicAugmenter()), batch_size=None, num_workers=2)
    assert list(loader) == augment(dataset, HeuristicAugmenter()).to_list()


def test_augmenter_can_be_fitted_to_a_stream() -> None:
    """Other replacements than with the same texts as a set."""
    of_set, of_stream = HeuristicAugmenter().fit(films()), HeuristicAugmenter().fit(as_stream(films()))
    assert of_set({TEXT: FILMS}, list(range(7))) == of_stream({TEXT: FILMS}, list(range(7)))


def test_stream_is_tagged_once_a_pass() -> None:
    """Hours of tagging the same sentence twenty times."""
    sentences = []

    def noting(words: list[str]) -> list[str]:
        sentences.append(words)
        return ["X"] * len(words)

    stream = augment(as_stream(films()), HeuristicAugmenter(n_iter=20, tagger=noting))
    assert len(sentences) == len(FILMS)
    list(stream)
    assert len(sentences) == 2 * len(FILMS)


def test_set_is_tagged_once_for_words_and_copies() -> None:
    """Hours of tagging, twice: to count the words, and to make the copies."""
    sentences = []

    def noting(words: list[str]) -> list[str]:
        sentences.append(words)
        return ["X"] * len(words)

    augment(films(), HeuristicAugmenter(n_iter=20, tagger=noting))
    assert len(sentences) == len(FILMS)


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"sentence": ["a"]}, "has no column 'text'"),
        ({TEXT: ["a"] * 1200 + [None]}, r"from row 1000 on, has no text .*\(first: row 200\)"),
        ({TEXT: ["a"], TEACHER_LOGITS: [[0.1]]}, "Augment first, then label"),
        ({TEXT: ["a"], LABEL: ["good"]}, "labels must be numbers"),
    ],
    ids=["name", "none", "logits", "names"],
)
def test_streams_that_cannot_be_used_are_refused_at_once(columns: dict[str, list[Any]], error: str) -> None:
    """A crash in the middle of training."""
    with pytest.raises(ValueError, match=error):
        augment(Dataset.from_dict(columns).to_iterable_dataset(), HeuristicAugmenter())


def test_stream_without_rows_is_refused_at_once() -> None:
    """Training on nothing."""
    with pytest.raises(ValueError, match="has no rows"):
        augment(IterableDataset.from_generator(lambda: iter(())), HeuristicAugmenter())


def test_stream_refuses_processes() -> None:
    """A setting that does nothing."""
    with pytest.raises(ValueError, match="but num_proc is 2"):
        augment(as_stream(films()), HeuristicAugmenter(), num_proc=2)
