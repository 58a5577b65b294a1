"""Compare training speed: the plain way of the Hugging Face Trainer, and ours, on the same rows in one run.

Plain is what people write first: `Trainer` with a padding collator, batches in random order, a packed `nn.LSTM` over
the teacher's whole vocabulary. Ours is `DistillationTrainer` over a trimmed vocabulary, in float32 and bfloat16; and
the loop without any trainer, which shows what the Trainer costs.

python benchmarks/training.py --texts train.jsonl --teacher TEACHER
python benchmarks/training.py --texts train.jsonl --teacher TEACHER --full --validation_file validation.jsonl
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments, set_seed

from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    DistillationTrainer,
    DistillationTrainingArguments,
    HeuristicAugmenter,
    TextClassifier,
    augment,
    encode,
    initialize_embeddings,
    label_with_teacher,
    load_file,
    trim_tokenizer,
    vectors_from_teacher,
)

WIDTH = 300
WARM_UP = 10


class PlainStudent(torch.nn.Module):
    """The same student as people write it: embedding, packed LSTM, last states, two layers."""

    def __init__(self, vectors: torch.Tensor, num_labels: int, hidden_size: int, fc_size: int, dropout: float) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding.from_pretrained(vectors.clone(), freeze=False, padding_idx=0)
        self.lstm = torch.nn.LSTM(vectors.shape[1], hidden_size, batch_first=True, bidirectional=True)
        self.hidden = torch.nn.Linear(2 * hidden_size, fc_size)
        self.dropout = torch.nn.Dropout(dropout)
        self.classifier = torch.nn.Linear(fc_size, num_labels)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Give logits, `(batch, num_labels)`."""
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            self.embedding(input_ids), attention_mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False
        )
        last = self.lstm(packed)[1][0]
        pooled = torch.cat([last[0], last[1]], dim=1)
        return self.classifier(self.dropout(torch.relu(self.hidden(pooled))))


class PlainTrainer(Trainer):
    """Mean squared error on the teacher's logits."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Give the loss."""
        targets = inputs.pop("teacher_logits")
        inputs.pop("labels", None)
        logits = model(**inputs)
        loss = torch.nn.functional.mse_loss(logits, targets.float())
        return (loss, {"logits": logits}) if return_outputs else loss


class Clock(TrainerCallback):
    """Measures the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        if not self.seconds and not hasattr(self, "last"):
            self.last = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop: the time since the last step's end, so that fetching the batch counts."""
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now


