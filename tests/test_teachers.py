"""Teachers beyond one model: functions, pipelines, several as one, probabilities."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

from hf_bilstm_distill import LabelMismatchError, TextClassifier, label_with_teacher
from hf_bilstm_distill.teachers import (
    CallableTeacher,
    average_teachers,
    logits_from_probabilities,
    teacher_from_pipeline,
)

TEXTS = ["a film", "dull", "a warm and funny film"]


def by_length(factor: float, labels: Sequence[str] = ("short", "long")) -> CallableTeacher:
    """Logits of minus and plus the length, times a factor."""
    return CallableTeacher(
        lambda texts: [[-factor * len(text), factor * len(text)] for text in texts], labels, name=f"length {factor}"
    )


# ---- functions ----


def test_a_function_labels_texts_and_pairs() -> None:
    """Who has no transformers model would have to write a class."""
    assert label_with_teacher(Dataset.from_dict({"text": TEXTS}), by_length(1))["teacher_logits"][:] == [
        [-6, 6],
        [-4, 4],
        [-21, 21],
    ]
    pairs = CallableTeacher(lambda one, other: [[len(a), len(b)] for a, b in zip(one, other, strict=True)], ["a", "b"])
    rows = Dataset.from_dict({"text": ["ab", "c"], "text_pair": ["x", "xyz"]})
    assert label_with_teacher(rows, pairs)["teacher_logits"][:] == [[2, 1], [1, 3]]


def test_a_function_is_cached_by_its_name_only(tmp_path: Path) -> None:
    """Logits of an older version of a function would be taken for the new one's."""
    rows = Dataset.from_dict({"text": TEXTS})
    calls: list[str] = []

    def answer(texts: list[str]) -> np.ndarray:
        calls.extend(texts)
        return np.array([[0.0, len(text)] for text in texts])

    with pytest.raises(ValueError, match="function without a name"):
        label_with_teacher(rows, CallableTeacher(answer, ["a", "b"]), cache_dir=tmp_path)
    assert calls == []
    for name, labels, num_calls in (("1", "ab", 3), ("1", "ab", 3), ("2", "ab", 6), ("2", "bc", 9)):
        label_with_teacher(rows, CallableTeacher(answer, labels, name=name), cache_dir=tmp_path)
        assert len(calls) == num_calls


def test_labels_of_a_function_must_differ() -> None:
    """Two columns of logits would share a name."""
    with pytest.raises(ValueError, match=r"must differ, got \['a', 'a'\]"):
        CallableTeacher(len, ["a", "a"])


# ---- several as one ----


def test_the_mean_of_teachers_is_that_of_their_logits() -> None:
    """An ensemble would count one of its members only."""
    mean = average_teachers([by_length(1), by_length(4)])
    np.testing.assert_allclose(mean.logits(TEXTS), [[-15, 15], [-10, 10], [-52.5, 52.5]])
    weighted = average_teachers([by_length(1), by_length(4)], weights=[6, 2])
    np.testing.assert_allclose(weighted.logits(["abcd"]), [[-7, 7]])
    assert weighted.logits(TEXTS).dtype == np.float32


def test_labels_of_several_teachers_are_matched_by_name() -> None:
    """A teacher whose labels stand in another order would pull the other way."""
    mean = average_teachers([by_length(1), by_length(3, labels=["LONG", "Short"])])
    assert mean.id2label == {0: "short", 1: "long"}
    np.testing.assert_allclose(mean.logits(["abcd"]), [[4, -4]])  # (-4, 4) and (12, -12)
    with pytest.raises(LabelMismatchError, match=r"\['good', 'bad'\]"):
        average_teachers([by_length(1), by_length(1, labels=["good", "bad"])])


def test_pairs_reach_every_teacher() -> None:
    """Second sentences would be left out."""
    pairs = CallableTeacher(lambda one, other: [[len(a), len(b)] for a, b in zip(one, other, strict=True)], ["a", "b"])
    assert average_teachers([pairs, pairs]).logits(["ab"], ["c"]).tolist() == [[2, 1]]


def test_ensembles_are_cached_by_members_and_weights(tmp_path: Path) -> None:
    """Logits of one ensemble would be taken for another's."""
    one, other = by_length(1), by_length(2)
    turned = by_length(2, labels=["long", "short"])
    ensembles = [
        average_teachers([one]),
        average_teachers([one, other]),
        average_teachers([one, other], weights=[1, 2]),
        average_teachers([one, turned]),
    ]
    assert len({ensemble.fingerprint() for ensemble in [one, *ensembles]}) == 5
    assert ensembles[1].fingerprint() == average_teachers([one, by_length(2)], weights=[0.5, 0.5]).fingerprint()
    label_with_teacher(Dataset.from_dict({"text": TEXTS}), ensembles[1], cache_dir=tmp_path)
    with pytest.raises(ValueError, match="function without a name"):
        average_teachers([CallableTeacher(len, ["a", "b"])]).fingerprint()


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")], []], ids=str)
def test_weights_must_be_one_positive_number_for_each(weights: list[float]) -> None:
    """A teacher would be left out, or subtracted, without a word."""
    with pytest.raises(ValueError, match=r"One weight for each|positive numbers"):
        average_teachers([by_length(1), by_length(2)], weights)


