"""Texts from files or from the Hub, with the columns and labels that the other stages expect."""

import glob
import hashlib
import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, List, Value, load_dataset
from pandas.errors import ParserWarning

from hf_bilstm_distill.transfer_set import (
    LABEL,
    NO_LABEL,
    TEACHER_LOGITS,
    LabelMismatchError,
    check_texts,
    text_columns,
)

# A quote in a TSV file is a character like any other, and "null" and "NA" are words. A first row that is longer than
# the header is an error: pandas would take its first values for names of the rows.
_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", {"keep_default_na": False, "index_col": False}),
    ".tsv": ("csv", {"sep": "\t", "quoting": 3, "keep_default_na": False, "index_col": False}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".parquet": ("parquet", {}),
}


def load_file(path: str | Path) -> Dataset:
    """Read a table from a csv, tsv, json-lines or parquet file.

    Args:
        path: The file. Its ending says what it is.

    Returns:
        The table.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the ending is none of these, the file is empty, or it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.suffix not in _READERS:
        raise ValueError(f"{path} must end in one of {list(_READERS)}, to tell how to read it.")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty.")
    builder, options = _READERS[path.suffix]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)
            # The name tells the content: a file of the same path and time is the same file to `datasets`.
            dataset = load_dataset(builder, _digest(path), data_files=glob.escape(str(path)), **options)["train"]
    except Exception as error:  # every reader has its own errors; the innermost says what is wrong with the file
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        if "corresponds to no data" in reason:  # what `datasets` says of a table without rows
            raise ValueError(f"{path} has no rows.") from error
        raise ValueError(f"{path} cannot be read as {builder}: {reason}") from error
    return dataset


def select_columns(
    dataset: Dataset,
    columns: Mapping[str, str | None],
    name: str,
    *,
    optional: Collection[str] = (LABEL, TEACHER_LOGITS),
) -> Dataset:
    """Give columns the names that the other stages expect, drop all others, and check the texts.

    Args:
        dataset: A table.
        columns: Standard name to the table's own name, or None where there is no such column: `text`, `text_pair`,
            `label`, `teacher_logits`.
        name: What to call the table in errors.
        optional: Standard names of the columns that may be missing.

    Returns:
        The table with the standard names.

    Raises:
        ValueError: If a column is missing, or a text is None, or there are no rows.
        TypeError: If a text column does not hold text.
    """
    for standard, own in columns.items():
        if own is not None and own not in dataset.column_names and standard not in optional:
            raise ValueError(
                f"{name} has no column {own!r} for the {standard}. Its columns are {dataset.column_names}. "
                f"Name the right one with --{standard}_column."
            )
    present = {standard: own for standard, own in columns.items() if own in dataset.column_names}
    dataset = dataset.select_columns(list(present.values()))
    dataset = dataset.rename_columns({own: standard for standard, own in present.items() if own != standard})
    check_texts(dataset, name)
    for column in text_columns(dataset):  # pandas' large strings cannot be joined with Arrow's own
        dataset = dataset.cast_column(column, Value("string"))
    if TEACHER_LOGITS in dataset.column_names and _is_text(dataset.features[TEACHER_LOGITS]):
        dataset = _parse_logits(dataset, name)
    return dataset


def number_labels(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Turn label names into their numbers, and missing ones into -100.

    Args:
        dataset: A set with or without a column `label`; numbers stay as they are.
        names: All labels in their order.

    Returns:
        The set, its labels as int64 (or as they were, if they are floats or lists).

    Raises:
        LabelMismatchError: If a label has none of these names.
    """
    if LABEL not in dataset.column_names:
        return dataset
    feature = dataset.features[LABEL]
    if isinstance(feature, ClassLabel):
        return dataset.cast_column(LABEL, Value("int64"))
    if not _is_text(feature):
        return _fill_missing(dataset, NO_LABEL if "int" in str(getattr(feature, "dtype", "")) else float("nan"))
    numbers = {name: number for number, name in enumerate(names)} | {"": NO_LABEL, None: NO_LABEL}
    values = dataset[LABEL][:]
    unknown = sorted({value for value in values if value not in numbers})
    if unknown:
        raise LabelMismatchError(f"The labels {unknown} are none of {list(names)}.")
    return dataset.remove_columns(LABEL).add_column(LABEL, [numbers[value] for value in values])


def load_texts(
    files: Mapping[str, str | Path],
    columns: Mapping[str, str | None],
    *,
    optional: Collection[str] = (LABEL, TEACHER_LOGITS),
) -> DatasetDict:
    """Read the splits of a data set from files.

    Args:
        files: Split to file.
        columns: See `select_columns`.
        optional: The same.

    Returns:
        The splits, with the standard column names.
    """
    return DatasetDict(
        {split: select_columns(load_file(path), columns, str(path), optional=optional) for split, path in files.items()}
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _is_text(feature: Any) -> bool:
    return str(getattr(feature, "dtype", "")) in ("string", "large_string")


def _parse_logits(dataset: Dataset, name: str) -> Dataset:
    """Read logits that a csv or tsv file holds as text, such as "[-1.5, 2.0]"; empty text means that there are none."""
    rows: list[list[float] | None] = []
    for number, text in enumerate(dataset[TEACHER_LOGITS][:]):
        try:
            rows.append([float(value) for value in json.loads(text)] if text else None)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{name} has the logits {text!r} in row {number}. Write them as a list of numbers: [-1.5, 2.0]."
            ) from error
    feature = List(Value("float32"))
    return dataset.remove_columns(TEACHER_LOGITS).add_column(TEACHER_LOGITS, rows, feature=feature)


def _fill_missing(dataset: Dataset, value: float) -> Dataset:
    labels = dataset.with_format("arrow")[LABEL][:]
    if labels.null_count == 0:
        return dataset
    filled = labels.fill_null(pa.scalar(value, labels.type))
    return dataset.remove_columns(LABEL).add_column(LABEL, filled, feature=dataset.features[LABEL])
