"""Label, train and predict for long, and see whether memory stays flat, and every answer in its place.

python benchmarks/soak.py --teacher MODEL --texts train.jsonl --minutes 60 --predictions 5000000 --picture soak.svg

Half of the minutes go to labelling fresh augmented copies, round after round, half to one training run on the first of
them, with evaluation and checkpoints; then the exported student answers a stream. Each part is a process of its own;
its memory (what it holds itself, without pages of files) is sampled from outside. Ends with an error if memory grew by
more than a tenth in the second half of a part, or an answer of the stream is lost, or is not that of its text. In the
first half oneDNN fills its cache of programs, one for each shape of a product, 1,024 at most.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from datasets import Dataset, concatenate_datasets, disable_progress_bars, load_from_disk
from transformers import AutoTokenizer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    DistillationTrainer,
    DistillationTrainingArguments,
    HeuristicAugmenter,
    OnnxTextClassifier,
    TextClassifier,
    augment,
    encode,
    export_onnx,
    label_with_teacher,
    trim_tokenizer,
)

SECONDS_BETWEEN_SAMPLES = 2.0
MOST_GROWTH = 0.1
ROWS_PER_ROUND = 20_000
DISTINCT_TEXTS = 5_000
LARGEST_DIFFERENCE = 1e-5


def main() -> None:
    """Run the parts one after the other, and watch them."""
    options = parse_arguments()
    if options.part:
        disable_progress_bars()
        PARTS[options.part](options)
        return
    with tempfile.TemporaryDirectory() as folder:
        memory = {part: watch(part, Path(folder)) for part in PARTS}
        facts = {part: json.loads((Path(folder) / f"{part}.json").read_text()) for part in PARTS}
    for part, samples in memory.items():
        facts[part] |= growth(samples)
    if options.picture:
        draw(memory, options.picture)
    print(json.dumps(facts))
    grown = [part for part, fact in facts.items() if fact["growth"] > MOST_GROWTH]
    if grown or facts["predict"]["wrong"] or facts["predict"]["answers"] != options.predictions:
        sys.exit(f"Memory grew in {grown}, or answers were wrong or lost: {facts['predict']}.")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help='JSON lines with a "text"')
    parser.add_argument("--teacher", required=True, help="a folder or an id on the Hub")
    parser.add_argument("--minutes", type=float, default=60.0, help="of labelling and training together")
    parser.add_argument("--predictions", type=int, default=5_000_000, help="how many answers to ask for")
    parser.add_argument("--picture", type=Path, help="where to draw the memory, as SVG")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def watch(part: str, work: Path) -> list[tuple[float, float]]:
    """Run a part in a process of its own; return its memory over time, as minutes and MiB."""
    process = subprocess.Popen([sys.executable, *sys.argv, "--part", part, "--work", str(work)])
    start, samples = time.monotonic(), []
    while process.poll() is None:
        if (work / f"{part}.started").exists():
            status = Path(f"/proc/{process.pid}/status").read_text()
            anonymous = next((line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")), None)
            if anonymous:
                samples.append(((time.monotonic() - start) / 60, int(anonymous) / 1024))
        time.sleep(SECONDS_BETWEEN_SAMPLES)
    if process.returncode:
        sys.exit(f"The part that should {part} ended with {process.returncode}.")
    return samples


def growth(samples: list[tuple[float, float]]) -> dict[str, float]:
    """Compare the memory of the last tenth with that of the first tenth after the warm-up."""
    memory = [mib for _, mib in samples]
    tenth, half = max(1, len(memory) // 10), len(memory) // 2
    early, late = statistics.mean(memory[half : half + tenth]), statistics.mean(memory[-tenth:])
    return {
        "minutes": round(samples[-1][0], 1),
        "mib_after_warm_up": round(early),
        "mib_at_the_end": round(late),
        "mib_at_most": round(max(memory)),
        "growth": round(late / early - 1, 4),
    }


def label(options: argparse.Namespace) -> None:
    """Label fresh copies, round after round; keep the first two rounds to train on."""
    teacher = TextClassifier.from_pretrained(options.teacher)
    texts = Dataset.from_json(str(options.texts)).select_columns("text")
    (options.work / "label.started").touch()
    rounds, rows, end = 0, 0, time.monotonic() + 30 * options.minutes
    while time.monotonic() < end or rounds < 2:
        sample = texts.shuffle(seed=rounds).select(range(min(len(texts), ROWS_PER_ROUND // 2)))
        copies = augment(sample, HeuristicAugmenter(n_iter=1, seed=rounds))
        with tempfile.TemporaryDirectory() as cache:
            labelled = label_with_teacher(copies, teacher, cache_dir=cache)
            if rounds < 2:
                labelled.save_to_disk(options.work / f"round{rounds}")
        rounds, rows = rounds + 1, rows + len(labelled)
    write_facts(options, {"rounds": rounds, "rows": rows})


def train(options: argparse.Namespace) -> None:
    """Train until the time is over, with evaluation and checkpoints on the way."""
    transfer_set = concatenate_datasets([load_from_disk(str(options.work / f"round{each}")) for each in (0, 1)])
    tokenizer = trim_tokenizer(AutoTokenizer.from_pretrained(options.teacher), transfer_set["text"])
    num_labels = len(transfer_set[0]["teacher_logits"])
    student = BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=len(tokenizer), num_labels=num_labels))
    rows = encode(transfer_set, tokenizer)
    arguments = DistillationTrainingArguments(
        output_dir=str(options.work / "student"),
        num_train_epochs=10_000,
        per_device_train_batch_size=128,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=200,
        save_steps=200,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = DistillationTrainer(
        student,
        arguments,
        train_dataset=rows,
        eval_dataset=rows.select(range(min(1000, len(rows)))),
        processing_class=tokenizer,
        callbacks=[StopAfter(30 * options.minutes)],
    )
    (options.work / "train.started").touch()
    trainer.train()
    export_onnx(student, tokenizer, options.work / "exported")
    write_facts(options, {"steps": trainer.state.global_step})


class StopAfter(TrainerCallback):
    """Ends training some seconds after it began."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Look at the clock."""
        control.should_training_stop = time.monotonic() > self.end


