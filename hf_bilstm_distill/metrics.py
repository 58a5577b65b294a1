"""Metrics of text classification as `evaluate` modules that need no network, and their way into a Trainer."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from scipy import stats
from transformers import EvalPrediction

from hf_bilstm_distill.transfer_set import MULTI_LABEL, REGRESSION, SINGLE_LABEL, has_gold

_F1_AVERAGES = ("binary", "micro", "macro", "weighted")


class _OfflineMetric(evaluate.Metric):
    """A metric of this package: what its inputs are, and how it reads to a user."""

    _result_key: str
    _value_type: str
    _description: str
    _takes_lists = False
    """Whether a row may also be a list of zeros and ones, one for each label."""

    @property
    def name(self) -> str:
        return self._result_key

    def _info(self) -> evaluate.MetricInfo:
        values = [datasets.Value(self._value_type)]
        if self._takes_lists:
            values.append(datasets.List(datasets.Value(self._value_type)))
        return evaluate.MetricInfo(
            description=self._description,
            citation="",
            inputs_description=f"\nReturns a dictionary with the key `{self._result_key}`.",
            features=[datasets.Features({"predictions": value, "references": value}) for value in values],
        )

    def compute(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> dict[str, float] | None:
        """Compute the metric, as `evaluate` does it.

        Args:
            predictions: Of each row.
            references: Of each row.
            **kwargs: What the metric takes beside them.

        Returns:
            Its value by name; None in all processes but the first.

        Raises:
            ValueError: If there are no rows.
        """
        if references is not None:
            _as_rows(predictions, references)
        return super().compute(predictions=predictions, references=references, **kwargs)


class Accuracy(_OfflineMetric):
    """Measure the share of predictions that equal their reference, of several labels a row in every label."""

    _result_key = "accuracy"
    _value_type = "int64"
    _takes_lists = True
    _description = "The share of predictions that equal their reference."

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        predicted, gold = _as_rows(predictions, references)
        return {"accuracy": float((predicted == gold).reshape(len(gold), -1).all(axis=1).mean())}


class F1(_OfflineMetric):
    """Measure the harmonic mean of precision and recall.

    `compute(..., average=...)` says of which class: `binary` (the default) of class 1, `macro` the mean over the
    classes, `weighted` that mean by the number of references of each, `micro` of all decisions together. A class that
    is neither predicted nor present has 0.0.

    Where a row can have several labels, `binary` and `micro` count the decisions on all labels together, `macro` is the
    mean over labels, `weighted` that mean by how often each occurs.
    """

    _result_key = "f1"
    _value_type = "int64"
    _takes_lists = True
    _description = "The harmonic mean of precision and recall: of class 1, or an average over classes."

    def _compute(self, predictions: Any, references: Any, average: str = "binary") -> dict[str, float]:
        if average not in _F1_AVERAGES:
            raise ValueError(f"average must be one of {list(_F1_AVERAGES)}, got {average!r}.")
        predicted, gold = _as_rows(predictions, references)
        if gold.ndim > 1:
            return {"f1": _f1_of_lists(predicted == 1, gold == 1, average)}
        labels, counts = _confusion(predicted, gold)
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


def default_metrics(problem_type: str) -> list[str]:
    """Return the names of the metrics that suit a problem type.

    Args:
        problem_type: One of `PROBLEM_TYPES`.

    Returns:
        Names for `load_metric`, the one to choose the best student by first.
    """
    return {REGRESSION: [Spearman._result_key, Pearson._result_key], MULTI_LABEL: [F1._result_key, "accuracy"]}.get(
        problem_type, [Accuracy._result_key]
    )


def load_metrics(names: Sequence[str]) -> evaluate.EvaluationModule:
    """Return several metrics as one.

    Args:
        names: Names for `load_metric`, one or more.

    Returns:
        The metric.
    """
    metrics = [load_metric(name) for name in names]
    return metrics[0] if len(metrics) == 1 else evaluate.combine(metrics)


def predictions_of(logits: np.ndarray, problem_type: str) -> np.ndarray:
    """Return what logits predict.

    Args:
        logits: `(rows, num_labels)`.
        problem_type: One of `PROBLEM_TYPES`.

    Returns:
        The position of the largest, `(rows,)`; or where a text can have several labels 1 for each that is more likely
        than not and 0 for the others, `(rows, num_labels)`; or the number itself in regression, `(rows,)`.
    """
    if problem_type == REGRESSION:
        return logits.reshape(len(logits), -1)[:, 0]
    if problem_type == MULTI_LABEL:
        return (logits >= 0).astype(np.int64)
    return logits.argmax(axis=1)


def agreement(predictions: np.ndarray, reference: np.ndarray) -> float:
    """Tell how far two models predict the same.

    Args:
        predictions: What one predicts, as `predictions_of` gives it.
        reference: What the other predicts.

    Returns:
        The share of rows with the same label, or with the same set of labels; of the numbers of a regression their
        Pearson correlation.
    """
    if reference.dtype.kind == "f":
        return _correlation(stats.pearsonr, predictions, reference)
    return float((predictions == reference).reshape(len(reference), -1).all(axis=1).mean())


def compute_metrics_for(metric: evaluate.EvaluationModule) -> Callable[[EvalPrediction], dict[str, float]]:
    """Return a function for a Trainer's `compute_metrics`.

    Logits of width 1 are scores of a regression and are compared as they are. Of wider logits the largest is the
    predicted label; or, if a row of the gold labels is a list of zeros and ones, all that are above zero are. Rows
    whose label is -100 or NaN have no gold label and are left out.

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
        labelled = has_gold(references)
        if not labelled.any():
            return {}
        logits, references = logits[labelled], references[labelled]
        if logits.ndim == 1 or logits.shape[1] == 1:
            problem_type, references = REGRESSION, references.reshape(-1)
        else:
            problem_type = SINGLE_LABEL if references.ndim == 1 else MULTI_LABEL
            references = references.astype(np.int64)
        values = metric.compute(predictions=predictions_of(logits, problem_type), references=references)
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


def _f1_of_lists(predicted: np.ndarray, gold: np.ndarray, average: str) -> float:
    """Return the F1 where a row can have several labels: `(rows, num_labels)`."""
    axis = None if average in ("binary", "micro") else 0
    both, either = (predicted & gold).sum(axis=axis), predicted.sum(axis=axis) + gold.sum(axis=axis)
    of_each = np.divide(2 * both, either, out=np.zeros(np.shape(both)), where=either > 0)
    weights = gold.sum(axis=0) if average == "weighted" and gold.any() else None
    return float(np.average(of_each, weights=weights))


def _correlation(measure: Callable[..., Any], predicted: np.ndarray, gold: np.ndarray) -> float:
    if len(gold) < 2:
        return float("nan")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # constant scores: NaN says it
        return float(measure(predicted, gold).statistic)
