"""An exported student that answers otherwise than `pipeline` does, mixes up texts, or fails without a word of help."""

import itertools
import json
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import Pipeline, PreTrainedTokenizerFast, pipeline

from hf_bilstm_distill import predictor
from hf_bilstm_distill.export import export_onnx
from hf_bilstm_distill.predictor import OnnxTextClassifier
from hf_bilstm_distill.students import BiLSTMConfig, BiLSTMForSequenceClassification
from hf_bilstm_distill.tokenization import train_word_tokenizer

LABELS = {0: "bad", 1: "fair", 2: "good"}
FIRST, SECOND = "a warm and funny film", "the acting is wooden"


@pytest.fixture(scope="module")
def tokenizer(texts: Dataset) -> PreTrainedTokenizerFast:
    return train_word_tokenizer(texts["text"])


def student_with(tokenizer: PreTrainedTokenizerFast, **settings: Any) -> BiLSTMForSequenceClassification:
    sizes = {"vocab_size": len(tokenizer), "embedding_dim": 6, "lstm_hidden_size": 5, "fc_size": 7}
    if "num_labels" not in settings:
        settings |= {"id2label": LABELS, "label2id": {name: number for number, name in LABELS.items()}}
    student = BiLSTMForSequenceClassification(BiLSTMConfig(**{**sizes, **settings})).eval()
    generator = torch.Generator().manual_seed(3)
    for values in student.state_dict().values():
        values.normal_(0, 0.8, generator=generator)
    return student


@pytest.fixture(scope="module")
def student(tokenizer: PreTrainedTokenizerFast) -> BiLSTMForSequenceClassification:
    return student_with(tokenizer)


@pytest.fixture(scope="module")
def folder(
    student: BiLSTMForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("export") / "student"
    export_onnx(student, tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def classifier(folder: Path) -> OnnxTextClassifier:
    return OnnxTextClassifier.from_pretrained(folder, num_threads=2)


Both = tuple[OnnxTextClassifier, Pipeline]


@pytest.fixture(scope="module")
def make_both(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Both]:
    def make(**settings: Any) -> Both:
        student = student_with(tokenizer, **settings)
        folder = tmp_path_factory.mktemp("export") / "student"
        export_onnx(student, tokenizer, folder)
        return OnnxTextClassifier.from_pretrained(folder), pipeline(
            "text-classification", model=student, tokenizer=tokenizer, device="cpu"
        )

    return make


@pytest.fixture(scope="module")
def pair_classifier(make_both: Callable[..., Both]) -> OnnxTextClassifier:
    return make_both(is_pair=True)[0]


def assert_same(given: Any, expected: Any) -> None:
    """The same nesting and labels, and scores that are equal but for rounding."""
    assert type(given) is type(expected)
    if isinstance(expected, dict):
        assert given.keys() == expected.keys() == {"label", "score"}
        assert given["label"] == expected["label"]
        assert given["score"] == pytest.approx(expected["score"], abs=1e-5)
    else:
        assert len(given) == len(expected)
        for one, other in zip(given, expected, strict=True):
            assert_same(one, other)


# ---------------------------------------------------------------------------------------------- as the pipeline answers
@pytest.mark.parametrize("options", [{}, {"top_k": None}, {"top_k": 2}], ids=["best", "all", "two"])
@pytest.mark.parametrize("inputs", [FIRST, [FIRST], [FIRST, "", SECOND], {"text": FIRST}], ids=repr)
def test_texts_get_what_the_pipeline_gives(
    make_both: Callable[..., Both], inputs: Any, options: dict[str, Any]
) -> None:
    """A program that changes from `pipeline` to the exported student and breaks, or gets other answers."""
    exported, original = make_both()
    assert_same(exported(inputs, **options), original(inputs, **options))


@pytest.mark.parametrize("options", [{}, {"top_k": None}], ids=["best", "all"])
def test_pairs_get_what_the_pipeline_gives(make_both: Callable[..., Both], options: dict[str, Any]) -> None:
    """A pair whose sentences are read as one, or in the wrong order."""
    exported, original = make_both(is_pair=True)
    pair, swapped = {"text": FIRST, "text_pair": SECOND}, {"text": SECOND, "text_pair": FIRST}
    assert_same(exported(pair, **options), original(pair, **options))
    expected = original([pair, swapped, {"text": FIRST, "text_pair": ""}], **options)
    assert_same(exported([pair, (SECOND, FIRST), [FIRST, ""]], **options), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"problem_type": "single_label_classification"},
        {"problem_type": "multi_label_classification"},
        {"problem_type": "regression"},
        {"num_labels": 1},
        {"num_labels": 1, "problem_type": "regression"},
        {"multichannel": True},
        {"multichannel": True, "is_pair": True},
        {"pooling": "max", "is_pair": True},
    ],
    ids=str,
)
def test_scores_follow_the_problem_type(make_both: Callable[..., Both], settings: dict[str, Any]) -> None:
    """Probabilities where `pipeline` gives a number, or ones that do not sum up as its own do."""
    exported, original = make_both(**settings)
    inputs = [{"text": FIRST, "text_pair": SECOND}] if settings.get("is_pair") else [FIRST, SECOND]
    assert_same(exported(inputs, top_k=None), original(inputs, top_k=None))


