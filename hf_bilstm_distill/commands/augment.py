"""Add augmented copies to the texts of a file: `hf-bilstm-distill augment`."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset, concatenate_datasets

from hf_bilstm_distill.commands.command_line import log_to_stderr, parse_arguments
from hf_bilstm_distill.commands.copies import add_copies, heuristic_augmenter, mask_token_of
from hf_bilstm_distill.commands.errors import one_line_errors
from hf_bilstm_distill.commands.models import load_teacher
from hf_bilstm_distill.commands.shared_arguments import (
    AugmentationArguments,
    ColumnArguments,
    FilesArguments,
    TeacherChoice,
)
from hf_bilstm_distill.commands.tables import check_ending, save_table
from hf_bilstm_distill.loading import load_file, select_columns
from hf_bilstm_distill.transfer_set import AUGMENTED, TEXT, TEXT_PAIR

_GOLD = "_gold"  # copies have none, whatever its type


@dataclass(kw_only=True)
class CopyArguments(AugmentationArguments, TeacherChoice, ColumnArguments, FilesArguments):
    """What to make copies of, and how."""

    teacher: str | None = field(
        default=None,
        metadata={"help": "The classifier whose embeddings give neighbours: a folder or an id. Left out: none."},
    )
    mask_token: str | None = field(
        default=None, metadata={"help": "What stands for a masked word. Left out: the teacher's, or [MASK]."}
    )
    seed: int = field(default=0, metadata={"help": "Another seed, other copies."})
    num_proc: int | None = field(default=None, metadata={"help": "Processes that augment."})


def main() -> None:
    """Write the rows of a file again, each followed by its copies."""
    (run,) = parse_arguments([CopyArguments], "Add augmented copies to texts: masked and replaced words, n-grams.")
    log_to_stderr()
    with one_line_errors():
        check_ending(run.output_file)
        teacher = load_teacher(run)
        augmenter = heuristic_augmenter(run, run.mask_token or mask_token_of(teacher), run.seed)
        columns = {TEXT: run.text_column, TEXT_PAIR: run.text_pair_column}
        rows = read_rows(run.file, columns, run.label_column)
        run = dataclasses.replace(run, n_recombined=run.num_recombined(run.text_pair_column is not None))
        rows = without_gold(add_copies(run, rows, augmenter, teacher, run.num_proc))
        names = {**columns, _GOLD: run.label_column}
        save_table(
            rows.rename_columns({name: names[name] for name in names if name in rows.column_names}), run.output_file
        )


def read_rows(file: str, columns: dict[str, str | None], label_column: str) -> Dataset:
    """Read a table with its texts in the standard columns, its labels in `_GOLD`, and the others as they are."""
    rows = load_file(file)
    texts = select_columns(rows, columns, file)
    others = rows.remove_columns([own for own in columns.values() if own is not None])
    if label_column in others.column_names:
        others = others.rename_column(label_column, _GOLD)
    return concatenate_datasets([texts, others], axis=1) if others.column_names else texts


def without_gold(rows: Dataset) -> Dataset:
    """Take the gold labels from the copies: what these should be called is for the teacher to say."""
    if _GOLD not in rows.column_names:
        return rows

    def keep(gold: list[Any], is_copy: list[bool]) -> dict[str, list[Any]]:
        return {_GOLD: [None if copied else label for label, copied in zip(gold, is_copy, strict=True)]}

    return rows.map(keep, batched=True, input_columns=[_GOLD, AUGMENTED], features=rows.features)
