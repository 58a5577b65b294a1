"""What people install is the wheel, not the checkout: all that runs must be inside, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

Run = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution, as PyPI has them."""
    pytest.importorskip("hatchling", reason="comes with the extra 'test'")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (source,) = folder.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder)]
    subprocess.run([*pip, str(source)], cwd=folder, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run code in a process that finds the installed package, from a folder that is not the checkout."""
    target, elsewhere = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("elsewhere")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(pip, cwd=elsewhere, check=True, capture_output=True, timeout=300)

    def run(code: str) -> subprocess.CompletedProcess[str]:
        code = f"import hf_bilstm_distill as package\nassert package.__file__.startswith({str(target)!r})\n{code}"
        environment = {**os.environ, "PYTHONPATH": str(target)}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=600)

    return run


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """A template, the types or the demo's settings that are in the checkout alone; or tests in `site-packages`."""
    names = [name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name]
    in_package = {path for path in (ROOT / "hf_bilstm_distill").rglob("*") if path.is_file()}
    expected = {path.relative_to(ROOT).as_posix() for path in in_package if "__pycache__" not in path.parts}
    assert {"hf_bilstm_distill/py.typed", "hf_bilstm_distill/model_card_template.md"} <= expected
    assert {"hf_bilstm_distill/report/page.html", "hf_bilstm_distill/commands/demo.yaml"} <= expected
    assert set(names) == expected | {"hf_bilstm_distill_cli.py"}


def test_an_installed_copy_writes_cards_and_pages(installed: Run) -> None:
    """A model card or a report that stops after the training, for want of its template."""
    code = """
from pathlib import Path
card = package.render_card(package.CardFacts(model_name="reviews"))
assert "reviews" in card and "---" in card, card
student = package.ModelReport("student", {"accuracy": 0.9}, 0.95, 963_002, None, 4.5, 6900.0, 0.25, 0.3)
package.Report("films", "accuracy", [student], {}).save("report")
assert "films" in Path("report/report.html").read_text(encoding="utf-8")
assert "films" in Path("report/report.md").read_text(encoding="utf-8")
"""
    result = installed(code)
    assert result.returncode == 0, result.stderr


def test_an_installed_copy_has_its_command_and_the_settings_of_the_demo(installed: Run) -> None:
    """`hf-bilstm-distill demo` that works in the checkout alone."""
    code = """
import sys
from importlib import metadata
(entry,) = metadata.distribution("hf-bilstm-distill").entry_points.select(group="console_scripts")
assert entry.name == "hf-bilstm-distill"
assert metadata.version("hf-bilstm-distill") == package.__version__
sys.argv = ["hf-bilstm-distill", "demo", "--unknown", "1"]
entry.load()()
"""
    result = installed(code)
    assert result.returncode == 2
    assert "--unknown" in result.stderr.splitlines()[-1]
