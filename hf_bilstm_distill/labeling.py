"""Run a teacher over a transfer set once, and keep its logits as a column."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from accelerate import PartialState
from datasets import Dataset, List, Value
from tqdm.auto import tqdm
from transformers.utils import logging

from hf_bilstm_distill.files import whole_file
from hf_bilstm_distill.transfer_set import (
    TEACHER_LOGITS,
    check_logits,
    check_texts,
    find_label_order,
    text_columns,
)

logger = logging.get_logger(__name__)

_ROWS_PER_SHARD = 4096


class Teacher(Protocol):
    """What can label a transfer set. `TextClassifier` is one."""

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the labels by their position in the logits."""

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
        """Give the logits of texts or pairs, `(rows, num_labels)`."""

    def fingerprint(self) -> str:
        """Tell this teacher from any that could give other logits."""


def label_with_teacher(
    dataset: Dataset,
    teacher: Teacher,
    *,
    cache_dir: str | Path | None = None,
) -> Dataset:
    """Add the teacher's logits to a transfer set.

    Each distinct text goes through the teacher once. With `cache_dir` the work is kept in shards that appear only when
    whole: a run that was killed goes on where it was, and the processes of `accelerate launch` share the work.

    Args:
        dataset: The transfer set: `text`, perhaps `text_pair`.
        teacher: Gives the logits. If the set's labels have names, they are matched with the teacher's.
        cache_dir: Where to keep finished work, by texts and teacher. None keeps nothing.

    Returns:
        The set with a column `teacher_logits`, float32, in the data's label order.

    Raises:
        ValueError: If the set has no rows or no texts, or the teacher's logits are not finite; or if several
            processes run without a `cache_dir`.
        LabelMismatchError: If the labels of the set and of the teacher differ.
    """
    check_texts(dataset)
    order = find_label_order(dataset, teacher.id2label)
    state = PartialState()
    if state.num_processes > 1 and cache_dir is None:
        raise ValueError(f"{state.num_processes} processes label together, but have no cache_dir to share. Give one.")

    texts, row_of_text = _distinct(dataset)
    folder = None if cache_dir is None else Path(cache_dir) / _key(texts, teacher)
    logits = np.empty((len(texts), len(teacher.id2label)), dtype=np.float32)
    logger.info(f"{len(texts)} distinct texts of {len(dataset)} rows go through the teacher.")
    shards = [slice(start, start + _ROWS_PER_SHARD) for start in range(0, len(texts), _ROWS_PER_SHARD)]
    with tqdm(total=len(texts), desc="Labelling", unit=" rows", disable=not state.is_main_process) as bar:
        for number, shard in enumerate(shards):
            if number % state.num_processes == state.process_index:
                logits[shard] = _label_shard(texts[shard], teacher, folder, number)
            bar.update(len(texts[shard]))
    if folder is not None and state.num_processes > 1:
        state.wait_for_everyone()
        for number, shard in enumerate(shards):
            logits[shard] = np.load(_shard_path(folder, number), allow_pickle=False)

    columns = logits[:, order][row_of_text]
    check_logits(columns, len(order), "The teacher")
    return _with_logits(dataset, columns)


def _distinct(dataset: Dataset) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Return the distinct texts (or pairs), shortest first, and for each row the position of its text."""
    rows = list(zip(*(dataset[column][:] for column in text_columns(dataset)), strict=True))
    distinct = sorted(dict.fromkeys(rows), key=lambda texts: (sum(map(len, texts)), texts))
    position = {texts: index for index, texts in enumerate(distinct)}
    return distinct, np.array([position[texts] for texts in rows])


def _key(texts: Sequence[tuple[str, ...]], teacher: Teacher) -> str:
    digest = hashlib.blake2b(teacher.fingerprint().encode(), digest_size=16)
    for row in texts:
        for text in row:
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little"))  # "ab", "c" is not "a", "bc"
            digest.update(encoded)
    return digest.hexdigest()


def _label_shard(texts: Sequence[tuple[str, ...]], teacher: Teacher, folder: Path | None, number: int) -> np.ndarray:
    path = None if folder is None else _shard_path(folder, number)
    if path is not None and path.exists():
        return np.load(path, allow_pickle=False)
    columns = [list(column) for column in zip(*texts, strict=True)]
    logits = teacher.logits(*columns)
    check_logits(logits, len(teacher.id2label), "The teacher")
    if path is not None:
        with whole_file(path) as temporary:
            np.save(temporary, logits, allow_pickle=False)
    return logits


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npy"


def _with_logits(dataset: Dataset, logits: np.ndarray) -> Dataset:
    if TEACHER_LOGITS in dataset.column_names:
        dataset = dataset.remove_columns(TEACHER_LOGITS)
    feature = List(Value("float32"), length=logits.shape[1])
    return dataset.add_column(TEACHER_LOGITS, list(logits), feature=feature)
