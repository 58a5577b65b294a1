"""Where a model fails: texts on which it differs from the teacher, long texts, words it does not know."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from datasets import Dataset

from hf_bilstm_distill.report.measuring import Predictions
from hf_bilstm_distill.report.model_report import Disagreement, Disagreements, LengthBand, UnknownTokens
from hf_bilstm_distill.transfer_set import REGRESSION, SINGLE_LABEL, has_gold, text_columns

_LONGEST_EXAMPLE = 400  # characters
_TEXTS_AT_ONCE = 1024


def right_rows(predictions: Predictions, gold: np.ndarray) -> np.ndarray:
    """Return which rows have the right label: all of the right ones, where a text can have several.

    Args:
        predictions: What a model predicts, labels and not scores of a regression.
        gold: Gold labels, in the form of its values.

    Returns:
        `(rows,)`.
    """
    is_right = predictions.values == gold
    return is_right if is_right.ndim == 1 else is_right.all(axis=1)


def disagreements(
    predictions: Predictions,
    teacher: Predictions,
    gold: np.ndarray,
    dataset: Dataset,
    names: Sequence[str],
    num_examples: int = 10,
) -> Disagreements | None:
    """Find the texts on which a model differs from the teacher, the clearest cases first.

    The clearest are those where both are sure: the product of the two probabilities is largest. Where a text can have
    several labels, and in a regression, it is the largest difference of a score.

    Args:
        predictions: What the model predicts.
        teacher: What the teacher predicts.
        gold: Gold labels or scores; integers of -100, or NaN, where there is none.
        dataset: The texts.
        names: Names of the labels.
        num_examples: How many texts to return at most.

    Returns:
        The counts and the examples, with at most 400 characters of each text. None where the two cannot be
        compared: predictions of another kind, or scores of another width.
    """
    if predictions.problem_type != teacher.problem_type or predictions.scores.shape != teacher.scores.shape:
        return None
    is_regression = predictions.problem_type == REGRESSION
    differs = teacher.known & ~right_rows(predictions, teacher.values)
    distance = np.abs(predictions.scores - teacher.scores).max(axis=1)
    confidences = [_confidence(each) for each in (predictions, teacher)]
    if confidences[0] is not None and confidences[1] is not None:
        distance = confidences[0] * confidences[1]
    clearest = np.argsort(np.where(differs, -distance, np.inf), kind="stable")[: min(num_examples, int(differs.sum()))]
    return {
        "rows": None if is_regression else int(differs.sum()),
        "rows_with_gold": None if is_regression else int((differs & has_gold(gold)).sum()),
        "teacher_right": _count_right(teacher, gold, differs),
        "model_right": _count_right(predictions, gold, differs),
        "examples": [
            _example(int(row), predictions, teacher, gold, dataset.select([int(row)]), names) for row in clearest
        ],
    }


def length_bands(
    dataset: Dataset,
    predictions: Predictions,
    teacher: Predictions | None,
    gold: np.ndarray,
) -> list[LengthBand]:
    """Measure short, middle and long texts, a third of the rows each.

    Args:
        dataset: The texts. The length of a pair is that of both texts.
        predictions: What the model predicts.
        teacher: What the teacher predicts, if that is known.
        gold: Gold labels or scores; integers of -100, or NaN, where there is none.

    Returns:
        Three bands, the short texts first. None at all if too many texts are of one length to form three.
    """
    columns = [dataset[column][:] for column in text_columns(dataset)]
    lengths = np.array([sum(map(len, row)) for row in zip(*columns, strict=True)])
    bands = np.searchsorted(np.quantile(lengths, [1 / 3, 2 / 3]), lengths, side="left")
    if len(np.unique(bands)) < 3:
        return []
    is_regression = predictions.problem_type == REGRESSION
    comparable = teacher is not None and not is_regression and teacher.values.shape == predictions.values.shape
    found = []
    for band in range(3):
        members = bands == band
        rows = members & has_gold(gold)
        right, error, agreement = None, None, None
        if rows.any() and is_regression:
            error = float(np.abs(predictions.values - gold)[rows].mean())
        elif rows.any():
            right = float(right_rows(predictions, gold)[rows].mean())
        if comparable and teacher is not None and (known := members & teacher.known).any():
            agreement = float(right_rows(predictions, teacher.values)[known].mean())
        found.append(
            LengthBand(
                shortest=int(lengths[members].min()),
                longest=int(lengths[members].max()),
                rows=int(members.sum()),
                share_right=right,
                mean_absolute_error=error,
                agreement_with_teacher=agreement,
            )
        )
    return found


def unknown_tokens(model: Any, dataset: Dataset) -> UnknownTokens | None:
    """Measure how much of the texts a model's tokenizer has no entry for.

    Args:
        model: A model that may have a `tokenizer` of transformers.
        dataset: The texts.

    Returns:
        The shares of tokens that are unknown and of texts with one at least. None if there is no such tokenizer, or it
        has no token for the unknown.
    """
    tokenizer = getattr(model, "tokenizer", None)
    unknown = getattr(tokenizer, "unk_token_id", None)
    if tokenizer is None or unknown is None:
        return None
    has_unknown = np.zeros(len(dataset), dtype=bool)
    num_tokens = num_unknown = 0
    for column in text_columns(dataset):
        texts = dataset[column][:]
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            batch = tokenizer(texts[start : start + _TEXTS_AT_ONCE], add_special_tokens=False, verbose=False)
            counts = np.array([ids.count(unknown) for ids in batch["input_ids"]])
            num_tokens += sum(map(len, batch["input_ids"]))
            num_unknown += int(counts.sum())
            has_unknown[start : start + len(counts)] |= counts > 0
    if num_tokens == 0:
        return None
    return {"share_of_tokens": num_unknown / num_tokens, "share_of_texts": float(has_unknown.mean())}


def _confidence(predictions: Predictions) -> np.ndarray | None:
    """Return the probability of the predicted labels, if there is one label a text."""
    if predictions.problem_type != SINGLE_LABEL:
        return None
    return predictions.scores[np.arange(len(predictions.values)), predictions.values]


def _count_right(predictions: Predictions, gold: np.ndarray, rows: np.ndarray) -> int | None:
    if predictions.problem_type == REGRESSION or not has_gold(gold).any():
        return None
    return int(right_rows(predictions, gold)[rows].sum())


def _example(
    row: int,
    predictions: Predictions,
    teacher: Predictions,
    gold: np.ndarray,
    text: Dataset,
    names: Sequence[str],
) -> Disagreement:
    columns = [_shortened(text[column][0]) for column in text_columns(text)]
    confidences = [
        None if (values := _confidence(each)) is None else float(values[row]) for each in (teacher, predictions)
    ]
    return {
        "row": row,
        "text": columns[0],
        "text_pair": columns[1] if len(columns) == 2 else None,
        "gold": _name(gold[row], names),
        "teacher": cast(str | float | list[str], _name(teacher.values[row], names)),
        "teacher_confidence": confidences[0],
        "model": cast(str | float | list[str], _name(predictions.values[row], names)),
        "model_confidence": confidences[1],
    }


def _name(value: np.ndarray, names: Sequence[str]) -> str | float | list[str] | None:
    if value.ndim == 1:
        return [name for name, is_set in zip(names, value, strict=True) if is_set == 1] if (value >= 0).all() else None
    if value.dtype.kind == "f":
        return None if np.isnan(value) else float(value)
    return names[int(value)] if value >= 0 else None


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_EXAMPLE else text[: _LONGEST_EXAMPLE - 1] + "…"
