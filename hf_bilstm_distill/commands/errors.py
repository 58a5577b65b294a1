"""Errors of a command in one line. This module needs the standard library alone."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hf_bilstm_distill.files import full_disk


class OneLineParser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong, without the usage."""

    def error(self, message: str) -> NoReturn:
        """End the process."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line instead of a traceback if the block meets bad input or a full disk.

    Meant for the loading and checking that comes before the long work; later errors keep their traceback, but for
    `one_line_if_disk_is_full`.

    Yields:
        Nothing.
    """
    with one_line_if_disk_is_full():
        try:
            yield
        except (ValueError, TypeError, OSError, ImportError) as error:
            if full_disk(error) is not None:
                raise
            _end(" ".join(str(error).split()))


@contextmanager
def one_line_if_disk_is_full() -> Iterator[None]:
    """End the process with one line instead of a traceback if the block cannot write because the disk is full.

    Yields:
        Nothing.
    """
    try:
        yield
    except Exception as error:
        number = full_disk(error)
        if number is None:
            raise
        path = getattr(error, "filename", None)
        _end(
            f"{path or _working_files()} could not be written: {os.strerror(number)}. Make room there or write to "
            "another disk, and run the same again. Earlier files are whole."
        )


def _working_files() -> str:
    """Name the places of files that no argument names: those of the library `datasets`."""
    from datasets import config

    return f"A working file of datasets in {config.HF_DATASETS_CACHE} (HF_HOME) or {tempfile.gettempdir()} (TMPDIR)"


def _end(message: str) -> NoReturn:
    sys.exit(f"{Path(sys.argv[0]).name}: {message}")
