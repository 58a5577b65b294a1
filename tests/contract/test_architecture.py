"""A layout that no longer tells the story: parts that know each other, long files, modules without a subject."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_bilstm_distill

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "hf_bilstm_distill").rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
MAX_LINES = 400


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def every_file(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name_of)


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module or "")
    return found


def test_imports_keep_the_contracts() -> None:
    """A stage that imports another one, or a student that needs the package."""
    pytest.importorskip("importlinter", reason="import-linter comes with the extra dev; `make lint` runs it as well")
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    result = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@every_file(PACKAGE + EXAMPLES)
def test_source_files_are_short(path: Path) -> None:
    """A file that nobody reads in one sitting."""
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= MAX_LINES


@every_file(PACKAGE + EXAMPLES)
def test_modules_have_a_subject(path: Path) -> None:
    """A module that collects what found no name."""
    words = {word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.split("_")}
    assert not words & {"util", "utils", "helper", "helpers", "common", "misc"}


@every_file([path for path in PACKAGE if path.parent.name != "commands"])
def test_the_package_prints_nothing(path: Path) -> None:
    """Output that a program which imports the package cannot switch off."""
    calls = [node for node in nodes(path) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert [f"line {call.lineno}" for call in calls if call.func.id == "print"] == []


@every_file(PACKAGE)
def test_the_package_imports_only_installed_code(path: Path) -> None:
    """A module that works in the repository alone, because it imports tests, examples or benchmarks."""
    others = {"tests", "examples", "benchmarks", "conftest", *(example.stem for example in EXAMPLES)}
    assert not {module.partition(".")[0] for module in imported_modules(path)} & others


@every_file([path for path in PACKAGE if path.name != "__init__.py"])
def test_modules_do_not_import_the_public_face(path: Path) -> None:
    """An import circle through the package's `__init__`."""
    assert "hf_bilstm_distill" not in imported_modules(path)


@every_file(EXAMPLES)
def test_examples_use_public_names(path: Path) -> None:
    """An example that people copy and that reaches into the package, further than to start one of its commands."""
    inner = {module for module in imported_modules(path) if module.startswith("hf_bilstm_distill.")}
    assert not {module for module in inner if not module.startswith("hf_bilstm_distill.commands.")}
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module == "hf_bilstm_distill":
            assert {alias.name for alias in node.names} <= set(hf_bilstm_distill.__all__)
