"""Pairs of sentences from files to predictions, and the ready settings, as a user of `run_distill.py` has them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from huggingface_hub import ModelCard
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

from hf_bilstm_distill import TextClassifier

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIGS = sorted((EXAMPLES / "configs").glob("*.yaml"))
SMALL = [
    *("--lstm_hidden_size", "8", "--fc_size", "8", "--embedding_dim", "16", "--n_iter", "3", "--use_cpu", "true"),
    *("--num_train_epochs", "1", "--per_device_train_batch_size", "16", "--save_strategy", "no"),
]

Teacher = Callable[[int], str]
Main = Callable[..., None]


def run(*arguments: str) -> str:
    """Run the script in a process of its own and give what it printed."""
    command = [sys.executable, str(EXAMPLES / "run_distill.py"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=600)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def files(texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Forty-eight pairs of sentences: do both think well, or both ill, of what they speak of?"""
    folder = tmp_path_factory.mktemp("pairs")
    seconds = texts.shuffle(seed=3)
    rows = Dataset.from_dict(
        {
            "text_a": texts["text"][:],
            "text_b": seconds["text"][:],
            "label": [int(one == other) for one, other in zip(texts["label"], seconds["label"], strict=True)],
        }
    ).shuffle(seed=1)
    paths = {"train": str(folder / "train.jsonl"), "validation": str(folder / "validation.jsonl")}
    rows.select(range(36)).to_json(paths["train"])
    rows.select(range(36, 48)).to_json(paths["validation"])
    return paths


@pytest.fixture(scope="module")
def flags(files: dict[str, str]) -> list[str]:
    columns = ["--text_column", "text_a", "--text_pair_column", "text_b"]
    return ["--train_file", files["train"], "--validation_file", files["validation"], *columns, *SMALL]


@pytest.fixture(scope="module")
def student_dir(flags: list[str], teacher_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    printed = run("--teacher", teacher_dir, *flags, "--label_order", "0", "1", "--output_dir", str(folder))
    assert printed.count("positive (") + printed.count("negative (") == 2
    return folder


def test_vectors_pipeline_and_report_say_the_same(student_dir: Path, files: dict[str, str]) -> None:
    """A siamese student would answer other things in a search over stored vectors than it was measured with."""
    rows = [json.loads(line) for line in Path(files["validation"]).read_text().splitlines()]
    firsts, seconds = ([row[column] for row in rows] for column in ("text_a", "text_b"))
    student = TextClassifier.from_pretrained(student_dir, device="cpu")
    assert student.model.config.is_pair
    labels, scores = student.classify_pairs(student.encode(firsts), student.encode(seconds))

    classify = pipeline("text-classification", model=str(student_dir), device="cpu")
    found = classify([{"text": one, "text_pair": other} for one, other in zip(firsts, seconds, strict=True)])
    assert [each["label"] for each in found] == [student.id2label[label] for label in labels]
    np.testing.assert_allclose([each["score"] for each in found], scores.max(axis=1), atol=1e-5)

    of_student = json.loads((student_dir / "report.json").read_text())["models"][1]
    assert of_student["metrics"]["accuracy"] == pytest.approx(
        np.mean([label == row["label"] for label, row in zip(labels, rows, strict=True)])
    )
    card = ModelCard((student_dir / "README.md").read_text())
    assert '"text_pair"' in card.text


def test_the_teacher_reads_both_sentences(student_dir: Path, teacher_dir: str, files: dict[str, str]) -> None:
    """The logits to learn would be those of the first sentence alone."""
    rows = [json.loads(line) for line in Path(files["validation"]).read_text().splitlines()]
    teacher = TextClassifier.from_pretrained(teacher_dir, device="cpu")
    columns = [[row[column] for row in rows] for column in ("text_a", "text_b")]
    expected = float((teacher.predict(*columns)[0] == [row["label"] for row in rows]).mean())
    report = json.loads((student_dir / "report.json").read_text())
    assert report["models"][0]["metrics"]["accuracy"] == pytest.approx(expected)
    assert np.abs(teacher.logits(*columns) - teacher.logits(columns[0])).max() > 0.01


# ---- ready settings ----


@pytest.fixture(scope="module")
def make_teacher(teacher_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """Save a teacher with so many outputs without names, as the public ones are."""

    def make(num_labels: int) -> str:
        folder = str(tmp_path_factory.mktemp("teacher"))
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = BertConfig(
            vocab_size=len(teacher_tokenizer), max_position_embeddings=64, num_labels=num_labels, **sizes
        )
        BertForSequenceClassification(config).save_pretrained(folder)
        teacher_tokenizer.save_pretrained(folder)
        return folder

    return make


GOLD = {  # what the labels of the local files look like, and how many outputs a teacher has
    "mnli": (["contradiction", "entailment", "neutral"], 3),
    "rte": (["entailment", "not_entailment"], 2),
    "stsb": ([0.0, 2.75, 5.0], 1),
}


METRICS = {
    "cola": {"matthews_correlation"},
    "mrpc": {"accuracy", "f1"},
    "qqp": {"accuracy", "f1"},
    "stsb": {"spearmanr", "pearsonr"},
}


@pytest.mark.parametrize(
    "config", [path for path in CONFIGS if not path.stem.startswith(("mkd", "grid"))], ids=lambda path: path.stem
)
def test_ready_settings_run_on_local_files(
    config: Path,
    texts: Dataset,
    make_teacher: Teacher,
    tmp_path: Path,
    examples_main: Main,
) -> None:
    """Settings that nobody tried would stop with an unknown flag, or want the Hub for files that are here."""
    labels, num_labels = GOLD.get(config.stem, ([0, 1], 2))
    is_pair = "text_pair_column" in config.read_text()
    rows = [
        {
            **({"text_a": text, "text_b": texts["text"][-row]} if is_pair else {"text": text}),
            "label": labels[row % len(labels)],
        }
        for row, text in enumerate(texts["text"])
    ]
    Dataset.from_list(rows).to_json(tmp_path / "train.jsonl")
    columns = ["--text_column", "text_a", "--text_pair_column", "text_b"] if is_pair else ["--text_column", "text"]
    examples_main(
        "run_distill",
        *(str(config), "--dataset_name", "", "--train_file", str(tmp_path / "train.jsonl")),
        *("--validation_file", str(tmp_path / "train.jsonl"), "--teacher", make_teacher(num_labels), *columns, *SMALL),
        *("--n_iter", "1", "--baseline", "false", "--output_dir", str(tmp_path / "out")),
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["models"][1]["metrics"]) == METRICS.get(config.stem, {"accuracy"})
    student = json.loads((tmp_path / "out" / "config.json").read_text())
    assert student["is_pair"] == is_pair
    assert student["problem_type"] == ("regression" if config.stem == "stsb" else "single_label_classification")
