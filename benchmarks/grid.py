"""Run a grid of distillations, each with several seeds, and put them into one table.

The grid is a YAML file: `settings` of every run, `seeds`, and `runs`, each a name and the settings in which it differs,
all as `run_distill.py` takes them. Settings after the grid's name go to every run as well, so that the file needs no
paths. Each run has a folder with its settings, its log and its report; one that has a report is not run again, so the
same command goes on after a stop. The first run is what the others are compared with, seed by seed.

python benchmarks/grid.py examples/configs/grid_sst2.yaml --output_dir out/grid \
    --teacher TEACHER --train_file train.jsonl --validation_file validation.jsonl
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from seeds import model_of, shown

from hf_bilstm_distill import Report

RUN_DISTILL = Path(__file__).parents[1] / "examples" / "run_distill.py"


def main() -> None:
    """Run what has no report yet, and print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="the YAML file")
    parser.add_argument("--output_dir", type=Path, required=True, help="one folder for all runs")
    parser.add_argument("--only", nargs="+", help="names of runs, to run or show no others")
    parser.add_argument("--seeds", nargs="+", type=int, help="other seeds than the file's")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at a time")
    options, common = parser.parse_known_args()
    grid = yaml.safe_load(options.grid.read_text(encoding="utf-8"))
    runs: dict[str, dict[str, Any]] = {name: settings or {} for name, settings in grid["runs"].items()}
    if unknown := set(options.only or []) - set(runs):
        raise SystemExit(f"{options.grid} has no run {sorted(unknown)}. It has {list(runs)}.")
    runs = {name: runs[name] for name in options.only or runs}
    seeds = options.seeds or grid["seeds"]

    with ThreadPoolExecutor(options.jobs) as pool:
        for seed in seeds:  # all runs with the first seed come first: a table that is half done compares something
            for name, settings in runs.items():
                folder = folder_of(options.output_dir, name, seed)
                pool.submit(run, folder, {**grid.get("settings", {}), **settings, "seed": seed}, common)
    print_table(options.output_dir, runs, seeds)


def folder_of(output_dir: Path, name: str, seed: int) -> Path:
    """Return the folder of a run."""
    return output_dir / re.sub(r"\W+", "-", name.lower()).strip("-") / str(seed)


def run(folder: Path, settings: Mapping[str, Any], common: Sequence[str]) -> None:
    """Distil as `run_distill.py` does, unless it is done."""
    if (folder / "seconds.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump({**settings, "output_dir": str(folder)}, sort_keys=False), encoding="utf-8")
    start = time.perf_counter()
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        done = subprocess.run([sys.executable, RUN_DISTILL, file, *common], stdout=log, stderr=log, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        print(f"{file} failed: see {folder / 'log.txt'}", file=sys.stderr)
        return
    (folder / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    print(f"{file}: {seconds:,.0f} s", file=sys.stderr)


def print_table(output_dir: Path, runs: Mapping[str, Mapping[str, Any]], seeds: Sequence[int]) -> None:
    """Print a row a run: mean and standard deviation of its seeds."""
    columns = ["metric", "over the first", "agreement", "parameters without embeddings", "texts/s", "seconds", "seeds"]
    print("| " + " | ".join(["run", "settings", *columns]) + " |")
    print("|---|---|" + "---:|" * len(columns))
    first: dict[int, float] = {}
    for name, settings in runs.items():
        folders = {seed: folder_of(output_dir, name, seed) for seed in seeds}
        folders = {seed: folder for seed, folder in folders.items() if (folder / "seconds.json").exists()}
        if not folders:
            continue
        reports = {seed: Report.load(folder) for seed, folder in folders.items()}
        students = {seed: model_of(report, "student") for seed, report in reports.items()}
        values = {seed: student.metrics[reports[seed].metric] for seed, student in students.items()}
        first = first or values
        gains = [value - first[seed] for seed, value in values.items() if seed in first]
        seconds = [json.loads((folder / "seconds.json").read_text(encoding="utf-8")) for folder in folders.values()]
        student = next(iter(students.values()))
        speed = statistics.median(each.throughput_per_s for each in students.values())
        differs = " ".join(f"{key}={value}" for key, value in settings.items()) or "-"
        agreements = [each.agreement_with_teacher for each in students.values()]
        agreement = shown([value for value in agreements if value is not None])
        cells = [name, f"`{differs}`", shown(list(values.values())), shown(gains), agreement]
        cells += [f"{student.parameters_without_embeddings:,}", f"{speed:,.0f}", f"{statistics.mean(seconds):,.0f}"]
        print("| " + " | ".join([*cells, str(len(values))]) + " |")


if __name__ == "__main__":
    main()
