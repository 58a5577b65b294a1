"""The vocabulary of the transfer set: its columns, the checks of its rows, and the order of its labels.

Every data stage takes a `datasets.Dataset` with these columns and returns one. This file is all that they share.
"""

import re
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, LargeList, List
from transformers.utils import logging

logger = logging.get_logger(__name__)

TEXT = "text"
TEXT_PAIR = "text_pair"
LABEL = "label"
TEACHER_LOGITS = "teacher_logits"
AUGMENTED = "augmented"
"""True in rows made by augmentation, False in the user's own."""

NO_LABEL = -100
"""The label of a row without a gold label (torch's `ignore_index`)."""

SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"
PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION)
"""What a label is, as `problem_type` of a configuration says it: one class, several ones, or a number."""


_ROWS_A_LABEL = 10
_ROWS_FOR_CHANCE = 50


class LabelMismatchError(ValueError):
    """The labels of a teacher and those of the data cannot be brought together."""


def text_columns(dataset: Dataset) -> list[str]:
    """Return `["text"]`, or `["text", "text_pair"]` for a set of pairs.

    Args:
        dataset: A set with the columns named in this module.

    Returns:
        The names of the columns that hold text.
    """
    return [TEXT, TEXT_PAIR] if TEXT_PAIR in dataset.column_names else [TEXT]


def check_texts(dataset: Dataset, name: str = "dataset") -> None:
    """Stop if a set cannot be used: no rows, no text column, or text that is not text.

    Args:
        dataset: The set to check.
        name: What to call it in the error.

    Raises:
        ValueError: If it has no rows, or no column `text`, or a row whose text is None.
        TypeError: If a text column does not hold strings.
    """
    if TEXT not in dataset.column_names:
        raise ValueError(f"{name} has no column {TEXT!r}. Its columns are {dataset.column_names}.")
    if len(dataset) == 0:
        raise ValueError(f"{name} has no rows.")
    for column in text_columns(dataset):
        values = dataset.with_format("arrow")[column][:]
        if values.null_count:
            missing = np.flatnonzero(values.is_null().to_numpy())
            raise ValueError(
                f"{name} has no text in column {column!r} of {len(missing)} of its {len(dataset)} rows "
                f"(first: row {missing[0]}). Give these rows a text or drop them."
            )
        dtype = str(values.type)
        if dtype not in ("string", "large_string"):
            raise TypeError(
                f"Column {column!r} of {name} holds {dtype}, not text (row 0: {values[0].as_py()!r}). "
                "Name the column that holds the text."
            )


def check_strings(texts: Sequence[object], *, first_row: int = 0) -> None:
    """Stop if a list holds anything but text that can be written down: None, a number, half a character.

    Args:
        texts: What should be texts.
        first_row: The number of the first one, for the error.

    Raises:
        TypeError: If one of them is no string, or if `texts` is one string.
        ValueError: If one of them holds half a character (a lone surrogate).
    """
    if isinstance(texts, str):
        raise TypeError(f"Expected several texts, got the one string {texts[:40]!r}. Put it into a list.")
    try:
        "".join(cast(Sequence[str], texts)).encode()
    except (TypeError, UnicodeEncodeError):
        for row, text in enumerate(texts, start=first_row):
            if not isinstance(text, str):
                raise TypeError(
                    f"Expected text, got {repr(text)[:60]} in row {row}. Drop it, or make it a string."
                ) from None
            _check_characters(text, row)


def _check_characters(text: str, row: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The text of row {row} holds half a character, {text[error.start]!r} at position {error.start}, which "
            "cannot be written in UTF-8. Write text.encode(errors='replace').decode() instead."
        ) from None


def match_labels(teacher_labels: Mapping[int, str], data_labels: Sequence[str]) -> list[int]:
    """Find each of the data's labels among the teacher's, by name.

    Names match when they are equal up to case, and to `_`, `-` and spaces.

    Args:
        teacher_labels: The teacher's `id2label`.
        data_labels: The names of the data's labels, in their order.

    Returns:
        For each of the data's labels, its position in the teacher's logits.

    Raises:
        LabelMismatchError: If the two sets of names differ.
    """
    teacher_names = [teacher_labels[index] for index in sorted(teacher_labels)]
    positions = {_normalized(name): index for index, name in enumerate(teacher_names)}
    wanted = [_normalized(name) for name in data_labels]
    if len(positions) != len(teacher_names) or len(set(wanted)) != len(wanted) or set(wanted) != set(positions):
        raise LabelMismatchError(
            f"The teacher's labels {teacher_names} cannot be matched by name to the data's {list(data_labels)}. "
            "Rename one of them, or say which is which: with_label_order() of the teacher, --label_order of the script."
        )
    return [positions[name] for name in wanted]


