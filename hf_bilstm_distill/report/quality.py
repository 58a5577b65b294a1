"""How good predictions are, and how sure one can be of that: intervals, calibration, classes."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import evaluate
import numpy as np

from hf_bilstm_distill.report.measuring import Predictions
from hf_bilstm_distill.report.model_report import Calibration, CalibrationBin, ClassScores, Difference
from hf_bilstm_distill.transfer_set import REGRESSION, SINGLE_LABEL

RESAMPLES = 1000
CALIBRATION_BINS = 15
_LARGEST_TABLE = 1000  # of 10,000 labels it would take gigabytes
_PERCENTILES = (2.5, 97.5)
_SEED = 0

Measure = Callable[[np.ndarray], Mapping[str, float]]
"""Values by name, of the rows at some positions."""


def metric_values(module: Any, predicted: np.ndarray, gold: np.ndarray) -> dict[str, float]:
    """Return a metric's values.

    Args:
        module: A metric, or several from `evaluate.combine`.
        predicted: What a model predicts.
        gold: The gold labels, in the same form.

    Returns:
        The values by name; none if there are no rows.
    """
    if len(gold) == 0:
        return {}
    return {name: float(value) for name, value in module.compute(predictions=predicted, references=gold).items()}


def metric_measure(module: Any, predicted: np.ndarray, gold: np.ndarray) -> Measure:
    """Return a metric as a function of rows, to be asked a thousand times.

    Args:
        module: A metric, or several from `evaluate.combine`.
        predicted: What a model predicts.
        gold: The gold labels, in the same form.

    Returns:
        The function.
    """
    single: Sequence[evaluate.EvaluationModule] = getattr(module, "evaluation_modules", [module])

    def directly(rows: np.ndarray) -> dict[str, float]:
        values: dict[str, float] = {}
        for each in single:
            values |= each._compute(predictions=predicted[rows], references=gold[rows])
        return values

    def as_published(rows: np.ndarray) -> dict[str, float]:
        return metric_values(module, predicted[rows], gold[rows])

    # `compute` writes each prediction to a table first, which takes most of its time. A metric may rely on that.
    everything = np.arange(len(gold))
    try:
        quick, published = directly(everything), as_published(everything)
        is_same = quick.keys() == published.keys() and np.array_equal(
            list(quick.values()), list(published.values()), equal_nan=True
        )
    except Exception:  # a metric of somebody else's
        is_same = False
    return directly if is_same else as_published


def agreement_measure(predictions: Predictions, teacher: Predictions) -> Measure | None:
    """Return the share of rows that get the teacher's label, as a function of rows.

    Args:
        predictions: What a model predicts.
        teacher: What the teacher predicts.

    Returns:
        The function; None for a regression, and for models of different kinds.
    """
    kinds = {predictions.problem_type, teacher.problem_type}
    if REGRESSION in kinds or predictions.values.shape != teacher.values.shape:
        return None
    is_same = _same_labels(predictions.values, teacher.values)
    return lambda rows: {"agreement_with_teacher": float(is_same[rows].mean())}


def resampled(measure: Measure, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Measure many random samples, with replacement, of some rows: the bootstrap.

    The samples depend on the number of rows alone. So two models that are measured on the same rows meet the same
    samples, and the differences of their values are those of the paired bootstrap.

    Args:
        measure: What to measure.
        rows: Positions of the rows to draw from.

    Returns:
        The values of each sample by name, `(RESAMPLES,)`.

    Source:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile intervals).
    """
    generator = np.random.default_rng(_SEED)
    samples = [measure(rows[generator.integers(len(rows), size=len(rows))]) for _ in range(RESAMPLES)]
    return {name: np.array([sample[name] for sample in samples], dtype=float) for name in samples[0]}


def interval(values: np.ndarray) -> list[float] | None:
    """Return the range that holds the middle 95 % of resampled values.

    Args:
        values: What `resampled` gave for a name.

    Returns:
        Its two ends. None where the bootstrap can say nothing: a value is not defined, or all are equal.
    """
    if not np.isfinite(values).all() or values.min() == values.max():
        return None
    return [float(end) for end in np.percentile(values, _PERCENTILES)]


