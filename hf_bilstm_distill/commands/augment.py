"""Add augmented copies to the texts of a file: `hf-bilstm-distill augment`."""

from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset, concatenate_datasets

from hf_bilstm_distill.augmentation import HeuristicAugmenter
from hf_bilstm_distill.commands.command_line import log_to_stderr, parse_arguments
from hf_bilstm_distill.commands.copies import add_copies
from hf_bilstm_distill.commands.errors import one_line_errors
from hf_bilstm_distill.commands.shared_arguments import AugmentationArguments, ColumnArguments, FilesArguments
from hf_bilstm_distill.commands.tables import check_ending, save_table
from hf_bilstm_distill.loading import load_file, select_columns
from hf_bilstm_distill.transfer_set import AUGMENTED, TEXT, TEXT_PAIR

_GOLD = "_gold"  # copies have none, whatever its type


@dataclass(kw_only=True)
class CopyArguments(AugmentationArguments, ColumnArguments, FilesArguments):
    """What to make copies of, and how."""

    mask_token: str = field(default="[MASK]", metadata={"help": "What the teacher takes for a masked word."})
    seed: int = field(default=0, metadata={"help": "Another seed, other copies."})
    num_proc: int | None = field(default=None, metadata={"help": "Processes that augment."})


def main() -> None:
    """Write the rows of a file again, each followed by its copies."""
    (run,) = parse_arguments([CopyArguments], "Add augmented copies to texts: masked and replaced words, n-grams.")
    log_to_stderr()
    with one_line_errors():
        check_ending(run.output_file)
        augmenter = HeuristicAugmenter(
            n_iter=run.n_iter,
            p_mask=run.p_mask,
            p_pos=run.p_pos,
            p_ngram=run.p_ngram,
            mask_token=run.mask_token,
            tagger=run.tagger,
            seed=run.seed,
        )
        columns = {TEXT: run.text_column, TEXT_PAIR: run.text_pair_column}
        rows = read_rows(run.file, columns, run.label_column)
        n_recombined = run.num_recombined(run.text_pair_column is not None)
        rows = without_gold(add_copies(rows, augmenter, n_recombined, run.num_proc))
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
