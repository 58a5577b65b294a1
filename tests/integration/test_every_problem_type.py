"""Every problem type from files to predictions, as a user of the scripts has it: teacher, student, report, pipeline."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

from hf_bilstm_distill import TextClassifier

Main = Callable[..., None]
EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ["--use_cpu", "true", "--save_strategy", "no", "--per_device_train_batch_size", "16"]
STUDENT = [
    *("--lstm_hidden_size", "16", "--fc_size", "16", "--embedding_dim", "32", "--n_iter", "2"),
]
TOPICS = ["acting", "film", "songs", "story"]


@pytest.fixture(scope="module")
def files(texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same texts with what they speak of (none, one or two of the topics), and with how much they speak of."""
    folder = tmp_path_factory.mktemp("files")
    sentences = [f"{text} and {other}" for text, other in zip(texts["text"], texts["text"][1:], strict=False)]
    topics = [[topic for topic in reversed(TOPICS) if topic in text.split()] for text in sentences]
    amounts = [1.5 * len(row) for row in topics]
    paths = {
        "topics": folder / "topics.jsonl",
        "topics_csv": folder / "topics.csv",
        "vectors": folder / "vectors.parquet",
        "amounts": folder / "amounts.csv",
    }
    Dataset.from_dict({"text": sentences, "label": topics}).to_json(paths["topics"])
    in_json = [json.dumps(row) for row in topics]
    Dataset.from_dict({"text": sentences, "label": in_json}).to_csv(paths["topics_csv"])
    vectors = [[int(topic in row) for topic in TOPICS] for row in topics]
    Dataset.from_dict({"text": sentences, "label": vectors}).to_parquet(paths["vectors"])
    Dataset.from_dict({"text": sentences, "label": amounts}).to_csv(paths["amounts"])
    return paths


def report_of(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "report.json").read_text())["models"]


