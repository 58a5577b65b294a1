"""What goes wrong outside: kills, full disks, several runs at once, damaged files. The commands as a user runs them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from hf_bilstm_distill import OnnxTextClassifier, TextClassifier, export_onnx
from hf_bilstm_distill.checkpoints import check_checkpoint
from hf_bilstm_distill.commands.exported import is_exported

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
SETTINGS = [
    *("--lstm_hidden_size", "8", "--fc_size", "8", "--embedding_dim", "16", "--n_iter", "2", "--use_cpu", "true"),
    *("--num_train_epochs", "2", "--per_device_train_batch_size", "16", "--resume_from_checkpoint"),
]
STUDENT = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")

# Imports once, and runs each command in a copy of itself, on a disk that is full from some function on.
RUNS = """
import importlib, json, multiprocessing, os, resource, sys

def run(words, place, room):
    name, *arguments = words
    command = importlib.import_module(f"hf_bilstm_distill.commands.{name}")
    if place is not None:
        *owners, function = place.split(".")
        owner = command
        for each in owners:
            owner = getattr(owner, each)
        real = getattr(owner, function)
        def on_a_full_disk(*args, **kwargs):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            return real(*args, **kwargs)
        setattr(owner, function, on_a_full_disk)
    sys.argv = [name, *arguments]
    command.main()

if __name__ == "__main__":
    jobs = json.loads(sys.argv[1])
    for name in {words[0] for words, _, _ in jobs}:
        importlib.import_module(f"hf_bilstm_distill.commands.{name}")
    fork = multiprocessing.get_context("fork")
    for job in jobs:
        print("\\n@@@", file=sys.stderr, flush=True)
        process = fork.Process(target=run, args=job)
        process.start()
        process.join()
        print(process.exitcode, flush=True)
