"""Add a teacher's logits to the texts of a file: `hf-bilstm-distill label`."""

from dataclasses import dataclass, field
from typing import cast

from accelerate import PartialState
from datasets import DatasetDict

from hf_bilstm_distill.commands.command_line import log_to_stderr, parse_arguments
from hf_bilstm_distill.commands.errors import one_line_errors
from hf_bilstm_distill.commands.gold_labels import settle_gold_labels
from hf_bilstm_distill.commands.models import load_teacher
from hf_bilstm_distill.commands.shared_arguments import FilesArguments, LabelArguments, TeacherChoice
from hf_bilstm_distill.commands.tables import check_ending, save_table
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.labeling import label_with_teacher
from hf_bilstm_distill.loading import load_file, select_columns
from hf_bilstm_distill.transfer_set import TEACHER_LOGITS


@dataclass(kw_only=True)
class LabelingArguments(LabelArguments, TeacherChoice, FilesArguments):
    """What to label, and with which teacher."""

    label_cache: str | None = field(
        default=None,
        metadata={"help": "Folder for finished work, which other runs may share; a killed run goes on from there."},
    )


def main() -> None:
    """Write the rows of a file again, with a column `teacher_logits`."""
    (run,) = parse_arguments([LabelingArguments], "Add a teacher's logits to texts, as a column teacher_logits.")
    log_to_stderr()
    with one_line_errors():
        check_ending(run.output_file)
        teacher = load_teacher(run)
        if teacher is None:
            raise ValueError("There is nothing to label with: give --teacher.")
        rows = load_file(run.file)
        texts = DatasetDict(train=select_columns(rows, run.columns, run.file))
        texts, teacher, _, _ = settle_gold_labels(run, texts, teacher)
        texts = label_with_teacher(texts["train"], cast(TextClassifier, teacher), cache_dir=run.label_cache)
        if PartialState().is_main_process:
            rows = rows.remove_columns([TEACHER_LOGITS] if TEACHER_LOGITS in rows.column_names else [])
            logits = texts.with_format("arrow")[TEACHER_LOGITS][:]
            rows = rows.add_column(TEACHER_LOGITS, logits, feature=texts.features[TEACHER_LOGITS])
            save_table(rows, run.output_file)
