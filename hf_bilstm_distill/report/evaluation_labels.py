"""The gold labels of a set to measure on, as an array; and whether predictions fit them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from hf_bilstm_distill.report.measuring import Predictions
from hf_bilstm_distill.transfer_set import LABEL, NO_LABEL, REGRESSION, has_gold


def evaluation_labels(dataset: Dataset) -> np.ndarray:
    """Return the gold labels of a set.

    Args:
        dataset: A set with or without a column `label`: numbers of classes, scores, or lists of 0 and 1.

    Returns:
        `(rows,)`; or integers `(rows, num_labels)` where a text can have several. -100, or NaN among scores, where
        there is none, and throughout if the set has no column `label`.

    Raises:
        ValueError: If a label is None, or not a number, or if a list holds anything but 0 and 1.
    """
    if LABEL not in dataset.column_names:
        return np.full(len(dataset), NO_LABEL)
    column = dataset.with_format("arrow")[LABEL][:]
    if column.null_count:
        raise ValueError(
            f"{column.null_count} of {len(dataset)} rows have None as their {LABEL!r}. Give them the label {NO_LABEL}."
        )
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _label_lists(column)
    labels = column.to_numpy()
    if labels.dtype.kind not in "iuf":
        raise ValueError(
            f"The column {LABEL!r} holds {column.type} (row 0: {labels[0]!r}), not numbers. "
            "Write each label as its position among the label names."
        )
    return labels


def check_fit(name: str, predictions: Predictions, gold: np.ndarray, label_names: Sequence[str] | None) -> None:
    """Stop where predictions do not fit the gold labels, or the names.

    Args:
        name: What to call the model in the error.
        predictions: What it predicts.
        gold: The gold labels.
        label_names: Names of the labels, if they are known.

    Raises:
        ValueError: If the two are of different form, or there are more labels than scores or names.
    """
    if predictions.problem_type == REGRESSION:
        return
    num_labels = predictions.scores.shape[1]
    if label_names is not None and len(label_names) != num_labels:
        raise ValueError(f"{name}.predict gave {num_labels} scores a text, but the labels are {list(label_names)}.")
    known = gold[has_gold(gold)]
    if len(known) == 0:
        return
    if known.ndim != predictions.values.ndim or (known.ndim == 2 and known.shape[1] != num_labels):
        raise ValueError(
            f"{name}.predict gave labels of shape {predictions.values.shape}, but the gold labels have the shape "
            f"{gold.shape}. Both must be one label a text, or a 0 or 1 for each label."
        )
    fractions = known[known != np.round(known)]
    if len(fractions):
        raise ValueError(
            f"{name}.predict gave {num_labels} scores a text, but gold labels are fractions (such as {fractions[0]}). "
            "A regression gives one score a text; classes are numbered by integers."
        )
    if known.ndim == 1 and not 0 <= known.min() <= known.max() < num_labels:
        raise ValueError(
            f"The gold labels go from {known.min()} to {known.max()}, but {name}.predict gave {num_labels} scores a "
            f"text, for the labels 0 to {num_labels - 1}. Rows without a gold label have {NO_LABEL}."
        )


def _label_lists(column: pa.ChunkedArray) -> np.ndarray:
    lengths = np.unique(pc.list_value_length(column).to_numpy())
    values = pc.list_flatten(column).to_numpy()
    if len(lengths) > 1 or values.dtype.kind not in "iuf":
        raise ValueError(
            f"The column {LABEL!r} holds lists of {lengths.tolist()} values of {column.type.value_type}. "
            "Write a 0 or a 1 for each label into each of them."
        )
    labels = values.reshape(len(column), -1)
    labels = np.where(np.isnan(labels), NO_LABEL, labels)
    wrong = np.flatnonzero(~np.isin(labels, [0, 1, NO_LABEL]).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"The column {LABEL!r} holds the list {labels[wrong[0]].tolist()} in row {wrong[0]}. Lists must be of 0 "
            "and 1, one for each label; several scores a text cannot be measured."
        )
    return labels.astype(np.int64)
