"""A file from a stranger that runs as a program, leaves its folder, or a token that ends up in a log."""

import ast
import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

import hf_bilstm_distill
from hf_bilstm_distill import (
    CallableTeacher,
    DistillationTrainingArguments,
    MultiTaskTrainingArguments,
    TextClassifier,
    label_with_teacher,
    load_file,
    read_words,
)
from hf_bilstm_distill.commands import label
from hf_bilstm_distill.commands.distill_arguments import StudentTrainingArguments
from hf_bilstm_distill.commands.finetune_teacher import TeacherTrainingArguments
from hf_bilstm_distill.commands.mkd_arguments import MultiTaskStudentTrainingArguments

SOURCES = sorted(Path(hf_bilstm_distill.__file__).parent.rglob("*.py"))
TOKEN = "hf_" + "Q" * 34


class Bomb:
    """What leaves a mark in a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name)]


def test_a_bomb_is_one(tmp_path: Path) -> None:
    """The tests below would pass with a file that does nothing."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("source", SOURCES, ids=[path.stem for path in SOURCES])
def test_no_source_unpickles_or_evaluates(source: Path) -> None:
    """One call is enough, and a review overlooks it."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
    }
    assert imported.isdisjoint({"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "subprocess"})
    for name in ("eval", "exec", "os.system", "yaml.load", "yaml.unsafe_load", "pickle.load", "pickle.loads"):
        assert not [call for call in calls(tree, name) if ast.unparse(call.func) == name]
    for call in calls(tree, "torch.load"):
        assert "weights_only=True" in ast.unparse(call)
    for call in calls(tree, "np.load"):
        assert "allow_pickle=False" in ast.unparse(call)


def test_weights_of_a_stranger_are_not_unpickled(trained_teacher_dir: str, tmp_path: Path) -> None:
    """A teacher from the Hub with a pytorch_model.bin takes over the machine."""
    folder = tmp_path / "teacher"
    shutil.copytree(trained_teacher_dir, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"bert.embeddings.word_embeddings.weight": Bomb(tmp_path / "mark")}, folder / "pytorch_model.bin")
    with pytest.raises(Exception, match=r"[Ww]eights"):
        TextClassifier.from_pretrained(folder)
    assert not (tmp_path / "mark").exists()


def test_finished_labels_are_not_unpickled(tmp_path: Path) -> None:
    """A cache that others can write to takes over the machine of who labels next."""
    rows = Dataset.from_dict({"text": ["a film", "a longer play"]})
    teacher = CallableTeacher(lambda texts: [[len(text), 0.5] for text in texts], ["a", "b"], name="lengths-1")
    expected = label_with_teacher(rows, teacher, cache_dir=tmp_path / "cache")["teacher_logits"][:]
    (shard,) = (tmp_path / "cache").rglob("*.npy")
    np.save(shard, np.array([Bomb(tmp_path / "mark")], dtype=object), allow_pickle=True)
    assert label_with_teacher(rows, teacher, cache_dir=tmp_path / "cache")["teacher_logits"][:] == expected
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.bin", "vectors.txt.gz"])
def test_word_vectors_are_not_unpickled(name: str, tmp_path: Path) -> None:
    """A file of vectors, fetched from anywhere, runs as a program."""
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "mark"), protocol=0))
    with pytest.raises(ValueError, match="vectors"):
        list(read_words(tmp_path / name))
    assert not (tmp_path / "mark").exists()


def test_a_table_of_texts_is_not_unpickled(tmp_path: Path) -> None:
    """A data file runs as a program."""
    for ending in (".csv", ".tsv", ".jsonl", ".parquet"):
        path = tmp_path / f"rows{ending}"
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
        with pytest.raises(ValueError, match="rows"):
            load_file(path)
    assert not (tmp_path / "mark").exists()


@pytest.fixture
def with_code(trained_teacher_dir: str, tmp_path: Path) -> Path:
    """A teacher whose configuration is Python code beside the weights, which leaves a mark when it runs."""
    folder = tmp_path / "teacher"
    shutil.copytree(trained_teacher_dir, folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "of_a_stranger"
    config["auto_map"] = {
        "AutoConfig": "own.OwnConfig",
        "AutoModelForSequenceClassification": "own.OwnForSequenceClassification",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(
        "from pathlib import Path\n"
        "from transformers import BertConfig, BertForSequenceClassification\n"
        f"Path({str(tmp_path / 'mark')!r}).touch()\n"
        "class OwnConfig(BertConfig):\n    model_type = 'of_a_stranger'\n"
        "class OwnForSequenceClassification(BertForSequenceClassification):\n    config_class = OwnConfig\n"
    )
    return folder


def test_code_beside_a_teacher_runs_only_on_request(with_code: Path, tmp_path: Path) -> None:
    """Loading a teacher would run whatever its author wrote, or ask a question that nobody answers in a job."""
    with pytest.raises(FileNotFoundError, match="trust_remote_code"):
        TextClassifier.from_pretrained(with_code)
    assert not (tmp_path / "mark").exists()
    teacher = TextClassifier.from_pretrained(with_code, trust_remote_code=True)
    assert (tmp_path / "mark").exists()
    assert teacher.logits(["a warm and funny film"]).shape == (1, 2)


def test_a_command_runs_code_beside_a_teacher_only_with_the_flag(
    with_code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that runs what a teacher's author wrote unasked, or that cannot use such a teacher at all."""
    rows, out = tmp_path / "rows.jsonl", tmp_path / "labelled.jsonl"
    rows.write_text('{"text": "a warm and funny film"}\n')
    flags = ["label", "--teacher", str(with_code), "--file", str(rows), "--output_file", str(out)]
    monkeypatch.setattr(sys, "argv", flags)
    with pytest.raises(SystemExit, match="trust_remote_code"):
        label.main()
    assert not (tmp_path / "mark").exists()
    monkeypatch.setattr(sys, "argv", [*flags, "--trust_remote_code", "true"])
    label.main()
    assert len(json.loads(out.read_text())["teacher_logits"]) == 2


