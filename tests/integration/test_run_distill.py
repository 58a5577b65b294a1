"""`examples/run_distill.py` as a user runs it, on small real files and a small real teacher."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from huggingface_hub import ModelCard

from hf_bilstm_distill import TextClassifier
from hf_bilstm_distill.commands.distill import main

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = [
    *("--lstm_hidden_size", "8", "--fc_size", "8", "--embedding_dim", "16", "--n_iter", "2"),
    *("--num_train_epochs", "2", "--per_device_train_batch_size", "16", "--use_cpu", "true", "--save_strategy", "no"),
]


def run(*arguments: str, launcher: tuple[str, ...] = (sys.executable,), **environment: str) -> str:
    """Run the script in a process of its own and give what it printed."""
    command = [*launcher, str(EXAMPLES / "run_distill.py"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=600)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def files(texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    rows = texts.shuffle(seed=1)
    paths = {"train": str(folder / "train.jsonl"), "validation": str(folder / "validation.jsonl")}
    rows.select(range(36)).to_json(paths["train"])
    rows.select(range(36, 48)).to_json(paths["validation"])
    return paths


@pytest.fixture(scope="module")
def flags(files: dict[str, str]) -> list[str]:
    return ["--train_file", files["train"], "--validation_file", files["validation"], *SMALL]


@pytest.fixture(scope="module")
def student_dir(flags: list[str], teacher_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    printed = run("--teacher", teacher_dir, *flags, "--baseline", "true", "--output_dir", str(folder))
    (folder / "printed.txt").write_text(printed)
    return folder


def test_the_report_compares_teacher_student_and_baseline(student_dir: Path) -> None:
    """A user would not learn what was gained and lost."""
    report = json.loads((student_dir / "report.json").read_text())
    assert {"task", "metric", "models", "environment"} <= set(report)
    assert [model["name"] for model in report["models"]] == ["teacher", "student", "baseline", "tf-idf"]
    teacher, student, baseline, _ = report["models"]
    assert set(teacher) >= {
        *("name", "metrics", "agreement_with_teacher", "parameters", "parameters_without_embeddings", "size_mb"),
        *("throughput_per_s", "latency_ms_p50", "latency_ms_p95"),
    }
    assert teacher["agreement_with_teacher"] == 1.0
    assert 0 <= student["metrics"]["accuracy"] <= 1
    # one layer in two directions on 16 numbers, 8 + 8 units, two labels, by the formula of Tang et al. 2019
    assert student["parameters_without_embeddings"] == 2 * 4 * 8 * (16 + 8 + 2) + (16 * 8 + 8) + (8 * 2 + 2)
    assert student["parameters"] == baseline["parameters"] < teacher["parameters"]
    printed = (student_dir / "printed.txt").read_text()
    assert "teacher" in printed
    assert "baseline" in printed
    assert printed.count("positive (") + printed.count("negative (") == 2


def test_the_card_tells_what_the_run_did(student_dir: Path) -> None:
    """The model card would be empty, or show where the files were on somebody's machine."""
    card = ModelCard((student_dir / "README.md").read_text())
    assert card.data.pipeline_tag == "text-classification"
    assert "| teacher" in card.text
    assert "Measured on validation.jsonl" in card.text
    assert "`n_iter` = `2`" in card.text
    assert "negative" in card.text
    assert str(student_dir.parent) not in str(card)