def predict(options: argparse.Namespace) -> None:
    """Ask the exported student for many answers, and compare each with that of its text."""
    classifier = OnnxTextClassifier.from_pretrained(options.work / "exported")
    with options.texts.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in itertools.islice(lines, DISTINCT_TEXTS)]
    expected = [(answer["label"], answer["score"]) for answer in classifier.predict(texts)]
    order = np.random.default_rng(0).integers(len(texts), size=options.predictions)  # no window is like another
    (options.work / "predict.started").touch()
    answers = wrong = 0
    for place, answer in zip(order.tolist(), classifier.stream(texts[place] for place in order), strict=True):
        name, score = expected[place]
        answers += 1
        wrong += answer["label"] != name or abs(answer["score"] - score) > LARGEST_DIFFERENCE
    write_facts(options, {"answers": answers, "wrong": wrong, "distinct_scores": len({score for _, score in expected})})


def write_facts(options: argparse.Namespace, facts: dict[str, int]) -> None:
    """Tell the process that watches."""
    (options.work / f"{options.part}.json").write_text(json.dumps(facts))


def draw(memory: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Draw the memory of each part over its time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    figure.suptitle("Memory of a process that works for long", x=0.01, ha="left", fontsize=11)
    titles = {
        "label": "Labelling, round after round",
        "train": "One training run",
        "predict": "A stream of predictions",
    }
    panels: Iterator = iter(figure.subplots(1, len(memory)))
    for (part, samples), axes in zip(memory.items(), panels, strict=True):
        axes.plot(*zip(*samples, strict=True), color="#2b6cb0", linewidth=1)
        axes.set(title=titles[part], xlabel="minutes", ylim=(0, 1.25 * max(mib for _, mib in samples)))
        axes.title.set_size(10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    figure.axes[0].set_ylabel("MiB")
    figure.savefig(path, metadata={"Date": None})


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {"label": label, "train": train, "predict": predict}


if __name__ == "__main__":
    main()