"""

Job = tuple[list[str], str | None, int]
"""A command, the function from which on the disk is full, and the bytes that a file can have from then on."""


def run_jobs(jobs: list[Job], folder: Path) -> list[tuple[int, str]]:
    """Run commands one after the other. Give for each its exit code and what it wrote to stderr."""
    script = folder / "runs.py"
    script.write_text(RUNS)
    environment = {**os.environ, **ENVIRONMENT, "HF_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(jobs)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    codes = [int(line) for line in done.stdout.splitlines() if line in ("0", "1", "2", "-6", "-9", "-11")]
    return list(zip(codes, done.stderr.split("\n@@@\n")[1:], strict=True))


@pytest.fixture(scope="module")
def files(texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    rows = texts.shuffle(seed=1)
    paths = {"train": folder / "train.jsonl", "validation": folder / "validation.jsonl"}
    rows.select(range(36)).to_json(paths["train"])
    rows.select(range(36, 48)).to_json(paths["validation"])
    return paths


@pytest.fixture(scope="module")
def distill(files: dict[str, Path], trained_teacher_dir: str) -> list[str]:
    """A small distillation but for its folder."""
    texts = ["--train_file", str(files["train"]), "--validation_file", str(files["validation"])]
    return ["distill", "--teacher", trained_teacher_dir, *texts, *SETTINGS, "--output_dir"]


def student_files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in STUDENT}


# ---- a full disk ----


def assert_told(answer: tuple[int, str], *names: Path | str) -> None:
    """One line, with the place and the way out."""
    code, errors = answer
    assert code == 1, errors
    assert "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    assert re.search("could not be written: (File too large|No space left on device). Make room there", last), last
    assert any(str(name) in last for name in names), last


@pytest.mark.slow
def test_a_run_on_a_full_disk_says_so_and_goes_on_once_there_is_room(distill: list[str], tmp_path: Path) -> None:
    """A user would search sixty lines of a traceback for a path that is not in it, or lose the work until then."""
    whole, folder, onnx = tmp_path / "whole", tmp_path / "full", tmp_path / "onnx"
    export = ["export", "--student", str(folder), "--output_dir", str(onnx)]
    again = [*distill, str(folder)]
    undisturbed, labels, checkpoint, first_save, report, end, card, second_save, graph, exported = run_jobs(
        [
            ([*distill, str(whole)], None, 0),
            (again, "add_logits", 500),
            (again, "DistillationTrainer._save_optimizer_and_scheduler", 20_000),
            (again, "include_code", 5000),
            (again, "Report.save", 5000),
            (again, None, 0),
            (again, "card_facts", 100),
            (again, "include_code", 300),
            (export, "export_onnx", 2000),
            (export, None, 0),
        ],
        tmp_path,
    )
    assert undisturbed[0] == end[0] == exported[0] == 0, undisturbed[1] + end[1] + exported[1]
    assert_told(labels, folder / "_cache")
    last = max(int(path.name.partition("-")[2]) for path in whole.glob("checkpoint-*"))
    assert_told(checkpoint, folder / f"checkpoint-{last // 2}")
    assert f"checkpoint-{last // 2} is left out" in first_save[1]
    for answer in (first_save, second_save):
        assert_told(answer, folder)
    assert_told(report, folder / "report")
    assert_told(card, folder / "README.md")
    assert_told(graph, onnx)
    assert re.findall(r"^(\d+) of \d+ distinct texts", report[1], re.MULTILINE) == ["0", "0", "0"]  # labels were kept
    check_checkpoint(folder / f"checkpoint-{last}")
    assert student_files(folder) == student_files(whole)
    assert not list(folder.glob("_*.*"))
    OnnxTextClassifier.from_pretrained(onnx).predict("a warm film")


def test_a_table_on_a_full_disk_leaves_the_earlier_one(files: dict[str, Path], tmp_path: Path) -> None:
    """Arrow would abort the process with a core dump, or half a table take the place of the whole one."""
    tables = [tmp_path / f"more{ending}" for ending in (".jsonl", ".parquet")]
    augment = ["augment", "--file", str(files["train"]), "--n_iter", "8", "--output_file"]
    answers = run_jobs(
        [([*augment, str(table)], place, 200) for table in tables for place in (None, "save_table", "add_copies")],
        tmp_path,
    )
    for place, table in enumerate(tables):
        (code, errors), full, full_cache = answers[3 * place : 3 * place + 3]
        assert code == 0, errors
        assert_told(full, table)
        assert_told(full_cache, tmp_path / "home", table)
        rows = (Dataset.from_json if table.suffix == ".jsonl" else Dataset.from_parquet)(str(table))
        assert len(rows) > 100
        assert rows.column_names == ["text", "label", "augmented"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "more.jsonl", "more.parquet", "runs.py"]


LIBRARIES = """
import json, resource, sys
from pathlib import Path
import numpy as np, torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from hf_bilstm_distill.commands.tables import save_table
from hf_bilstm_distill.files import name_full_disk

folder = Path(sys.argv[1])
words = Tokenizer(models.WordLevel({f"word{n}": n for n in range(9999)}, unk_token="word0"))
rows = Dataset.from_dict({"text": [f"a text with the number {n}" for n in range(20000)]})
ways = {
    "numpy": lambda: np.save(folder / "numpy", np.zeros(9999)),
    "torch": lambda: torch.save(torch.zeros(9999), folder / "torch"),
    "safetensors": lambda: save_file({"a": torch.zeros(9999)}, folder / "safetensors"),
    "tokenizers": lambda: words.save(str(folder / "tokenizers")),
    "python": lambda: (folder / "python").write_text("x" * 9999),
    "parquet": lambda: save_table(rows, str(folder / "parquet.parquet")),
    "json": lambda: save_table(rows, str(folder / "json.jsonl")),
    "map": lambda: rows.map(lambda row: {"more": row["text"] * 2}, cache_file_name=str(folder / "map.arrow")),
}
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
found = {}
for name, write in ways.items():
    try:
        with name_full_disk(folder / name):
            write()
    except OSError as error:
        found[name] = [error.errno, error.filename]
