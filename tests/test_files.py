"""Files and folders that are whole or not there."""

import os
import stat
from pathlib import Path

import pytest

from hf_bilstm_distill.files import whole_file, whole_folder, write_text


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
