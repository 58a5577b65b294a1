"""A report points at the wrong texts, or gives a reader a wrong idea of where the student is weak."""

import numpy as np
import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from hf_bilstm_distill.report.disagreement import disagreements, length_bands, unknown_tokens
from hf_bilstm_distill.report.measuring import Predictions, from_logits

NAMES = ["bad", "good"]


def classes(*probabilities_of_good):
    scores = np.array([[1 - p, p] for p in probabilities_of_good])
    return Predictions(scores.argmax(axis=1), scores)


def test_the_clearest_disagreements_come_first():
    """A reader would see texts on which both were unsure."""
    texts = Dataset.from_dict({"text": ["teacher unsure", "both sure", "same", "student unsure", "also same"]})
    teacher = classes(0.51, 0.99, 0.9, 0.95, 0.1)
    student = classes(0.03, 0.02, 0.8, 0.40, 0.2)
    found = disagreements(student, teacher, np.array([1, 1, 1, 0, -100]), texts, NAMES)
    assert [each["text"] for each in found["examples"]] == ["both sure", "student unsure", "teacher unsure"]
    assert [each["row"] for each in found["examples"]] == [1, 3, 0]
    assert (found["rows"], found["rows_with_gold"], found["teacher_right"], found["model_right"]) == (3, 3, 2, 1)
    first = found["examples"][0]
    assert (first["teacher"], first["model"], first["gold"]) == ("good", "bad", "good")
    assert (first["teacher_confidence"], first["model_confidence"]) == (pytest.approx(0.99), pytest.approx(0.98))


def test_rows_without_gold_labels_or_teacher_are_not_counted_as_mistakes():
    texts = Dataset.from_dict({"text": ["a", "b", "c"]})
    teacher = from_logits(np.array([[0.0, 2.0], [2.0, 0.0], [np.nan, np.nan]]), several_labels=False)
    found = disagreements(classes(0.1, 0.9, 0.9), teacher, np.array([1, -100, 1]), texts, NAMES)
    assert (found["rows"], found["rows_with_gold"], found["teacher_right"], found["model_right"]) == (2, 1, 1, 0)
    assert {each["text"]: each["gold"] for each in found["examples"]} == {"a": "good", "b": None}
    nowhere = disagreements(classes(0.1, 0.9, 0.9), teacher, np.full(3, -100), texts, NAMES)
    assert (nowhere["rows"], nowhere["rows_with_gold"], nowhere["teacher_right"]) == (2, 0, None)


def test_stored_logits_give_the_probabilities_of_softmax():
    teacher = from_logits(np.array([[1.0, 1.0 + np.log(3)]]), several_labels=False)
    assert teacher.scores[0] == pytest.approx([0.25, 0.75])
    several = from_logits(np.array([[0.1, -0.1]]), several_labels=True)
    assert several.values.tolist() == [[1, 0]]
    assert several.scores[0] == pytest.approx(1 / (1 + np.exp([-0.1, 0.1])))


def test_a_report_holds_a_few_short_examples():
    """A data set of long documents would be copied into the report."""
    texts = Dataset.from_dict(
        {"text": [f"{row} " + "word " * 1000 for row in range(30)], "text_pair": ["x" * 400] * 30}
    )
    found = disagreements(classes(*[0.1] * 30), classes(*[0.9] * 30), np.full(30, -100), texts, NAMES)
    assert found["rows"] == 30
    assert len(found["examples"]) == 10
    assert all(len(each["text"]) == 400 and each["text"].endswith("…") for each in found["examples"])
    assert found["examples"][0]["text_pair"] == "x" * 400


def test_predictions_of_another_kind_are_not_compared():
    texts = Dataset.from_dict({"text": ["a"]})
    three = Predictions(np.array([2]), np.array([[0.1, 0.2, 0.7]]))
    number = Predictions(np.array([0.5]), np.array([[0.5]]))
    for other in (three, number):
        assert disagreements(classes(0.9), other, np.array([1]), texts, NAMES) is None


def test_long_texts_stand_beside_short_ones():
    texts = Dataset.from_dict({"text": ["x" * length for length in (9, 1, 8, 2, 5, 4)]})
    student = classes(0.1, 0.9, 0.1, 0.9, 0.9, 0.9)
    teacher = classes(0.9, 0.9, 0.1, 0.9, 0.9, 0.1)
    short, middle, long = length_bands(texts, student, teacher, np.array([1, 1, 1, 1, 1, -100]))
    assert (short["shortest"], short["longest"], short["rows"]) == (1, 2, 2)
    assert (middle["shortest"], middle["longest"], middle["rows"]) == (4, 5, 2)
    assert (long["shortest"], long["longest"], long["rows"]) == (8, 9, 2)
    assert [band["share_right"] for band in (short, middle, long)] == [1.0, 1.0, 0.0]
    assert [band["agreement_with_teacher"] for band in (short, middle, long)] == [1.0, 0.5, 0.5]
    assert short["mean_absolute_error"] is None


def test_texts_of_one_length_have_no_bands():
    texts = Dataset.from_dict({"text": ["one", "two", "six"]})
    assert length_bands(texts, classes(0.9, 0.9, 0.9), None, np.array([1, 1, 1])) == []


def test_unknown_tokens_are_counted_without_the_special_ones(teacher_tokenizer: PreTrainedTokenizerFast):
    """[CLS] and [SEP] would thin the rate, and padding would make it depend on the batch."""

    class Model:
        tokenizer = teacher_tokenizer

    texts = Dataset.from_dict({"text": ["the film", "the 雨 film 雪"], "text_pair": ["film", "雨"]})
    found = unknown_tokens(Model(), texts)
    assert found == {"share_of_tokens": pytest.approx(3 / 8), "share_of_texts": 0.5}
    assert unknown_tokens(object(), texts) is None
