"""A report is surer of its numbers than the texts allow, or counts labels in the wrong place."""

import evaluate
import numpy as np
import pytest
from datasets import Features, Value
from scipy import stats

from hf_bilstm_distill.metrics import load_metric
from hf_bilstm_distill.report.measuring import Predictions
from hf_bilstm_distill.report.quality import (
    calibration,
    class_scores,
    confusion,
    interval,
    metric_measure,
    metric_values,
    resampled,
)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Of 200 samples with a true accuracy of 0.7, about 95 % have an interval that holds it."""
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        is_right = generator.random(120) < 0.7
        ends = interval(
            resampled(lambda rows, right=is_right: {"accuracy": right[rows].mean()}, np.arange(120))["accuracy"]
        )
        held += ends[0] <= 0.7 <= ends[1]
    assert 0.90 <= held / 200 <= 0.985


@pytest.mark.parametrize("name", ["accuracy", "f1", "matthews_correlation", "pearsonr", "spearmanr"])
def test_resamples_are_what_the_metric_says_of_these_rows(name):
    """The short way around the table that `compute` writes would measure something else."""
    generator = np.random.default_rng(3)
    gold = generator.integers(0, 2, 40)
    predicted = np.where(generator.random(40) < 0.8, gold, 1 - gold)
    if name in ("pearsonr", "spearmanr"):
        gold, predicted = gold + generator.random(40), predicted + generator.random(40)
    module = load_metric(name)
    measure = metric_measure(module, predicted, gold)
    for _ in range(20):
        rows = generator.integers(0, 40, 40)
        assert measure(rows) == pytest.approx(metric_values(module, predicted[rows], gold[rows]))


def test_metrics_of_somebody_else_are_called_as_they_ask_for():
    """A metric that counts on the types of `compute` would fail, or be measured wrongly."""

    class Strict(evaluate.Metric):
        def _info(self):
            value = Value("int64")
            features = Features({"predictions": value, "references": value})
            return evaluate.MetricInfo(description="", citation="", features=features)

        def _compute(self, predictions, references):
            same = predictions + references  # lists, of which `compute` makes one after the other
            return {
                "strict": float(np.mean([same[row] == same[row + len(same) // 2] for row in range(len(same) // 2)]))
            }

    measure = metric_measure(Strict(keep_in_memory=True), np.array([1, 0, 1]), np.array([1, 1, 1]))
    assert measure(np.array([0, 0, 1])) == {"strict": pytest.approx(2 / 3)}


def test_several_metrics_are_resampled_together():
    metrics = evaluate.combine([load_metric("accuracy"), load_metric("f1")])
    gold = np.array([0, 1, 1, 0])
    assert metric_measure(metrics, gold, gold)(np.array([0, 1, 1])) == {"accuracy": 1.0, "f1": 1.0}


def test_resamples_are_the_same_each_time_and_for_each_model():
    """A report made twice would differ, and differences of models would not be paired."""
    rows = np.arange(50)
    drawn = [resampled(lambda sample: {"sum": float(sample.sum())}, rows)["sum"] for _ in range(2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert len(np.unique(drawn[0])) > 300


@pytest.mark.parametrize("values", [[1.0] * 1000, [0.5] * 999 + [np.nan]], ids=["all equal", "not defined"])
def test_there_is_no_interval_where_the_bootstrap_can_say_nothing(values):
    """20 right texts of 20 would read as 'the accuracy is 1, for certain'."""
    assert interval(np.array(values)) is None


def test_calibration_is_the_one_worked_out_by_hand():
    scores = np.array([[0.95, 0.05], [0.94, 0.06], [0.35, 0.65], [0.41, 0.59], [0.9, 0.1]])
    gold = np.array([0, 1, 1, 1, -100])
    found = calibration(Predictions(scores.argmax(axis=1), scores), gold, np.arange(4))
    # 0.95 and 0.94 in the last bin (over 14/15): mean 0.945, half of them right; 0.65 and 0.59 alone, both right.
    assert found["expected_calibration_error"] == pytest.approx(0.5 * abs(0.945 - 0.5) + 0.25 * 0.35 + 0.25 * 0.41)
    filled = [each for each in found["bins"] if each["rows"]]
    assert [(each["rows"], each["accuracy"]) for each in filled] == [(1, 1.0), (1, 1.0), (2, 0.5)]
    assert all(each["low"] < each["confidence"] <= each["high"] for each in filled)
    assert len(found["bins"]) == 15
    assert (found["bins"][0]["low"], found["bins"][-1]["high"]) == (0.0, 1.0)


def test_a_model_that_is_as_sure_as_it_is_right_has_hardly_an_error():
    generator = np.random.default_rng(5)
    first = generator.random(20_000)
    scores = np.stack([first, 1 - first], axis=1)
    gold = (generator.random(20_000) > first).astype(int)
    found = calibration(Predictions(scores.argmax(axis=1), scores), gold, np.arange(20_000))
    assert found["expected_calibration_error"] < 0.02


@pytest.mark.parametrize(
    "predictions",
    [
        Predictions(np.array([0, 1]), np.array([[2.0, -1.0], [0.0, 3.0]])),
        Predictions(np.array([[1, 1], [0, 1]]), np.array([[0.9, 0.8], [0.2, 0.8]])),
        Predictions(np.array([0.5, 1.5]), np.array([[0.5], [1.5]])),
    ],
    ids=["logits", "several labels", "regression"],
)
def test_scores_that_are_no_probabilities_have_no_calibration(predictions):
    """Logits would be taken for probabilities of 200 %."""
    assert calibration(predictions, np.array([0, 1]), np.arange(2)) is None


def test_the_table_of_classes_is_the_one_counted_by_hand():
    gold, predicted = np.array([0, 0, 0, 1, 1, 3]), np.array([0, 0, 1, 1, 0, 1])
    rows = class_scores(predicted, gold, ["a", "b", "c", "d"])
    assert rows[0] == {"name": "a", "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3}
    assert rows[1] == {"name": "b", "precision": 1 / 3, "recall": 1 / 2, "f1": 2 / 5, "support": 2}
    assert rows[2] == {"name": "c", "precision": None, "recall": None, "f1": None, "support": 0}
    assert rows[3] == {"name": "d", "precision": None, "recall": 0.0, "f1": 0.0, "support": 1}
    assert confusion(predicted, gold, 4) == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_a_table_of_thousands_of_labels_is_left_out():
    """Ten thousand labels by ten thousand take gigabytes."""
    one = np.array([0])
    assert confusion(one, one, 10_000) is None
    assert confusion(one, one, 1000) is not None


def test_the_difference_of_two_models_is_paired():
    """Two models that fail on the same texts would look as if they could not be told apart."""
    generator = np.random.default_rng(1)
    teacher = generator.random(400) < 0.7
    student = teacher & (np.arange(400) % 20 != 0)
    draws = [
        resampled(lambda rows, right=right: {"a": right[rows].mean()}, np.arange(400))["a"]
        for right in (teacher, student)
    ]
    low, high = interval(draws[1] - draws[0])
    assert low < (student.mean() - teacher.mean()) < high < 0
    assert stats.norm.ppf(0.975) * 2 * np.std(draws[1] - draws[0]) == pytest.approx(high - low, rel=0.15)
    assert interval(draws[1])[1] > interval(draws[0])[0]  # one by one, the intervals overlap
