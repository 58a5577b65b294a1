"""Label a transfer set, kill the process at random moments, go on, and compare with a run that nobody disturbed.

python benchmarks/labeling_kill.py --teacher MODEL --texts train.jsonl                                # a sample
python benchmarks/labeling_kill.py --teacher MODEL --texts train.jsonl --rows 200000 --kills 3

Ends with an error unless the logits are equal byte for byte, and nothing was labelled twice but the shard that was in
flight at each kill.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from datasets import load_from_disk
from labeling import augmented_texts

from hf_bilstm_distill import TextClassifier, label_with_teacher, labeling


class CountingClassifier(TextClassifier):
    """A teacher that notes how many texts it begins to label, where a kill cannot undo it."""

    notes: Path

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
        """Note and label."""
        with self.notes.open("a") as notes:
            notes.write(f"{len(texts)}\n")
        return super().logits(texts, text_pairs)


def main() -> None:
    """Label twice, once with kills."""
    options = parse_arguments()
    if options.work:
        label(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = augmented_texts(options.texts, options.rows, options.seed)
        rows.save_to_disk(work / "rows")
        seconds = {"undisturbed": run(work, "undisturbed", kill_after=None)}
        draw = random.Random(options.seed)
        moments = sorted(draw.uniform(0.1, 0.7) for _ in range(options.kills))  # each kill meets unfinished work
        done = 0.0
        for number, moment in enumerate(moments):
            seconds[f"killed {number + 1}"] = run(work, "killed", kill_after=(moment - done) * labelling_seconds(work))
            done = moment
        seconds["finished"] = run(work, "killed", kill_after=None)
        facts = compare(work, options.kills) | {
            "rows": len(rows),
            "kills_at_share_of_the_time": [round(moment, 3) for moment in moments],
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
        }
    print(json.dumps(facts))
    if not facts["equal_bytes"] or facts["labelled_twice"] > facts["labelled_twice_at_most"]:
        sys.exit("The killed run did not end as the undisturbed one, or labelled more than the shards in flight twice.")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help='JSON lines with a "text"')
    parser.add_argument("--teacher", help="a folder or an id on the Hub; left out: the folder teacher beside the texts")
    parser.add_argument("--rows", type=int, default=2400, help="how many augmented texts to label")
    parser.add_argument("--kills", type=int, default=3, help="how often to kill")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--seed", type=int, default=0, help="of the texts and of the moments")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.teacher = options.teacher or str(options.texts.with_name("teacher"))
    return options


def label(options: argparse.Namespace) -> None:
    """Label in this process, which may be killed."""
    rows = load_from_disk(str(options.work / "rows"))
    labeling._TEXTS_PER_SHARD = min(labeling._TEXTS_PER_SHARD, len(rows) // 12)  # a sample has several shards too
    teacher = CountingClassifier.from_pretrained(options.teacher, dtype=getattr(torch, options.dtype))
    teacher.notes = options.work / f"{options.name}.txt"
    teacher.notes.touch()
    start = time.perf_counter()
    labelled = label_with_teacher(rows, teacher, cache_dir=options.work / options.name)
    seconds = time.perf_counter() - start
    np.save(options.work / f"{options.name}.npy", np.stack(labelled.with_format("numpy")["teacher_logits"][:]))
    (options.work / f"{options.name}.seconds").write_text(str(seconds))


def run(work: Path, name: str, kill_after: float | None) -> float:
    """Label in a process of its own; kill it some seconds after it began to label. Return how long it took."""
    command = [sys.executable, *sys.argv, "--work", str(work), "--name", name]
    start = time.perf_counter()
    notes = work / f"{name}.txt"
    before = notes.stat().st_mtime if notes.exists() else 0.0
    process = subprocess.Popen(command)
    if kill_after is not None:
        while process.poll() is None and (not notes.exists() or notes.stat().st_mtime == before):
            time.sleep(0.01)  # it still loads the teacher
        time.sleep(kill_after)
        process.kill()
    process.wait()
    expected = 0 if kill_after is None else -signal.SIGKILL
    if process.returncode != expected:
        sys.exit(f"The process that labels ended with {process.returncode}, not with {expected}.")
    return time.perf_counter() - start


def labelling_seconds(work: Path) -> float:
    """Return how long the undisturbed run labelled."""
    return float((work / "undisturbed.seconds").read_text())


def compare(work: Path, kills: int) -> dict[str, bool | int]:
    """Compare the columns, and count what was labelled more than once."""
    columns = {name: np.load(work / f"{name}.npy") for name in ("undisturbed", "killed")}
    counts = {name: [int(count) for count in (work / f"{name}.txt").read_text().split()] for name in columns}
    return {
        "equal_bytes": columns["undisturbed"].tobytes() == columns["killed"].tobytes(),
        "distinct_texts": sum(counts["undisturbed"]),
        "texts_per_shard": max(counts["undisturbed"]),
        "labelled_twice": sum(counts["killed"]) - sum(counts["undisturbed"]),
        "labelled_twice_at_most": kills * max(counts["undisturbed"]),
    }


if __name__ == "__main__":
    main()
