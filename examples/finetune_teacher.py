"""Fine-tune an encoder as a classifier, to be distilled afterwards.

    python examples/finetune_teacher.py --model MODEL --train_file train.jsonl --validation_file dev.jsonl \
        --num_train_epochs 3 --output_dir out/teacher

With `--teacher_logits_column` it learns to match given logits instead of the gold labels.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset, DatasetDict
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hf_bilstm_distill import (
    DistillationTrainer,
    DistillationTrainingArguments,
    compute_metrics_for,
    encode,
    label_names,
    last_checkpoint,
    load_metric,
    load_texts,
    number_labels,
    one_line_errors,
    parse_arguments,
)

logger = logging.getLogger("finetune_teacher")


@dataclass
class TeacherArguments:
    """What to fine-tune, and on what."""

    model: str = field(metadata={"help": "The encoder: a folder or an id on the Hub."})
    train_file: str = field(metadata={"help": "Texts to learn from: csv, tsv, json lines or parquet."})
    validation_file: str | None = field(default=None, metadata={"help": "Texts to evaluate on after each epoch."})
    text_column: str = field(default="text", metadata={"help": "Column with the text, or the first of two."})
    text_pair_column: str | None = field(default=None, metadata={"help": "Column with the second text of a pair."})
    label_column: str = field(default="label", metadata={"help": "Column with the gold label: a number or a name."})
    labels: list[str] | None = field(default=None, metadata={"help": "Names of the labels 0, 1, ... in order."})
    teacher_logits_column: str | None = field(default=None, metadata={"help": "Column with logits to match."})
    metric: str = field(default="accuracy", metadata={"help": "What to measure on the validation texts."})
    max_length: int = field(default=128, metadata={"help": "Longest text in tokens."})


@dataclass
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


def main() -> None:
    """Fine-tune a teacher and say how good it is."""
    run, training = parse_arguments([TeacherArguments, TeacherTrainingArguments], "Fine-tune a teacher.")
    logging.basicConfig(format="%(message)s", level=logging.INFO if training.process_index == 0 else logging.WARNING)
    if run.teacher_logits_column is not None and training.alpha == 1:
        training.alpha = 0.0
    with one_line_errors():
        texts, names = load(run)
        tokenizer = AutoTokenizer.from_pretrained(run.model)
        model = AutoModelForSequenceClassification.from_pretrained(run.model, **head(texts["train"], names))
    trainer = finetune(model, tokenizer, texts, training, metric=run.metric, max_length=run.max_length)
    if "validation" in texts:
        metrics = trainer.evaluate()
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)


def load(run: TeacherArguments) -> tuple[DatasetDict, list[str] | None]:
    """Read the texts; number their labels."""
    files = {"train": run.train_file, "validation": run.validation_file}
    columns = {
        "text": run.text_column,
        "text_pair": run.text_pair_column,
        "label": run.label_column,
        "teacher_logits": run.teacher_logits_column,
    }
    texts = load_texts({split: file for split, file in files.items() if file}, columns)
    names = run.labels or label_names(texts["train"])
    return DatasetDict({split: number_labels(rows, names or []) for split, rows in texts.items()}), names


def head(train: Dataset, names: list[str] | None) -> dict[str, Any]:
    """Say what classification head the labels need."""
    labels = np.asarray(train["label"][:])
    if np.issubdtype(labels.dtype, np.floating):
        return {"num_labels": 1, "problem_type": "regression"}
    names = names or [f"LABEL_{number}" for number in range(int(labels.max()) + 1)]
    return {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}


def finetune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: DatasetDict,
    training: DistillationTrainingArguments,
    *,
    metric: str = "accuracy",
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
        compute_metrics=compute_metrics_for(load_metric(metric)),
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(training))
    trainer.save_model()
    return trainer


if __name__ == "__main__":
    main()
