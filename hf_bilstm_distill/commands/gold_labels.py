"""What the labels of texts mean: their kind, names and order, matched with the teacher's."""

import numpy as np
from datasets import Dataset, DatasetDict
from transformers.utils import logging

from hf_bilstm_distill.commands.shared_arguments import LabelArguments
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.loading import number_labels
from hf_bilstm_distill.problem_types import find_problem_type, label_vectors, read_labels
from hf_bilstm_distill.transfer_set import MULTI_LABEL, SINGLE_LABEL, check_agreement, find_label_order, label_names

logger = logging.get_logger(__name__)


def settle_gold_labels(
    run: LabelArguments, texts: DatasetDict, teacher: TextClassifier | None
) -> tuple[DatasetDict, TextClassifier | None, list[str], str]:
    """Give the texts with numbered labels, the teacher with its logits in their order, the names, the problem type."""
    problem_type = settle_problem_type(run, texts["train"], teacher)
    texts = DatasetDict({split: read_labels(rows, problem_type, split) for split, rows in texts.items()})
    teacher, names = settle_labels(run, texts["train"], teacher)
    texts = DatasetDict({split: number(rows, names, problem_type) for split, rows in texts.items()})
    if problem_type == SINGLE_LABEL:
        check_labels(texts, teacher, names)
    return texts, teacher, names, problem_type


def number(rows: Dataset, names: list[str], problem_type: str) -> Dataset:
    """Turn the names of labels into what a model learns from."""
    return (label_vectors if problem_type == MULTI_LABEL else number_labels)(rows, names)


def settle_problem_type(run: LabelArguments, train_texts: Dataset, teacher: TextClassifier | None) -> str:
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
    run: LabelArguments, train_texts: Dataset, teacher: TextClassifier | None
) -> tuple[TextClassifier | None, list[str]]:
    """Settle the names and the order of the labels; give the teacher with its logits in that order."""
    names = run.labels or label_names(train_texts)
    if teacher is None:
        return None, names or [f"LABEL_{number}" for number in range(len(train_texts["teacher_logits"][0]))]
    order = run.label_order or find_label_order(train_texts, teacher.id2label, names)
    if names is None and "label" in train_texts.column_names and teacher.problem_type == SINGLE_LABEL:
        logger.info(f"The data's labels have no names: 0 is taken for {teacher.id2label[order[0]]!r}, and so on.")
    teacher = teacher.with_label_order(order, names)
    return teacher, list(teacher.id2label.values())


def check_labels(texts: DatasetDict, teacher: TextClassifier | None, names: list[str]) -> None:
    """Compare the teacher's logits with the gold labels of some texts: exchanged labels show at once."""
    for split in ("validation", "train"):
        rows = texts.get(split)
        if rows is None or len(names) < 2 or "label" not in rows.column_names:
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
