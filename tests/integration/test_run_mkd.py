"""`examples/run_mkd.py` as a user runs it, on small real files and small real teachers."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from datasets import Dataset
from hub_endpoint import TOKEN, HubEndpoint
from huggingface_hub import ModelCard
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hf_bilstm_distill import MultiTaskForSequenceClassification, TextClassifier, train_word_tokenizer
from hf_bilstm_distill.commands.mkd_arguments import arguments_of_tasks, read_arguments

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN_MKD, CONFIGS = str(EXAMPLES / "run_mkd.py"), EXAMPLES / "configs"
SMALL: dict[str, Any] = {
    **{"embedding_dim": 8, "lstm_hidden_size": 4, "fc_size": 8, "n_iter": 1, "num_train_epochs": 2},
    **{"per_device_train_batch_size": 16, "use_cpu": True, "save_strategy": "no", "disable_tqdm": True},
}
METRICS = ["accuracy", "spearmanr"]
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

    seeds = [sys.executable, str(EXAMPLES.parent / "benchmarks" / "seeds.py"), str(out), str(out)]
    table = subprocess.run(seeds, capture_output=True, text=True, check=True).stdout.splitlines()
    values = json.loads(table[-1])["values"]
    scores = [models[task]["student"]["metrics"][metric] for task, metric in zip(models, METRICS, strict=True)]
    assert [values[f"{task}, {metric}"]["student"] for task, metric in zip(models, METRICS, strict=True)] == [
        [score, score] for score in scores
    ]
    assert values["mean"]["student"] == pytest.approx([np.mean(scores)] * 2)
    assert any(line.startswith("| mean |") and " ± 0.0000 " in line for line in table)

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


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("mkd*.yaml")), ids=lambda path: path.stem)
def test_ready_settings_are_read(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings that nobody tried, with a flag that there is not."""
    monkeypatch.setattr(sys, "argv", ["run_mkd.py", str(file), "--use_cpu", "true", "--output_dir", str(tmp_path)])
    run, _ = read_arguments()
    arguments = arguments_of_tasks(run)
    assert list(arguments) == list(yaml.safe_load(file.read_text(encoding="utf-8"))["tasks"])
    assert all(
        own_run.teacher and own_run.p_pos == own_run.p_ngram == own_run.n_recombined == 0
        for own_run in arguments.values()
    )


def test_gold_labels_are_learned_for_as_many_steps(config: Config, examples_main: Main, tmp_path: Path) -> None:
    """Copies that make the distilled student look better because it was trained for longer."""
    path = config({"similar": {"n_iter": 3}}, single_task_baselines=True, save_strategy="epoch")
    examples_main("run_mkd", path)

    def last_step(folder: str) -> int:
        return max(int(path.name.split("-")[1]) for path in (tmp_path / "out" / folder).glob("checkpoint-*"))

    assert last_step("_single/opinion") == pytest.approx(last_step("_gold/opinion"), abs=2)
    assert last_step("_single/similar") == pytest.approx(last_step("_gold/similar"), abs=4)
    assert last_step("_gold/similar") > last_step("_gold/opinion")


