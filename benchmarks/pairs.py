"""Compare ways to find what matches one text among many: from stored vectors, or pair by pair.

python benchmarks/pairs.py --texts train.jsonl --columns text_a text_b --student STUDENT --teacher TEACHER
python benchmarks/pairs.py --texts train.jsonl --teacher TEACHER     # a student of the paper's size, random weights

A siamese student classifies one query against `--stored` vectors (the query's own is computed anew each time); the same
student reads full pairs; and so does the teacher, some of them. Ends with an error if the scores from vectors differ
from those of the pairs by more than 0.00001.
"""

import argparse
import itertools
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_bilstm_distill import BiLSTMConfig, BiLSTMForSequenceClassification, TextClassifier, trim_tokenizer

LARGEST_DIFFERENCE = 1e-5


def main() -> None:
    """Time the ways in turns, and print what a pair costs in each."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    query, stored = read_texts(options.texts, options.columns, options.stored)
    teacher = TextClassifier.from_pretrained(options.teacher, device="cpu")
    student = load_student(options.student, teacher, [query, *stored])

    start = time.perf_counter()
    vectors = student.encode(stored)
    encoding_seconds = time.perf_counter() - start
    ways: dict[str, tuple[int, Callable[[], np.ndarray]]] = {
        "student, stored vectors": (len(stored), lambda: student.classify_pairs(student.encode([query]), vectors)[1]),
        "student, full pairs": (options.pairs, lambda: pairs(student, query, stored[: options.pairs])),
        "teacher, full pairs": (options.teacher_pairs, lambda: pairs(teacher, query, stored[: options.teacher_pairs])),
    }
    seconds = measure(ways, options.repeats)
    per_pair = {name: seconds[name] / num_pairs for name, (num_pairs, _) in ways.items()}
    fastest = per_pair["student, stored vectors"]
    difference = largest_difference(*(ways[name][1]() for name in ("student, stored vectors", "student, full pairs")))

    print(f"{'way':<26}{'pairs':>9}{'us/pair':>12}{'vectors are x faster':>24}")
    for name, (num_pairs, _) in ways.items():
        print(f"{name:<26}{num_pairs:>9,}{per_pair[name] * 1e6:>12,.2f}{per_pair[name] / fastest:>24,.1f}")
    print(
        f"\nTo store the vectors took {encoding_seconds:.2f} s, once. Largest difference of a score: {difference:.1e}"
    )
    result = {
        "benchmark": "pairs",
        "stored": len(stored),
        "store_seconds": round(encoding_seconds, 3),
        "us_per_pair": {name: round(value * 1e6, 3) for name, value in per_pair.items()},
        "vectors_are_faster": {name: round(value / fastest, 1) for name, value in per_pair.items()},
        "largest_difference": difference,
        "lstm_hidden_size": student.model.config.lstm_hidden_size,
        "threads": options.threads,
        "repeats": options.repeats,
        "machine": platform.machine(),
        "torch": torch.__version__,
    }
    print(json.dumps(result))
    if difference > LARGEST_DIFFERENCE:
        sys.exit(f"Scores from vectors and from pairs differ by {difference:.1e}, more than {LARGEST_DIFFERENCE}.")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="JSON lines with sentences")
    parser.add_argument("--columns", nargs="+", default=["text"], help="where they stand")
    parser.add_argument("--teacher", required=True, help="the teacher: a folder, or an id on the Hub")
    parser.add_argument("--student", help="a siamese student. Left out: one of the paper's size with random weights")
    parser.add_argument("--stored", type=int, default=20_000, help="how many vectors to store")
    parser.add_argument("--pairs", type=int, default=4000, help="how many of the pairs the student reads in full")
    parser.add_argument("--teacher_pairs", type=int, default=200, help="how many of the pairs the teacher reads")
    parser.add_argument("--repeats", type=int, default=5, help="how often to measure each way, in turn")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    return parser.parse_args()


def read_texts(path: Path, columns: list[str], stored: int) -> tuple[str, list[str]]:
    """Return a query of middle length, and as many sentences as are to be stored, repeated if there are fewer."""
    with path.open(encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines)
        texts = dict.fromkeys(row[column] for row in rows for column in columns)
        distinct = list(itertools.islice(texts, stored))
    return sorted(distinct, key=len)[len(distinct) // 2], list(itertools.islice(itertools.cycle(distinct), stored))


def load_student(name: str | None, teacher: TextClassifier, texts: list[str]) -> TextClassifier:
    """Load a student, or make one with random weights: speed does not depend on them."""
    if name is not None:
        return TextClassifier.from_pretrained(name, device="cpu")
    torch.manual_seed(0)
    tokenizer = trim_tokenizer(teacher.tokenizer, texts)
    config = BiLSTMConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, is_pair=True, num_labels=teacher.num_labels
    )
    return TextClassifier(BiLSTMForSequenceClassification(config), tokenizer)


def pairs(classifier: Any, query: str, stored: list[str]) -> np.ndarray:
    """Return the scores of full pairs."""
    return classifier.predict([query] * len(stored), stored)[1]


def measure(ways: dict[str, tuple[int, Callable[[], np.ndarray]]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each way: in each round all take their turn, after a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name, (_, run) in itertools.chain(ways.items(), *itertools.repeat(ways.items(), repeats)):
        start = time.perf_counter()
        run()
        seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def largest_difference(from_vectors: np.ndarray, from_pairs: np.ndarray) -> float:
    """Return how far the scores of the same pairs are apart."""
    return float(np.abs(from_vectors[: len(from_pairs)] - from_pairs).max())


if __name__ == "__main__":
    main()