def test_extreme_logits_have_scores(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """Warnings of an overflow, or NaN, where a student is very sure."""
    student = student_with(tokenizer, problem_type="multi_label_classification")
    student.classifier.weight.data.zero_()
    student.classifier.bias.data = torch.tensor([-500.0, 0.0, 500.0])
    export_onnx(student, tokenizer, tmp_path / "student")
    scores = OnnxTextClassifier.from_pretrained(tmp_path / "student").predict(FIRST, top_k=None)
    assert {row["label"]: row["score"] for row in scores} == {"bad": 0.0, "fair": 0.5, "good": 1.0}


# ----------------------------------------------------------------------------------------------------------- many texts
@pytest.mark.parametrize("num_threads", [1, 3])
def test_many_texts_keep_their_order(
    student: BiLSTMForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    texts: Dataset,
    num_threads: int,
) -> None:
    """The answer for another text, after sorting, threads or the end of a part."""
    some = [*texts["text"], "", "film"]
    with torch.no_grad():
        alone = [student(**tokenizer(text, return_tensors="pt")).logits[0] for text in some if text]
    alone.insert(-1, student(torch.tensor([[tokenizer.pad_token_id]])).logits[0].detach())
    many = list(itertools.islice(itertools.cycle(some), 9001))
    logits = OnnxTextClassifier.from_pretrained(folder, num_threads=num_threads).logits(text for text in many)
    expected = np.resize(torch.stack(alone).numpy(), (9001, 3))
    np.testing.assert_allclose(logits, expected, atol=1e-5, rtol=0)


def test_lists_and_generators_are_the_same(classifier: OnnxTextClassifier, texts: Dataset) -> None:
    """A generator of which texts are lost."""
    listed = classifier.predict(texts["text"][:])
    assert len(listed) == len(texts)
    assert classifier.predict(text for text in texts["text"]) == listed
    assert list(classifier.stream(texts["text"])) == listed


def test_streams_give_results_early(classifier: OnnxTextClassifier) -> None:
    """A memory that fills with texts that nobody asked for yet."""
    numbers = iter(range(50_000))
    results = classifier.stream((f"film {number}" for number in numbers), top_k=None)
    assert [len(next(results)) for _ in range(3)] == [3, 3, 3]
    assert next(numbers) < 10_000
    results.close()


def test_nothing_gives_nothing(classifier: OnnxTextClassifier) -> None:
    """A service that fails on an empty request."""
    assert classifier.predict([]) == []
    assert classifier.logits([]).shape == (0, 3)


def test_threads_share_a_classifier(classifier: OnnxTextClassifier, texts: Dataset) -> None:
    """A server whose requests get each other's answers."""
    expected = [classifier.predict(text, top_k=None) for text in texts["text"]]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            given = list(pool.map(lambda text: classifier.predict(text, top_k=None), texts["text"]))
            assert_same(given, expected)


def test_long_texts_are_cut(
    student: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A text longer than the model's limit that is read whole, or from its end."""
    export_onnx(student, tokenizer, tmp_path / "student", max_length=3)
    exported = OnnxTextClassifier.from_pretrained(tmp_path / "student")
    whole = exported.predict("a warm and", top_k=None)
    assert_same(exported.predict("a warm and funny film", top_k=None), whole)
    assert_same(exported.predict(["a warm and funny film"], top_k=None)[0], whole)


def test_long_work_shows_its_progress(
    classifier: OnnxTextClassifier, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Minutes without a sign of life, or a bar for every request."""
    monkeypatch.setattr(predictor, "_SECONDS_BEFORE_PROGRESS", 0)
    classifier.predict(["film"] * 100)
    assert capsys.readouterr().err == ""
    classifier.predict(["film"] * 5000)
    assert "5000/5000" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ([(FIRST, SECOND)], ValueError, r"single texts.*got \('a warm"),
        ({"text": FIRST, "text_pair": SECOND}, ValueError, "single texts"),
        ([{"label": 1}], ValueError, "got {'label': 1}"),
        ([FIRST, None], TypeError, "Expected text, got None"),
        ([FIRST, float("nan")], TypeError, "Expected text, got nan"),
        ([b"film"], TypeError, "Expected text, got b'film'"),
    ],
    ids=str,
)
def test_texts_that_are_none_stop(
    classifier: OnnxTextClassifier, inputs: Any, error: type[Exception], message: str
) -> None:
    """A label for something that is no text."""
    with pytest.raises(error, match=message):
        classifier.predict(inputs)


@pytest.mark.parametrize("inputs", [FIRST, [FIRST, SECOND], (FIRST, SECOND), {"text": FIRST}], ids=repr)
def test_students_of_pairs_ask_for_pairs(pair_classifier: OnnxTextClassifier, inputs: Any) -> None:
    """Two texts, or one, that are taken for a pair."""
    with pytest.raises(ValueError, match=r"reads pairs, \[\(first, second\), \.\.\.\], got"):
        pair_classifier.predict(inputs)


def test_single_inputs_are_not_streams(classifier: OnnxTextClassifier) -> None:
    """A text of which every letter gets a label."""
    with pytest.raises(TypeError, match="Put it into a list"):
        classifier.logits("film")
    with pytest.raises(TypeError, match="Put it into a list"):
        next(classifier.stream("film"))


def test_counts_must_be_positive(classifier: OnnxTextClassifier, folder: Path) -> None:
    """No labels, or a crash of the thread pool."""
    for inputs in (FIRST, [FIRST]):
        with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
            classifier.predict(inputs, top_k=0)
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        OnnxTextClassifier.from_pretrained(folder, num_threads=0)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_missing_files_are_named(folder: Path, tmp_path: Path, name: str) -> None:
    """A download that stopped half-way, and an error from the depth of a library."""
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {name}"):
        OnnxTextClassifier.from_pretrained(tmp_path / "copy")


@pytest.mark.parametrize("version", [None, 2])
def test_other_formats_stop(folder: Path, tmp_path: Path, version: int | None) -> None:
    """A folder of another program, or of a later version, that is read as if it were ours."""
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "config.json").write_text(json.dumps({"export_format": version} if version else {}))
    with pytest.raises(ValueError, match=f"export_format is {version}"):
        OnnxTextClassifier.from_pretrained(tmp_path / "copy")


@pytest.mark.parametrize("name", ["nobody/nothing", "no/such/folder/anywhere"])
def test_unknown_names_are_told(name: str) -> None:
    """A typo in a path that ends in the stack of a download."""
    with pytest.raises(FileNotFoundError, match=f"Cannot load a classifier from '{name}'.*export_onnx"):
        OnnxTextClassifier.from_pretrained(name)


def test_missing_onnxruntime_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ImportError that does not say what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime tokenizers numpy"):
        OnnxTextClassifier.from_pretrained(folder)
