"""What a label is: found out, checked against data and teacher, read from files, turned into what a loss needs."""

import math
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from transformers import BertConfig

from hf_bilstm_distill import LabelMismatchError
from hf_bilstm_distill.problem_types import find_problem_type, label_vectors, match_outputs, read_labels

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


def rows(labels: list[Any] | None, feature: Any = None) -> Dataset:
    if labels is None:
        return Dataset.from_dict({"text": ["a", "b"]})
    features = Features({"text": Value("string"), "label": feature}) if feature else None
    return Dataset.from_dict({"text": [str(row) for row in range(len(labels))], "label": labels}, features=features)


@pytest.mark.parametrize(
    ("labels", "num_labels", "teacher", "given", "expected"),
    [
        ([0, 1], 2, None, None, SINGLE),
        (["a", "b"], 2, SINGLE, None, SINGLE),
        ([0.0, 1.0, None], 2, None, None, SINGLE),  # what pandas makes of integers, one of them missing
        (None, 28, MULTI, None, MULTI),
        (["[]", '["a"]'], 28, None, MULTI, MULTI),
        ([[0, 1], None], 2, MULTI, MULTI, MULTI),
        ([0.5, 3.0], 1, None, None, REGRESSION),
        ([0, 5], 1, REGRESSION, None, REGRESSION),
        (None, 1, None, None, REGRESSION),
        ([["a"], []], None, None, None, MULTI),
        ([0.5, 3.0], None, None, None, REGRESSION),
        (["a", "b"], None, None, None, SINGLE),
        (["3.5", "1"], None, None, REGRESSION, REGRESSION),
    ],
)
def test_the_problem_type_is_found(
    labels: list[Any] | None, num_labels: int | None, teacher: str | None, given: str | None, expected: str
) -> None:
    """A set and a teacher that fit would be refused, or taken for another kind of problem."""
    assert find_problem_type(rows(labels), num_labels, teacher=teacher, given=given) == expected


@pytest.mark.parametrize(
    ("labels", "num_labels", "teacher", "given", "cause"),
    [
        ([0, 1], 2, SINGLE, MULTI, "is 'multi_label_classification', but the teacher's configuration says 'single"),
        ([0, 1], 2, None, "ranking", "no problem_type 'ranking'"),
        ([0.5, 1.5], 2, None, REGRESSION, "'regression', which needs one output, but the teacher has 2"),
        ([0, 1], 1, None, SINGLE, "needs an output for each label, but the teacher has 1"),
        ([[0, 1]], 2, None, None, r"'single_label_classification', but the data's labels are lists \(such as \[0, 1\]"),
        ([0.5, 1.5], 2, None, None, "labels are fractions .* suit regression"),
        ([0, 1], 2, MULTI, None, "labels are integers .* suit single_label_classification or regression"),
        ([["a"]], 1, None, None, "labels are lists .* suit multi_label_classification"),
    ],
)
def test_what_contradicts_is_named(
    labels: list[Any], num_labels: int, teacher: str | None, given: str | None, cause: str
) -> None:
    """A student would learn something else than the labels say."""
    with pytest.raises(ValueError, match=cause):
        find_problem_type(rows(labels), num_labels, teacher=teacher, given=given)


def test_numbers_of_a_regression_are_read() -> None:
    """A score would be a class, or a missing one a zero."""
    for labels in ([3, None, 0], ["3", "", "0.0"], [3.0, None, 0.0]):
        found = read_labels(rows(labels), REGRESSION)
        assert found.features["label"] == Value("float32")
        np.testing.assert_array_equal(np.array(found["label"][:]), [3, math.nan, 0])
    with pytest.raises(ValueError, match=r"train has the label 'good' in row 1.*a number: 3.8"):
        read_labels(rows(["1.5", "good"]), REGRESSION, "train")


@pytest.mark.parametrize(
    ("labels", "feature"),
    [
        ([["joy", "anger"], [], None], None),
        (['["joy", "anger"]', "[]", ""], None),
        ([[1, 0, 1], [0, 0, 0], None], None),
        (["[1, 0, 1]", "[0, 0, 0]", None], None),
        ([[2, 0], [], None], List(ClassLabel(names=["anger", "fear", "joy"]))),
        ([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [math.nan] * 3], None),
        ([[True, False, True], [False] * 3, None], None),
        ([[1, 0, 1], [0, 0, 0], [-100] * 3], None),
    ],
    ids=["names", "names-in-json", "numbers", "numbers-in-json", "class-labels", "floats", "booleans", "no-label"],
)
def test_several_labels_become_zeros_and_ones(labels: list[Any], feature: Any) -> None:
    """A row without a gold label would be one with none of the labels, or names stand in another order."""
    found = label_vectors(read_labels(rows(labels, feature), MULTI), ["anger", "fear", "joy"])
    assert found.features["label"] == List(Value("float32"))
    np.testing.assert_array_equal(np.array(found["label"][:]), [[1, 0, 1], [0, 0, 0], [math.nan] * 3])


@pytest.mark.parametrize(
    ("labels", "error", "cause"),
    [
        ([["joy", "hope"]], LabelMismatchError, r"\['hope'\] are none of \['anger', 'joy'\]"),
        ([[0, 1, 1]], LabelMismatchError, r"3 zeros and ones, .* but there are 2 labels"),
        ([[0, 2]], ValueError, r"A row has the labels \[0, 2\]"),
        (["joy"], ValueError, "label 'joy' in row 0. Write it as a list"),
        (['["joy", 1]'], ValueError, "in row 0. Write it as a list"),
    ],
    ids=["unknown-name", "another-number", "no-zero-or-one", "no-list", "mixed"],
)
def test_lists_that_mean_nothing_are_named(labels: list[Any], error: type[Exception], cause: str) -> None:
    """A slip in one row would train a student on other labels."""
    with pytest.raises(error, match=cause):
        label_vectors(read_labels(rows(labels), MULTI), ["anger", "joy"])


def test_a_set_without_labels_stays_as_it_is() -> None:
    """Texts without gold labels could not be distilled on."""
    plain = rows(None)
    assert label_vectors(read_labels(plain, MULTI), ["a"]).column_names == ["text"]
    assert read_labels(plain, REGRESSION).column_names == ["text"]


def test_outputs_of_teacher_and_student_are_matched() -> None:
    """A teacher in the loop of another kind would teach without a word, or its only output need a name."""
    names = {"id2label": {0: "b", 1: "a"}, "label2id": {"b": 0, "a": 1}}
    assert match_outputs(BertConfig(**names), BertConfig(id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1})) == [
        1,
        0,
    ]
    one = {"num_labels": 1}
    assert match_outputs(BertConfig(**one), BertConfig(id2label={0: "score"}, label2id={"score": 0})) == [0]
    with pytest.raises(
        ValueError, match="teacher's problem_type is 'multi_label_classification', the student's 'single"
    ):
        match_outputs(BertConfig(**names, problem_type=MULTI), BertConfig(**names, problem_type=SINGLE))
