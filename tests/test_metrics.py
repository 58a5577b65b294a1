"""A metric of this package gives another value than scikit-learn's or scipy's, or fails where a user needs it."""

import math

import evaluate
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics
from transformers import EvalPrediction

from hf_bilstm_distill.metrics import (
    F1,
    Accuracy,
    MatthewsCorrelation,
    Pearson,
    Spearman,
    agreement,
    compute_metrics_for,
    default_metrics,
    load_metric,
    load_metrics,
    predictions_of,
)

NAMES = ["accuracy", "f1", "matthews_correlation", "pearsonr", "spearmanr"]


def random_labels(num_labels, seed, rows=200):
    """Predictions that are right in about two rows of three."""
    rng = np.random.default_rng(seed)
    references = rng.integers(num_labels, size=rows)
    return np.where(rng.random(rows) < 2 / 3, references, rng.integers(num_labels, size=rows)), references


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_labels", [2, 3, 7])
def test_classification_metrics_equal_scikit_learn(num_labels, seed):
    predictions, references = random_labels(num_labels, seed)
    given = {"predictions": predictions, "references": references}
    assert Accuracy(keep_in_memory=True).compute(**given)["accuracy"] == pytest.approx(
        sklearn_metrics.accuracy_score(references, predictions)
    )
    assert MatthewsCorrelation(keep_in_memory=True).compute(**given)["matthews_correlation"] == pytest.approx(
        sklearn_metrics.matthews_corrcoef(references, predictions)
    )
    for average in ["micro", "macro", "weighted", *(["binary"] if num_labels == 2 else [])]:
        assert F1(keep_in_memory=True).compute(**given, average=average)["f1"] == pytest.approx(
            sklearn_metrics.f1_score(references, predictions, average=average)
        ), average


def test_macro_f1_counts_a_class_that_is_only_predicted():
    given = {"predictions": [0, 0, 2, 1], "references": [0, 0, 1, 1]}
    assert F1(keep_in_memory=True).compute(**given, average="macro")["f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert F1(keep_in_memory=True).compute(**given, average="weighted")["f1"] == pytest.approx((2 * 1 + 2 * 2 / 3) / 4)


def test_f1_is_that_of_class_one():
    # Class 1: two hits, one false alarm, two misses.
    predictions, references = [1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 1, 1, 0, 0]
    assert F1(keep_in_memory=True).compute(predictions=predictions, references=references) == {
        "f1": pytest.approx(4 / 7)
    }


def test_matthews_correlation_of_a_table_by_hand():
    predictions = [1] * 6 + [0] * 2 + [1] * 1 + [0] * 3  # 6 hits, 2 misses, 1 false alarm, 3 rightly refused
    references = [1] * 8 + [0] * 4
    expected = (6 * 3 - 1 * 2) / math.sqrt(7 * 8 * 4 * 5)
    assert MatthewsCorrelation(keep_in_memory=True).compute(predictions=predictions, references=references) == {
        "matthews_correlation": pytest.approx(expected)
    }


def test_spearman_gives_ties_the_mean_of_their_ranks():
    # The ranks are [1, 2.5, 2.5, 4] and [1, 2, 3, 4].
    result = Spearman(keep_in_memory=True).compute(
        predictions=[1.0, 2.0, 2.0, 3.0], references=[10.0, 20.0, 30.0, 40.0]
    )
    assert result == {"spearmanr": pytest.approx(4.5 / math.sqrt(4.5 * 5))}


@pytest.mark.parametrize("seed", range(3))
def test_correlations_equal_their_definition(seed):
    rng = np.random.default_rng(seed)
    references = rng.integers(0, 11, size=100) / 2  # many ties, as in STS-B
    predictions = references + rng.normal(size=100)
    centred = [predictions - predictions.mean(), references - references.mean()]
    pearson = centred[0] @ centred[1] / math.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1]))
    spearman = np.corrcoef(stats.rankdata(predictions), stats.rankdata(references))[0, 1]
    given = {"predictions": predictions, "references": references}
    assert Pearson(keep_in_memory=True).compute(**given)["pearsonr"] == pytest.approx(pearson)
    assert Spearman(keep_in_memory=True).compute(**given)["spearmanr"] == pytest.approx(spearman)


