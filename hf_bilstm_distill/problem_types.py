"""The kinds of problem, one class a text, several of them, or a number: which it is, and its gold labels in files."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, LargeList, List, Value

from hf_bilstm_distill.transfer_set import (
    LABEL,
    MULTI_LABEL,
    NO_LABEL,
    PROBLEM_TYPES,
    REGRESSION,
    SINGLE_LABEL,
    LabelMismatchError,
    is_text,
    match_labels,
)


def find_problem_type(
    dataset: Dataset, num_labels: int | None = None, *, teacher: str | None = None, given: str | None = None
) -> str:
    """Settle what a label is, and check it against the data and the teacher.

    What is given counts, then what the teacher's configuration names. Where neither says it, one output is a
    regression, and more are labels of which a text has one, as in transformers. Without a teacher the data decides:
    lists are several labels a row, numbers with a fraction are a regression.

    Args:
        dataset: The training set, with or without a column `label`.
        num_labels: How many logits the teacher gives. None if there is no teacher.
        teacher: `problem_type` of the teacher's configuration.
        given: What the user says.

    Returns:
        One of `PROBLEM_TYPES`.

    Raises:
        ValueError: If there is no such problem type, or these contradict each other.
    """
    if given is not None and given not in PROBLEM_TYPES:
        raise ValueError(f"There is no problem_type {given!r}. Choose one of {list(PROBLEM_TYPES)}.")
    if given is not None and teacher is not None and given != teacher:
        raise ValueError(
            f"The problem_type is {given!r}, but the teacher's configuration says {teacher!r}. Leave it out to take "
            "the teacher's, or correct the teacher's config.json."
        )
    form = _form(dataset)
    if num_labels is None:
        found = given or {"lists": MULTI_LABEL, "fractions": REGRESSION}.get(form, SINGLE_LABEL)
    else:
        found = given or teacher or (REGRESSION if num_labels == 1 else SINGLE_LABEL)
        _check_width(found, num_labels)
    _check_form(found, form, dataset)
    return found


def match_outputs(teacher: Any, student: Any) -> list[int]:
    """Find each of a student's outputs among its teacher's.

    Args:
        teacher: The teacher's configuration.
        student: The student's configuration.

    Returns:
        For each of the student's labels, its position in the teacher's logits.

    Raises:
        ValueError: If both name a problem type, and not the same.
        LabelMismatchError: If their labels differ. That of a regression has no name to speak of.
    """
    types = (teacher.problem_type, student.problem_type)
    if None not in types and len(set(types)) > 1:
        raise ValueError(
            f"The teacher's problem_type is {types[0]!r}, the student's {types[1]!r}. Make the student's configuration "
            "with the teacher's."
        )
    if teacher.num_labels == student.num_labels == 1:
        return [0]
    return match_labels(teacher.id2label, [student.id2label[position] for position in range(student.num_labels)])


def read_labels(dataset: Dataset, problem_type: str, name: str = "dataset") -> Dataset:
    """Read what a file can hold as text only, or as another kind of number.

    Args:
        dataset: A set with or without a column `label`. Several labels a row may be JSON text, `["joy", "anger"]` or
            `[0, 1]`; empty text means that a row has no gold label.
        problem_type: One of `PROBLEM_TYPES`.
        name: What to call the set in errors.

    Returns:
        The set: lists where a row can have several labels, float32 for a regression, else as it was.

    Raises:
        ValueError: If a label cannot be read so.
    """
    if LABEL not in dataset.column_names:
        return dataset
    feature = dataset.features[LABEL]
    if problem_type == REGRESSION:
        values = _each(dataset, float, math.nan, name, "a number: 3.8") if is_text(feature) else dataset[LABEL][:]
        return _with_labels(dataset, [math.nan if value is None else value for value in values], Value("float32"))
    if problem_type == MULTI_LABEL and is_text(feature):
        rows = _each(dataset, _read_list, None, name, 'a list: ["joy", "anger"], or [] for none of the labels')
        holds_names = any(isinstance(entry, str) for row in rows for entry in row or [])
        return _with_labels(dataset, rows, List(Value("string" if holds_names else "float32")))
    return dataset


def label_vectors(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Turn several labels a row into zeros and ones.

    Args:
        dataset: A set with or without a column `label`: lists of names, of `ClassLabel` numbers, or of zeros and ones,
            one for each label. None stands for "no gold label", an empty list of names for none of the labels.
        names: All labels in their order.

    Returns:
        The set; each label a list of as many float32 as there are names, NaN in rows without a gold label.

    Raises:
        LabelMismatchError: If a label has none of these names, or rows have another number of zeros and ones.
        ValueError: If there are other numbers.
    """
    if LABEL not in dataset.column_names:
        return dataset
    inner = dataset.features[LABEL].feature
    values: list[list[Any] | None] = dataset[LABEL][:]
    if isinstance(inner, ClassLabel):
        values = [row and [inner.names[number] for number in row] for row in values]
    if isinstance(inner, ClassLabel) or is_text(inner):
        rows = _vectors_of_names(values, names)
    else:
        rows = [[math.nan] * len(names) if row is None else _zeros_and_ones(row, names) for row in values]
    return _with_labels(dataset, rows, List(Value("float32")))


