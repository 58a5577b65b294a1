"""`hf-bilstm-distill` as a user of a shell has it: files and pipes in, files and lines out, errors in one line."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, load_dataset
from transformers import pipeline

import hf_bilstm_distill_cli
from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    TextClassifier,
    __version__,
    export_onnx,
    label_with_teacher,
    train_word_tokenizer,
)
from hf_bilstm_distill.commands.gold_labels import settle_gold_labels
from hf_bilstm_distill.commands.shared_arguments import LabelArguments

Command = Callable[..., str]
COMMAND = [sys.executable, "-c", "import hf_bilstm_distill_cli; hf_bilstm_distill_cli.main()"]
LINES = ["a warm and funny film", "", "the acting is wooden", "weak jokes , great cast"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, and give what it printed; `stdin` is what comes through the pipe."""

    def run(*arguments: str, stdin: Path | None = None) -> str:
        monkeypatch.setattr(sys, "argv", ["hf-bilstm-distill", *arguments])
        if stdin is None:
            hf_bilstm_distill_cli.main()
        else:
            with stdin.open("rb") as stream:
                monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
                hf_bilstm_distill_cli.main()
        return capsys.readouterr().out

    return run


def save_student(texts: Dataset, folder: Path, *, is_pair: bool = False) -> str:
    torch.manual_seed(0)
    tokenizer = train_word_tokenizer(texts["text"])
    config = BiLSTMConfig(
        vocab_size=len(tokenizer),
        embedding_dim=8,
        lstm_hidden_size=6,
        fc_size=6,
        pad_token_id=tokenizer.pad_token_id,
        is_pair=is_pair,
        initializer_range=1.0,  # so that its scores differ clearly from text to text
        id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
    )
    BiLSTMForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def student_dir(texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_student(texts, tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def pair_student_dir(texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_student(texts, tmp_path_factory.mktemp("pair_student"), is_pair=True)


@pytest.fixture(scope="module")
def exported_dir(student_dir: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    student = TextClassifier.from_pretrained(student_dir, device="cpu")
    folder = tmp_path_factory.mktemp("exported") / "student"
    export_onnx(student.model, student.tokenizer, folder)
    return str(folder)


@pytest.fixture(scope="module")
def reviews(texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table with columns of its own names, and labels by name."""
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    names = ["negative", "positive"]
    Dataset.from_dict(
        {
            "id": [f"r{row}" for row in range(len(texts))],
            "review": texts["text"][:],
            "stars": [names[label] for label in texts["label"]],
        }
    ).to_csv(path)
    return str(path)


COLUMNS = ["--text_column", "review", "--label_column", "stars"]


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def answers(printed: str) -> list[Any]:
    return [json.loads(line) for line in printed.splitlines()]


# ---- which commands there are ----


def test_help_is_there_at_once() -> None:
    """A user would wait for PyTorch to read seven lines; or not find a command."""
    code = """
import sys, hf_bilstm_distill_cli
sys.argv = ["hf-bilstm-distill", "--help"]
try:
    hf_bilstm_distill_cli.main()
finally:
    assert not {"torch", "transformers", "numpy"} & sys.modules.keys()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    lines = [line.split() for line in result.stdout.splitlines()]
    names = ["demo", "distill", "mkd", "label", "augment", "report", "export", "predict"]
    described = [words[0] for words in lines if words and words[0] in names and len(words) > 3]
    assert described == names


def test_the_version_is_told(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug report without the version."""
    with pytest.raises(SystemExit) as stop:
        command("--version")
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("name", hf_bilstm_distill_cli.COMMANDS)
def test_every_command_describes_its_arguments(name: str, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that exists in the list alone, or whose arguments one must guess."""
    with pytest.raises(SystemExit) as stop:
        command(name, "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: hf-bilstm-distill {name} ")
    assert ("--help_all" in text) == (name in ("demo", "distill", "mkd"))


BAD_INPUT = {
    "unknown-command": (["distil"], "invalid choice: 'distil'"),
    "nothing-to-predict-with": (["predict"], "required: MODEL"),
    "unknown-model": (["predict", "nowhere"], "Cannot load a classifier from 'nowhere'"),
    "missing-file": (["predict", "{exported}", "nowhere.txt"], "There is no file nowhere.txt"),
    "no-labels-wanted": (["predict", "{exported}", "--top_k", "0"], "--top_k: must be a number from 1 on"),
    "pairs-for-single": (["predict", "{exported}", "{pairs}", "--pairs"], "This student reads single texts"),
    "no-pairs-for-a-pair-student": (["predict", "{pair_student}", "{reviews}"], "has 0 tabs in line 1"),
    "no-teacher": (["label", "--file", "{reviews}", "--output_file", "out.jsonl", *COLUMNS], "give --teacher"),
    "other-ending": (["augment", "--file", "{reviews}", "--output_file", "out.csv"], "must end in one of"),
    "other-column": (["augment", "--file", "{reviews}", "--output_file", "out.jsonl"], "no column 'text'"),
    "model-without-name": (["report", "--file", "{reviews}", "--models", "{student}"], "--models takes name=MODEL"),
    "name-twice": (["report", "--file", "{reviews}", "--models", "a=x", "a=y"], "each name once"),
    "other-labels": (
        ["report", "--file", "{reviews}", "--models", "a={student}", *COLUMNS, "--labels", "sad", "happy"],
        "cannot be matched by name to ['sad', 'happy']",
    ),
    "no-student": (["export", "--student", "{teacher}", "--output_dir", "out"], "got a BertForSequenceClassification"),
    "no-output": (["export", "--student", "{student}"], "required: --output_dir"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gets_one_clear_line(
    case: str,
    command: Command,
    student_dir: str,
    pair_student_dir: str,
    exported_dir: str,
    teacher_dir: str,
    reviews: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A user would get a traceback, or a file that should not be there."""
    places = {
        "student": student_dir,
        "pair_student": pair_student_dir,
        "exported": exported_dir,
        "teacher": teacher_dir,
        "reviews": reviews,
        "pairs": str(write(tmp_path / "pairs.tsv", "a film\tthe film")),
    }
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    arguments, expected = BAD_INPUT[case]
    with pytest.raises(SystemExit) as stop:
        command(*(each.format(**places) for each in arguments))
    assert stop.value.code not in (0, None)
    told = stop.value.code if isinstance(stop.value.code, str) else capsys.readouterr().err
    (line,) = told.splitlines()
    assert line.startswith("hf-bilstm-distill")
    assert expected in line
    assert list((tmp_path / "here").iterdir()) == []


# ---- predict ----


@pytest.mark.parametrize("of_pipe", [False, True], ids=["file", "pipe"])
def test_predictions_are_those_of_the_pipeline(
    of_pipe: bool, command: Command, student_dir: str, tmp_path: Path
) -> None:
    """Answers in another order than the lines, or one fewer where a line is empty."""
    content = "\ufeff" + "\r\n".join(LINES)  # as Windows writes it, without an end of the last line
    file = tmp_path / "texts.txt"
    file.write_text(content, encoding="utf-8", newline="")
    printed = command("predict", student_dir, stdin=file) if of_pipe else command("predict", student_dir, str(file))
    expected = pipeline("text-classification", model=student_dir, device="cpu")(LINES)
    assert [each["label"] for each in answers(printed)] == [each["label"] for each in expected]
    scores = [each["score"] for each in answers(printed)]
    np.testing.assert_allclose(scores, [each["score"] for each in expected], atol=1e-5)


def test_an_exported_student_predicts_the_same(
    command: Command, student_dir: str, exported_dir: str, tmp_path: Path
) -> None:
    """Other answers from the folder on the server than from the student that was measured."""
    file = str(write(tmp_path / "texts.txt", *LINES))
    one = answers(command("predict", student_dir, file, "--top_k", "2"))
    other = answers(command("predict", exported_dir, file, "--top_k", "2", "--lines_at_once", "3"))
    assert [[each["label"] for each in row] for row in one] == [[each["label"] for each in row] for row in other]
    scores = [[[each["score"] for each in row] for row in rows] for rows in (one, other)]
    np.testing.assert_allclose(*scores, atol=1e-4)
    assert np.sum(scores[0], axis=1) == pytest.approx(np.ones(len(LINES)))


def test_any_classifier_predicts(command: Command, trained_teacher_dir: str, tmp_path: Path) -> None:
    """A teacher that a user cannot ask the same questions."""
    file = str(write(tmp_path / "texts.txt", "i hated the silly story", "i loved the gentle story"))
    assert [each["label"] for each in answers(command("predict", trained_teacher_dir, file))] == [
        "negative",
        "positive",
    ]


def test_pairs_are_lines_with_a_tab(command: Command, pair_student_dir: str, tmp_path: Path) -> None:
    """A second text that is read as a part of the first."""
    pairs = [("", ""), ("a warm film", "the acting is wooden"), ("the acting is wooden", "a warm film")]
    file = tmp_path / "pairs.txt"  # as Windows writes it; the first line is empty
    file.write_text(
        "\ufeff\r\n" + "".join("\t".join(pair) + "\r\n" for pair in pairs[1:]), encoding="utf-8", newline=""
    )
    student = TextClassifier.from_pretrained(pair_student_dir, device="cpu")
    labels, scores = student.predict(*(list(column) for column in zip(*pairs, strict=True)))
    printed = answers(command("predict", pair_student_dir, str(file)))
    assert [each["label"] for each in printed] == [student.id2label[label] for label in labels]
    np.testing.assert_allclose([each["score"] for each in printed], scores.max(axis=1), atol=1e-5)


def test_a_file_in_another_encoding_is_named_with_its_line(command: Command, exported_dir: str, tmp_path: Path) -> None:
    """A traceback of the decoder, or texts full of question marks."""
    (tmp_path / "latin1.txt").write_bytes("plain\ncafé\n".encode("latin-1"))
    with pytest.raises(SystemExit, match=r"latin1\.txt is not UTF-8 in line 2 \(byte 0xe9\).*iconv"):
        command("predict", exported_dir, str(tmp_path / "latin1.txt"))


def test_a_pipe_is_answered_at_once_and_may_be_closed(exported_dir: str) -> None:
    """`tail -f log | ... predict | head` would wait for ever, or end with a traceback."""
    arguments = ["predict", exported_dir, "--lines_at_once", "1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, *arguments], **pipes, text=True) as process:
        for _ in range(2):
            process.stdin.write("a warm film\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["label"] in ("negative", "positive")
        process.stdout.close()
        process.stdin.write("a warm film\n" * 50)
        process.stdin.close()
        assert process.wait(timeout=300) == 0
        assert process.stderr.read() == ""


# ---- files in, files out ----


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_label_adds_the_logits_to_the_rows_as_they_are(
    ending: str, command: Command, trained_teacher_dir: str, reviews: str, texts: Dataset, tmp_path: Path
) -> None:
    """Logits beside other texts, or rows that lost what else the user knows of them."""
    output = str(tmp_path / f"labelled{ending}")
    cache = ["--label_cache", str(tmp_path / "cache")]
    command("label", "--file", reviews, "--teacher", trained_teacher_dir, "--output_file", output, *COLUMNS, *cache)
    rows = load_dataset("parquet" if ending == ".parquet" else "json", data_files=output)["train"]
    assert rows["id"] == [f"r{row}" for row in range(len(texts))]
    assert set(rows["stars"]) == {"negative", "positive"}
    expected = TextClassifier.from_pretrained(trained_teacher_dir, device="cpu").logits(texts["text"][:])
    np.testing.assert_allclose(rows["teacher_logits"], expected, atol=1e-4)
    assert list((tmp_path / "cache").rglob("*.npy"))


def test_augment_adds_copies_without_gold_labels(
    command: Command, reviews: str, texts: Dataset, tmp_path: Path
) -> None:
    """Copies that pass for gold, or that lost the row that they are of."""
    output = tmp_path / "augmented.jsonl"
    command(
        "augment", "--file", reviews, "--output_file", str(output), *COLUMNS, "--n_iter", "2", "--n_recombined", "0"
    )
    rows = answers(output.read_text(encoding="utf-8"))
    originals = [row for row in rows if not row["augmented"]]
    copies = [row for row in rows if row["augmented"]]
    assert [row["review"] for row in originals] == texts["text"][:]
    assert {row["stars"] for row in originals} == {"negative", "positive"}
    assert len(texts) < len(copies) <= 2 * len(texts)
    assert {row["stars"] for row in copies} == {None}
    assert {row["id"] for row in copies} <= {row["id"] for row in originals}
    assert "[MASK]" in " ".join(row["review"] for row in copies)


def test_augment_recombines_phrases_where_wanted(command: Command, reviews: str, tmp_path: Path) -> None:
    """Copies with phrases of other texts that come unasked, or not at all."""
    made = {}
    for number in ("0", "4"):
        output = tmp_path / f"{number}.jsonl"
        flags = ["--n_iter", "1", "--p_mask", "0", "--p_pos", "0", "--p_ngram", "0", "--n_recombined", number]
        command("augment", "--file", reviews, "--output_file", str(output), *COLUMNS, *flags)
        made[number] = answers(output.read_text(encoding="utf-8"))
    assert not any(row["augmented"] for row in made["0"])
    copies = [row for row in made["4"] if row["augmented"]]
    assert copies
    words = {word for row in made["0"] for word in row["review"].split()}
    assert {word for row in copies for word in row["review"].split()} <= words
    assert {row["stars"] for row in copies} == {None}


def test_augment_takes_words_from_the_neighbourhood_of_a_teacher(
    command: Command, trained_teacher_dir: str, reviews: str, texts: Dataset, tmp_path: Path
) -> None:
    """A teacher that is given, and not asked for the words that the texts lack."""
    output = tmp_path / "more.jsonl"
    flags = ["--n_iter", "0", "--n_recombined", "20", "--p_neighbor", "0.5", "--teacher", trained_teacher_dir]
    command("augment", "--file", reviews, "--output_file", str(output), *COLUMNS, *flags)
    known = {word for text in texts["text"] for word in text.split()}
    assert {word for row in answers(output.read_text(encoding="utf-8")) for word in row["review"].split()} - known


def test_pieces_fit_together(
    command: Command, trained_teacher_dir: str, reviews: str, texts: Dataset, tmp_path: Path
) -> None:
    """What one command writes could not be read by the next one."""
    files = {name: str(tmp_path / name) for name in ("more.parquet", "labelled.jsonl", "student", "onnx", "report")}
    command("augment", "--file", reviews, "--output_file", files["more.parquet"], *COLUMNS, "--n_iter", "1")
    label = ["label", "--file", files["more.parquet"], "--output_file", files["labelled.jsonl"]]
    command(*label, "--teacher", trained_teacher_dir, *COLUMNS)
    command(
        *("distill", "--train_file", files["labelled.jsonl"], "--validation_file", reviews, *COLUMNS),
        *("--teacher_logits_column", "teacher_logits", "--n_iter", "0", "--num_train_epochs", "40"),
        *("--learning_rate", "1e-2", "--per_device_train_batch_size", "16", "--use_cpu", "true"),
        *("--lstm_hidden_size", "16", "--fc_size", "16", "--embedding_dim", "32"),
        *("--save_strategy", "no", "--output_dir", files["student"]),
    )
    export = ["export", "--student", files["student"], "--output_dir", files["onnx"], "--eval_file", reviews]
    exported = json.loads(command(*export, *COLUMNS))
    assert exported["int8"]["accuracy"] > 0.9

    models = [f"teacher={trained_teacher_dir}", f"student={files['student']}", f"int8={files['onnx']}"]
    # The labels in another order than the models have them.
    order = ["--labels", "positive", "negative"]
    printed = command(
        "report", "--file", reviews, "--models", *models, "--output_dir", files["report"], *COLUMNS, *order
    )
    assert all(name in printed for name in ("teacher", "student", "int8"))
    assert {path.name for path in Path(files["report"]).iterdir()} >= {"report.json", "report.md", "report.html"}
    measured = {each["name"]: each for each in json.loads(Path(files["report"], "report.json").read_text())["models"]}
    gold = np.array(texts["label"][:])
    student = TextClassifier.from_pretrained(files["student"], device="cpu")
    predicted = [student.id2label[label] == "positive" for label in student.predict(texts["text"][:])[0]]
    assert measured["student"]["metrics"]["accuracy"] == pytest.approx((np.array(predicted) == gold).mean())
    assert measured["teacher"]["metrics"]["accuracy"] == 1
    assert measured["int8"]["metrics"]["accuracy"] == pytest.approx(exported["int8"]["accuracy"])
    assert measured["int8"]["size_mb"] == pytest.approx(exported["bytes"] / 1e6)


def test_models_with_other_label_names_are_measured_in_the_order_that_is_said(
    command: Command, trained_teacher_dir: str, texts: Dataset, tmp_path: Path
) -> None:
    """A model from the Hub with the labels LABEL_0 and LABEL_1 could not be compared, or with exchanged labels."""
    names = ["fresh", "rotten"]  # the opposite of the teacher's order
    rows = {"text": texts["text"][:], "label": [names[1 - label] for label in texts["label"]]}
    Dataset.from_dict(rows).to_json(tmp_path / "texts.jsonl")
    arguments = ["report", "--file", str(tmp_path / "texts.jsonl"), "--models", f"teacher={trained_teacher_dir}"]
    command(*arguments, "--label_order", "1", "0", "--output_dir", str(tmp_path / "report"))
    (teacher,) = json.loads((tmp_path / "report" / "report.json").read_text())["models"]
    assert teacher["metrics"]["accuracy"] == 1


def test_the_demo_without_scikit_learn_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, texts: Dataset) -> None:
    """A report that lacks a row without a word."""
    from hf_bilstm_distill.commands import distill

    told: list[str] = []
    monkeypatch.setattr(distill, "find_spec", lambda name: None)
    monkeypatch.setattr(distill.logger, "warning", told.append)
    assert distill.tfidf_baseline(texts, 2) == {}
    assert 'pip install "hf-bilstm-distill[report]"' in told[0]


def test_what_a_label_without_a_name_stands_for_is_told(
    texts: Dataset, trained_teacher_dir: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Numbers taken for names in silence; or names that were matched, and a log that says they were numbers."""
    teacher = TextClassifier.from_pretrained(trained_teacher_dir)
    named = texts.map(lambda row: {"label": ["negative", "positive"][row["label"]]}, new_fingerprint="named")
    for rows, is_told in ((texts, True), (named, False)):
        caplog.clear()
        with caplog.at_level("INFO"):
            rows, matched, _, _ = settle_gold_labels(LabelArguments(), DatasetDict(train=rows), teacher)
            label_with_teacher(rows["train"], matched)
        assert ("0 is taken for 'negative'" in caplog.text) is is_told