def test_scores_keep_their_decimals():
    """Scores read as whole numbers, or in single precision, are all the same here."""
    given = {"predictions": [1.0, 1.0 + 1e-9, 1.0 + 2e-9], "references": [0.1, 0.2, 0.3]}
    assert Spearman(keep_in_memory=True).compute(**given)["spearmanr"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("predictions", "references"),
    [([1, 1, 1], [1, 0, 1]), ([1, 0, 1], [1, 1, 1]), ([0, 0, 0], [0, 0, 0]), ([0], [0])],
    ids=["constant predictions", "constant references", "both constant", "one row"],
)
def test_degenerate_inputs_have_a_value_and_no_warning(predictions, references):
    given = {"predictions": predictions, "references": references}
    assert MatthewsCorrelation(keep_in_memory=True).compute(**given) == {"matthews_correlation": 0.0}
    assert math.isnan(Pearson(keep_in_memory=True).compute(**given)["pearsonr"])
    assert math.isnan(Spearman(keep_in_memory=True).compute(**given)["spearmanr"])


def test_f1_is_zero_without_a_positive_row():
    assert F1(keep_in_memory=True).compute(predictions=[0, 0], references=[0, 0]) == {"f1": 0.0}
    assert F1(keep_in_memory=True).compute(predictions=[0, 0], references=[1, 0]) == {"f1": 0.0}


def test_scores_that_hardly_differ_give_no_warning():
    scores = [1.0, 1.0 + 3e-16, 1.0]
    assert -1 <= Pearson(keep_in_memory=True).compute(predictions=scores, references=[1.0, 0.0, 1.0])["pearsonr"] <= 1


@pytest.mark.parametrize("name", NAMES)
def test_batches_give_what_all_rows_give(name):
    predictions, references = random_labels(2, seed=5)
    metric = load_metric(name)
    for rows in np.array_split(np.arange(200), 7):
        metric.add_batch(predictions=predictions[rows], references=references[rows])
    assert metric.compute() == load_metric(name).compute(predictions=predictions, references=references)


def test_metrics_combine():
    both = evaluate.combine([load_metric("accuracy"), load_metric("f1")])
    result = both.compute(predictions=[1, 0, 1], references=[1, 1, 1])
    assert result == {"accuracy": pytest.approx(2 / 3), "f1": pytest.approx(0.8)}
    pearson_and_spearman = evaluate.combine([Pearson(), Spearman()], force_prefix=True)
    assert set(pearson_and_spearman.compute(predictions=[1, 2], references=[1, 2])) == {
        "pearsonr_pearsonr",
        "spearmanr_spearmanr",
    }


def test_a_metric_can_be_used_again():
    metric = load_metric("accuracy")
    assert metric.compute(predictions=[1], references=[1]) == {"accuracy": 1.0}
    assert metric.compute(predictions=[1], references=[0]) == {"accuracy": 0.0}


def test_f1_of_class_one_refuses_three_classes_and_can_be_used_again():
    metric = load_metric("f1")
    given = {"predictions": [0, 1, 2], "references": [0, 1, 1]}
    with pytest.raises(ValueError, match=r"got \[0, 1, 2\].*average='macro'"):
        metric.compute(**given)
    assert metric.compute(**given, average="micro") == {"f1": pytest.approx(2 / 3)}


def test_f1_refuses_an_average_it_does_not_know():
    with pytest.raises(ValueError, match=r"macro.*got 'mean'"):
        F1(keep_in_memory=True).compute(predictions=[0, 1], references=[0, 1], average="mean")


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_are_an_error_and_not_a_number(name):
    with pytest.raises(ValueError, match="no rows"):
        load_metric(name).compute(predictions=[], references=[])


@pytest.mark.parametrize("name", NAMES)
def test_every_name_gives_the_metric_of_that_name(name):
    metric = load_metric(name)
    assert isinstance(metric, evaluate.EvaluationModule)
    assert metric.name == name
    assert list(metric.compute(predictions=[0, 1, 1], references=[0, 1, 0])) == [name]


def test_an_unknown_name_lists_those_that_work():
    with pytest.raises(ValueError, match="'acuracy' is none of") as caught:
        load_metric("acuracy")
    assert all(name in str(caught.value) for name in NAMES)
    assert type(caught.value.__cause__).__name__ in str(caught.value)


def test_a_metric_script_of_the_user_is_loaded(tmp_path):
    script = tmp_path / "share_of_ones.py"
    script.write_text(
        "import datasets\n"
        "import evaluate\n"
        "class ShareOfOnes(evaluate.Metric):\n"
        "    def _info(self):\n"
        "        value = datasets.Value('int64')\n"
        "        features = datasets.Features({'predictions': value, 'references': value})\n"
        "        return evaluate.MetricInfo(description='', citation='', inputs_description='', features=features)\n"
        "    def _compute(self, predictions, references):\n"
        "        return {'ones': sum(predictions) / len(predictions)}\n"
    )
    metric = load_metric(str(script))
    assert metric.compute(predictions=[1, 1, 0, 0], references=[0, 0, 0, 0]) == {"ones": 0.5}


