"""From rows of text to batches of tensors: tokenize a transfer set, and pad its rows together."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset
from torch import Tensor
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.utils import logging

from hf_bilstm_distill.cautions import warn_of_cut_texts, warn_of_unknown_tokens
from hf_bilstm_distill.losses import has_gold_label, problem_type_of
from hf_bilstm_distill.transfer_set import (
    LABEL,
    MULTI_LABEL,
    NO_LABEL,
    SINGLE_LABEL,
    TEACHER_LOGITS,
    TEXT,
    TEXT_PAIR,
    check_logits,
    check_texts,
    logits_array,
)

logger = logging.get_logger(__name__)

LABELS = "labels"
LENGTH = "length"
_IS_CUT = "is_cut"
TEACHER_PREFIX = "teacher_"
TEACHER_INPUTS = ("teacher_input_ids", "teacher_attention_mask", "teacher_token_type_ids")


def encode(
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    teacher_tokenizer: PreTrainedTokenizerBase | None = None,
    max_length: int | None = None,
    num_proc: int | None = None,
) -> Dataset:
    """Tokenize the texts of a set for training and evaluation.

    Texts that are cut are counted in a log entry; a vocabulary that misses a fifth of the tokens is warned of.

    Args:
        dataset: Columns `text`, perhaps `text_pair`, `label`, `teacher_logits`.
        tokenizer: The student's.
        teacher_tokenizer: The teacher's, when the teacher reads the batches too. Its inputs get the prefix `teacher_`.
        max_length: Longest sequence in tokens; the rest is cut off. None takes the tokenizer's `model_max_length`.
        num_proc: Processes to use.

    Returns:
        Columns `input_ids`, `token_type_ids` for pairs, `length` (in tokens), `labels` and `teacher_logits` where the
        set has them, and the teacher's inputs.

    Raises:
        ValueError: If the set has no rows, no texts, or None among them.
    """
    check_texts(dataset)
    has_pairs = TEXT_PAIR in dataset.column_names
    limit = max_length or tokenizer.model_max_length

    def tokenize(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        texts = [batch[TEXT], batch[TEXT_PAIR]] if has_pairs else [batch[TEXT]]
        encoded = tokenizer(
            *texts,
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=has_pairs,  # some tokenizers leave them out unless asked
        )
        columns = {"input_ids": encoded["input_ids"]}
        if has_pairs:
            columns["token_type_ids"] = encoded["token_type_ids"]
        columns[LENGTH] = [len(ids) for ids in encoded["input_ids"]]
        if encoded.is_fast:
            columns[_IS_CUT] = [bool(encoding.overflowing) for encoding in encoded.encodings]
        else:
            columns[_IS_CUT] = [length >= limit for length in columns[LENGTH]]
        if teacher_tokenizer is not None:
            encoded = teacher_tokenizer(*texts, truncation=True, return_attention_mask=False)
            columns.update({f"{TEACHER_PREFIX}{name}": values for name, values in encoded.items()})
        return columns

    kept = [name for name in (LABEL, TEACHER_LOGITS) if name in dataset.column_names]
    encoded = dataset.map(
        tokenize,
        batched=True,
        num_proc=num_proc,
        remove_columns=[name for name in dataset.column_names if name not in kept],
        desc="Tokenizing",
    )
    warn_of_cut_texts(sum(encoded[_IS_CUT][:]), len(encoded), limit)
    warn_of_unknown_tokens(encoded, tokenizer)
    encoded = encoded.remove_columns(_IS_CUT)
    return encoded.rename_column(LABEL, LABELS) if LABEL in kept else encoded


class DistillationCollator:
    """Pad rows to the longest of their batch: inputs of the student and, apart from them, of the teacher.

    Args:
        tokenizer: The student's.
        teacher_tokenizer: The teacher's, for rows that have its inputs.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, teacher_tokenizer: PreTrainedTokenizerBase | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.pad_teacher = DataCollatorWithPadding(teacher_tokenizer or tokenizer)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a batch.

        Args:
            rows: Rows of `encode`.

        Returns:
            The student's inputs, `labels`, `teacher_logits` (NaN in rows that have none), and the teacher's inputs
            under their prefix.
        """
        present = rows[0].keys()
        batch = self._pad(rows)
        if LABELS in present:
            labels = torch.tensor(np.asarray([row[LABELS] for row in rows]))
            batch[LABELS] = labels.float() if labels.is_floating_point() else labels
        if TEACHER_LOGITS in present:
            batch[TEACHER_LOGITS] = _logits([row[TEACHER_LOGITS] for row in rows])
        teacher = [name for name in TEACHER_INPUTS if name in present]
        if teacher:
            inputs = self.pad_teacher(
                [{name.removeprefix(TEACHER_PREFIX): row[name] for name in teacher} for row in rows]
            )
            batch.update({f"{TEACHER_PREFIX}{name}": values for name, values in inputs.items()})
        return batch

    def _pad(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Pad the student's inputs; `tokenizer.pad` does the same in ten times the time, a good part of a step."""
        lengths = np.array([len(row["input_ids"]) for row in rows])
        is_token = np.arange(lengths.max()) < lengths[:, None]
        if self.tokenizer.padding_side == "left":
            is_token = is_token[:, ::-1]
        padding = {
            "input_ids": self.tokenizer.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": self.tokenizer.pad_token_type_id,
        }
        batch = {"attention_mask": torch.from_numpy(is_token.astype(np.int64))}
        for name in (name for name in padding if name in rows[0]):
            values = np.full(is_token.shape, padding[name], dtype=np.int64)
            values[is_token] = np.fromiter(chain.from_iterable(row[name] for row in rows), dtype=np.int64)
            batch[name] = torch.from_numpy(values)
        return batch


