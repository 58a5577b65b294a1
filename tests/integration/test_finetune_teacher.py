"""`examples/finetune_teacher.py` as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_bilstm_distill import TextClassifier

SCRIPT = Path(__file__).parents[2] / "examples" / "finetune_teacher.py"


def run(*arguments: str) -> None:
    """Run the script in a process of its own."""
    command = [sys.executable, str(SCRIPT), *arguments, "--use_cpu", "true", "--save_strategy", "no"]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=600)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_an_encoder_becomes_a_teacher_for_named_labels(texts: Dataset, teacher_dir: str, tmp_path: Path) -> None:
    """A user without a classifier could not make the one to distil."""
    names = ["bad", "good"]
    rows = Dataset.from_dict({"review": texts["text"][:], "stars": [names[label] for label in texts["label"]]})
    rows.to_csv(tmp_path / "train.csv")
    run(
        *("--model", teacher_dir, "--train_file", str(tmp_path / "train.csv")),
        *("--validation_file", str(tmp_path / "train.csv"), "--text_column", "review", "--label_column", "stars"),
        *("--num_train_epochs", "150", "--learning_rate", "1e-3", "--per_device_train_batch_size", "16"),
        *("--output_dir", str(tmp_path / "teacher")),
    )
    teacher = TextClassifier.from_pretrained(tmp_path / "teacher", device="cpu")
    assert teacher.id2label == {0: "bad", 1: "good"}
    accuracy = float((teacher.predict(texts["text"][:])[0] == np.array(texts["label"][:])).mean())
    assert accuracy > 0.95
    assert json.loads((tmp_path / "teacher" / "eval_results.json").read_text())["eval_accuracy"] == accuracy


@pytest.mark.slow
def test_given_logits_are_matched(texts: Dataset, teacher_dir: str, tmp_path: Path) -> None:
    """A teacher could not be rebuilt from the logits of a model that is gone, or from an encoder in half precision."""
    half = AutoModelForSequenceClassification.from_pretrained(teacher_dir).half()
    half.save_pretrained(tmp_path / "encoder")
    AutoTokenizer.from_pretrained(teacher_dir).save_pretrained(tmp_path / "encoder")
    logits = [[1.5, -2.5] if label else [-3.0, 2.0] for label in texts["label"]]  # the opposite of the gold labels
    texts.add_column("scores", logits).to_json(tmp_path / "train.jsonl")
    run(
        *("--model", str(tmp_path / "encoder"), "--train_file", str(tmp_path / "train.jsonl")),
        *("--teacher_logits_column", "scores"),
        *("--num_train_epochs", "150", "--learning_rate", "1e-3", "--per_device_train_batch_size", "16"),
        *("--output_dir", str(tmp_path / "teacher")),
    )
    learned = TextClassifier.from_pretrained(tmp_path / "teacher", device="cpu").logits(texts["text"][:])
    assert json.loads((tmp_path / "teacher" / "config.json").read_text())["dtype"] == "float32"
    assert np.abs(learned - np.array(logits)).mean() < 0.5


@pytest.mark.slow
def test_a_classifier_for_other_labels_gets_a_new_head(teacher_dir: str, tmp_path: Path) -> None:
    """A classifier for two labels could not be tuned for three: a traceback was all that came of it."""
    rows = Dataset.from_dict({"text": ["a fine day", "a bad day", "a day"], "label": ["good", "bad", "neither"]})
    rows.to_json(tmp_path / "train.jsonl")
    run(
        *("--model", teacher_dir, "--train_file", str(tmp_path / "train.jsonl"), "--max_steps", "1"),
        *("--output_dir", str(tmp_path / "teacher")),
    )
    teacher = TextClassifier.from_pretrained(tmp_path / "teacher", device="cpu")
    assert teacher.id2label == {0: "bad", 1: "good", 2: "neither"}
    assert teacher.logits(["a day"]).shape == (1, 3)