def label_names(dataset: Dataset) -> list[str] | None:
    """Return the names of a set's labels, if it has names.

    Args:
        dataset: A set with or without a column `label`.

    Returns:
        The names in the set's order (`ClassLabel`) or sorted (strings), those in lists too; None for numbers or no
        labels.
    """
    if LABEL not in dataset.column_names:
        return None
    feature = dataset.features[LABEL]
    is_list = isinstance(feature, List | LargeList)
    feature = feature.feature if is_list else feature
    if isinstance(feature, ClassLabel):
        return list(feature.names)
    if is_text(feature):
        rows = dataset[LABEL][:] if is_list else [dataset[LABEL][:]]
        return sorted({name for row in rows for name in row or [] if name})
    return None


def is_text(feature: object) -> bool:
    """Tell whether a column holds text.

    Args:
        feature: Its type, as `datasets` has it.

    Returns:
        Whether it does.
    """
    return str(getattr(feature, "dtype", "")) in ("string", "large_string")


def find_label_order(
    dataset: Dataset, teacher_labels: Mapping[int, str], names: Sequence[str] | None = None
) -> list[int]:
    """Find each of the data's labels among the teacher's.

    Labels with names are matched by name. Labels that are numbers, and sets without labels, follow the teacher's order.

    Args:
        dataset: The training set.
        teacher_labels: The teacher's `id2label`.
        names: The names of the data's labels, where the set does not hold them.

    Returns:
        For each of the data's labels, its position in the teacher's logits.

    Raises:
        LabelMismatchError: If names differ, or the numbers of labels do.
    """
    names = names or label_names(dataset)
    if names is not None:
        return match_labels(teacher_labels, names)
    teacher_names = [teacher_labels[index] for index in sorted(teacher_labels)]
    dtype = str(getattr(dataset.features.get(LABEL), "dtype", ""))
    if "int" in dtype:
        values = np.asarray(dataset.with_format("arrow")[LABEL][:].drop_null())
        values = values[values != NO_LABEL]
        found = np.unique(values)
        is_outside = len(found) and (found[0] < 0 or found[-1] >= len(teacher_names))
        # A few rows may lack a label by chance, and a rare one may be missing anywhere. But where the last labels
        # never occur in many rows, the teacher is one of another task.
        is_short = len(values) >= _ROWS_A_LABEL * len(teacher_names) and np.array_equal(found, np.arange(len(found)))
        if is_outside or (is_short and len(found) < len(teacher_names)):
            raise LabelMismatchError(
                f"The teacher has {len(teacher_names)} labels {teacher_names}, but the data has the labels "
                f"{found.tolist()}. Both need the same; if the data's numbers stand for names, write the names."
            )
    return list(range(len(teacher_names)))


def check_label_order(label_order: Sequence[int], num_labels: int) -> None:
    """Stop unless `label_order` names each of the teacher's logits once.

    Args:
        label_order: For each of the data's labels, its position in the teacher's logits.
        num_labels: How many logits the teacher gives.

    Raises:
        LabelMismatchError: If it does not.
    """
    if sorted(label_order) != list(range(num_labels)):
        raise LabelMismatchError(
            f"label_order must hold each of 0..{num_labels - 1} once, one for each of the teacher's {num_labels} "
            f"labels, got {list(label_order)}."
        )


