"""A release that breaks what people have: names they import, checkpoints they saved, settings they rely on."""

import ast
import dataclasses
import inspect
import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

import hf_bilstm_distill
from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    BiLSTMModel,
    DistillationTrainingArguments,
)

ROOT = Path(__file__).parents[2]
PUBLIC_CLASSES = {name: value for name, value in vars(hf_bilstm_distill).items() if inspect.isclass(value)}
OWN_FIELDS = {
    field.name: field
    for field in dataclasses.fields(DistillationTrainingArguments)
    if field.name in DistillationTrainingArguments.__annotations__
}


# ------------------------------------------------------------------------------------------------------------- names
def in_order_of_names(name: str) -> tuple[int, list[Any]]:
    """CONSTANTS, then Classes, then functions; digits by their value."""
    group = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return group, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def test_public_names_are_sorted() -> None:
    """A list of names in which one is hard to find, or stands twice."""
    names = hf_bilstm_distill.__all__
    assert names == sorted(set(names), key=in_order_of_names)


@pytest.mark.parametrize("name", hf_bilstm_distill.__all__)
def test_public_names_are_documented(name: str) -> None:
    """A name that cannot be imported, or whose `help()` says nothing."""
    documentation = getattr(hf_bilstm_distill, name).__doc__
    assert documentation
    assert not documentation.startswith(f"{name}(")  # what a dataclass writes where nobody did
    assert documentation.splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", PUBLIC_CLASSES)
def test_public_methods_are_documented(name: str) -> None:
    """A method of a public class whose `help()` says nothing."""
    members = {key: value for key, value in vars(PUBLIC_CLASSES[name]).items() if not key.startswith("_")}
    methods = {key: value for key, value in members.items() if inspect.isroutine(value) or isinstance(value, property)}
    assert [key for key, value in methods.items() if not inspect.getdoc(value)] == []


def test_every_imported_name_is_public() -> None:
    """A name in the package's `__init__` that is neither public nor private."""
    tree = ast.parse((ROOT / "hf_bilstm_distill" / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name for name in imported if not name.startswith("_")} == set(hf_bilstm_distill.__all__)


# -------------------------------------------------------------------------------------------------------- checkpoints
LSTM_KEYS = [
    f"lstm.{kind}_l0{direction}"
    for direction in ("", "_reverse")
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
]
HEAD_KEYS = ["hidden.weight", "hidden.bias", "classifier.weight", "classifier.bias"]


@pytest.mark.parametrize("is_pair", [False, True], ids=["single-sentence", "pair"])
@pytest.mark.parametrize("multichannel", [False, True], ids=["one-channel", "multichannel"])
def test_names_of_weights(multichannel: bool, is_pair: bool) -> None:
    """Old checkpoints that no longer load, since a part of the student was renamed."""
    tables = ["embed_tokens.weight", "embed_tokens_static.weight"] if multichannel else ["embed_tokens.weight"]
    config = BiLSTMConfig(vocab_size=9, embedding_dim=2, multichannel=multichannel, is_pair=is_pair)
    with torch.device("meta"):
        encoder, classifier = BiLSTMModel(config), BiLSTMForSequenceClassification(config)
    assert list(encoder.state_dict()) == tables + LSTM_KEYS
    assert list(classifier.state_dict()) == [f"bilstm.{key}" for key in tables + LSTM_KEYS] + HEAD_KEYS


def test_names_of_settings(tmp_path: Path) -> None:
    """Old configurations that are read as something else, or settings left to defaults that may change."""
    BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=9)).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert saved.pop("transformers_version")
    assert saved == {
        "architectures": ["BiLSTMForSequenceClassification"],
        "dropout": 0.1,
        "dtype": "float32",
        "embedding_dim": 300,
        "embedding_dropout": 0.0,
        "fc_size": 200,
        "initializer_range": 0.25,
        "is_pair": False,
        "lstm_hidden_size": 150,
        "model_type": "bilstm_distill",
        "multichannel": False,
        "num_hidden_layers": 1,
        "pad_token_id": 0,
        "pooling": "last",
        "tie_word_embeddings": False,
        "vocab_size": 9,
    }


# ------------------------------------------------------------------------------------------------- training arguments
@pytest.mark.parametrize("name", OWN_FIELDS)
def test_own_arguments_have_a_help(name: str) -> None:
    """An argument of which `--help` says nothing."""
    assert len(OWN_FIELDS[name].metadata.get("help", "")) > 20


def test_changed_defaults_are_told(tmp_path: Path) -> None:
    """A default that differs from `TrainingArguments` without a word, or that is not what the docstring says."""
    told = DistillationTrainingArguments.__doc__ or ""
    ours = vars(DistillationTrainingArguments(output_dir=str(tmp_path)))
    theirs = vars(TrainingArguments(output_dir=str(tmp_path)))
    fields = {field.name for field in dataclasses.fields(TrainingArguments)}
    may_agree = {"optim"} | ({"dataloader_pin_memory"} if torch.cuda.is_available() else set())

    named = {name: value for name, value in re.findall(r"`(\w+)(?:=([^`]+))?`", told) if name in fields}
    changed = {name for name in fields if ours[name] != theirs[name]}
    assert changed - may_agree == set(named) - may_agree
    assert {name: ours[name] for name, value in named.items() if value} == {
        name: ast.literal_eval(value) for name, value in named.items() if value
    }


def test_default_learning_rates_are_told(tmp_path: Path) -> None:
    """A learning rate by default that is not the one that `--help` names."""
    told = re.search(r"([\d.e-]+) for adadelta, ([\d.e-]+) for all", OWN_FIELDS["learning_rate"].metadata["help"])
    assert told
    for optim, rate in zip(("adadelta", "adamw_torch"), told.groups(), strict=True):
        assert DistillationTrainingArguments(str(tmp_path), optim=optim).learning_rate == float(rate)


# ------------------------------------------------------------------------------------------------------------ version
def test_version_is_told_once() -> None:
    """A package whose metadata and changelog speak of another version."""
    assert metadata.version("hf-bilstm-distill") == hf_bilstm_distill.__version__
    changelog = ROOT / "CHANGELOG.md"
    if changelog.exists():
        versions = re.findall(r"^## \[?v?(\d[^\]\s]*)", changelog.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert versions[0] == hf_bilstm_distill.__version__