print(json.dumps(found))
"""


def test_a_full_disk_is_known_whichever_library_meets_it(tmp_path: Path) -> None:
    """PyTorch says `unexpected pos 576 vs 534`, numpy `100000 requested and 2484 written`: who thinks of a disk?"""
    command = [sys.executable, "-c", LIBRARIES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    names = ["numpy", "torch", "safetensors", "tokenizers", "python", "parquet", "json", "map"]
    assert {name: path for name, (_, path) in found.items()} == {name: str(tmp_path / name) for name in names}
    assert {number for number, _ in found.values()} <= {27, 28}  # a file too large, no space left


# ---- damaged files ----


@pytest.fixture(scope="module")
def exported(student: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export_onnx(student.model, student.tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def student(texts: Dataset) -> TextClassifier:
    from hf_bilstm_distill import BiLSTMConfig, BiLSTMForSequenceClassification, train_word_tokenizer

    tokenizer = train_word_tokenizer(texts["text"])
    config = BiLSTMConfig(vocab_size=len(tokenizer), embedding_dim=8, lstm_hidden_size=8, fc_size=8)
    return TextClassifier(BiLSTMForSequenceClassification(config), tokenizer)


@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("damage", ["flipped", "truncated"])
@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_export_is_refused(name: str, damage: str, place: float, exported: Path, tmp_path: Path) -> None:
    """A server would answer with a wrong weight or a wrong word, and nobody would notice."""
    folder = tmp_path / "onnx"
    shutil.copytree(exported, folder)
    content = bytearray((folder / name).read_bytes())
    where = int(place * len(content))
    content[where] ^= 1
    (folder / name).write_bytes(content if damage == "flipped" else content[:where])
    with pytest.raises(ValueError, match=rf"onnx/{name} is damaged.*Export the student again"):
        OnnxTextClassifier.from_pretrained(folder)


def test_a_damaged_config_of_an_export_is_refused(exported: Path, tmp_path: Path) -> None:
    """An error of JSON would name a line and a column of a file that it does not name."""
    folder = tmp_path / "onnx"
    shutil.copytree(exported, folder)
    config = folder / "config.json"
    config.write_text(config.read_text()[:-20])
    assert is_exported(str(folder))
    with pytest.raises(ValueError, match=r"onnx/config\.json is damaged"):
        OnnxTextClassifier.from_pretrained(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_student_that_is_cut_is_refused_by_name(name: str, student: TextClassifier, tmp_path: Path) -> None:
    """A user would read `incomplete metadata, file not fully covered`, and not of which file."""
    student.model.save_pretrained(tmp_path)
    student.tokenizer.save_pretrained(tmp_path)
    TextClassifier.from_pretrained(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-50])
    with pytest.raises(ValueError, match=rf"{name} is damaged: it is not whole. Copy or save the model again"):
        TextClassifier.from_pretrained(tmp_path)


def test_an_export_without_digests_is_read(exported: Path, tmp_path: Path) -> None:
    """All students that were exported before would have to be exported again."""
    folder = tmp_path / "onnx"
    shutil.copytree(exported, folder)
    config = json.loads((folder / "config.json").read_text())
    assert set(config.pop("sha256")) == {"model.onnx", "tokenizer.json"}
    (folder / "config.json").write_text(json.dumps(config))
    expected = OnnxTextClassifier.from_pretrained(exported).logits(["a warm film"])
    np.testing.assert_array_equal(OnnxTextClassifier.from_pretrained(folder).logits(["a warm film"]), expected)


# ---- kills, and two runs at once ----


@pytest.mark.slow
def test_a_run_that_was_killed_in_every_stage_ends_as_one_that_was_not() -> None:
    """A kill would cost the work, leave half a file that is taken for whole, or end in another student."""
    command = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--kills", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    facts = json.loads(done.stdout)
    assert facts["losses"] == []
    assert facts["kills_in_all"] >= 3


@pytest.mark.slow
def test_two_runs_that_share_their_labels_at_once_end_with_the_same_student(distill: list[str], tmp_path: Path) -> None:
    """Two seeds on one machine would read half of each other's files."""
    command = [sys.executable, str(ROOT / "hf_bilstm_distill_cli.py"), *distill]
    cache = ["--label_cache", str(tmp_path / "labels")]
    environment = {**os.environ, **ENVIRONMENT, "HF_HOME": str(tmp_path / "home")}
    runs = [
        subprocess.Popen([*command, str(tmp_path / name), *cache], env=environment, stderr=subprocess.PIPE, text=True)
        for name in ("one", "other")
    ]
    errors = [process.communicate(timeout=300)[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], errors
    assert student_files(tmp_path / "one") == student_files(tmp_path / "other")
    shards = list((tmp_path / "labels").rglob("*.*"))
    assert shards
    assert all(np.isfinite(np.load(path)["logits"]).all() for path in shards)
