"""Write a student into a folder that runs without PyTorch: `hf-bilstm-distill export`."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from datasets import Dataset

from hf_bilstm_distill.commands.command_line import log_to_stderr, parse_arguments
from hf_bilstm_distill.commands.errors import one_line_errors
from hf_bilstm_distill.commands.gold_labels import number
from hf_bilstm_distill.commands.shared_arguments import ColumnArguments
from hf_bilstm_distill.export import export_onnx
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.loading import load_file, select_columns
from hf_bilstm_distill.problem_types import read_labels
from hf_bilstm_distill.students import MultiTaskForSequenceClassification


@dataclass
class StudentArguments:
    """What to export, and where to."""

    student: str = field(metadata={"help": "The student: a folder or an id on the Hub."})
    output_dir: str = field(metadata={"help": "Folder to write. One that was exported before is replaced."})


@dataclass
class ExportArguments(ColumnArguments, StudentArguments):
    """What to export, and how."""

    quantize: Literal["int8", "none"] = field(
        default="int8", metadata={"help": "int8: a quarter as large, and faster. none: float32."}
    )
    eval_file: str | None = field(
        default=None, metadata={"help": "Texts on which to measure what int8 loses: csv, tsv, jsonl or parquet."}
    )
    task: str | None = field(
        default=None,
        metadata={"help": "Of a student of several tasks, the one to export. Left out: the one that is set."},
    )
    max_length: int | None = field(
        default=None, metadata={"help": "Longest text in tokens. Left out: the tokenizer's, at most 512."}
    )


def main() -> None:
    """Write an ONNX folder, and print what was measured on the way."""
    (run,) = parse_arguments([ExportArguments], "Write a student into a folder that runs without PyTorch.")
    log_to_stderr()
    with one_line_errors():
        student = load_student(run)
        report = export_onnx(
            cast(Any, student.model),
            student.tokenizer,
            run.output_dir,
            quantize=None if run.quantize == "none" else "int8",
            eval_dataset=load_eval_texts(run, student) if run.eval_file else None,
            max_length=run.max_length,
        )
    print(json.dumps(report, indent=2))


def load_student(run: ExportArguments) -> TextClassifier:
    """Load the student, with the task that was asked for."""
    student = TextClassifier.from_pretrained(run.student, device="cpu")
    if run.task is None:
        return student
    if not isinstance(student.model, MultiTaskForSequenceClassification):
        raise ValueError(f"{run.student!r} has one task only, so there is no task {run.task!r}. Leave out --task.")
    student.model.set_task(run.task)
    return TextClassifier(student.model, student.tokenizer)


def load_eval_texts(run: ExportArguments, student: TextClassifier) -> Dataset:
    """Load the texts to compare on, their labels as the student numbers them."""
    texts = select_columns(load_file(str(run.eval_file)), run.columns, str(run.eval_file))
    texts = read_labels(texts, student.problem_type, str(run.eval_file))
    return number(texts, list(student.id2label.values()), student.problem_type)
