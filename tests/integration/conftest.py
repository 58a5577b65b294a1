"""What tests of the examples share."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Main = Callable[..., None]
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def examples_main(monkeypatch: pytest.MonkeyPatch) -> Main:
    """Run a script of the examples in this process, with a command line."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def run_script(name: str, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        importlib.import_module(name).main()

    return run_script
