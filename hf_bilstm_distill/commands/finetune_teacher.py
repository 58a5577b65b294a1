"""Fine-tune an encoder as a classifier: `examples/finetune_teacher.py`, and the demo's teacher."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset, DatasetDict
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hf_bilstm_distill.collation import encode
from hf_bilstm_distill.commands.command_line import last_checkpoint, log_to_stderr, parse_arguments
from hf_bilstm_distill.commands.errors import one_line_errors, one_line_if_disk_is_full
from hf_bilstm_distill.loading import load_texts, number_labels
from hf_bilstm_distill.metrics import compute_metrics_for, default_metrics, load_metrics
from hf_bilstm_distill.problem_types import find_problem_type, label_vectors, read_labels
from hf_bilstm_distill.trainer import DistillationTrainer
from hf_bilstm_distill.training_args import DistillationTrainingArguments
from hf_bilstm_distill.transfer_set import label_names


@dataclass
class TeacherArguments:
    """What to fine-tune, and on what."""

    model: str = field(metadata={"help": "The encoder: a folder or an id on the Hub."})
    train_file: str = field(metadata={"help": "Texts to learn from: csv, tsv, json lines or parquet."})
    validation_file: str | None = field(default=None, metadata={"help": "Texts to evaluate on after each epoch."})
    text_column: str = field(default="text", metadata={"help": "Column with the text, or the first of two."})
    text_pair_column: str | None = field(default=None, metadata={"help": "Column with the second text of a pair."})
    label_column: str = field(
        default="label", metadata={"help": "Column with the gold label: a number or a name, or a list of them."}
    )
    labels: list[str] | None = field(default=None, metadata={"help": "Names of the labels 0, 1, ... in order."})
    teacher_logits_column: str | None = field(default=None, metadata={"help": "Column with logits to match."})
    problem_type: str | None = field(
        default=None,
        metadata={
            "help": "What a label is: one class (single_label_classification), a list of classes "
            "(multi_label_classification) or a number (regression). Left out: what the labels look like.",
            "choices": ["single_label_classification", "multi_label_classification", "regression"],
        },
    )
    metric: list[str] | None = field(
        default=None, metadata={"help": "What to measure on the validation texts. Left out: by problem type."}
    )
    max_length: int = field(default=128, metadata={"help": "Longest text in tokens."})


@dataclass(repr=False)  # the inherited one hides the token of the Hub
class TeacherTrainingArguments(DistillationTrainingArguments):
    """Training arguments with the usual defaults for fine-tuning an encoder."""

    output_dir: str | None = field(default="out/teacher", metadata={"help": "Where to save the teacher."})
    learning_rate: float | None = field(default=3e-5, metadata={"help": "Peak learning rate."})
    alpha: float = field(
        default=1.0, metadata={"help": "Weight of the gold labels. With logits to match, 1 is taken for 0."}
    )
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Training rows a device and step."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Steps, or the share of all, of rising learning rate."})
    weight_decay: float = field(default=0.01, metadata={"help": "Weight decay of AdamW."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save a checkpoint: no, epoch, steps."})
    save_total_limit: int | None = field(default=1, metadata={"help": "How many checkpoints to keep."})
    logging_steps: float = field(default=100, metadata={"help": "Log every so many steps."})


@one_line_if_disk_is_full()
def main() -> None:
    """Fine-tune a teacher and say how good it is."""
    run, training = parse_arguments([TeacherArguments, TeacherTrainingArguments], "Fine-tune a teacher.")
    log_to_stderr()
    if run.teacher_logits_column is not None and training.alpha == 1:
        training.alpha = 0.0
    with one_line_errors():
        texts, names, problem_type = load(run)
        tokenizer = AutoTokenizer.from_pretrained(run.model)
        head = {"problem_type": problem_type, **label_maps(names)}
        # A checkpoint in half precision would else be trained in it, which loses small updates. A classifier for other
        # labels keeps its encoder and gets a new head.
        model = AutoModelForSequenceClassification.from_pretrained(
            run.model, dtype=torch.float32, ignore_mismatched_sizes=True, **head
        )
        metrics = run.metric or default_metrics(problem_type)
    trainer = finetune(model, tokenizer, texts, training, metrics=metrics, max_length=run.max_length)
    if "validation" in texts:
        metrics = trainer.evaluate()
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)


def load(run: TeacherArguments) -> tuple[DatasetDict, list[str], str]:
    """Read the texts; number their labels; name these, and say what kind of problem they are."""
    files = {"train": run.train_file, "validation": run.validation_file}
    columns = {
        "text": run.text_column,
        "text_pair": run.text_pair_column,
        "label": run.label_column,
        "teacher_logits": run.teacher_logits_column,
    }
    texts = load_texts({split: file for split, file in files.items() if file}, columns)
    problem_type = find_problem_type(texts["train"], given=run.problem_type)
    texts = DatasetDict({split: read_labels(rows, problem_type, split) for split, rows in texts.items()})
    names = run.labels or label_names(texts["train"]) or unnamed(texts["train"], problem_type)
    to_numbers = label_vectors if problem_type == "multi_label_classification" else number_labels
    return DatasetDict({split: to_numbers(rows, names) for split, rows in texts.items()}), names, problem_type


def unnamed(train: Dataset, problem_type: str) -> list[str]:
    """Give labels without names the names that transformers gives."""
    if problem_type == "regression":
        return ["LABEL_0"]
    labels = [label for label in train["label"] if label is not None]
    width = len(labels[0]) if problem_type == "multi_label_classification" else int(max(labels)) + 1
    return [f"LABEL_{number}" for number in range(width)]


def label_maps(names: list[str]) -> dict[str, Any]:
    """Map numbers to names, and back."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}


def finetune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: DatasetDict,
    training: DistillationTrainingArguments,
    *,
    metrics: Sequence[str] = ("accuracy",),
    max_length: int | None = None,
) -> DistillationTrainer:
    """Train a classifier on labelled texts, or on texts with logits, and save it with its tokenizer."""
    with PartialState().main_process_first():
        encoded = {split: encode(rows, tokenizer, max_length=max_length) for split, rows in texts.items()}
    trainer = DistillationTrainer(
        model,
        training,
        train_dataset=encoded["train"],
        eval_dataset=encoded.get("validation"),
        processing_class=tokenizer,
        compute_metrics=compute_metrics_for(load_metrics(metrics)),
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(training))
    trainer.save_model()
    return trainer