def main() -> None:
    """Train in every way, in turn, and print rows a second."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    disable_progress_bars()
    teacher = TextClassifier.from_pretrained(options.teacher, device="cuda" if options.gpu else "cpu")
    rows = transfer_set(options, teacher)
    data = {"full": teacher.tokenizer, "trimmed": trim_tokenizer(teacher.tokenizer, rows["text"][:])}
    encoded = {kind: encode(rows, tokenizer) for kind, tokenizer in data.items()}
    ways: dict[str, Callable[[], tuple[list[float], Any]]] = {
        "plain": lambda: train_plain(options, teacher, encoded["full"]),
        "ours": lambda: train_ours(options, teacher, data["trimmed"], encoded["trimmed"], bf16=False),
        "ours bf16": lambda: train_ours(options, teacher, data["trimmed"], encoded["trimmed"], bf16=True),
        "bare loop bf16": lambda: train_bare(options, teacher, data["trimmed"], encoded["trimmed"], bf16=True),
        "bare loop": lambda: train_bare(options, teacher, data["trimmed"], encoded["trimmed"], bf16=False),
    }
    results: dict[str, dict[str, Any]] = {name: {"rows_per_s": []} for name in ways}
    for _ in range(1 if options.full else options.repeats):
        for name, way in ways.items():
            if options.full and name.startswith("bare"):
                continue
            seconds, model = way()
            measured = seconds[WARM_UP:]
            results[name]["rows_per_s"].append(options.batch_size * len(measured) / sum(measured))
            if options.full:
                tokenizer = data["full"] if name == "plain" else data["trimmed"]
                results[name]["accuracy"] = accuracy(model, tokenizer, options)
            print(f"{name}: {results[name]['rows_per_s'][-1]:,.0f} rows/s", file=sys.stderr)
    report(options, {name: result for name, result in results.items() if result["rows_per_s"]}, len(rows))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="training texts: a file with a column text")
    parser.add_argument("--teacher", required=True, help="a folder or an id on the Hub")
    parser.add_argument("--validation_file", help="texts with labels, for --full")
    parser.add_argument("--cache_dir", help="where the teacher's logits are kept, for --full")
    parser.add_argument("--n_iter", type=int, default=4, help="copies of a text")
    parser.add_argument("--rows", type=int, default=10_000, help="texts to take")
    parser.add_argument("--steps", type=int, default=60, help="steps to measure in each way")
    parser.add_argument("--repeats", type=int, default=3, help="how often to measure each way, in turn")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--hidden_size", type=int, default=150)
    parser.add_argument("--fc_size", type=int, default=200)
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--epochs", type=float, default=1.0, help="with --full")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpu", action="store_true", help="train on the GPU")
    parser.add_argument("--full", action="store_true", help="all texts, labelled, to the end; accuracy too")
    options = parser.parse_args()
    if options.full and not options.validation_file:
        parser.error("--full needs a --validation_file")
    return options


def transfer_set(options: argparse.Namespace, teacher: TextClassifier) -> Dataset:
    """Augment the texts, and give them logits: the teacher's with --full, else random ones, which cost the same."""
    texts = load_file(options.texts)
    texts = texts.select_columns("text").select(range(len(texts) if options.full else min(options.rows, len(texts))))
    augmenter = HeuristicAugmenter(n_iter=options.n_iter, mask_token=teacher.tokenizer.mask_token, seed=options.seed)
    rows = augment(texts, augmenter)
    if options.full:
        return label_with_teacher(rows, teacher, cache_dir=options.cache_dir)
    logits = np.random.default_rng(0).normal(size=(len(rows), teacher.num_labels)).astype(np.float32)
    return rows.add_column("teacher_logits", list(logits))


def arguments(options: argparse.Namespace, folder: str, **more: Any) -> dict[str, Any]:
    """Give what all ways have in common."""
    length = {"num_train_epochs": options.epochs} if options.full else {"max_steps": options.steps + WARM_UP}
    return {
        "output_dir": folder,
        "per_device_train_batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.05,
        "seed": options.seed,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 100,
        "use_cpu": not options.gpu,
        **length,
        **more,
    }


def train_plain(options: argparse.Namespace, teacher: TextClassifier, rows: Dataset) -> tuple[list[float], Any]:
    """Train the plain way."""
    set_seed(options.seed)
    vocabulary = teacher.tokenizer
    table = vectors_from_teacher(teacher.model, vocabulary, vocabulary, width(teacher), seed=options.seed)
    student = PlainStudent(table.vectors, teacher.num_labels, options.hidden_size, options.fc_size, 0.1)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = PlainTrainer(
            student,
            TrainingArguments(**arguments(options, folder, remove_unused_columns=False)),
            train_dataset=rows.remove_columns([name for name in ("length", "augmented") if name in rows.column_names]),
            data_collator=DataCollatorWithPadding(vocabulary),
            callbacks=[clock],
        )
        quiet(trainer)
    return clock.seconds, student


def make_student(options: argparse.Namespace, teacher: TextClassifier, tokenizer: Any) -> Any:
    """Make our student, with the teacher's embeddings as the plain one has."""
    set_seed(options.seed)
    table = vectors_from_teacher(teacher.model, teacher.tokenizer, tokenizer, width(teacher), seed=options.seed)
    config = BiLSTMConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        embedding_dim=table.vectors.shape[1],
        lstm_hidden_size=options.hidden_size,
        fc_size=options.fc_size,
        dropout=0.1,
        num_labels=teacher.num_labels,
    )
    student = BiLSTMForSequenceClassification(config)
    initialize_embeddings(student, table)
    return student


