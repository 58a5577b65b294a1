"""Metrics of text classification as `evaluate` modules that need no network, and their way into a Trainer."""

import warnings
from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np
from scipy import stats
from transformers import EvalPrediction

_NO_LABEL = -100  # a row without a gold label: torch's ignore_index

_F1_AVERAGES = ("binary", "micro", "macro", "weighted")


class _OfflineMetric(evaluate.Metric):
    """A metric of this package: what its inputs are, and how it reads to a user."""

    _result_key: str
    _value_type: str
    _description: str

    @property
    def name(self) -> str:
        return self._result_key

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value(self._value_type)
        return evaluate.MetricInfo(
            description=self._description,
            citation="",
            inputs_description=f"\nReturns a dictionary with the key `{self._result_key}`.",
            features=datasets.Features({"predictions": value, "references": value}),
        )


class Accuracy(_OfflineMetric):
    """Measure the share of predictions that equal their reference."""

    _result_key = "accuracy"
    _value_type = "int64"
    _description = "The share of predictions that equal their reference."

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        predicted, gold = _as_rows(predictions, references)
        return {"accuracy": float((predicted == gold).mean())}


class F1(_OfflineMetric):
    """Measure the harmonic mean of precision and recall.

    `compute(..., average=...)` says of which class: `binary` (the default) of class 1, `macro` the mean over the
    classes, `weighted` that mean by the number of references of each, `micro` of all decisions together. A class that
    is neither predicted nor present has 0.0.
    """

    _result_key = "f1"
    _value_type = "int64"
    _description = "The harmonic mean of precision and recall: of class 1, or an average over classes."

    def _compute(self, predictions: Any, references: Any, average: str = "binary") -> dict[str, float]:
        if average not in _F1_AVERAGES:
            raise ValueError(f"average must be one of {list(_F1_AVERAGES)}, got {average!r}.")
        labels, counts = _confusion(*_as_rows(predictions, references))
        if average == "binary":
            if not set(labels) <= {0, 1}:
                raise ValueError(
                    f"F1 with average='binary' is for the labels 0 and 1, got {labels.tolist()}. "
                    "Pass average='macro', 'weighted' or 'micro'."
                )
            return {"f1": float(_f1_of_each(counts)[labels == 1].sum())}
        if average == "micro":
            return {"f1": float(counts.trace() / counts.sum())}
        weights = counts.sum(axis=1) if average == "weighted" else None
        return {"f1": float(np.average(_f1_of_each(counts), weights=weights))}


class MatthewsCorrelation(_OfflineMetric):
    """Measure the correlation of predicted and true classes, for two classes or more.

    It is 0.0 where all predictions, or all references, are of one class.

    Source:
        Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient".
    """

    _result_key = "matthews_correlation"
    _value_type = "int64"
    _description = "The correlation of predicted and true classes, from -1 to 1."

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        _, counts = _confusion(*_as_rows(predictions, references))
        rows = counts.sum()
        of_gold, of_predicted = counts.sum(axis=1), counts.sum(axis=0)
        covariance = counts.trace() * rows - of_gold @ of_predicted
        spread = np.sqrt(rows**2 - of_gold @ of_gold) * np.sqrt(rows**2 - of_predicted @ of_predicted)
        return {"matthews_correlation": float(covariance / spread) if spread else 0.0}


class Pearson(_OfflineMetric):
    """Measure the linear correlation of two sets of scores.

    It is NaN where it is not defined: fewer than two rows, or all predictions or all references equal.
    """

    _result_key = "pearsonr"
    _value_type = "float64"
    _description = "The linear correlation of predicted and true scores, from -1 to 1."

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"pearsonr": _correlation(stats.pearsonr, *_as_rows(predictions, references))}


class Spearman(_OfflineMetric):
    """Measure the correlation of the ranks of two sets of scores; equal scores share the mean of their ranks.

    It is NaN where it is not defined: fewer than two rows, or all predictions or all references equal.
    """

    _result_key = "spearmanr"
    _value_type = "float64"
    _description = "The correlation of the ranks of predicted and true scores, from -1 to 1."

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"spearmanr": _correlation(stats.spearmanr, *_as_rows(predictions, references))}


_METRICS: dict[str, type[_OfflineMetric]] = {
    metric._result_key: metric for metric in (Accuracy, F1, MatthewsCorrelation, Pearson, Spearman)
}


def load_metric(name: str) -> evaluate.EvaluationModule:
    """Return a metric by its name: one of this package without a network, any other through `evaluate.load`.

    Args:
        name: `accuracy`, `f1`, `matthews_correlation`, `pearsonr` or `spearmanr`; or whatever `evaluate.load` takes: a
            name on the Hub, or the path of a metric's script.

    Returns:
        The metric.

    Raises:
        ValueError: If it is none of this package and `evaluate` cannot load it.
    """
    if name in _METRICS:
        return _METRICS[name](keep_in_memory=True)
    try:
        return evaluate.load(name)
    except Exception as error:  # the Hub, the network and the metric's own script each fail in their own way
        raise ValueError(
            f"{name!r} is none of this package's metrics {list(_METRICS)}, and evaluate.load({name!r}) failed with "
            f"{type(error).__name__}: {error} Use one of these names, or the path of a metric script on this machine."
        ) from error


def compute_metrics_for(metric: evaluate.EvaluationModule) -> Callable[[EvalPrediction], dict[str, float]]:
    """Return a function for a Trainer's `compute_metrics`.

    Logits of width 1 are scores of a regression and are compared as they are; of wider logits the largest is the
    predicted label. Rows whose label is -100 have no gold label and are left out.

    Args:
        metric: What to measure: a metric, or several from `evaluate.combine`.

    Returns:
        A function from a Trainer's predictions to the values by name; none where no row has a gold label.
    """

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        logits = prediction.predictions
        if isinstance(logits, tuple):  # a model that also returns hidden states
            logits = logits[0]
        references = np.asarray(prediction.label_ids)
        if references.ndim != 1:
            raise ValueError(
                f"The labels have the shape {references.shape}, but one label for each row is needed. "
                "Write a compute_metrics of your own for several labels a row."
            )
        is_regression = logits.ndim == 1 or logits.shape[1] == 1
        predictions = logits.reshape(-1) if is_regression else logits.argmax(axis=1)
        labelled = references != _NO_LABEL
        if not labelled.any():
            return {}
        values = metric.compute(predictions=predictions[labelled], references=references[labelled])
        return {name: float(value) for name, value in values.items()}

    return compute_metrics


def _as_rows(predictions: Any, references: Any) -> tuple[np.ndarray, np.ndarray]:
    predicted, gold = np.asarray(predictions), np.asarray(references)
    if len(gold) == 0:
        raise ValueError("There are no rows to measure: predictions and references are empty.")
    return predicted, gold


def _confusion(predicted: np.ndarray, gold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes that occur, and how often each is predicted for each: `(gold, predicted)`."""
    labels, positions = np.unique(np.concatenate([gold, predicted]), return_inverse=True)
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (positions[: len(gold)], positions[len(gold) :]), 1.0)
    return labels, counts


def _f1_of_each(counts: np.ndarray) -> np.ndarray:
    # Every class of the counts occurs among the references or the predictions, so no denominator is 0.
    return 2 * counts.diagonal() / (counts.sum(axis=0) + counts.sum(axis=1))


def _correlation(measure: Callable[..., Any], predicted: np.ndarray, gold: np.ndarray) -> float:
    if len(gold) < 2:
        return float("nan")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # constant scores: NaN says it
        return float(measure(predicted, gold).statistic)
