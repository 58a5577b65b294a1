"""Files and folders that are whole or not there."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_bilstm_distill import files
from hf_bilstm_distill.files import (
    full_disk,
    name_damaged_file,
    name_full_disk,
    whole_file,
    whole_files,
    whole_folder,
    write_text,
)


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    """A reader would find half a file, or a folder full of temporary ones."""
    path = tmp_path / "deep" / "report.json"
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["report.json"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    """A failed write would destroy what was there before."""
    path = tmp_path / "report.json"
    write_text(path, "old")

    def fail() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half of the new")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_other_users_can_read_the_file(tmp_path: Path) -> None:
    """Temporary files are private; a report would be unreadable for a web server."""
    write_text(tmp_path / "report.json", "x")
    (tmp_path / "plain").write_text("x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("report.json", "plain")]
    assert modes[0] == modes[1]


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    """Files of an earlier version would stay among the new ones."""
    path = tmp_path / "student"
    for name in ("old", "new"):
        with whole_folder(path) as temporary:
            (temporary / name).write_text(name)
    assert os.listdir(path) == ["new"]
    assert os.listdir(tmp_path) == ["student"]


def test_files_are_added_to_a_folder_together(tmp_path: Path) -> None:
    """Saving a student would delete the checkpoints beside it, or leave a temporary folder."""
    (tmp_path / "checkpoint-3").mkdir()
    for content in ("old", "new"):
        with whole_files(tmp_path) as temporary:
            (temporary / "code").mkdir()
            for name in ("model.safetensors", "config.json", "code/own.py"):
                (temporary / name).write_text(content)
                assert content == "old" or (tmp_path / name).read_text() == "old"
    found = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"model.safetensors": "new", "config.json": "new", "code/own.py": "new"}
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-3", "code", "config.json", "model.safetensors"]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    """An exported student would be gone, although no new one came."""
    path = tmp_path / "student"
    with whole_folder(path) as temporary:
        (temporary / "old").write_text("old")

    def fail() -> None:
        with whole_folder(path) as temporary:
            (temporary / "new").write_text("half of the new")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(path) == ["old"]
    assert os.listdir(tmp_path) == ["student"]


# ---- kills ----

# `files` needs the standard library alone: loaded from its path, a process starts in no time.
KILLED = """
import os, runpy, signal, sys
from pathlib import Path

module, kind, path, content, last_step = sys.argv[1:]
write = runpy.run_path(module)[kind]
step = 0

def kill(event, arguments):
    global step
    step += event == "open" or event.startswith(("os.", "shutil.", "tempfile."))
    if step > int(last_step) and event != "os.kill":
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
with write(path) as temporary:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (temporary if kind == "whole_file" else temporary / name).write_text(content)
"""


def kill_at_each_step(kind: str, path: Path) -> Iterator[None]:
    """Write something new where something old stands, killed before its first step in the file system, its second..."""
    for last_step in range(1000):
        assert write(kind, path, "old", 10**9) == 0
        code = write(kind, path, "new", last_step)
        yield
        if code == 0:
            assert last_step > 5
            return
        assert code == -signal.SIGKILL


def write(kind: str, path: Path, content: str, last_step: int) -> int:
    command = [sys.executable, "-S", "-E", "-c", KILLED, str(files.__file__), kind, str(path), content, str(last_step)]
    return subprocess.run(command, timeout=60).returncode


def contents(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_file_is_old_or_new_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    """A report or a shard of labels would be half a file, and the earlier one gone."""
    path = tmp_path / "report.json"
    found = [path.read_text() for _ in kill_at_each_step("whole_file", path)]
    assert found == sorted(found, reverse=True)
    assert set(found) == {"old", "new"}


def test_a_folder_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    """An exported student would be half old, half new, or be lost with the one that was to replace it."""
    path = tmp_path / "student"
    found = []
    for _ in kill_at_each_step("whole_folder", path):
        if path.exists():
            assert len(list(path.iterdir())) == 3
            (content,) = contents(path)
            found.append(content)
        else:  # killed while they changed places: both lie beside it
            beside = [contents(folder) for folder in tmp_path.iterdir() if len(list(folder.iterdir())) == 3]
            assert {"old"} in beside
            assert {"new"} in beside
            found.append("neither")
    assert "neither" in found
    assert found[0] == "old"
    assert found[-1] == "new"


def test_weights_never_stand_among_files_of_another_student(tmp_path: Path) -> None:
    """A student saved over an earlier one would have the weights of one and the vocabulary of the other."""
    path = tmp_path / "student"
    num_without = 0
    for _ in kill_at_each_step("whole_files", path):
        if (path / "model.safetensors").exists():
            assert len(contents(path)) == 1
            assert len([file for file in path.iterdir() if file.is_file()]) == 3
        else:
            num_without += 1
    assert num_without > 0


# ---- a full disk ----


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    """A user would read `[Errno 28]`, and not learn which disk."""

    def fill() -> None:
        with whole_file(tmp_path / "rows.jsonl") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: .*rows\.jsonl") as caught:
        fill()
    assert caught.value.filename == str(tmp_path / "rows.jsonl")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "Permission denied", "x"),
        ValueError("no text in column 'text' of row 28"),
        RuntimeError("PytorchStreamReader failed reading zip archive: failed finding central directory"),
        OSError("Invalid argument (os error 22)"),
    ],
    ids=["permission", "input", "torch-reads", "other-number"],
)
def test_another_error_is_not_taken_for_a_full_disk(error: Exception) -> None:
    """A user would make room for hours, while the file is one that may not be written."""
    assert full_disk(error) is None

    def fail() -> None:
        with name_full_disk("x"):
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error


# ---- damaged files ----


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("length", [0, 5, 30, -1])
def test_a_file_that_is_cut_is_named(name: str, length: int, tmp_path: Path) -> None:
    """A user would read `incomplete metadata, file not fully covered`, or a line and a column of some JSON."""
    save_file({"one": np.ones(9, dtype=np.float32), "other": np.ones((2, 3))}, tmp_path / "model.safetensors")
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "WordLevel"}}')

    def load() -> None:
        with name_damaged_file(tmp_path):
            raise RuntimeError("what the library says")

    with pytest.raises(RuntimeError, match="what the library says"):
        load()
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:length])
    with pytest.raises(ValueError, match=rf"{name} is damaged.*Copy or save the model again"):
        load()
