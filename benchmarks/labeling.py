"""Compare labelling with a teacher to the plain way, on augmented texts.

python benchmarks/labeling.py --teacher MODEL --texts train.jsonl                             # a sample
python benchmarks/labeling.py --teacher MODEL --texts train.jsonl --rows 200000 --repeats 1
python benchmarks/labeling.py --teacher MODEL --texts train.jsonl --full                      # the whole transfer set

Ours is `label_with_teacher`: hashing, shards on disk and the column are counted in. The plain way takes the texts as
they come, in batches of 32, padded to 128 tokens, or to the longest of the batch. It labels the same texts; of many it
takes `--plain_rows`, spread evenly, since it would take hours. Ends with an error if the logits in float32 differ from
the plain way's by more than 0.0001.
"""

import argparse
import json
import math
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

from hf_bilstm_distill import HeuristicAugmenter, TextClassifier, augment, label_with_teacher

N_ITER = 20
PLAIN_LENGTH = 128
PLAIN_BATCH = 32
LARGEST_DIFFERENCE = 1e-4
PLAIN = f"plain, padded to {PLAIN_LENGTH}"


def main() -> None:
    """Label the same texts in every way, in turns."""
    options = parse_arguments()
    disable_progress_bars()
    if options.threads:
        torch.set_num_threads(options.threads)
    rows = augmented_texts(options.texts, None if options.full else options.rows, options.seed)
    plain_rows = np.unique(np.linspace(0, len(rows) - 1, options.plain_rows).astype(int))
    plain_texts = rows[plain_rows]["text"]

    teachers = {dtype: load_teacher(options.teacher, dtype) for dtype in ("float32", "bfloat16")}
    ways: dict[str, tuple[int, Callable[[], np.ndarray]]] = {
        PLAIN: (len(plain_texts), lambda: label_plainly(plain_texts, teachers["float32"], "max_length")),
        "plain, padded to the longest": (
            len(plain_texts),
            lambda: label_plainly(plain_texts, teachers["float32"], "longest"),
        ),
        "ours, float32": (len(rows), lambda: label(rows, teachers["float32"])[plain_rows]),
        "ours, bfloat16": (len(rows), lambda: label(rows, teachers["bfloat16"])[plain_rows]),
    }
    for teacher in teachers.values():
        teacher.logits(plain_texts[:8])
    results = measure(ways, options.repeats)
    print_table(results)
    facts = {
        "teacher": Path(options.teacher).name,
        "texts": options.texts.name,
        "rows": len(rows),
        "plain_rows": len(plain_texts),
        "tokens_per_text": mean_tokens(plain_texts, teachers["float32"]),
        "repeats": options.repeats,
        "device": str(teachers["float32"].model.device),
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps(facts | {"ways": results}))
    difference = results["ours, float32"]["largest_difference"]
    if difference > LARGEST_DIFFERENCE:
        sys.exit(f"The logits differ from the plain way's by {difference}, more than {LARGEST_DIFFERENCE}.")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help='JSON lines with a "text"')
    parser.add_argument("--teacher", help="a folder or an id on the Hub; left out: the folder teacher beside the texts")
    parser.add_argument("--rows", type=int, default=1024, help="how many augmented texts to label")
    parser.add_argument("--full", action="store_true", help=f"label all texts and {N_ITER} copies of each")
    parser.add_argument("--plain_rows", type=int, default=256, help="how many of them the plain way labels, at most")
    parser.add_argument("--repeats", type=int, default=3, help="how often each way runs; medians are shown")
    parser.add_argument("--threads", type=int, help="threads of torch; left out: as many as it takes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.teacher = options.teacher or str(options.texts.with_name("teacher"))
    return options


def augmented_texts(path: Path, num_rows: int | None, seed: int) -> Dataset:
    """Return augmented texts of a file: all of them, or random ones."""
    texts = Dataset.from_json(str(path)).select_columns(["text"])
    if num_rows is not None:
        num_sources = min(len(texts), max(100, math.ceil(num_rows / 5)))  # many copies of short texts are duplicates
        texts = texts.shuffle(seed=seed).select(range(num_sources)).flatten_indices()
    rows = augment(texts, HeuristicAugmenter(n_iter=N_ITER, seed=seed)).select_columns(["text"])
    if num_rows is not None and num_rows < len(rows):
        rows = rows.shuffle(seed=seed).select(range(num_rows)).flatten_indices()
    return rows


def load_teacher(name: str, dtype: str) -> TextClassifier:
    """Load the teacher with the plain way's longest length, where it can be that long."""
    teacher = TextClassifier.from_pretrained(name, dtype=getattr(torch, dtype))
    return TextClassifier(teacher.model, teacher.tokenizer, max_length=min(PLAIN_LENGTH, teacher.max_length))


def label(rows: Dataset, teacher: TextClassifier) -> np.ndarray:
    """Label with this package, into a cache that is empty."""
    with tempfile.TemporaryDirectory() as cache_dir:
        labelled = label_with_teacher(rows, teacher, cache_dir=cache_dir)
    return np.stack(labelled.with_format("numpy")["teacher_logits"][:])


def label_plainly(texts: list[str], teacher: TextClassifier, padding: str) -> np.ndarray:
    """Label as most scripts do."""
    logits = []
    for start in range(0, len(texts), PLAIN_BATCH):
        batch = teacher.tokenizer(
            texts[start : start + PLAIN_BATCH],
            padding=padding,
            truncation=True,
            max_length=teacher.max_length,
            return_tensors="pt",
        )
        with torch.no_grad():
            logits.append(teacher.model(**batch.to(teacher.model.device)).logits.float().cpu().numpy())
    return np.concatenate(logits)


def measure(ways: dict[str, tuple[int, Callable[[], np.ndarray]]], repeats: int) -> dict[str, dict[str, Any]]:
    """Run all ways in turns, and compare each with the plain one."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    logits = {}
    for _ in range(repeats):
        for name, (_, run) in ways.items():
            start = time.perf_counter()
            logits[name] = run()
            seconds[name].append(time.perf_counter() - start)
    rates = {name: num_rows / statistics.median(seconds[name]) for name, (num_rows, _) in ways.items()}
    return {
        name: {
            "texts_per_second": round(rates[name], 1),
            "times_as_fast_as_plain": round(rates[name] / rates[PLAIN], 2),
            "largest_difference": float(np.abs(logits[name] - logits[PLAIN]).max()),
            "same_label": float((logits[name].argmax(axis=1) == logits[PLAIN].argmax(axis=1)).mean()),
        }
        for name in ways
    }


def mean_tokens(texts: list[str], teacher: TextClassifier) -> float:
    """Return how long the texts are on average, in tokens."""
    return round(float(np.mean([len(ids) for ids in teacher.tokenizer(texts)["input_ids"]])), 1)


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Print one line for each way."""
    print(f"{'way':<30}{'texts/s':>10}{'ratio':>8}{'largest difference':>20}{'same label':>12}")
    for name, row in results.items():
        print(
            f"{name:<30}{row['texts_per_second']:>10,.0f}{row['times_as_fast_as_plain']:>8.1f}"
            f"{row['largest_difference']:>20.1e}{row['same_label']:>12.4f}"
        )


if __name__ == "__main__":
    main()