def test_a_trainer_gets_the_metric_of_the_largest_logit():
    logits = np.array([[0.1, 0.9], [2.0, -1.0], [-3.0, -2.0], [0.0, 5.0]], dtype=np.float32)
    compute_metrics = compute_metrics_for(load_metric("accuracy"))
    assert compute_metrics(EvalPrediction(predictions=logits, label_ids=np.array([1, 0, 1, 0]))) == {"accuracy": 0.75}
    hidden = np.zeros((4, 8))
    with_hidden = EvalPrediction(predictions=(logits, hidden), label_ids=np.array([1, 0, 1, 0]))
    assert compute_metrics(with_hidden) == {"accuracy": 0.75}


def test_a_trainer_does_not_count_rows_without_a_label():
    logits = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    compute_metrics = compute_metrics_for(load_metric("accuracy"))
    assert compute_metrics(EvalPrediction(predictions=logits, label_ids=np.array([1, -100, -100]))) == {"accuracy": 1.0}
    assert compute_metrics(EvalPrediction(predictions=logits, label_ids=np.array([-100] * 3))) == {}


@pytest.mark.parametrize("shape", [(4, 1), (4,)], ids=["one wide", "flat"])
def test_a_trainer_gets_the_correlation_of_regression_scores(shape):
    scores = np.array([0.1, 0.5, 0.4, 0.9], dtype=np.float32).reshape(shape)
    references = np.array([0.0, 2.0, 2.5, 5.0], dtype=np.float32)
    both = evaluate.combine([load_metric("pearsonr"), load_metric("spearmanr")])
    result = compute_metrics_for(both)(EvalPrediction(predictions=scores, label_ids=references))
    assert result == {
        "pearsonr": pytest.approx(np.corrcoef(scores.reshape(4), references)[0, 1], abs=1e-6),
        "spearmanr": pytest.approx(0.8),  # one pair of neighbours exchanged: 1 - 6 * 2 / (4 * 15)
    }


LOGITS = np.array([[2.0, -1, 0.5], [-1, -2, -3], [0.1, 3, -2], [-1, 1, 1]])
GOLD = np.array([[1.0, 0, 1], [0, 0, 1], [np.nan] * 3, [0, 1, 0]])  # the third row has no gold label


def test_several_labels_a_row_by_hand():
    """The largest logit would be taken for the only label, or a row without gold labels for one without labels."""
    found = compute_metrics_for(load_metrics(["accuracy", "f1"]))(EvalPrediction(LOGITS, GOLD))
    # predicted 101, 000, -, 011 for 101, 001, -, 010: one row of three is right; 3 of 4 given labels, 3 of 4 gold ones
    assert found == {"accuracy": pytest.approx(1 / 3), "f1": pytest.approx(2 * 3 / (4 + 4))}


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_f1_of_several_labels_a_row_equals_scikit_learn(average):
    """One label would count more or less than another."""
    generator = np.random.default_rng(3)
    predicted, gold = generator.integers(0, 2, (2, 40, 5))
    gold[:, 4] = 0  # a label that never occurs
    expected = sklearn_metrics.f1_score(gold, predicted, average=average, zero_division=0)
    found = load_metric("f1").compute(predictions=predicted, references=gold, average=average)
    assert found["f1"] == pytest.approx(expected)
    assert load_metric("accuracy").compute(predictions=predicted, references=gold)["accuracy"] == pytest.approx(
        sklearn_metrics.accuracy_score(gold, predicted)
    )


def test_agreement_by_hand():
    """Two models would agree by their largest logits where these say nothing."""
    one = np.array([[2.0, 1.0], [-1.0, -2.0], [1.0, -1.0]])
    other = np.array([[3.0, -1.0], [-5.0, -1.0], [0.5, -0.5]])
    by_type = {
        problem_type: agreement(predictions_of(one, problem_type), predictions_of(other, problem_type))
        for problem_type in ("single_label_classification", "multi_label_classification")
    }
    assert by_type["single_label_classification"] == pytest.approx(2 / 3)  # rows 0 and 2
    assert by_type["multi_label_classification"] == pytest.approx(2 / 3)  # rows 1 (no label) and 2
    scores = [predictions_of(np.array(each)[:, None], "regression") for each in ([1.0, 2, 4], [2.0, 1, 3])]
    assert agreement(*scores) == pytest.approx(np.corrcoef([1, 2, 4], [2, 1, 3])[0, 1])
    assert np.isnan(agreement(scores[0], np.ones(3)))


def test_each_problem_type_has_metrics_of_its_own():
    """A regression would be measured by the share of scores that are equal to the last digit."""
    assert default_metrics("regression") == ["spearmanr", "pearsonr"]
    assert default_metrics("multi_label_classification") == ["f1", "accuracy"]
    assert default_metrics("single_label_classification") == ["accuracy"]
