"""The texts of `run_distill.py` and their labels: loaded, brought into one form, matched with the teacher's."""

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset
from distill_arguments import RunArguments

from hf_bilstm_distill import (
    TextClassifier,
    check_agreement,
    find_label_order,
    find_problem_type,
    label_names,
    label_vectors,
    load_file,
    number_labels,
    read_labels,
    select_columns,
)


def settle_texts(
    run: RunArguments, teacher: TextClassifier | None, seed: int
) -> tuple[DatasetDict, TextClassifier | None, list[str], str]:
    """Load the texts; give them, the teacher with its logits in their order, the labels' names, the problem type."""
    texts = load_splits(run, seed)
    problem_type = settle_problem_type(run, texts["train"], teacher)
    texts = DatasetDict({split: read_labels(rows, problem_type, split) for split, rows in texts.items()})
    teacher, names = settle_labels(run, texts["train"], teacher)
    to_numbers = label_vectors if problem_type == "multi_label_classification" else number_labels
    texts = DatasetDict({split: to_numbers(rows, names) for split, rows in texts.items()})
    if problem_type == "single_label_classification":
        check_labels(texts, teacher, names)
    return texts, teacher, names, problem_type


def load_splits(run: RunArguments, seed: int) -> DatasetDict:
    """Load the texts: `train`, `validation` and `test`, the last two the same where there is one only."""
    if run.dataset_name:
        found = load_dataset(run.dataset_name, run.dataset_config_name)
        own_names = {"train": "train", "validation": run.validation_split, "test": run.test_split}
        splits = {split: found[own_name] for split, own_name in own_names.items() if own_name in found}
    else:
        splits = {split: load_file(file) for split, file in run.files.items()}
    texts = {}
    for split, rows in splits.items():
        optional = ["label", "teacher_logits"]
        if split == "train":  # a column that the user named must be there
            optional = ["label"] if run.label_column == "label" else []
        texts[split] = select_columns(rows, run.columns, run.files.get(split, split), optional=optional)
    if "unlabeled" in texts:
        unlabeled = texts["unlabeled"].select_columns([c for c in ("text", "text_pair") if run.columns[c]])
        texts["train"] = join(texts["train"], unlabeled) if "train" in texts else unlabeled
    if "train" not in texts:
        raise ValueError("There are no texts to learn on: give --train_file or --unlabeled_file.")
    hidden = texts["test"] if "test" in texts and "label" in texts["test"].column_names else None
    if hidden is not None and all(label == -1 for label in hidden["label"]):
        texts.pop("test")  # the hidden labels of GLUE
    held_out = [split for split in ("validation", "test") if split in texts]
    if not held_out:
        raise ValueError("There are no texts to measure on: give --validation_file or --test_file.")
    if run.baseline and "label" not in texts["train"].column_names:
        raise ValueError("--baseline true trains on gold labels, but the training texts have none. Leave it out.")
    if run.max_train_samples is not None and run.max_train_samples < len(texts["train"]):
        texts["train"] = texts["train"].shuffle(seed).select(range(run.max_train_samples)).flatten_indices()
    return DatasetDict(train=texts["train"], validation=texts[held_out[0]], test=texts[held_out[-1]])


def join(labelled: Dataset, unlabeled: Dataset) -> Dataset:
    """Append texts without labels; their other columns are empty."""
    for column, feature in labelled.features.items():
        if column not in unlabeled.column_names:
            unlabeled = unlabeled.add_column(column, [None] * len(unlabeled), feature=feature)
    return concatenate_datasets([labelled, unlabeled])


def settle_problem_type(run: RunArguments, train_texts: Dataset, teacher: TextClassifier | None) -> str:
    """Settle what a label is, and tell the teacher, whose scores depend on it."""
    if teacher is None:
        is_one_number = (
            "teacher_logits" in train_texts.column_names and len(train_texts["teacher_logits"][0] or []) == 1
        )
        return find_problem_type(train_texts, 1 if is_one_number else None, given=run.problem_type)
    stated = teacher.model.config.problem_type
    problem_type = find_problem_type(train_texts, teacher.num_labels, teacher=stated, given=run.problem_type)
    if problem_type != teacher.problem_type:
        teacher.model.config.problem_type = problem_type
    return problem_type


def settle_labels(
    run: RunArguments, train_texts: Dataset, teacher: TextClassifier | None
) -> tuple[TextClassifier | None, list[str]]:
    """Settle the names and the order of the labels; give the teacher with its logits in that order."""
    names = run.labels or label_names(train_texts)
    if teacher is None:
        width = len(train_texts["teacher_logits"][0]) if "teacher_logits" in train_texts.column_names else 0
        if width == 0:
            raise ValueError(f"The training texts have no column {run.teacher_logits_column!r} with logits.")
        return None, names or [f"LABEL_{number}" for number in range(width)]
    order = run.label_order or find_label_order(train_texts, teacher.id2label, names)
    teacher = teacher.with_label_order(order, names)
    return teacher, list(teacher.id2label.values())


def check_labels(texts: DatasetDict, teacher: TextClassifier | None, names: list[str]) -> None:
    """Compare the teacher's logits with the gold labels of some texts: exchanged labels show at once."""
    for split in ("validation", "train"):
        rows = texts[split]
        if len(names) < 2 or "label" not in rows.column_names:
            continue
        rows = rows.shuffle(seed=0).select(range(min(256, len(rows))))
        if teacher is not None:
            columns = [rows[column][:] for column in ("text", "text_pair") if column in rows.column_names]
            check_agreement(np.array(rows["label"][:]), teacher.logits(*columns), names)
        if "teacher_logits" in rows.column_names:
            check_agreement(np.array(rows["label"][:]), np.array(rows["teacher_logits"][:]), names)


def is_labelled(label: float | list[float] | None) -> bool:
    """Tell whether a row has a gold label."""
    values = np.asarray(label, dtype=float)
    return bool((np.isfinite(values) & (values != -100)).all())