class EpochLengthSampler(LengthGroupedSampler):
    """Group rows of similar length, in an order drawn from the seed and the epoch alone.

    transformers draws the order from the global generator. A run resumed in the middle of an epoch would get another
    order than it had: some rows twice, others never.

    Args:
        sampler: What to group, and by how many rows.
        seed: The seed of the data's order.
        epoch: Tells the current epoch.
    """

    def __init__(self, sampler: LengthGroupedSampler, seed: int, epoch: Callable[[], int]) -> None:
        lengths = sampler.lengths[:]  # a column of a dataset is slow to read row by row
        super().__init__(sampler.batch_size, lengths=lengths)
        self._seed = seed
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Draw the order of an epoch.

        Returns:
            Positions of rows.
        """
        self.generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch())
        return super().__iter__()


def check_padding(tokenizer: Any, config: Any) -> None:
    """Stop if tokenizer and student do not pad with the same token.

    Args:
        tokenizer: The tokenizer, or None.
        config: The student's configuration.

    Raises:
        ValueError: If they do not.
    """
    tokenizer_id, student_id = getattr(tokenizer, "pad_token_id", None), getattr(config, "pad_token_id", None)
    if tokenizer_id is not None and student_id is not None and tokenizer_id != student_id:
        raise ValueError(
            f"The tokenizer pads with token {tokenizer_id}, but the student takes {student_id} for padding. "
            "Make the student's configuration with pad_token_id=tokenizer.pad_token_id."
        )


def check_encoded(dataset: Dataset, config: Any, name: str) -> None:
    """Stop if an encoded set cannot be learned from, or compared with, by a student.

    Args:
        dataset: A result of `encode`.
        config: The student's configuration.
        name: What to call the set in the error.

    Raises:
        ValueError: If it has no rows, a token id beyond the student's vocabulary, no second sentences for a siamese
            student, a label that is missing or none of the student's, or logits of the wrong width, not finite, or all
            equal.
    """
    if len(dataset) == 0:
        raise ValueError(f"{name} has no rows.")
    highest = pc.max(pc.list_flatten(dataset.with_format("arrow")["input_ids"][:])).as_py() or 0
    if highest >= config.vocab_size:
        raise ValueError(
            f"{name} has token id {highest}, but the student's vocabulary ends at {config.vocab_size - 1}. "
            "Encode it with the student's tokenizer."
        )
    if getattr(config, "is_pair", False) and not _has_second_sentences(dataset):
        raise ValueError(
            f"{name} has no second sentences (token_type_ids of 1), but the student reads pairs (is_pair=True). Give "
            f"its texts a column {TEXT_PAIR!r}, and a tokenizer of trim_tokenizer or train_word_tokenizer, which tell "
            "the sentences apart; or make a student with is_pair=False."
        )
    if TEACHER_LOGITS in dataset.column_names:
        check_logits(logits_array(dataset), config.num_labels, name)
    if LABELS in dataset.column_names:
        _check_labels(dataset, config, name)


def check_terms(dataset: Dataset, alpha: float, *, has_teacher: bool) -> None:
    """Stop if no row of the training set carries a term of the loss that counts; warn of rows that carry none.

    Args:
        dataset: A result of `encode`, checked by `check_encoded`.
        alpha: Weight of the gold labels.
        has_teacher: Whether a teacher gives the logits of rows where the set has no column of them.

    Raises:
        ValueError: If gold labels or logits are missing altogether.
    """
    labelled, taught = 0, len(dataset) if has_teacher else 0
    if LABELS in dataset.column_names:
        labelled = int(has_gold_label(torch.tensor(np.asarray(dataset[LABELS][:]))).sum())
    if TEACHER_LOGITS in dataset.column_names:
        taught = int((~np.isnan(logits_array(dataset)).all(axis=1)).sum())
    if alpha < 1 and taught == 0:
        raise ValueError(
            f"alpha={alpha} learns from a teacher, but train_dataset has no logits in a column {TEACHER_LOGITS!r} "
            f"and there is no teacher_model. Its columns are {dataset.column_names}. Label it with "
            "label_with_teacher()."
        )
    if alpha > 0 and labelled == 0:
        raise ValueError(f"alpha={alpha} learns from gold labels, but train_dataset has none. Use alpha=0.")
    if alpha in (0, 1):
        source, useful = ("logits of the teacher", taught) if alpha == 0 else ("gold label", labelled)
        if useful < len(dataset):
            logger.warning(
                f"{len(dataset) - useful} of {len(dataset)} training rows have no {source}: with alpha={alpha} "
                "they teach nothing."
            )


def check_evaluation(args: Any, preprocess_logits: Any) -> None:
    """Stop if an evaluation would not have the logits of all rows at once.

    Args:
        args: The training arguments.
        preprocess_logits: `preprocess_logits_for_metrics` of a Trainer.

    Raises:
        ValueError: If it would not.
    """
    refused = {
        "batch_eval_metrics=True": args.batch_eval_metrics,
        "eval_do_concat_batches=False": not args.eval_do_concat_batches,
        "preprocess_logits_for_metrics": preprocess_logits is not None,
    }
    for name in (name for name, is_given in refused.items() if is_given):
        raise ValueError(
            f"{name} is not supported: agreement and losses are computed from the logits of all rows at once. Leave it "
            "out: compute_metrics gets all logits, and can do the same."
        )


def check_teacher_inputs(columns: Collection[str], teacher_config: Any, config: Any, name: str) -> None:
    """Stop if a teacher in the loop has neither logits nor inputs to read.

    Args:
        columns: What an encoded set or a batch has.
        teacher_config: The teacher's configuration.
        config: The student's configuration.
        name: What to call the set in the error.

    Raises:
        ValueError: If it has none, and cannot read the student's.
    """
    if TEACHER_LOGITS in columns or TEACHER_INPUTS[0] in columns or teacher_config.vocab_size == config.vocab_size:
        return
    raise ValueError(
        f"{name} has no inputs for the teacher, whose vocabulary ({teacher_config.vocab_size} tokens) is not the "
        f"student's ({config.vocab_size}). Pass teacher_tokenizer to encode()."
    )


def _check_labels(dataset: Dataset, config: Any, name: str) -> None:
    column = dataset.with_format("arrow")[LABELS][:]
    if column.null_count:
        missing = np.flatnonzero(column.is_null().to_numpy())
        raise ValueError(
            f"{name} has no label in {len(missing)} of its {len(dataset)} rows (first: row {missing[0]}). "
            f"Write {NO_LABEL} there."
        )
    if len(np.unique(pc.list_value_length(column) if isinstance(column.type, pa.ListType) else 1)) > 1:
        raise ValueError(
            f"{name} has rows with different numbers of labels. Write a 0 or a 1 for each (label_vectors)."
        )
    labels = np.asarray(dataset[LABELS][:])
    problem_type = problem_type_of(config, labels)
    if problem_type == MULTI_LABEL:
        _check_label_vectors(labels, config, name)
    elif problem_type == SINGLE_LABEL:
        _check_label_numbers(labels, config, name)
    elif labels.size != len(labels) * config.num_labels:
        raise ValueError(
            f"{name} has labels of shape {labels.shape}, but the student has {config.num_labels} outputs for a "
            "regression. Give each row a number for each output."
        )


def _check_label_numbers(labels: np.ndarray, config: Any, name: str) -> None:
    if labels.ndim > 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{name} has label {labels[0]} in row 0, but the student has {config.num_labels} labels of which a row has "
            f"one. Number them as integers, and write {NO_LABEL} in rows without one; or make a student with "
            "num_labels=1, or with another problem_type."
        )
    wrong = (labels != NO_LABEL) & ((labels < 0) | (labels >= config.num_labels))
    if wrong.any():
        raise ValueError(
            f"{name} has label {labels[wrong][0]} in row {wrong.argmax()}, but the student's labels are "
            f"0..{config.num_labels - 1} ({list(config.id2label.values())})."
        )


def _check_label_vectors(labels: np.ndarray, config: Any, name: str) -> None:
    if labels.ndim != 2 or labels.shape[1] != config.num_labels:
        raise ValueError(
            f"{name} has label {labels[0]} in row 0, but the student's problem_type is {MULTI_LABEL!r}: a row needs a "
            f"0 or a 1 for each of its {config.num_labels} labels {list(config.id2label.values())}."
        )
    is_wrong = ~np.isin(labels, (0, 1, NO_LABEL)) & ~np.isnan(labels)
    if is_wrong.any():
        row = int(is_wrong.any(axis=1).argmax())
        raise ValueError(
            f"{name} has {labels[is_wrong][0]} among the labels of row {row}. Where a row can have several labels, "
            "write a 0 or a 1 for each, or NaN for all in rows without a gold label."
        )


def _has_second_sentences(dataset: Dataset) -> bool:
    if "token_type_ids" not in dataset.column_names:
        return False
    return pc.max(pc.list_flatten(dataset.with_format("arrow")["token_type_ids"][:])).as_py() == 1


def _logits(rows: list[Sequence[float] | None]) -> Tensor:
    width = next((len(row) for row in rows if row is not None), 1)
    return torch.tensor([[float("nan")] * width if row is None else list(row) for row in rows], dtype=torch.float32)
