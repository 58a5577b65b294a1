"""The checks of a transfer set and the matching of labels."""

import re

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_bilstm_distill import LabelMismatchError, check_agreement, find_label_order, label_names, match_labels
from hf_bilstm_distill.transfer_set import check_label_order, check_logits, check_texts, logits_array

TEACHER = {0: "negative", 1: "neutral", 2: "positive"}


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["negative", "neutral", "positive"], [0, 1, 2]),
        (["positive", "negative", "neutral"], [2, 0, 1]),
        (["POSITIVE", "Neutral", "negative"], [2, 1, 0]),
    ],
    ids=["same", "rotated", "other-case"],
)
def test_labels_are_matched_by_name(names: list[str], order: list[int]) -> None:
    """The student would learn one label's logits under another's name."""
    assert match_labels(TEACHER, names) == order


def test_underscores_and_hyphens_do_not_hinder() -> None:
    """`not_entailment` and `not entailment` would not be the same label."""
    assert match_labels({0: "NOT_ENTAILMENT", 1: "entailment"}, ["entailment", "not-entailment"]) == [1, 0]


@pytest.mark.parametrize(
    "names",
    [["negative", "positive"], ["bad", "so-so", "good"], ["negative", "neutral", "positive", "mixed"], ["a", "a", "a"]],
    ids=["too-few", "other-names", "too-many", "repeated"],
)
def test_names_that_cannot_be_matched_are_both_printed(names: list[str]) -> None:
    """A user could not see what to rename."""
    with pytest.raises(LabelMismatchError) as error:
        match_labels(TEACHER, names)
    assert str(list(TEACHER.values())) in str(error.value)
    assert str(names) in str(error.value)


def test_the_order_follows_the_data_whatever_form_its_labels_have() -> None:
    """ClassLabel, text and number labels would be treated differently."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=["positive", "neutral", "negative"])})
    named = Dataset.from_dict({"text": ["a", "b"], "label": [0, 2]}, features=features)
    assert label_names(named) == ["positive", "neutral", "negative"]
    assert find_label_order(named, TEACHER) == [2, 1, 0]
    written = Dataset.from_dict({"text": ["a", "b", "c"], "label": ["positive", "negative", "neutral"]})
    assert label_names(written) == ["negative", "neutral", "positive"]
    assert find_label_order(written, TEACHER) == [0, 1, 2]
    numbers = Dataset.from_dict({"text": ["a", "b", "c", "d"], "label": [2, 1, 0, -100]})
    assert label_names(numbers) is None
    assert find_label_order(numbers, TEACHER) == [0, 1, 2]
    assert find_label_order(numbers, TEACHER, ["positive", "negative", "neutral"]) == [2, 0, 1]
    assert find_label_order(Dataset.from_dict({"text": ["a"]}), TEACHER) == [0, 1, 2]


@pytest.mark.parametrize("labels", [[0, 1] * 20, [0, 3], [-1, 2]], ids=["never-the-last", "too-high", "below-zero"])
def test_numbers_that_do_not_fit_the_teacher_are_refused(labels: list[int]) -> None:
    """A teacher of three labels would be distilled on data with two, or with others."""
    with pytest.raises(LabelMismatchError, match=rf"3 labels .* {re.escape(str(sorted(set(labels))))}"):
        find_label_order(Dataset.from_dict({"text": ["a"] * len(labels), "label": labels}), TEACHER)


@pytest.mark.parametrize("labels", [[0, 1], [2], [0, 2] * 20, [-100, None]], ids=["few", "one", "rare", "none"])
def test_a_set_may_lack_labels_by_chance(labels: list[int | None]) -> None:
    """Of a hundred labels, a small validation set never has all."""
    assert find_label_order(Dataset.from_dict({"text": ["a"] * len(labels), "label": labels}), TEACHER) == [0, 1, 2]


def test_lists_have_names_too() -> None:
    """Labels in lists would be numbered in another order than the teacher's, or crash."""
    rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": [["neutral"], [], ["positive", "negative", "neutral"]]})
    assert label_names(rows) == ["negative", "neutral", "positive"]
    assert find_label_order(rows, {0: "positive", 1: "neutral", 2: "negative"}) == [2, 1, 0]
    numbers = Dataset.from_dict({"text": ["a", "b"], "label": [[0.0, 1.0, 0.0], None]})
    assert label_names(numbers) is None
    assert find_label_order(numbers, TEACHER) == [0, 1, 2]


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [1, 2, 3]], ids=["short", "twice", "from-one"])
def test_a_given_label_order_is_checked(order: list[int]) -> None:
    """A slip in a label order would go unnoticed."""
    with pytest.raises(LabelMismatchError, match=r"each of 0\.\.2 once"):
        check_label_order(order, 3)


def test_exchanged_labels_are_noticed() -> None:
    """Data whose names are swapped would train a student that is wrong on everything."""
    gold = np.array([0, 1] * 50)
    with pytest.raises(LabelMismatchError, match="look exchanged"):
        check_agreement(gold, np.eye(2)[1 - gold], ["negative", "positive"])


