"""Distil and export, kill the process with SIGKILL at random moments of every stage, run the same again until it ends.

python benchmarks/kills.py --kills 30 --seed 0

Makes small texts and a small teacher itself. Ends with an error unless the student, its tokenizer, the exported graph
and all quality in the report are those of a run that nobody disturbed, and unless every file that could be read after
a kill was whole.
"""

import argparse
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
STAGES = ("augmentation", "labelling", "training", "saving", "export")
BYTE_FOR_BYTE = (
    *(f"student/{name}" for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")),
    *(f"onnx/{name}" for name in ("model.onnx", "config.json", "tokenizer.json")),
)
SPEEDS = ("throughput_per_s", "latency_ms_p50", "latency_ms_p95")
TEXTS_PER_SHARD = 256
SETTINGS = {
    "n_iter": 4,
    "lstm_hidden_size": 32,
    "fc_size": 32,
    "embedding_dim": 32,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 32,
    "save_strategy": "steps",
    "eval_strategy": "steps",
    "save_steps": 15,
    "eval_steps": 15,
    "resume_from_checkpoint": "last",
    "use_cpu": "true",
}


class Moment(NamedTuple):
    """When to kill: so many seconds after a stage began for the nth time."""

    stage: str
    occurrence: int
    seconds: float


def main() -> None:
    """Run undisturbed once, then with kills, and compare."""
    options = parse_arguments()
    if options.work:
        work(options.inputs, options.work, options.marks)
        return
    with tempfile.TemporaryDirectory() as name:
        facts = measure(Path(name), options.kills, random.Random(options.seed))
    print(json.dumps(facts | {"seed": options.seed}))
    if facts["losses"]:
        sys.exit("A killed run did not end as the undisturbed one, or left half a file where a whole one is expected.")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="how often to kill, at least")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--marks", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(folder: Path, kills: int, draw: random.Random) -> dict[str, Any]:
    """Kill until there were enough kills: in each round one in each stage, then run to the end and compare."""
    make_inputs(folder / "inputs")
    start = time.perf_counter()
    undisturbed, spans = run(folder, "undisturbed", None)
    seconds = time.perf_counter() - start
    if undisturbed:
        sys.exit((folder / "undisturbed.log").read_text()[-3000:])
    done: Counter[str] = Counter()
    runs, rounds, losses = 1, 0, []
    while done.total() < kills:
        rounds += 1
        name = f"round {rounds}"
        for stage in STAGES:
            occurrence = draw.randrange(len(spans[stage]))
            moment = Moment(stage, occurrence + 1, draw.random() * spans[stage][occurrence])
            code, _ = run(folder, name, moment)
            runs += 1
            done[stage] += code == -signal.SIGKILL
            if code not in (0, -signal.SIGKILL):
                losses.append(f"{name}, after {moment}: {(folder / f'{name}.log').read_text()[-300:]}")
            losses += [f"{name}, {moment}: half of {file}" for file in half_files(folder / name)]
        code, _ = run(folder, name, None)
        runs += 1
        if code:
            losses.append(f"{name}: ended with {(folder / f'{name}.log').read_text()[-300:]}")
        else:
            losses += [f"{name}: {file} differs" for file in differences(folder / "undisturbed", folder / name)]
    return {
        "kills": dict(done),
        "kills_in_all": done.total(),
        "runs": runs,
        "rounds_to_the_end": rounds,
        "seconds_undisturbed": round(seconds, 1),
        "losses": losses,
    }


