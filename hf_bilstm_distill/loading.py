"""Texts from files or from the Hub, with the columns and labels that the other stages expect."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Value, load_dataset

from hf_bilstm_distill.transfer_set import (
    LABEL,
    NO_LABEL,
    TEXT,
    TEXT_PAIR,
    LabelMismatchError,
    check_texts,
)


# A quote in a TSV file is a character like any other, and "null" and "NA" are words.
_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", {"keep_default_na": False}),
    ".tsv": ("csv", {"sep": "\t", "quoting": 3, "keep_default_na": False}),
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
        dataset = load_dataset(builder, data_files=str(path), split="train", **options)
    except Exception as error:  # every reader has its own errors; the innermost says what is wrong with the file
        cause = error.__cause__ or error
        raise ValueError(f"{path} cannot be read as {builder}: {str(cause).strip().splitlines()[0]}") from error
    if len(dataset) == 0:
        raise ValueError(f"{path} has no rows.")
    return dataset


def select_columns(dataset: Dataset, columns: Mapping[str, str | None], name: str) -> Dataset:
    """Give columns the names that the other stages expect, drop all others, and check the texts.

    Args:
        dataset: A table.
        columns: Standard name to the table's own name, or None where it has no such column: `text`, `text_pair`,
            `label`, `teacher_logits`.
        name: What to call the table in errors.

    Returns:
        The table with the standard names; `label` and `teacher_logits` only if it has them.

    Raises:
        ValueError: If a text column is missing, or a text is None, or there are no rows.
        TypeError: If a text column does not hold text.
    """
    for standard in (TEXT, TEXT_PAIR):
        wanted = columns.get(standard)
        if wanted is not None and wanted not in dataset.column_names:
            raise ValueError(
                f"{name} has no column {wanted!r}. Its columns are {dataset.column_names}. "
                f"Name the right one with --{standard}_column."
            )
    present = {own: standard for standard, own in columns.items() if own is not None and own in dataset.column_names}
    dataset = dataset.select_columns(list(present))
    for own, standard in present.items():
        if own != standard:
            dataset = dataset.rename_column(own, standard)
    check_texts(dataset, name)
    for column in (TEXT, TEXT_PAIR):
        if column in dataset.column_names:  # pandas' large strings cannot be joined with Arrow's own
            dataset = dataset.cast_column(column, Value("string"))
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
    if str(getattr(feature, "dtype", "")) not in ("string", "large_string"):
        return dataset
    numbers = {name: number for number, name in enumerate(names)} | {"": NO_LABEL, None: NO_LABEL}
    values = dataset[LABEL][:]
    unknown = sorted({value for value in values if value not in numbers})
    if unknown:
        raise LabelMismatchError(f"The labels {unknown} are none of {list(names)}.")
    return dataset.remove_columns(LABEL).add_column(LABEL, [numbers[value] for value in values])


def load_texts(files: Mapping[str, str | Path], columns: Mapping[str, str | None]) -> DatasetDict:
    """Read the splits of a data set from files.

    Args:
        files: Split to file.
        columns: See `select_columns`.

    Returns:
        The splits, with the standard column names.
    """
    return DatasetDict({split: select_columns(load_file(path), columns, str(path)) for split, path in files.items()})