def texts_of(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def test_several_labels_a_text(files: dict[str, Path], teacher_dir: str, tmp_path: Path, examples_main: Main) -> None:
    """The likeliest label would be taken for the only one, in training, in the report or in `pipeline`."""
    examples_main(
        "finetune_teacher",
        *("--model", str(bare(teacher_dir, tmp_path)), "--train_file", str(files["topics"]), *SMALL),
        *("--num_train_epochs", "80", "--learning_rate", "3e-3", "--output_dir", str(tmp_path / "teacher")),
    )
    assert TextClassifier.from_pretrained(tmp_path / "teacher", device="cpu").id2label == dict(enumerate(TOPICS))
    examples_main(
        "run_distill",
        *("--teacher", str(tmp_path / "teacher"), "--train_file", str(files["topics"]), *SMALL, *STUDENT),
        *("--validation_file", str(files["topics_csv"]), "--num_train_epochs", "25", "--learning_rate", "1e-2"),
        *("--distillation_loss", "kl", "--temperature", "1", "--output_dir", str(tmp_path / "out")),
    )
    teacher, student = report_of(tmp_path / "out")
    assert teacher["metrics"]["f1"] > 0.8
    assert student["metrics"]["f1"] > 0.7
    assert student["agreement_with_teacher"] > 0.5

    loaded = TextClassifier.from_pretrained(tmp_path / "out", device="cpu")
    sentences = texts_of(files["topics"])
    labels, scores = loaded.predict(sentences)
    gold = np.array([[topic in text.split() for topic in TOPICS] for text in sentences])
    assert student["metrics"]["accuracy"] == pytest.approx((labels == gold).all(axis=1).mean())
    classify = pipeline("text-classification", model=str(tmp_path / "out"), device="cpu", top_k=None)
    by_name = [{each["label"]: each["score"] for each in row} for row in classify(sentences[:5])]
    np.testing.assert_allclose([[row[topic] for topic in TOPICS] for row in by_name], scores[:5], atol=1e-5)


def test_zeros_and_ones_stand_for_several_labels(
    files: dict[str, Path], teacher_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, examples_main: Main
) -> None:
    """Labels that are numbers already would be taken for names, or gold labels never enter the loss."""
    teacher = save_teacher(tmp_path / "teacher", teacher_tokenizer, 4, problem_type="multi_label_classification")
    examples_main(
        "run_distill",
        *("--teacher", teacher, "--train_file", str(files["vectors"]), "--validation_file", str(files["vectors"])),
        *(*SMALL, *STUDENT, "--labels", *TOPICS, "--label_order", "0", "1", "2", "3", "--alpha", "0.5"),
        *("--baseline", "true", "--num_train_epochs", "12", "--learning_rate", "1e-2"),
        *("--output_dir", str(tmp_path / "out")),
    )
    models = {model["name"]: model for model in report_of(tmp_path / "out")}
    assert models["baseline"]["metrics"]["f1"] > models["teacher"]["metrics"]["f1"]  # which was never trained
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(topic in card for topic in TOPICS)


def test_a_regression(files: dict[str, Path], teacher_dir: str, tmp_path: Path, examples_main: Main) -> None:
    """A score would be squeezed into a probability, or measured by how often it is equal to the last digit."""
    data = ["--train_file", str(files["amounts"]), "--validation_file", str(files["amounts"])]
    examples_main(
        "finetune_teacher",
        *("--model", str(bare(teacher_dir, tmp_path)), *data, *SMALL, "--problem_type", "regression"),
        *("--num_train_epochs", "60", "--learning_rate", "1e-3", "--output_dir", str(tmp_path / "teacher")),
    )
    examples_main(
        "run_distill",
        *("--teacher", str(tmp_path / "teacher"), *data, *SMALL, *STUDENT, "--num_train_epochs", "25"),
        *("--learning_rate", "1e-2", "--output_dir", str(tmp_path / "out")),
    )
    teacher, student = report_of(tmp_path / "out")
    assert set(student["metrics"]) == {"spearmanr", "pearsonr"}
    assert teacher["metrics"]["pearsonr"] > 0.5
    assert student["metrics"]["pearsonr"] > 0.5
    sentences = texts_of(files["topics"])
    scores = TextClassifier.from_pretrained(tmp_path / "out", device="cpu").predict(sentences)[1][:, 0]
    assert scores.max() > 1.1  # no probability
    classify = pipeline("text-classification", model=str(tmp_path / "out"), device="cpu")
    np.testing.assert_allclose([each["score"] for each in classify(sentences)], scores, atol=1e-4)


@pytest.mark.parametrize("num_labels", [77, 150])
def test_many_labels(
    num_labels: int, teacher_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, examples_main: Main
) -> None:
    """A table or a card that was written for two labels would break, or stop at labels that a file lacks."""
    teacher = save_teacher(tmp_path / "teacher", teacher_tokenizer, num_labels)
    words = ["film", "story", "cast", "songs", "acting", "jokes"]
    rows = [
        {"text": f"{words[row % 6]} {words[row // 6 % 6]} {words[row // 36]}", "label": f"LABEL_{row}"}
        for row in range(num_labels)
    ]
    Dataset.from_list(rows).to_json(tmp_path / "train.jsonl")
    Dataset.from_list(rows[5:25]).to_json(tmp_path / "dev.jsonl")
    examples_main(
        "run_distill",
        *("--teacher", teacher, "--train_file", str(tmp_path / "train.jsonl")),
        *("--validation_file", str(tmp_path / "dev.jsonl"), *SMALL, *STUDENT, "--num_train_epochs", "1"),
        *("--output_dir", str(tmp_path / "out")),
    )
    student = TextClassifier.from_pretrained(tmp_path / "out", device="cpu")
    assert set(student.id2label.values()) == {f"LABEL_{number}" for number in range(num_labels)}
    assert f"LABEL_{num_labels - 1}" in (tmp_path / "out" / "README.md").read_text()


WRONG = {
    "lists-for-one-label": ("topics", ["--problem_type", "single_label_classification"], "labels are lists"),
    "one-output-for-lists": ("topics", ["--problem_type", "regression"], "needs one output"),
    "fractions": ("amounts", ["--problem_type", "multi_label_classification"], "which suit"),
    "no-such-type": ("amounts", ["--problem_type", "ranking"], "ranking"),
    "number-of-labels": ("vectors", ["--problem_type", "multi_label_classification"], "but there are 2 labels"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_contradicts_is_named(
    case: str,
    files: dict[str, Path],
    teacher_dir: str,
    tmp_path: Path,
    examples_main: Main,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Training would start on labels that mean something else, or end in a traceback after an hour."""
    file, flags, expected = WRONG[case]
    data = ["--train_file", str(files[file]), "--validation_file", str(files[file])]
    with pytest.raises(SystemExit) as stop:
        examples_main("run_distill", "--teacher", teacher_dir, *data, *flags, "--output_dir", str(tmp_path))
    assert expected in f"{stop.value.code} {capsys.readouterr().err}"


def bare(teacher_dir: str, tmp_path: Path) -> Path:
    """Save the encoder of a teacher without its head, with its tokenizer."""
    teacher = TextClassifier.from_pretrained(teacher_dir, device="cpu")
    teacher.model.base_model.save_pretrained(tmp_path / "encoder")
    teacher.tokenizer.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def save_teacher(folder: Path, tokenizer: PreTrainedTokenizerFast, num_labels: int, **settings: Any) -> str:
    """Save a teacher with random weights."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64, num_labels=num_labels, **sizes, **settings
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
