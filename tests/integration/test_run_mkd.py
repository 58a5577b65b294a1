"""`examples/run_mkd.py` as a user runs it, on small real files and small real teachers."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hf_bilstm_distill import MultiTaskForSequenceClassification, TextClassifier, train_word_tokenizer

SMALL: dict[str, Any] = {
    **{"embedding_dim": 8, "lstm_hidden_size": 4, "fc_size": 8, "n_iter": 1, "num_train_epochs": 2},
    **{"per_device_train_batch_size": 16, "use_cpu": True, "save_strategy": "no", "disable_tqdm": True},
}
Config = Callable[..., str]
Main = Callable[..., None]


def make_regressor(tokenizer: PreTrainedTokenizerFast, folder: str) -> str:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        initializer_range=0.3,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tasks(
    texts: Dataset,
    trained_teacher_dir: str,
    teacher_tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Any]]:
    """Opinions, and how similar the sentences of a pair are, some without a score."""
    folder = tmp_path_factory.mktemp("tasks")
    opinions = texts.shuffle(seed=1)
    rows = list(opinions["text"])
    pairs = Dataset.from_dict({"one": rows, "other": rows[::-1], "score": [float(len(row)) / 10 for row in rows]})
    settings = {}
    for name, table in {"opinion": opinions, "similar": pairs}.items():
        files = {"train_file": str(folder / f"{name}.jsonl"), "validation_file": str(folder / f"{name}-dev.jsonl")}
        table.select(range(36)).to_json(files["train_file"])
        table.select(range(36, 48)).to_json(files["validation_file"])
        settings[name] = files
    settings["opinion"]["teacher"] = trained_teacher_dir
    settings["similar"] |= {"text_column": "one", "text_pair_column": "other", "label_column": "score"}
    settings["similar"] |= {"teacher": make_regressor(teacher_tokenizer, str(folder / "regressor"))}
    return settings


@pytest.fixture
def config(tasks: dict[str, dict[str, Any]], tmp_path: Path) -> Config:
    def write(changed: dict[str, dict[str, Any]] | None = None, **settings: Any) -> str:
        own = {name: {**each, **(changed or {}).get(name, {})} for name, each in tasks.items()}
        path = tmp_path / "mkd.yaml"
        path.write_text(
            yaml.safe_dump({"tasks": own, **SMALL, "output_dir": str(tmp_path / "out"), **settings}), encoding="utf-8"
        )
        return str(path)

    return write


def test_the_report_has_a_row_for_each_task_and_model(
    config: Config,
    tasks: dict[str, dict[str, Any]],
    examples_main: Main,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A report of other models than those that were saved, or that leaves out what a user compares with."""
    path = config({"similar": {"n_iter": 2}}, finetune=True, finetune_epochs=1, single_task_baselines=True)
    examples_main("run_mkd", path, "--finetune_learning_rate", "0.01")
    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    names = ["teacher", "student", "fine-tuned", "single-task", "gold labels"]
    models = {task: {model["name"]: model for model in report[task]["models"]} for task in report}
    assert {task: list(found) for task, found in models.items()} == {"opinion": names, "similar": names}
    table = (out / "report.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    for task, name in [(task, name) for task in tasks for name in names]:
        assert f"| {task} | {name} |" in table
        assert any(line.startswith(task) and name in line for line in printed.splitlines())
    for found in models.values():
        assert found["student"]["parameters"] == found["single-task"]["parameters"] < found["teacher"]["parameters"]
    assert models["opinion"]["teacher"]["metrics"]["accuracy"] == 1.0
    assert (out / "opinion" / "report.html").is_file()

    rows = [json.loads(line) for line in Path(tasks["opinion"]["validation_file"]).read_text().splitlines()]
    sentences, gold = [row["text"] for row in rows], [row["label"] for row in rows]
    joint = MultiTaskForSequenceClassification.from_pretrained(out)
    fine_tuned = TextClassifier.from_pretrained(out / "opinion", device="cpu")
    saved = {
        "student": TextClassifier(joint.single_task("opinion"), fine_tuned.tokenizer),
        "fine-tuned": fine_tuned,
    }
    for name, classifier in saved.items():
        expected = np.mean(classifier.predict(sentences)[0] == gold)
        assert models["opinion"][name]["metrics"]["accuracy"] == pytest.approx(expected)
    assert fine_tuned.id2label == {0: "negative", 1: "positive"}
    assert not np.allclose(*[classifier.logits(sentences) for classifier in saved.values()], atol=1e-3)
    assert TextClassifier.from_pretrained(out / "similar", device="cpu").problem_type == "regression"


@pytest.mark.parametrize("student", ["transformer", "bilstm"])
def test_other_students(
    config: Config, examples_main: Main, tmp_path: Path, student: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A kind of student that is named in the help, and does not run; or vectors of a teacher that nobody named."""
    path = config(student=student, num_hidden_layers=1, num_train_epochs=1)
    with caplog.at_level(logging.INFO):
        examples_main("run_mkd", path, "--task_sampling", "round-robin")
    told = "The student starts from the embeddings of the teacher of opinion, the first task." in caplog.text
    assert told == (student == "bilstm")  # a Transformer keeps those of its layers
    saved = MultiTaskForSequenceClassification.from_pretrained(tmp_path / "out")
    assert list(saved.heads) == ["opinion", "similar"]
    assert saved.config.encoder.model_type == {"transformer": "bert", "bilstm": "bilstm_distill"}[student]
    tokenizer = TextClassifier.from_pretrained(tmp_path / "out", device="cpu").tokenizer
    assert (tokenizer.cls_token_id in tokenizer("a film")["input_ids"]) == (student == "transformer")


def test_mistakes_are_told_in_one_line_before_the_work(
    config: Config, examples_main: Main, texts: Dataset, tmp_path: Path
) -> None:
    """A traceback, or an error after hours of labelling that does not say in which task."""
    other = make_regressor(train_word_tokenizer(texts["text"]), str(tmp_path / "other"))
    wrong = {
        r"The task 'similar' has unknown settings \['n_itre'\]": {"similar": {"n_itre": 40}},
        r"Task 'similar': There is nothing to learn from": {"similar": {"teacher": None}},
        r"Task 'opinion': .*no column 'sentence'": {"opinion": {"text_column": "sentence"}},
        r"Task 'opinion': There is no file nowhere.jsonl": {"opinion": {"train_file": "nowhere.jsonl"}},
        r"'opinion' and 'similar' have different vocabularies.*--tokenizer word": {"similar": {"teacher": other}},
    }
    for message, changed in wrong.items():
        with pytest.raises(SystemExit, match=message):
            examples_main("run_mkd", config(changed))
    assert not (tmp_path / "out" / "config.json").exists()


@pytest.mark.pages
def test_the_demo_runs_without_a_file(examples_main: Main, tmp_path: Path) -> None:
    """The first thing that a user tries."""
    flags = {"num_train_epochs": 1, "single_task_baselines": False, "use_cpu": True, "disable_tqdm": True}
    given = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    examples_main("run_mkd", "--output_dir", str(tmp_path), *given)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert list(report) == ["opinion", "contrast", "preference"]
    for task in report.values():
        assert task["models"][0]["metrics"]["accuracy"] > 0.8  # a teacher that has learned its task
