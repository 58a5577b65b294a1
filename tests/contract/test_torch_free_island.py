"""A server that has an exported folder and its three packages, and yet needs torch or this package."""

import ast
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from hf_bilstm_distill import BiLSTMConfig, BiLSTMForSequenceClassification, train_word_tokenizer
from hf_bilstm_distill.export import export_onnx

ROOT = Path(__file__).parents[2]
PACKAGES = ["onnxruntime", "tokenizers", "numpy"]

ONLY_ALLOWED = """
import sys
from importlib.machinery import PathFinder

class OnlyAllowed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if path is None and name not in sys.stdlib_module_names and name not in {allowed!r}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path = [OnlyAllowed if finder is PathFinder else finder for finder in sys.meta_path]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.path.insert(0, {folder!r})
"""


@pytest.fixture(scope="module")
def student(texts: Dataset) -> BiLSTMForSequenceClassification:
    torch.manual_seed(0)
    sizes = {"embedding_dim": 6, "lstm_hidden_size": 5, "fc_size": 7}
    return BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=60, num_labels=2, **sizes)).eval()


@pytest.fixture(scope="module")
def folder(student: BiLSTMForSequenceClassification, texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "student"
    export_onnx(student, train_word_tokenizer(texts["text"]), folder, quantize="int8", eval_dataset=texts)
    return folder


def normalized(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def modules_that_come_with(distributions: list[str]) -> set[str]:
    """What can be imported where pip has installed `distributions` and what they need."""
    found: set[str] = set()
    waiting = [*distributions]
    while waiting:
        distribution = normalized(waiting.pop())
        if distribution in found:
            continue
        try:
            needed = metadata.requires(distribution) or []
        except metadata.PackageNotFoundError:  # needed on another system
            continue
        found.add(distribution)
        waiting += [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed if "extra ==" not in line]
    owners = metadata.packages_distributions().items()
    return {module for module, names in owners if found & {normalized(name) for name in names}}


def run_with(distributions: list[str], code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process that finds `distributions`, what they need, this package, and the folder's predictor."""
    allowed = modules_that_come_with(distributions) | {"hf_bilstm_distill", "hf_bilstm_distill_cli", "predictor"}
    program = ONLY_ALLOWED.format(allowed=allowed, folder=str(folder)) + code
    return subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_predictor_imports_nothing_else() -> None:
    """An import that a server lacks, in a branch that no test reaches."""
    tree = ast.parse((ROOT / "hf_bilstm_distill" / "predictor.py").read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    tops = {name.partition(".")[0] for name in found}
    assert tops - sys.stdlib_module_names == {*PACKAGES, "huggingface_hub", "tqdm"}


def test_an_exported_folder_runs_with_three_packages(folder: Path, texts: Dataset) -> None:
    """A server for which torch must be installed after all."""
    code = """
from predictor import OnnxTextClassifier
classifier = OnnxTextClassifier.from_pretrained(".")
print(*(answer["label"] for answer in classifier.predict(["a warm and funny film", ""] * 2500)[:2]))
try:
    OnnxTextClassifier.from_pretrained("nobody/nothing")
except FileNotFoundError:
    print("not found")
try:
    import torch
except ImportError:
    print("no torch")
"""
    result = run_with(PACKAGES, code, folder)
    assert result.returncode == 0, result.stderr
    labels, *others = result.stdout.splitlines()
    assert set(labels.split()) <= {"LABEL_0", "LABEL_1"}
    assert len(labels.split()) == 2
    assert others == ["not found", "no torch"]


def test_an_exported_folder_is_a_command(folder: Path) -> None:
    """A folder that cannot be tried from a shell."""
    command = [sys.executable, "-I", str(folder / "predictor.py"), "a warm film", "a dull film"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [{label["label"] for label in answer} for answer in answers] == [{"LABEL_0", "LABEL_1"}] * 2


def test_the_package_gives_its_classifier_without_torch(folder: Path) -> None:
    """A program that imports the classifier from here, on a server without torch."""
    code = f"""
sys.path.insert(0, {str(ROOT)!r})
from hf_bilstm_distill import OnnxTextClassifier
assert len(OnnxTextClassifier.from_pretrained(".").predict("a warm film", top_k=None)) == 2
assert not {{"torch", "transformers", "datasets"}} & sys.modules.keys()
"""
    result = run_with(PACKAGES, code, folder)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["predict", "."], None),
        (["predict", "nowhere"], "Cannot load a classifier from 'nowhere'"),
        (["export", "--help"], "hf-bilstm-distill export cannot run: No module named"),
    ],
    ids=["predict", "unknown-folder", "export"],
)
def test_the_command_predicts_without_torch(folder: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    """A server without torch on which the command does nothing at all, or says nothing but `No module named`."""
    (tmp_path / "texts.txt").write_text("a warm film\na dull film\n", encoding="utf-8")
    code = f"""
sys.path.insert(0, {str(ROOT)!r})
sys.argv = ["hf-bilstm-distill", *{arguments!r}]
sys.stdin = open({str(tmp_path / "texts.txt")!r})
from hf_bilstm_distill_cli import main
main()
assert not {{"torch", "transformers", "datasets"}} & sys.modules.keys()
"""
    result = run_with(PACKAGES, code, folder)
    if told is None:
        assert result.returncode == 0, result.stderr
        labels = [json.loads(line)["label"] for line in result.stdout.splitlines()]
        assert len(labels) == 2
        assert set(labels) <= {"LABEL_0", "LABEL_1"}
    else:
        (line,) = result.stderr.splitlines()
        assert result.returncode == 1
        assert told in line


@pytest.mark.parametrize("missing", ["onnxruntime", "tokenizers"])
def test_missing_packages_are_told(folder: Path, missing: str) -> None:
    """An ImportError that does not say what to install."""
    others = [package for package in PACKAGES if package != missing]
    result = run_with(others, "from predictor import OnnxTextClassifier as C\nC.from_pretrained('.')", folder)
    assert result.returncode != 0
    error = result.stderr.splitlines()[-1]
    assert error.startswith("ImportError: OnnxTextClassifier cannot run")
    assert missing in error
    assert "pip install onnxruntime tokenizers numpy" in error