@pytest.mark.parametrize("with_package", [True, False], ids=["package", "remote-code"])
def test_a_new_process_loads_the_student(
    student_dir: Path, files: dict[str, str], tmp_path: Path, with_package: bool
) -> None:
    """The saved student would not load elsewhere, or give other scores than were evaluated."""
    script = tmp_path / "load.py"
    script.write_text(
        f"""
import json, sys
if {with_package}:
    import hf_bilstm_distill
else:
    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "hf_bilstm_distill":
                raise ModuleNotFoundError(name)
    sys.meta_path.insert(0, Missing())
from transformers import AutoModel, pipeline
options = {{}} if {with_package} else {{"trust_remote_code": True}}
classifier = pipeline("text-classification", model=sys.argv[1], device="cpu", **options)
encoder = AutoModel.from_pretrained(sys.argv[1], **options)
assert type(encoder).__name__ == "BiLSTMModel", type(encoder)
texts = [json.loads(line)["text"] for line in open(sys.argv[2])]
print(json.dumps(classifier(texts, batch_size=4)))
"""
    )
    result = subprocess.run(
        [sys.executable, str(script), str(student_dir), files["validation"]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": ""},
    )
    assert result.returncode == 0, result.stderr
    predictions = json.loads(result.stdout.splitlines()[-1])
    rows = [json.loads(line) for line in Path(files["validation"]).read_text().splitlines()]
    classifier = TextClassifier.from_pretrained(student_dir, device="cpu")
    labels, scores = classifier.predict([row["text"] for row in rows])
    assert [prediction["label"] for prediction in predictions] == [classifier.id2label[label] for label in labels]
    np.testing.assert_allclose([prediction["score"] for prediction in predictions], scores.max(axis=1), atol=1e-6)
    report = json.loads((student_dir / "report.json").read_text())
    gold = [classifier.id2label[row["label"]] for row in rows]
    accuracy = np.mean([prediction["label"] == name for prediction, name in zip(predictions, gold, strict=True)])
    assert report["models"][1]["metrics"]["accuracy"] == pytest.approx(accuracy)


def test_stored_logits_need_no_teacher(texts: Dataset, tmp_path: Path) -> None:
    """A user with logits from elsewhere would still have to load a teacher."""
    logits = [[-2.0, 2.5] if label else [3.0, -1.0] for label in texts["label"]]
    rows = texts.add_column("teacher_scores", logits).shuffle(seed=1)
    rows.select(range(36)).to_parquet(tmp_path / "train.parquet")
    dev = rows.select(range(36, 48))
    scores = [json.dumps(row) for row in dev["teacher_scores"]]  # a csv holds lists as text
    dev.remove_columns("teacher_scores").add_column("teacher_scores", scores).to_csv(tmp_path / "dev.csv")
    run(
        *("--train_file", str(tmp_path / "train.parquet"), "--validation_file", str(tmp_path / "dev.csv")),
        *(*SMALL, "--n_iter", "0", "--teacher_logits_column", "teacher_scores", "--labels", "bad", "good"),
        *("--num_train_epochs", "30", "--learning_rate", "0.02", "--output_dir", str(tmp_path / "out")),
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [model["name"] for model in report["models"]] == ["student"]
    assert report["models"][0]["metrics"]["accuracy"] > 0.9
    assert TextClassifier.from_pretrained(tmp_path / "out").id2label == {0: "bad", 1: "good"}


def test_names_decide_the_label_order_and_a_config_file_is_overridden(
    texts: Dataset, trained_teacher_dir: str, tmp_path: Path
) -> None:
    """Labels named in another order than the teacher's would be learned exchanged."""
    shutil.copytree(trained_teacher_dir, tmp_path / "teacher")
    config = json.loads((tmp_path / "teacher" / "config.json").read_text())
    config |= {"id2label": {"0": "rotten", "1": "fresh"}, "label2id": {"rotten": 0, "fresh": 1}}
    (tmp_path / "teacher" / "config.json").write_text(json.dumps(config))
    gold = ["FRESH" if label else "Rotten" for label in texts["label"]]  # as they sort, FRESH is the first
    Dataset.from_dict({"sentence": texts["text"], "sentiment": gold}).to_csv(tmp_path / "texts.tsv", sep="\t")
    (tmp_path / "config.yaml").write_text(
        f"teacher: {tmp_path / 'teacher'}\ntext_column: sentence\nlabel_column: sentiment\n"
        "learning_rate: 1e-2\nn_iter: 3\n"
    )
    run(
        *(str(tmp_path / "config.yaml"), "--train_file", str(tmp_path / "texts.tsv")),
        *("--test_file", str(tmp_path / "texts.tsv"), *SMALL, "--n_iter", "1", "--num_train_epochs", "50"),
        *("--output_dir", str(tmp_path / "out")),
    )
    student = TextClassifier.from_pretrained(tmp_path / "out", device="cpu")
    assert student.id2label == {0: "FRESH", 1: "Rotten"}
    predicted = [student.id2label[label] for label in student.predict(list(texts["text"]))[0]]
    assert np.mean([one == other for one, other in zip(predicted, gold, strict=True)]) > 0.9


# ---- bad input: one clear line, before any long work ----


def _complaint(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", ["run_distill.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert "Labelling" not in printed.err
    assert stop.value.code not in (0, None)
    message = stop.value.code if isinstance(stop.value.code, str) else printed.err.strip()
    assert len(message.splitlines()) == 1, message
    return message


BAD_INPUT = {
    "missing-column": (["--text_column", "sentence"], "no column 'sentence'"),
    "missing-label-column": (["--label_column", "stars"], "no column 'stars'"),
    "missing-file": (["--train_file", "nowhere.jsonl"], "nowhere.jsonl"),
    "unknown-ending": (["--train_file", "{folder}/texts.xlsx"], ".jsonl"),
    "empty-file": (["--train_file", "{folder}/empty.jsonl"], "is empty"),
    "broken-json": (["--train_file", "{folder}/broken.jsonl"], "cannot be read"),
    "none-text": (["--train_file", "{folder}/none.jsonl"], "no text in column 'text'"),
    "numbers-as-text": (["--train_file", "{folder}/numbers.jsonl"], "int64, not text"),
    "no-held-out-texts": (["--validation_file", "{folder}/empty.jsonl"], "is empty"),
    "wrong-teacher": (["--teacher", "{folder}/nothing"], "Cannot load a classifier from"),
    "teacher-without-head": (["--teacher", "{folder}/headless"], "without a trained classification head"),
    "three-label-teacher": (["--teacher", "{folder}/three"], "The teacher has 3 labels"),
    "other-label-names": (["--labels", "happy", "sad"], "['happy', 'sad']"),
    "exchanged-label-names": (
        ["--train_file", "{folder}/exchanged.jsonl", "--validation_file", "{folder}/exchanged.jsonl"],
        "look exchanged",
    ),
    "unknown-metric": (["--metric", "bleurgh"], "bleurgh"),
    "unknown-tagger": (["--tagger", "guess"], "guess"),
    "probabilities-over-one": (["--p_mask", "0.7", "--p_pos", "0.5"], "0.7"),
    "alpha-over-one": (["--alpha", "1.5"], "alpha must be between 0"),
    "vectors-missing": (["--embeddings", "glove.txt"], "glove.txt"),
    "unknown-flag": (["--n_itr", "3"], "n_itr"),
    "checkpoint-missing": (["--resume_from_checkpoint", "{folder}/checkpoint-9"], "checkpoint-9"),
}


@pytest.fixture(scope="module")
def bad_files(teacher_dir: str, texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "texts.xlsx").write_text("x")
    (folder / "empty.jsonl").write_text("")
    (folder / "broken.jsonl").write_text('{"text": "a", "label": 0}\n{"text": ')
    (folder / "none.jsonl").write_text('{"text": "a", "label": 0}\n{"text": null, "label": 1}\n')
    (folder / "numbers.jsonl").write_text('{"text": 1, "label": 0}\n{"text": 2, "label": 1}\n')
    teacher = TextClassifier.from_pretrained(teacher_dir, device="cpu")
    opposite = [teacher.id2label[1 - label] for label in teacher.predict(texts["text"][:])[0]]
    assert set(opposite) == {"negative", "positive"}
    Dataset.from_dict({"text": texts["text"][:], "label": opposite}).to_json(folder / "exchanged.jsonl")
    teacher.model.base_model.save_pretrained(folder / "headless")
    teacher.tokenizer.save_pretrained(folder / "headless")
    three = type(teacher.model)(type(teacher.model.config)(**{**teacher.model.config.to_dict(), **_names("abc")}))
    three.save_pretrained(folder / "three")
    teacher.tokenizer.save_pretrained(folder / "three")
    return folder


def _names(names: str) -> dict[str, object]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gets_one_clear_line(
    case: str,
    bad_files: Path,
    flags: list[str],
    teacher_dir: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user would get a long traceback, or an error after an hour of labelling, or none at all."""
    extra, expected = BAD_INPUT[case]
    arguments = ["--teacher", teacher_dir, *flags, "--output_dir", str(tmp_path)]
    message = _complaint([*arguments, *(part.format(folder=bad_files) for part in extra)], capsys, monkeypatch)
    assert expected in message


def test_another_seed_needs_no_new_labels_where_the_copies_are_the_same(
    flags: list[str], trained_teacher_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three seeds for a mean would cost the teacher's time three times."""
    shards = []
    for seed in ("1", "2"):
        own = ["--seed", seed, "--augmentation_seed", "5", "--output_dir", str(tmp_path / seed)]
        cache = ["--label_cache", str(tmp_path / "labels")]
        monkeypatch.setattr(sys, "argv", ["x", "--teacher", trained_teacher_dir, *flags, *own, *cache])
        main()
        shards.append(sorted(tmp_path.glob("labels/*/*.npy")))
    assert shards[0] == shards[1] != []
    one, other = (TextClassifier.from_pretrained(tmp_path / seed).fingerprint() for seed in ("1", "2"))
    assert one != other


@pytest.mark.parametrize(
    ("chosen", "metric", "best"),
    [([], "eval_accuracy", max), (["--metric_for_best_model", "eval_loss"], "eval_loss", min)],
    ids=["left-out", "chosen"],
)
def test_the_checkpoint_that_is_best_in_what_the_user_chose_is_kept(
    flags: list[str],
    teacher_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chosen: list[str],
    metric: str,
    best: Callable[[list[float]], float],
) -> None:
    """A flag of the Trainer's would be taken and not heeded, or a run without it keep what the loss likes best."""
    arguments = ["--teacher", teacher_dir, *flags, "--save_strategy", "epoch", "--num_train_epochs", "4", *chosen]
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--output_dir", str(tmp_path)])
    main()
    last = max(tmp_path.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    state = json.loads((last / "trainer_state.json").read_text())
    assert state["best_metric"] == best([entry[metric] for entry in state["log_history"] if metric in entry])
    assert f"best {metric.removeprefix('eval_')}" in (tmp_path / "README.md").read_text().replace("best eval_", "best ")


def test_copies_without_a_teacher_are_refused(
    flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies that nobody can label would be made in vain."""
    message = _complaint([*flags, "--teacher_logits_column", "label"], capsys, monkeypatch)
    assert "--n_iter 2" in message
    assert "--teacher" in message


def test_help_reads_well(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A user would have to read the source, or a hundred arguments of training."""
    monkeypatch.setattr(sys, "argv", ["run_distill.py", "--help"])
    with pytest.raises(SystemExit):
        main()
    text = capsys.readouterr().out
    for flag in ("--teacher ", "--n_iter", "--alpha", "--output_dir", "--resume_from_checkpoint", "--multichannel"):
        assert flag in text
    assert "--neftune_noise_alpha" not in text
    assert len(text.splitlines()) < 180


# ---- several processes, kills, the demo ----


@pytest.mark.slow
@pytest.mark.multiprocess
def test_two_processes_train_one_student(flags: list[str], teacher_dir: str, tmp_path: Path) -> None:
    """Two processes would train two students, write over each other, or give another student than one process."""
    # Within the first epoch: at its end accelerate fills up the last batches with rows from the beginning.
    steps = ["--max_steps", "4", "--train_sampling_strategy", "sequential"]
    steps += ["--dropout", "0", "--embedding_dropout", "0"]
    steps += ["--per_device_train_batch_size", "8"]
    arguments = ["--teacher", teacher_dir, *flags, *steps]
    launcher = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")
    printed = run(*arguments, "--output_dir", str(tmp_path / "two"), launcher=launcher)
    assert printed.count("Task:") == 1
    run(*arguments, "--per_device_train_batch_size", "16", "--output_dir", str(tmp_path / "one"))
    one = TextClassifier.from_pretrained(tmp_path / "one").model.state_dict()
    two = TextClassifier.from_pretrained(tmp_path / "two").model.state_dict()
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


@pytest.mark.slow
def test_killed_and_resumed_ends_with_the_same_weights(flags: list[str], teacher_dir: str, tmp_path: Path) -> None:
    """A user whose machine stopped would start again, or end with another student without being told."""
    arguments = ["--teacher", teacher_dir, *flags, "--save_strategy", "steps", "--save_steps", "3"]
    run(*arguments, "--output_dir", str(tmp_path / "whole"))
    killer = tmp_path / "killed.py"
    killer.write_text(
        """
import os, signal
from transformers import TrainerCallback
from hf_bilstm_distill.commands import distill
class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 7:
            os.kill(os.getpid(), signal.SIGKILL)
start = distill.DistillationTrainer.train
def train(self, **kwargs):
    self.add_callback(Kill())
    return start(self, **kwargs)
distill.DistillationTrainer.train = train
distill.main()
"""
    )
    killed = [sys.executable, str(killer), *arguments, "--output_dir", str(tmp_path / "killed")]
    assert subprocess.run(killed, capture_output=True, timeout=600).returncode == -9
    assert (tmp_path / "killed" / "checkpoint-6").is_dir()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    run(*arguments, "--output_dir", str(tmp_path / "killed"), "--resume_from_checkpoint")
    whole = TextClassifier.from_pretrained(tmp_path / "whole").model.state_dict()
    resumed = TextClassifier.from_pretrained(tmp_path / "killed").model.state_dict()
    # Threads of another process may add in another order, by which the last digit of a float32 can differ.
    assert all(torch.allclose(whole[name], resumed[name], rtol=0, atol=1e-6) for name in whole)


@pytest.mark.slow
def test_the_demo_needs_no_argument(tmp_path: Path) -> None:
    """`make demo` would fail, or show a student that learned nothing from its teacher."""
    printed = run("--output_dir", str(tmp_path))
    teacher, student, baseline, _ = json.loads((tmp_path / "report.json").read_text())["models"]
    assert teacher["metrics"]["accuracy"] > 0.9
    assert student["metrics"]["accuracy"] > baseline["metrics"]["accuracy"] + 0.04
    assert student["agreement_with_teacher"] > 0.85
    assert len([line for line in printed.splitlines() if line.startswith(("positive (", "negative ("))]) == 2