def make_inputs(folder: Path) -> None:
    """Write texts, and a teacher with random weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from hf_bilstm_distill import train_word_tokenizer
    from hf_bilstm_distill.commands.demo_corpus import build_demo_corpus

    corpus = build_demo_corpus(seed=0)
    folder.mkdir()
    for split, rows in (("train", 400), ("validation", 100)):
        corpus[split].select(range(rows)).to_json(folder / f"{split}.jsonl")
    tokenizer = train_word_tokenizer(corpus["train"]["text"][:])
    torch.manual_seed(0)
    names = {0: "negative", 1: "positive"}
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
        initializer_range=0.3,  # so that its logits differ clearly from text to text
        pad_token_id=tokenizer.pad_token_id,
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    BertForSequenceClassification(config).save_pretrained(folder / "teacher")
    tokenizer.save_pretrained(folder / "teacher")


def run(folder: Path, name: str, kill: Moment | None) -> tuple[int, dict[str, list[float]]]:
    """Run the job in a process of its own. Return how it ended, and how long each occurrence of a stage took."""
    reader, writer = os.pipe()
    command = [sys.executable, __file__, "--inputs", str(folder / "inputs"), "--work", str(folder / name)]
    with (folder / f"{name}.log").open("a") as log:
        process = subprocess.Popen(
            [*command, "--marks", str(writer)],
            pass_fds=[writer],
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "HF_HOME": str(folder / name / "home"),
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )
    os.close(writer)
    spans: dict[str, list[float]] = {stage: [] for stage in STAGES}
    begun: Counter[str] = Counter()
    with os.fdopen(reader) as marks:  # ends when the process does
        for mark in marks:
            stage, seconds = mark.split()
            if seconds != "begins":
                spans[stage].append(float(seconds))
                continue
            begun[stage] += 1
            if kill is not None and (stage, begun[stage]) == (kill.stage, kill.occurrence):
                time.sleep(kill.seconds)
                process.kill()
    return process.wait(), spans


def work(inputs: Path, folder: Path, marks: int) -> None:
    """Distil and export in this process, which may be killed, and write to `marks` where it is."""
    from hf_bilstm_distill import labeling
    from hf_bilstm_distill.commands import distill, export

    def marked(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            os.write(marks, f"{stage} begins\n".encode())
            start = time.perf_counter()
            result = function(*args, **kwargs)
            os.write(marks, f"{stage} {time.perf_counter() - start}\n".encode())
            return result

        return call

    labeling._TEXTS_PER_SHARD = TEXTS_PER_SHARD
    for stage, place, function in (
        ("augmentation", distill, "add_copies"),
        ("labelling", distill, "add_logits"),
        ("training", distill, "train"),
        ("saving", distill.DistillationTrainer, "_save_checkpoint"),
        ("saving", distill.DistillationTrainer, "save_model"),
        ("saving", distill.DistillationTrainer, "create_model_card"),
        ("saving", distill.Report, "save"),
        ("export", export, "export_onnx"),
    ):
        setattr(place, function, marked(stage, getattr(place, function)))
    flags = [str(part) for name, value in SETTINGS.items() for part in (f"--{name}", value)]
    files = ["--train_file", str(inputs / "train.jsonl"), "--validation_file", str(inputs / "validation.jsonl")]
    student = str(folder / "student")
    sys.argv = ["run_distill.py", "--teacher", str(inputs / "teacher"), *files, *flags, "--output_dir", student]
    distill.main()
    sys.argv = ["export", "--student", student, "--output_dir", str(folder / "onnx")]
    export.main()


def half_files(folder: Path) -> list[str]:
    """Name the files that are not whole, where a reader would take them for whole: by name, and in no checkpoint."""
    import numpy as np
    from safetensors import safe_open

    readers: dict[str, Callable[[Path], Any]] = {
        ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
        ".safetensors": lambda path: safe_open(path, "np"),
        ".npy": lambda path: np.load(path, allow_pickle=False),
    }
    half = []
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        is_left_out = any(
            fnmatch(part, pattern) for part in place.parts for pattern in ("_*.*", "checkpoint-*", "home")
        )
        if path.suffix in readers and not is_left_out:
            try:
                readers[path.suffix](path)
            except Exception as error:  # each reader has its own
                half.append(f"{place} ({error})")
    return half


def differences(whole: Path, killed: Path) -> list[str]:
    """Name what is not the same in the two folders."""
    different = [file for file in BYTE_FOR_BYTE if (whole / file).read_bytes() != (killed / file).read_bytes()]
    return different + ["student/report.json"] * (quality(whole) != quality(killed))


def quality(folder: Path) -> list[dict[str, Any]]:
    """Return all that the report says of the models but their speed."""
    report = json.loads((folder / "student" / "report.json").read_text(encoding="utf-8"))
    return [{name: value for name, value in model.items() if name not in SPEEDS} for model in report["models"]]


if __name__ == "__main__":
    main()