def _form(dataset: Dataset) -> str:
    """Tell what the labels of a set look like."""
    feature = dataset.features.get(LABEL)
    if feature is None or getattr(feature, "dtype", "") == "null":
        return "nothing"
    if isinstance(feature, List | LargeList):
        return "lists"
    if is_text(feature):
        return "text"
    if "float" in feature.dtype:
        values = dataset.with_format("arrow")[LABEL][:].drop_null().to_numpy()
        values = values[np.isfinite(values)]
        return "integers" if (values == np.round(values)).all() else "fractions"
    return "integers"


def _check_width(problem_type: str, num_labels: int) -> None:
    if (num_labels == 1) == (problem_type == REGRESSION) or (num_labels == 1 and problem_type == MULTI_LABEL):
        return
    wanted = "one output" if problem_type == REGRESSION else "an output for each label"
    raise ValueError(
        f"The problem_type is {problem_type!r}, which needs {wanted}, but the teacher has {num_labels}. Choose another "
        "problem_type, or another teacher."
    )


def _check_form(problem_type: str, form: str, dataset: Dataset) -> None:
    allowed = {
        SINGLE_LABEL: ("integers", "text"),
        MULTI_LABEL: ("lists", "text"),
        REGRESSION: ("integers", "fractions", "text"),
    }
    if form not in ("nothing", *allowed[problem_type]):
        example = next((label for label in dataset[LABEL] if label is not None), None)
        fitting = [each for each in PROBLEM_TYPES if form in allowed[each]]
        raise ValueError(
            f"The problem_type is {problem_type!r}, but the data's labels are {form} (such as {example!r}), which suit "
            f"{' or '.join(fitting)}. Give that problem_type, and a teacher of that kind; or name another label column."
        )


def _each(dataset: Dataset, read: Callable[[str], Any], missing: Any, name: str, wanted: str) -> list[Any]:
    values = []
    for row, text in enumerate(dataset[LABEL][:]):
        try:
            values.append(read(text) if text else missing)
        except ValueError as error:
            raise ValueError(f"{name} has the label {text!r} in row {row}. Write it as {wanted}.") from error
    return values


def _read_list(text: str) -> list[Any]:
    values = json.loads(text)
    if not isinstance(values, list) or len({isinstance(value, str) for value in values}) > 1:
        raise ValueError(text)
    return [value if isinstance(value, str) else float(value) for value in values]


def _vectors_of_names(values: list[list[Any] | None], names: Sequence[str]) -> list[list[float]]:
    unknown = sorted({name for row in values for name in row or []} - set(names))
    if unknown:
        raise LabelMismatchError(f"The labels {unknown} are none of {list(names)}.")
    return [[math.nan if row is None else float(name in row) for name in names] for row in values]


def _zeros_and_ones(row: list[Any], names: Sequence[str]) -> list[float]:
    if len(row) != len(names):
        raise LabelMismatchError(
            f"A row has {len(row)} zeros and ones, {row}, but there are {len(names)} labels {list(names)}. Write one "
            "for each label, in their order; or write the names of the labels that it has."
        )
    values = [math.nan if value is None or value == NO_LABEL else float(value) for value in row]
    if not all(value in (0, 1) or math.isnan(value) for value in values):
        raise ValueError(
            f"A row has the labels {row}, but where a row can have several labels, there must be a 0 or a 1 for each. "
            "Write these, or the names of the labels that it has."
        )
    return values


def _with_labels(dataset: Dataset, labels: list[Any], feature: Any) -> Dataset:
    return dataset.remove_columns(LABEL).add_column(LABEL, labels, feature=feature)
