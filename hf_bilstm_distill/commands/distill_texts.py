"""The texts of a distillation, loaded and brought into one form."""

from collections.abc import Sequence

from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset

from hf_bilstm_distill.cautions import warn_of_leaks
from hf_bilstm_distill.commands.distill_arguments import RunArguments
from hf_bilstm_distill.loading import load_file, select_columns


def load_splits(run: RunArguments, seed: int) -> DatasetDict:
    """Load the texts: `train`, `validation` and `test`, the last two the same where there is one only."""
    texts = {}
    for split, rows in read_splits(run).items():
        optional = ["label", "teacher_logits"]
        if split == "train":  # a column that the user named must be there
            optional = ["label"] if run.label_column == "label" else []
        texts[split] = select_columns(rows, run.columns, run.files.get(split, split), optional=optional)
    if "unlabeled" in texts:
        unlabeled = texts["unlabeled"].select_columns([c for c in ("text", "text_pair") if run.columns[c]])
        texts["train"] = join(texts["train"], unlabeled) if "train" in texts else unlabeled
    if "train" not in texts:
        raise ValueError("There are no texts to learn on: give --train_file or --unlabeled_file.")
    if not run.teacher and "teacher_logits" not in texts["train"].column_names:
        raise ValueError(f"The training texts have no column {run.teacher_logits_column!r} with logits.")
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
    warn_of_all_leaks(texts, held_out)
    return DatasetDict(train=texts["train"], validation=texts[held_out[0]], test=texts[held_out[-1]])


def warn_of_all_leaks(texts: dict[str, Dataset], held_out: Sequence[str]) -> None:
    """Warn if training texts stand in the splits that are held out."""
    for split in held_out:
        warn_of_leaks(texts["train"], texts[split], f"the {split} texts")


def read_splits(run: RunArguments) -> dict[str, Dataset]:
    """Read the splits of a data set on the Hub, or the user's files."""
    if not run.dataset_name:
        return {split: load_file(file) for split, file in run.files.items()}
    found = load_dataset(run.dataset_name, run.dataset_config_name)
    own_names = {"train": "train", "validation": run.validation_split, "test": run.test_split}
    return {split: found[own_name] for split, own_name in own_names.items() if own_name in found}


def join(labelled: Dataset, unlabeled: Dataset) -> Dataset:
    """Append texts without labels; their other columns are empty."""
    for column, feature in labelled.features.items():
        if column not in unlabeled.column_names:
            unlabeled = unlabeled.add_column(column, [None] * len(unlabeled), feature=feature)
    return concatenate_datasets([labelled, unlabeled])
