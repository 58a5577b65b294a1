"""Where the time of a student's bulk predictions goes, step by step, and what the machine could do at best.

python benchmarks/serving_steps.py --student STUDENT --texts validation.jsonl

Each step is run alone, over the same batches as in `TextClassifier.predict`; "all" is `predict` itself. The best of the
machine is what this core reaches on that kind of work alone, in large pieces: a product of square matrices, a copy, a
sigmoid of an array that fits the cache. Its last line is JSON.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_bilstm_distill import TextClassifier, load_file
from hf_bilstm_distill.folding import _ROWS_PER_BATCH, FoldedBiLSTM, _joined
from hf_bilstm_distill.students.recurrence import product


@dataclass
class Step:
    """A step of prediction: what it does, and how much work of one kind that is."""

    run: Callable[[], Any]
    work: float = 0.0
    kind: str | None = None


def main() -> None:
    """Measure the steps and the machine in turn, and print both."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    classifier = TextClassifier.from_pretrained(options.student, dtype=dtype, device="cpu")
    texts = load_file(options.texts)["text"][:]
    with torch.inference_mode():
        steps = steps_of(classifier, texts)
        best = machine(dtype)
        seconds = medians(
            {**{name: step.run for name, step in steps.items()}, **{f"{k} best": v.run for k, v in best.items()}},
            options,
        )
    rows = {}
    for name, step in steps.items():
        rows[name] = {"us_per_text": 1e6 * seconds[name] / len(texts), "share_of_all": seconds[name] / seconds["all"]}
        if step.kind:
            rows[name] |= {
                "kind": step.kind,
                "g_per_s": step.work / seconds[name] / 1e9,
                "g_per_s_at_best": best[step.kind].work / seconds[f"{step.kind} best"] / 1e9,
            }
            rows[name]["share_of_best"] = rows[name]["g_per_s"] / rows[name]["g_per_s_at_best"]
    show(rows)
    facts = {"texts": len(texts), "dtype": options.dtype, "threads": options.threads, "platform": platform.platform()}
    print(json.dumps({"benchmark": "serving_steps", **facts, "steps": rows}))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", required=True, help="folder of a student for single texts")
    parser.add_argument("--texts", required=True, type=Path, help="a file with a column text")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15, help="how often to measure each step, in turn")
    return parser.parse_args()


class Recurrence:
    """The parts of the recurrence over a set of texts, each to run alone on numbers of the same sizes."""

    def __init__(self, encoder: FoldedBiLSTM, input_ids: np.ndarray, lengths: np.ndarray) -> None:
        sizes = np.sort(lengths)[::-1]
        batches = [sizes[start : start + _ROWS_PER_BATCH] for start in range(0, len(sizes), _ROWS_PER_BATCH)]
        self.alive = [n for batch in batches for n in np.searchsorted(-batch, -np.arange(batch[0])).tolist()]
        self.table, self.recurrent, self.hidden = encoder._table, encoder._recurrent, encoder.hidden_size
        draw = np.random.default_rng(0)
        self.places = [torch.from_numpy(draw.choice(input_ids, 2 * rows)) for rows in self.alive]
        self.gates = torch.rand(2, _ROWS_PER_BATCH, 4 * self.hidden)
        self.state, self.cell = torch.rand(2, 2, _ROWS_PER_BATCH, self.hidden)

    def gather(self) -> None:
        """Look the tokens up in the table."""
        for place in self.places:
            self.table.index_select(0, place)

    def multiply(self) -> None:
        """Multiply the states with the weights."""
        for rows in self.alive:
            for direction in (0, 1):
                product(self.state[direction, :rows], self.recurrent[direction])

    def add(self) -> None:
        """Add what the products gave."""
        for rows in self.alive:
            for direction in (0, 1):
                self.gates[direction, :rows] += self.gates[direction, :rows]

    def activate(self) -> None:
        """Turn gates into cells and states."""
        for rows in self.alive:
            write, keep, candidate, show = self.gates[:, :rows].sigmoid().chunk(4, dim=-1)
            self.cell[:, :rows].mul_(keep).addcmul_(write, candidate.sub_(0.5), value=4)
            torch.mul(show, self.cell[:, :rows].sigmoid().sub_(0.5), out=self.state[:, :rows])


def steps_of(classifier: TextClassifier, texts: list[str]) -> dict[str, Step]:
    """Cut the prediction of texts into steps that can run alone."""
    for _ in range(2):  # builds the table, and learns the words
        logits = classifier.logits(texts)
    folded: Any = classifier._folded
    if folded is None:
        raise SystemExit("These texts have fewer tokens than the student's vocabulary. Give more of them.")
    rows = classifier._tokenize([texts])["input_ids"]
    recurrence = Recurrence(folded.encoder, _joined(rows), np.array([len(ids) for ids in rows]))
    tokens, hidden = 2 * sum(recurrence.alive), recurrence.hidden
    vectors = torch.rand(len(texts), 2 * hidden, dtype=recurrence.recurrent.dtype)
    return {
        "all": Step(lambda: classifier.predict(texts)),
        "tokenize": Step(lambda: classifier._tokenize([texts])),
        "join the tokens": Step(lambda: _joined(rows)),
        "look up the table": Step(recurrence.gather, tokens * 4 * hidden * 4, "bytes copied"),
        "product with the state": Step(recurrence.multiply, tokens * 2 * hidden * 4 * hidden, "operations"),
        "add it to the gates": Step(recurrence.add),
        "gates and cell": Step(recurrence.activate, tokens * 5 * hidden, "sigmoids"),
        "head": Step(lambda: folded.student.classify(vectors)),
        "labels and scores": Step(lambda: classifier._decide(logits)),
    }


def machine(dtype: torch.dtype) -> dict[str, Step]:
    """Say what shows the machine at its best in each kind of work."""
    size = 1024
    square = torch.rand(size, size, dtype=dtype)
    large, copy = torch.rand(2**24), torch.empty(2**24)
    small = torch.rand(2**15)
    return {
        "operations": Step(lambda: product(square, square), 2 * size**3),
        "bytes copied": Step(lambda: copy.copy_(large), 4 * 2**24),
        "sigmoids": Step(lambda: [small.sigmoid() for _ in range(50)], 50 * 2**15),
    }


def medians(ways: dict[str, Callable[[], Any]], options: argparse.Namespace) -> dict[str, float]:
    """Run all in turn, many times; return the median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}


def show(rows: dict[str, dict[str, Any]]) -> None:
    """Print the table."""
    print(f"{'step':24}{'us a text':>10}{'share':>8}{'rate':>22}{'at best':>10}{'share':>8}")
    for name, row in rows.items():
        line = f"{name:24}{row['us_per_text']:>10.1f}{row['share_of_all']:>8.0%}"
        if "kind" in row:
            line += (
                f"{row['g_per_s']:>7.1f} G {row['kind']:>12}{row['g_per_s_at_best']:>10.1f}{row['share_of_best']:>8.0%}"
            )
        print(line)


if __name__ == "__main__":
    main()