def test_a_weak_teacher_is_no_mismatch() -> None:
    """A teacher that is merely bad, or says one label only, would be refused."""
    gold = np.array([0, 1] * 50)
    check_agreement(gold, np.eye(2)[gold], ["negative", "positive"])
    check_agreement(gold, np.eye(2)[np.zeros(100, dtype=int)], ["negative", "positive"])
    weak = np.where(np.arange(100) % 5 < 2, 1 - gold, gold)
    check_agreement(weak, np.eye(2)[gold], ["negative", "positive"])
    check_agreement(np.full(4, -100), np.eye(2)[[0, 1, 0, 1]], ["negative", "positive"])


def test_logits_that_are_no_better_than_chance_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Logits of other rows, or of a teacher with a wrong tokenizer or an untrained head, teach nonsense in silence."""
    gold = np.repeat([0, 1, 1, 0, 1], 20)
    names = ["negative", "positive"]
    check_agreement(gold, np.eye(2)[np.random.default_rng(0).permutation(gold)], names)
    assert re.search(r"agrees with the gold labels on \d\d% of 100 rows, and chance would on 52%", caplog.text)
    caplog.clear()
    check_agreement(gold, np.eye(2)[np.ones(100, dtype=int)], names)
    assert "on 60% of 100 rows, and chance would on 60%" in caplog.text
    caplog.clear()
    check_agreement(gold, np.eye(2)[np.where(np.arange(100) % 5 < 4, gold, 1 - gold)], names)
    check_agreement(gold[:40], np.eye(2)[np.ones(40, dtype=int)], names)
    assert not caplog.records


def test_two_of_three_labels_exchanged_are_noticed() -> None:
    """With more labels an exchange of two would pass, as the third still agrees."""
    gold = np.array([0, 1, 2] * 30)
    with pytest.raises(LabelMismatchError) as error:
        check_agreement(gold, np.eye(3)[np.array([1, 0, 2])[gold]], ["contradiction", "entailment", "neutral"])
    assert "neutral" not in str(error.value).split("exchanged as")[1].split(".")[0]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ({"sentence": ["a"]}, ValueError, r"no column 'text'. Its columns are \['sentence'\]"),
        ({"text": []}, ValueError, "no rows"),
        ({"text": ["a", None, None]}, ValueError, r"2 of its 3 rows \(first: row 1\)"),
        ({"text": ["a", "b"], "text_pair": ["c", None]}, ValueError, "column 'text_pair' of 1 of its 2 rows"),
        ({"text": [1, 2]}, TypeError, "int64, not text"),
    ],
    ids=["missing-column", "empty", "none", "none-in-pair", "numbers"],
)
def test_texts_that_cannot_be_used_are_named(rows: dict[str, list[object]], error: type, message: str) -> None:
    """A row without a text would stop the run after an hour, in a stack of other people's functions."""
    with pytest.raises(error, match=message):
        check_texts(Dataset.from_dict(rows), "the set")


def test_logits_come_out_as_one_array_with_gaps() -> None:
    """Rows without logits would shift all rows after them."""
    rows = Dataset.from_dict({"teacher_logits": [[1.0, 2.0], None, [3.0, 4.0]]})
    np.testing.assert_array_equal(logits_array(rows), [[1, 2], [np.nan, np.nan], [3, 4]])
    fixed = Features({"teacher_logits": List(Value("float32"), length=2)})
    rows = Dataset.from_dict({"teacher_logits": [[1.0, 2.0], [5.0, 6.0], [3.0, 4.0]]}, features=fixed).select([2, 0])
    np.testing.assert_array_equal(logits_array(rows), [[3, 4], [1, 2]])


def test_gaps_in_logits_of_fixed_width_do_not_shift_rows() -> None:
    """Arrow keeps the place of a missing row in a column of fixed width."""
    fixed = Features({"teacher_logits": List(Value("float32"), length=2)})
    rows = Dataset.from_dict({"teacher_logits": [[1.0, 2.0], None, [3.0, 4.0]]}, features=fixed)
    np.testing.assert_array_equal(logits_array(rows), [[1, 2], [np.nan, np.nan], [3, 4]])


def test_ragged_logits_are_refused() -> None:
    """Logits of two teachers in one column would be cut at the wrong places."""
    with pytest.raises(ValueError, match=r"rows of \[2, 3\] logits"):
        logits_array(Dataset.from_dict({"teacher_logits": [[1.0, 2.0], [1.0, 2.0, 3.0]]}))


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ([[1.0, 2.0, 3.0]], "width 3, but there are 2 labels"),
        ([[1.0, 2.0], [np.nan, 1.0]], "1 rows .first: row 1"),
        ([[np.inf, 2.0], [0.0, 1.0]], "first: row 0"),
        ([[1.0, 2.0], [1.0, 2.0]], "in all 2 rows"),
    ],
    ids=["width", "nan", "infinity", "all-equal"],
)
def test_logits_that_cannot_teach_are_refused(logits: list[list[float]], message: str) -> None:
    """The student would train, and learn nothing or NaN."""
    with pytest.raises(ValueError, match=message):
        check_logits(np.array(logits), 2, "the teacher")


def test_rows_without_logits_pass() -> None:
    """Mixed sets, some rows with logits and some without, would be refused."""
    check_logits(np.array([[1.0, 2.0], [np.nan, np.nan], [0.0, 1.0]]), 2, "the teacher")