def test_names_from_outside_stay_in_their_folder(tmp_path: Path) -> None:
    """A teacher's name, a model's name or a text with ../ in it writes outside of the folder it was given."""
    name = "../../outside/\x00/con"
    teacher = CallableTeacher(lambda texts: [[len(text), 0.5] for text in texts], ["../a", "/b"], name=name)
    folder = tmp_path / "deep" / "down" / "cache"
    label_with_teacher(Dataset.from_dict({"text": ["../../x", "/etc/passwd"]}), teacher, cache_dir=folder)
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert written
    assert all(path.is_relative_to(folder) for path in written)


@pytest.mark.parametrize("name", ["../../etc", "a/../../b", "a/b/c", "https://example.org/a", "user@host:a", "-a/b"])
def test_an_id_that_is_none_is_refused(name: str) -> None:
    """An id with ../ in it would be read from, or stored in, another folder than the cache."""
    with pytest.raises(FileNotFoundError, match="Cannot load a classifier"):
        TextClassifier.from_pretrained(name)


@pytest.mark.parametrize(
    "kind",
    [
        DistillationTrainingArguments,
        MultiTaskStudentTrainingArguments,
        MultiTaskTrainingArguments,
        StudentTrainingArguments,
        TeacherTrainingArguments,
    ],
)
def test_a_token_is_in_no_text_of_the_arguments(kind: type[DistillationTrainingArguments], tmp_path: Path) -> None:
    """Logs, notebooks and bug reports show the arguments."""
    arguments = kind(output_dir=str(tmp_path), hub_token=TOKEN, report_to=[])
    for text in (str(arguments), repr(arguments), arguments.to_json_string(), str(arguments.to_sanitized_dict())):
        assert TOKEN not in text