def check_agreement(gold_labels: np.ndarray, teacher_logits: np.ndarray, label_names: Sequence[str]) -> None:
    """Stop if the teacher's labels look exchanged: most rows of one gold label get another one, and the reverse.

    A teacher that is merely weak passes: its mistakes do not form another order of the labels that fits much better.
    One that is no better than chance passes with a warning: its logits may belong to other texts.

    Args:
        gold_labels: Gold labels as integers, `(rows,)`; rows with -100 are left out.
        teacher_logits: The teacher's logits in the order of the data's labels, `(rows, num_labels)`.
        label_names: The data's labels.

    Raises:
        LabelMismatchError: If another order of the labels fits at least 20 points better, and more than chance makes
            of so few rows (three standard errors).
    """
    labelled = gold_labels != NO_LABEL
    gold, predicted = gold_labels[labelled], teacher_logits[labelled].argmax(axis=1)
    present = np.unique(gold)
    if len(present) < 2:
        return
    _warn_of_chance(gold, predicted)
    majority = {int(label): int(np.bincount(predicted[gold == label]).argmax()) for label in present}
    if len(set(majority.values())) < len(majority):
        return
    as_given = float((predicted == gold).mean())
    reordered = float((predicted == np.array([majority[int(label)] for label in gold])).mean())
    if reordered - as_given >= max(0.2, 3 / len(gold) ** 0.5):
        taken_for = {label_names[label]: label_names[other] for label, other in majority.items() if label != other}
        raise LabelMismatchError(
            f"The labels look exchanged: the teacher agrees with the gold labels on {as_given:.0%} of {len(gold)} "
            f"rows, but on {reordered:.0%} if they are exchanged as {taken_for}. Check the label names of the data "
            "and of the teacher, or give the label order."
        )


def _warn_of_chance(gold: np.ndarray, predicted: np.ndarray) -> None:
    """Warn if labels agree as often as those of other rows would: Cohen's kappa is below 0.1."""
    agreed = float((predicted == gold).mean())
    by_chance = sum(float((gold == label).mean() * (predicted == label).mean()) for label in np.unique(gold))
    if len(gold) >= _ROWS_FOR_CHANCE and agreed - by_chance < 0.1 * (1 - by_chance):
        logger.warning(
            f"The teacher agrees with the gold labels on {agreed:.0%} of {len(gold)} rows, and chance would on "
            f"{by_chance:.0%}. Do its logits belong to these texts, and are its tokenizer and its head its own?"
        )


def has_gold(gold: np.ndarray) -> np.ndarray:
    """Return which rows have a gold label: neither -100 nor NaN, nor a list with one of these.

    Args:
        gold: Gold labels `(rows,)`, or `(rows, num_labels)` where a text can have several.

    Returns:
        `(rows,)`.
    """
    is_missing = (gold == NO_LABEL) | np.isnan(gold)
    return ~(is_missing if gold.ndim == 1 else is_missing.any(axis=1))


def logits_array(dataset: Dataset) -> np.ndarray:
    """Return the column of teacher logits as one array.

    Args:
        dataset: A set with a column `teacher_logits`.

    Returns:
        `(rows, num_labels)`, float32. Rows without logits (None) are NaN.

    Raises:
        ValueError: If rows have different numbers of logits.
    """
    column = dataset.with_format("arrow")[TEACHER_LOGITS][:]
    widths = np.unique(pc.list_value_length(column).drop_null().to_numpy())
    if len(widths) > 1:
        raise ValueError(
            f"Column {TEACHER_LOGITS!r} has rows of {widths.tolist()} logits. All must have the same number."
        )
    logits = np.full((len(column), widths[0] if len(widths) else 1), np.nan, dtype=np.float32)
    logits[column.is_valid().to_numpy()] = pc.list_flatten(column).to_numpy().reshape(-1, logits.shape[1])
    return logits


def check_logits(logits: np.ndarray, num_labels: int, source: str) -> None:
    """Stop if logits cannot be learned from: wrong width, NaN or infinity in a row.

    Args:
        logits: `(rows, num_labels)`. A row that is NaN throughout stands for "no logits" and is right.
        num_labels: The width that they must have.
        source: Where they come from, for the error.

    Raises:
        ValueError: If one of these holds, or if all rows are equal.
    """
    if logits.ndim != 2 or logits.shape[1] != num_labels:
        width = logits.shape[1] if logits.ndim == 2 else logits.shape
        raise ValueError(f"{source} has logits of width {width}, but there are {num_labels} labels.")
    finite = np.isfinite(logits)
    broken = ~finite.all(axis=1) & ~np.isnan(logits).all(axis=1)
    if broken.any():
        row = int(broken.argmax())
        raise ValueError(
            f"{source} has NaN or infinity among the logits of {int(broken.sum())} rows "
            f"(first: row {row}, {logits[row].tolist()})."
        )
    present = logits[finite.all(axis=1)]
    if len(present) > 1 and (present == present[0]).all():
        raise ValueError(f"{source} has the same logits {present[0].tolist()} in all {len(present)} rows.")


def _normalized(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", str(name)).strip().casefold()