def test_a_member_of_another_width_is_named() -> None:
    """Its extra logits would be dropped without a word."""
    wide = CallableTeacher(lambda texts: np.zeros((len(texts), 3)), ["short", "long"])
    with pytest.raises(ValueError, match=r"Teacher 1 of 2 gave logits of shape \(3, 3\) for 3 texts"):
        average_teachers([by_length(1), wide]).logits(TEXTS)


def test_no_teachers_are_no_teacher() -> None:
    """An empty list would fail somewhere else."""
    with pytest.raises(ValueError, match="0 teachers"):
        average_teachers([])


# ---- pipelines ----


def test_a_pipeline_teaches_what_it_scores(
    teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast, texts: Dataset
) -> None:
    """The student would learn other scores than the user's pipeline gives."""
    pipe = pipeline("text-classification", model=teacher_model, tokenizer=teacher_tokenizer, device="cpu", top_k=None)
    teacher = teacher_from_pipeline(pipe)
    assert isinstance(teacher, TextClassifier)
    logits = np.array(label_with_teacher(texts, teacher)["teacher_logits"][:])
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for row, answers in zip(scores, pipe(texts["text"][:]), strict=True):
        expected = {answer["label"]: answer["score"] for answer in answers}
        np.testing.assert_allclose(row, [expected["negative"], expected["positive"]], atol=1e-5)


def test_a_pipeline_that_cuts_texts_teaches_of_cut_texts(
    teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast
) -> None:
    """Long texts would get other logits than from the user's pipeline."""
    pipe = pipeline(
        "text-classification",
        model=teacher_model,
        tokenizer=teacher_tokenizer,
        device="cpu",
        truncation=True,
        max_length=6,
    )
    teacher = teacher_from_pipeline(pipe)
    one, other = teacher.logits(["a dull and slow film", "a dull and slow story"])
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(*TextClassifier(teacher_model, teacher_tokenizer).logits(["a dull film", "a dull story"]))


def test_pipelines_for_other_tasks_are_refused(
    teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast
) -> None:
    """Vectors would be taken for logits."""
    pipe = pipeline("feature-extraction", model=teacher_model.bert, tokenizer=teacher_tokenizer, device="cpu")
    with pytest.raises(ValueError, match="one for 'feature-extraction'"):
        teacher_from_pipeline(pipe)


# ---- probabilities ----


def test_probabilities_come_back_from_their_logits() -> None:
    """A student would learn other probabilities than were given."""
    given = np.array([[0.9, 0.1], [0.25, 0.75]])
    logits = logits_from_probabilities(given)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, [[-0.1053605, -2.3025851], [-1.3862944, -0.2876821]], atol=1e-6)
    np.testing.assert_allclose(np.exp(logits), given, atol=1e-6)


def test_zero_and_rounded_probabilities_give_numbers() -> None:
    """A certain teacher would give minus infinity; a third, written 0.33, would be refused."""
    np.testing.assert_allclose(logits_from_probabilities([[1, 0]], epsilon=0.01), [[0, -4.6051702]], atol=1e-6)
    np.testing.assert_allclose(logits_from_probabilities([[0.33, 0.33, 0.33]]), [[-1.0986123] * 3], atol=1e-6)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[0.5, 0.5], [2.0, -1.0]], r"1 of 2 rows .* row 1, \[2.0, -1.0\]"),
        ([[0.9, 0.9]], r"row 0, \[0.9, 0.9\].*log\(p / \(1 - p\)\)"),
        ([[float("nan"), 1.0]], "row 0"),
        ([[1.0]], r"two or more labels .* got \(1, 1\)"),
        ([0.5, 0.5], r"got \(2,\)"),
    ],
    ids=["logits", "independent", "nan", "one-label", "flat"],
)
def test_what_is_no_probability_is_refused(probabilities: list, message: str) -> None:
    """Logits, or independent probabilities, would be taken for a distribution and trained on."""
    with pytest.raises(ValueError, match=message):
        logits_from_probabilities(probabilities)


def test_epsilon_must_be_a_small_probability() -> None:
    """Every probability would be lifted to the same."""
    with pytest.raises(ValueError, match=r"between 0 and 1 / 2 labels, got 0\.6"):
        logits_from_probabilities([[0.5, 0.5]], epsilon=0.6)