def train_ours(
    options: argparse.Namespace, teacher: TextClassifier, tokenizer: Any, rows: Dataset, *, bf16: bool
) -> tuple[list[float], Any]:
    """Train with `DistillationTrainer`."""
    student = make_student(options, teacher, tokenizer)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = DistillationTrainer(
            student,
            DistillationTrainingArguments(**arguments(options, folder, bf16=bf16)),
            train_dataset=rows,
            processing_class=tokenizer,
            callbacks=[clock],
        )
        quiet(trainer)
    return clock.seconds, student


def train_bare(
    options: argparse.Namespace, teacher: TextClassifier, tokenizer: Any, rows: Dataset, *, bf16: bool
) -> tuple[list[float], Any]:
    """Train our student on ready batches in a loop of five lines."""
    student = make_student(options, teacher, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        trainer = DistillationTrainer(
            student,
            DistillationTrainingArguments(**arguments(options, folder)),
            train_dataset=rows,
            processing_class=tokenizer,
        )
        loader = iter(trainer.get_train_dataloader())
        batches = [next(loader) for _ in range(options.steps + WARM_UP)]
    optimizer = torch.optim.AdamW(student.parameters(), lr=options.learning_rate, fused=True)
    seconds = []
    for batch in batches:
        start = time.perf_counter()
        with torch.autocast(student.device.type, torch.bfloat16, enabled=bf16):
            logits = student(batch["input_ids"], batch["attention_mask"]).logits
        torch.nn.functional.mse_loss(logits.float(), batch["teacher_logits"]).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if student.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds, student


def width(teacher: TextClassifier) -> int:
    """Give the width of the students' embeddings."""
    return min(WIDTH, teacher.model.get_input_embeddings().weight.shape[1])


def quiet(trainer: Trainer) -> None:
    """Train without the log on the standard output."""
    trainer.log = lambda *_, **__: None
    trainer.train()


def accuracy(model: Any, tokenizer: Any, options: argparse.Namespace) -> float:
    """Give the accuracy on the validation file."""
    rows = load_file(options.validation_file)
    model.eval()
    if isinstance(model, BiLSTMForSequenceClassification):
        predicted = TextClassifier(model.cpu(), tokenizer).predict(rows["text"][:])[0]
    else:
        inputs = tokenizer(rows["text"][:], padding=True, truncation=True, max_length=512, return_tensors="pt")
        with torch.no_grad():
            predicted = model.cpu()(inputs["input_ids"], inputs["attention_mask"]).argmax(dim=1).numpy()
    return float((predicted == np.array(rows["label"][:])).mean())


def report(options: argparse.Namespace, results: dict[str, dict[str, Any]], num_rows: int) -> None:
    """Print a table and the same as JSON."""
    plain = statistics.median(results["plain"]["rows_per_s"])
    for result in results.values():
        result["rows_per_s"] = statistics.median(result["rows_per_s"])
        result["ratio"] = result["rows_per_s"] / plain
    print(f"{'way':<16}{'rows/s':>10}{'ratio':>8}{'accuracy':>10}")
    for name, result in results.items():
        score = f"{result['accuracy']:10.4f}" if "accuracy" in result else ""
        print(f"{name:<16}{result['rows_per_s']:10,.0f}{result['ratio']:8.2f}{score}")
    facts = {
        "rows": num_rows,
        "batch_size": options.batch_size,
        "hidden_size": options.hidden_size,
        "threads": options.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if "bare loop" in results:
        facts["share_of_bare_loop"] = {
            name: results[name]["rows_per_s"] / results[name.replace("ours", "bare loop")]["rows_per_s"]
            for name in ("ours", "ours bf16")
        }
    print(json.dumps({"benchmark": Path(__file__).stem, **facts, "ways": results}))


if __name__ == "__main__":
    main()
