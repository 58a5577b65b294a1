"""A student on the Hub that loads on its author's machine alone, because a file of it needs this package."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from hf_bilstm_distill import (
    BiAttentiveConfig,
    BiAttentiveModel,
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    BiLSTMModel,
    MultiTaskConfig,
    MultiTaskForSequenceClassification,
    include_code,
    word_tokenizer_from_words,
)

STUDENTS = Path(__file__).parents[2] / "hf_bilstm_distill" / "students"
SIBLINGS = {path.stem for path in STUDENTS.glob("*.py")}
CODE_FILES = ["configuration_bilstm.py", "modeling_bilstm.py", "recurrence.py"]
CLASSES = (
    *(BiLSTMConfig, BiLSTMModel, BiLSTMForSequenceClassification),
    *(BiAttentiveConfig, BiAttentiveModel),
    *(MultiTaskConfig, MultiTaskForSequenceClassification),
)
ALLOWED = {"torch", "transformers", "huggingface_hub", *sys.stdlib_module_names} - {"__future__"}


# ------------------------------------------------------------------------------------------------------ import forms
def forbidden_imports(source: str) -> list[str]:
    """What transformers would not copy to the Hub, or would ask of everyone who loads the file from there."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] not in ALLOWED]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            known = SIBLINGS if node.level else ALLOWED
            if node.level > 1 or (module if node.level else module.partition(".")[0]) not in known:
                found.append("." * node.level + module)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # transformers looks for relative imports line by line, in texts too
            found += re.findall(r"^\s*(?:from|import)\s+\.\S*", node.value, flags=re.MULTILINE)
    return found


@pytest.mark.parametrize("path", sorted(STUDENTS.glob("*.py")), ids=lambda path: path.stem)
def test_students_import_what_the_hub_can_load(path: Path) -> None:
    """A model file that saves without a word and cannot be loaded by others."""
    assert forbidden_imports(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from . import configuration_bilstm",
        "from ..losses import mse_on_logits",
        "from .layers.cells import Cell",
        "from .unknown import Cell",
        "from hf_bilstm_distill.files import write_text",
        "import hf_bilstm_distill",
        "import numpy as np",
        "def export():\n    import onnx",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from datasets import Dataset",
        "from __future__ import annotations",
        'def encode():\n    """Encode.\n\n    from .gone import Encoder\n    """',
    ],
    ids=[
        "module-itself",
        "parent",
        "subfolder",
        "no-such-sibling",
        "own-package",
        "own-package-whole",
        "other-package",
        "in-a-function",
        "for-types",
        "future-annotations",
        "in-a-docstring",
    ],
)
def test_the_check_of_imports_finds(source: str) -> None:
    """A check that lets through what it is there for."""
    assert len(forbidden_imports(source)) == 1


def test_the_students_folder_is_flat() -> None:
    """A file in a subfolder, which transformers does not copy."""
    assert not [path for path in STUDENTS.rglob("*.py") if path.parent != STUDENTS]


# -------------------------------------------------------------------------------------- saving, and loading elsewhere
def small_student(student_class: type[PreTrainedModel], **settings: Any) -> Any:
    torch.manual_seed(0)
    config = BiLSTMConfig(
        vocab_size=20, embedding_dim=6, lstm_hidden_size=5, fc_size=7, num_labels=3, multichannel=True, **settings
    )
    return student_class(config).eval()


