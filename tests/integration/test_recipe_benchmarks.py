"""The scripts that print the tables of docs/results.md, on small real files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from datasets import Dataset

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done


@pytest.mark.slow
def test_a_grid_goes_on_where_it_was_and_its_students_are_cut_by_texts(
    texts: Dataset, trained_teacher_dir: str, tmp_path: Path
) -> None:
    """A table with runs that are missing, mixed up or made twice; or slices that don't add up."""
    file = tmp_path / "texts.jsonl"
    texts.to_json(file)
    grid = {
        "settings": {"max_steps": 2, "n_iter": 1, "lstm_hidden_size": 8, "fc_size": 8, "use_cpu": True},
        "seeds": [1, 2],
        "runs": {"plain": None, "wide & new": {"lstm_hidden_size": 12}},
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))
    arguments = [str(tmp_path / "grid.yaml"), "--output_dir", str(tmp_path / "out"), "--seeds", "1"]
    files = ["--teacher", trained_teacher_dir, "--train_file", str(file), "--validation_file", str(file)]
    first = run("grid.py", *arguments, *files)
    rows = first.stdout.splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| plain", "| wide & new"]
    assert "`lstm_hidden_size=12`" in rows[1]
    assert first.stderr.count("settings.yaml: ") == 2
    again = run("grid.py", *arguments, *files, "--only", "plain")
    assert again.stdout.splitlines()[2:] == rows[:1]
    assert not again.stderr

    students = [str(tmp_path / "out" / name / "1") for name in ("plain", "wide-new")]
    cut = run(
        *("slices.py", "--texts", str(file), "--train_file", str(file), "--teacher", trained_teacher_dir),
        *("--students", *students),
    )
    slices = json.loads(cut.stdout.splitlines()[-1])["slices"]
    assert slices["all"]["rows"] == len(texts)
    assert slices["with negation"]["rows"] + slices["without negation"]["rows"] == len(texts)
    accuracy = [
        json.loads((Path(student) / "report.json").read_text())["models"][1]["metrics"]["accuracy"]
        for student in students
    ]
    assert slices["all"]["student"] == pytest.approx(sum(accuracy) / 2)