def difference(value: float, teacher_value: float, resamples: np.ndarray, teacher_resamples: np.ndarray) -> Difference:
    """Return by how much a value differs from the teacher's on the same rows.

    Args:
        value: The value.
        teacher_value: The teacher's.
        resamples: What `resampled` gave for the model.
        teacher_resamples: What it gave for the teacher, of the same rows.

    Returns:
        The difference, negative where the teacher is ahead, and the ends of its interval.
    """
    low, high = interval(resamples - teacher_resamples) or (None, None)
    return {"value": value - teacher_value, "low": low, "high": high}


def calibration(predictions: Predictions, gold: np.ndarray, rows: np.ndarray) -> Calibration | None:
    """Compare how sure a model is of its labels with how often they are right.

    The probability of the predicted label falls into one of 15 bins of equal width. The expected calibration error is
    the mean over the texts of how far, in their bin, the mean probability is from the share of right labels.

    Args:
        predictions: What the model predicts.
        gold: Gold labels as integers, `(rows,)`.
        rows: Positions of the rows that have one.

    Returns:
        The error and the bins. None where the scores are not the probabilities of one label a text.

    Source:
        Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """
    scores = predictions.scores[rows].astype(np.float64)
    if predictions.problem_type != SINGLE_LABEL or not _are_probabilities(scores):
        return None
    labels = predictions.values[rows]
    confidence = scores[np.arange(len(rows)), labels]
    is_right = labels == gold[rows]
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    positions = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, CALIBRATION_BINS - 1)
    bins = [
        _calibration_bin(low, high, confidence[positions == number], is_right[positions == number])
        for number, (low, high) in enumerate(pairwise(edges.tolist()))
    ]
    gaps = [each["rows"] * abs((each["confidence"] or 0) - (each["accuracy"] or 0)) for each in bins]
    return {"expected_calibration_error": sum(gaps) / len(rows), "bins": bins}


def class_scores(predicted: np.ndarray, gold: np.ndarray, names: Sequence[str]) -> list[ClassScores]:
    """Return precision, recall, F1 and support of each class.

    Args:
        predicted: Labels as integers, `(rows,)`; or 0 and 1, `(rows, num_labels)`, where a text can have several.
        gold: The gold labels in the same form.
        names: Names of the classes, in the order of their numbers.

    Returns:
        A row for each class. A class that is never predicted has no precision, one without gold labels no recall, and
        one with neither no F1.
    """
    classes = np.arange(len(names))
    has_class = (lambda labels: labels == 1) if gold.ndim == 2 else (lambda labels: labels[:, None] == classes)
    is_predicted, is_gold = has_class(predicted), has_class(gold)
    table = []
    for number, name in enumerate(names):
        both = int((is_predicted[:, number] & is_gold[:, number]).sum())
        num_predicted, support = int(is_predicted[:, number].sum()), int(is_gold[:, number].sum())
        table.append(
            ClassScores(
                name=name,
                precision=_share(both, num_predicted),
                recall=_share(both, support),
                f1=_share(2 * both, num_predicted + support),
                support=support,
            )
        )
    return table


def confusion(predicted: np.ndarray, gold: np.ndarray, num_labels: int) -> list[list[int]] | None:
    """Count the rows by gold and predicted label.

    Args:
        predicted: Labels as integers, `(rows,)`.
        gold: The gold labels, in the same form.
        num_labels: How many labels there are.

    Returns:
        For each gold label, how often each label is predicted. None where a text can have several labels, or where
        there are more than 1000.
    """
    if gold.ndim == 2 or num_labels > _LARGEST_TABLE:
        return None
    counts = np.bincount(gold * num_labels + predicted, minlength=num_labels**2)
    return counts.reshape(num_labels, num_labels).tolist()


def _calibration_bin(low: float, high: float, confidence: np.ndarray, is_right: np.ndarray) -> CalibrationBin:
    return {
        "low": low,
        "high": high,
        "rows": len(confidence),
        "confidence": float(confidence.mean()) if len(confidence) else None,
        "accuracy": float(is_right.mean()) if len(confidence) else None,
    }


def _same_labels(labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    is_same = labels == others
    return is_same if is_same.ndim == 1 else is_same.all(axis=1)


def _are_probabilities(scores: np.ndarray) -> bool:
    in_range = bool((scores >= 0).all() and (scores <= 1 + 1e-6).all())
    return in_range and bool(np.allclose(scores.sum(axis=1), 1, atol=1e-2))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