def multitask_student() -> MultiTaskForSequenceClassification:
    """A bi-attentive student of two tasks, the second of which is set."""
    torch.manual_seed(0)
    encoder = BiAttentiveConfig(vocab_size=20, embedding_dim=6, feed_forward_size=7, lstm_hidden_size=5)
    tasks = {"first": {"num_labels": 2}, "second": {"num_labels": 3}}
    return MultiTaskForSequenceClassification(MultiTaskConfig(encoder=encoder, tasks=tasks, task="second")).eval()


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def config_file(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def test_plain_saving_copies_no_code(tmp_path: Path) -> None:
    """Code files in every checkpoint, though nobody asked for them."""
    small_student(BiLSTMForSequenceClassification).save_pretrained(tmp_path)
    assert file_names(tmp_path) == ["config.json", "model.safetensors"]
    assert "auto_map" not in config_file(tmp_path)


@pytest.mark.parametrize("student_class", [BiLSTMModel, BiLSTMForSequenceClassification], ids=["encoder", "classifier"])
def test_included_code_is_all_of_it(student_class: type[PreTrainedModel], tmp_path: Path) -> None:
    """A folder that lacks a code file, or that names the code of one class alone."""
    student = small_student(student_class)
    include_code(student)
    for saved in (student, student.base_model):
        folder = tmp_path / type(saved).__name__
        saved.save_pretrained(folder)
        assert file_names(folder) == ["config.json", *CODE_FILES[:1], "model.safetensors", *CODE_FILES[1:]]
        for name in CODE_FILES:
            assert (folder / name).read_text(encoding="utf-8") == (STUDENTS / name).read_text(encoding="utf-8")
        assert config_file(folder)["auto_map"] == {
            "AutoConfig": "configuration_bilstm.BiLSTMConfig",
            "AutoModel": "modeling_bilstm.BiLSTMModel",
            "AutoModelForSequenceClassification": "modeling_bilstm.BiLSTMForSequenceClassification",
        }


def test_code_is_included_with_no_other_student(tmp_path: Path) -> None:
    """A process that shares one student, and from then on writes code beside every other."""
    shared, other = small_student(BiLSTMForSequenceClassification), small_student(BiLSTMForSequenceClassification)
    include_code(shared)
    other.save_pretrained(tmp_path)
    assert file_names(tmp_path) == ["config.json", "model.safetensors"]
    assert "auto_map" not in config_file(tmp_path)


def test_included_code_of_a_multitask_student_is_all_of_it(tmp_path: Path) -> None:
    """A folder whose classifier or encoder cannot be loaded for want of a file."""
    student = multitask_student()
    classes = {
        "AutoModel": "modeling_multitask.MultiTaskModel",
        "AutoModelForSequenceClassification": "modeling_multitask.MultiTaskForSequenceClassification",
    }
    for saved, own in (
        (student, classes),
        (student.encoder, {"AutoModel": "modeling_biattentive.BiAttentiveModel"}),
    ):
        include_code(saved)
        folder = tmp_path / type(saved).__name__
        saved.save_pretrained(folder)
        kinds = ["biattentive", "bilstm", *(["multitask"] if saved is student else [])]
        code = {f"{part}_{kind}.py" for part in ("configuration", "modeling") for kind in kinds} | {"recurrence.py"}
        assert {name for name in file_names(folder) if name.endswith(".py")} == code
        auto_map = config_file(folder)["auto_map"]
        module = "configuration_multitask" if saved is student else "configuration_biattentive"
        assert auto_map == {"AutoConfig": f"{module}.{type(saved.config).__name__}", **own}


def test_saving_again_without_code_names_none(tmp_path: Path) -> None:
    """A student that was loaded from a folder with code, and names files that its new folder does not have."""
    student = small_student(BiLSTMForSequenceClassification)
    include_code(student)
    student.save_pretrained(tmp_path / "with")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "with")
    assert type(loaded) is BiLSTMForSequenceClassification
    loaded.config.auto_map["AutoModel"] = "somebody/student--modeling_bilstm.BiLSTMModel"  # stands on the Hub
    loaded.save_pretrained(tmp_path / "without")
    assert file_names(tmp_path / "without") == ["config.json", "model.safetensors"]
    assert config_file(tmp_path / "without")["auto_map"] == {
        "AutoModel": "somebody/student--modeling_bilstm.BiLSTMModel"
    }


def test_code_of_a_stranger_is_not_included() -> None:
    """A model of another package that is registered as a student."""
    with pytest.raises(TypeError, match=r"BiLSTMForSequenceClassification.*got Linear"):
        include_code(torch.nn.Linear(1, 1))


STRANGER = """
import json
import sys


class NoPackage:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_bilstm_distill":
            raise ImportError("hf_bilstm_distill is not installed here")


sys.meta_path.insert(0, NoPackage())
try:
    import hf_bilstm_distill
except ImportError:
    pass
else:
    sys.exit("hf_bilstm_distill can be imported")

import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

folders, found = json.loads(sys.argv[1]), {}
for kind, (folder, texts) in folders.items():
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(*texts, padding=True, return_tensors="pt")
    encoder = AutoModel.from_pretrained(folder, trust_remote_code=True)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    classify = pipeline("text-classification", model=folder, trust_remote_code=True, top_k=None)
    rows = [{"text": row[0], "text_pair": row[1]} if len(row) == 2 else row[0] for row in zip(*texts)]
    with torch.no_grad():
        found[kind] = {
            "pooled": encoder(**inputs).pooler_output.tolist(),
            "logits": classifier(**inputs).logits.tolist(),
            "scores": [{entry["label"]: entry["score"] for entry in scores} for scores in classify(rows)],
        }
assert not any(name.partition(".")[0] == "hf_bilstm_distill" for name in sys.modules)
with open(sys.argv[2], "w") as file:
    json.dump(found, file)
"""


def test_loading_where_the_package_is_not_installed(tmp_path: Path) -> None:
    """A shared student that others cannot load, or that gives them other logits."""
    tokenizer = word_tokenizer_from_words(["good", "bad", "film", "a", "very"])
    students, folders = {}, {}
    for kind, texts in {"single": 1, "pair": 2, "multitask": 2}.items():
        if kind == "multitask":
            students[kind] = multitask_student()
        else:
            students[kind] = small_student(BiLSTMForSequenceClassification, is_pair=kind == "pair")
        include_code(students[kind])
        folder = tmp_path / kind
        students[kind].save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders[kind] = (str(folder), [["a good film", "bad"], ["very bad", "a very good film"]][:texts])

    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_MODULES_CACHE": str(tmp_path / "code")}
    result = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps(folders), str(tmp_path / "found.json")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr

    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    for kind, (_, texts) in folders.items():
        inputs = tokenizer(*texts, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = students[kind](**inputs).logits.double().numpy()
            pooled = students[kind].base_model(**inputs).pooler_output.numpy()
        np.testing.assert_allclose(found[kind]["logits"], logits, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found[kind]["pooled"], pooled, rtol=0, atol=1e-6)
        scores = [[row[f"LABEL_{label}"] for label in range(3)] for row in found[kind]["scores"]]
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
