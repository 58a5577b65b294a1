"""Errors of a command in one line. This module needs the standard library alone."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong, without the usage."""

    def error(self, message: str) -> NoReturn:
        """End the process."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line instead of a traceback if the block meets bad input.

    Meant for the loading and checking that comes before the long work; later errors keep their traceback.

    Yields:
        Nothing.
    """
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {' '.join(str(error).split())}")
