"""Labels that may be missing: what says "no gold label" in a column of labels, and the types that can say it."""

import math
from typing import Any

import pyarrow as pa
from datasets import ClassLabel, Features, LargeList, List, Value

from hf_bilstm_distill.transfer_set import LABEL, NO_LABEL


def with_optional_labels(batch: pa.Table) -> pa.Table:
    """Return a batch whose labels are of a type that can say "none".

    Args:
        batch: Some rows, with or without labels.

    Returns:
        The same rows; numbers of classes have become 64-bit integers, and in lists floats.
    """
    if LABEL not in batch.column_names:
        return batch
    feature = label_feature(Features.from_arrow_schema(batch.schema)[LABEL])
    labels = batch[LABEL].cast(Features({LABEL: feature}).arrow_schema.field(LABEL).type)
    return batch.set_column(batch.column_names.index(LABEL), LABEL, labels)


def label_feature(feature: Any) -> Any:
    """Return a type of label that can say "none": -100 among integers, NaN among floats and in lists.

    Args:
        feature: The type of the labels, as `datasets` has it.

    Returns:
        The same type, or the next one that can.

    Raises:
        ValueError: If the labels are no numbers.
    """
    if isinstance(feature, List | LargeList):
        inner = label_feature(feature.feature)
        return type(feature)(Value("float32")) if inner == Value("int64") else feature
    dtype = str(getattr(feature, "dtype", feature))
    if isinstance(feature, ClassLabel) or dtype == "bool" or dtype.startswith(("int", "uint")):
        return Value("int64")
    if dtype.startswith("float") or dtype == "null":
        return feature
    raise ValueError(
        f"Column {LABEL!r} holds {dtype}, but labels must be numbers to be told from those of copies. Number them "
        f"(`dataset.class_encode_column({LABEL!r})`), or remove the column."
    )


def no_label(label: Any) -> Any:
    """Return what stands for "no gold label" in the copies of a row.

    Args:
        label: The label of the row.

    Returns:
        -100 for a number of a class, NaN for a score, NaN for each of a list, None for None.
    """
    if isinstance(label, list):
        return [math.nan] * len(label)
    if isinstance(label, float):
        return math.nan
    return None if label is None else NO_LABEL