def run_script(launcher: list[str], arguments: list[str], **environment: str) -> str:
    command = [*launcher, RUN_MKD, *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.multiprocess
def test_two_processes_train_the_student_of_one(config: Config, tmp_path: Path) -> None:
    """A launch that hangs, prints or writes twice, or trains another student."""
    path = config(dropout=0, num_train_epochs=3, augmentation_seed=1)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    two, one = str(tmp_path / "two"), str(tmp_path / "one")
    printed = run_script(launcher, [path, "--per_device_train_batch_size", "8", "--output_dir", two])
    assert sum(line.startswith("similar") and " student " in line for line in printed.splitlines()) == 1
    run_script([sys.executable], [path, "--output_dir", one])
    students = [MultiTaskForSequenceClassification.from_pretrained(folder).state_dict() for folder in (one, two)]
    for name, values in students[0].items():
        torch.testing.assert_close(students[1][name], values, atol=1e-4, rtol=0)
    reports = [json.loads((Path(folder) / "report.json").read_text(encoding="utf-8")) for folder in (one, two)]
    for task in reports[0]:
        metrics = [report[task]["models"][1]["metrics"] for report in reports]
        assert metrics[0] == pytest.approx(metrics[1], abs=1e-3)


LOAD = """
import json, sys
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline
options = {"trust_remote_code": True}
classify = pipeline("text-classification", model="someone/tasks", top_k=None, **options)
answers = {"opinion": classify("a warm film")}
model = AutoModelForSequenceClassification.from_pretrained("someone/tasks", task="similar", **options)
classify = pipeline("text-classification", model=model, tokenizer="someone/tasks", top_k=None)
answers["similar"] = classify({"text": "a warm film", "text_pair": "a dull story"})
alone = {"subfolder": "opinion", **options}
model = AutoModelForSequenceClassification.from_pretrained("someone/tasks", **alone)
tokenizer = AutoTokenizer.from_pretrained("someone/tasks", **alone)
answers["alone"] = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)("a warm film")
assert type(AutoModel.from_pretrained("someone/tasks", **options)).__name__ == "BiAttentiveModel"
assert "hf_bilstm_distill" not in sys.modules
print("FOUND", json.dumps(answers))
"""


@pytest.mark.slow
def test_a_pushed_student_is_loaded_by_its_name(config: Config, tmp_path: Path) -> None:
    """A student on the Hub without its code or its card, or with texts, checkpoints or a token of its author's."""
    settings = {"push_to_hub": True, "hub_model_id": "someone/tasks", "license": "mit"}
    settings |= {"save_strategy": "epoch", "hub_strategy": "end"}
    path = config(finetune=True, finetune_epochs=1, language="en", **settings)
    with HubEndpoint() as hub:
        run_script([sys.executable], [path, "--hub_token", TOKEN], **hub.environment(tmp_path / "author", None))
        pushed = hub.files("someone/tasks")
        assert hub.repositories["someone/tasks"].messages == ["initial commit", "End of training"]
        environment = {**os.environ, **hub.environment(tmp_path / "friend")}
        found = subprocess.run(
            [sys.executable, "-c", LOAD], capture_output=True, text=True, check=False, env=environment, timeout=300
        )
    assert found.returncode == 0, found.stderr
    assert {"config.json", "model.safetensors", "modeling_multitask.py", "recurrence.py", "README.md"} <= set(pushed)
    assert {"opinion/model.safetensors", "opinion/modeling_multitask.py", "opinion/report.html"} <= set(pushed)
    assert not [name for name in pushed if "checkpoint" in name or name.startswith("_") or name.endswith(".jsonl")]
    assert not any(TOKEN.encode() in content for content in pushed.values())
    card = ModelCard(pushed["README.md"].decode())
    assert (card.data.model_name, card.data.license, card.data.language) == (None, "mit", "en")
    assert "# someone/tasks" in card.text
    assert "| similar | student | spearmanr |" in card.text
    assert "bi-attentive LSTM with a head for each of 2 tasks" in card.text

    answers = json.loads(found.stdout.partition("FOUND ")[2])
    joint = MultiTaskForSequenceClassification.from_pretrained(tmp_path / "out")
    alone = TextClassifier.from_pretrained(tmp_path / "out" / "opinion", device="cpu")
    students = {name: TextClassifier(joint.single_task(name), alone.tokenizer) for name in ("opinion", "similar")}
    texts = {"opinion": ("a warm film",), "similar": ("a warm film", "a dull story"), "alone": ("a warm film",)}
    for name, student in {**students, "alone": alone}.items():
        (scores,) = student.predict(*([text] for text in texts[name]))[1]
        rows = answers[name][0] if isinstance(answers[name][0], list) else answers[name]
        given = {entry["label"]: entry["score"] for entry in rows}
        expected = dict(zip(student.id2label.values(), np.atleast_1d(scores).tolist(), strict=True))
        assert given == pytest.approx(expected, abs=1e-5)


def test_texts_that_would_be_pushed_are_told_before_the_work(
    config: Config, examples_main: Main, tasks: dict[str, dict[str, Any]]
) -> None:
    """Somebody's texts on the Hub."""
    folder = str(Path(tasks["similar"]["train_file"]).parent)
    with pytest.raises(SystemExit, match=r"opinion\.jsonl lies in .*, which is pushed to the Hub"):
        examples_main("run_mkd", config(push_to_hub=True, hub_model_id="someone/tasks", output_dir=folder))


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
