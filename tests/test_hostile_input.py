"""One odd row among a million ends a run after hours, takes all memory, or changes what the other rows mean."""

import os
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.version import Version
from strategies import half_characters, odd_texts
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    DistillationTrainer,
    DistillationTrainingArguments,
    HeuristicAugmenter,
    TextClassifier,
    augment,
    compute_metrics_for,
    distillation_report,
    encode,
    label_with_teacher,
    load_file,
    load_metrics,
    load_tagger,
    select_columns,
    train_word_tokenizer,
    trim_tokenizer,
    word_tokenizer_from_words,
)
from hf_bilstm_distill.augmentation.lexicon_tagger import _first_guess
from hf_bilstm_distill.report import measuring

MEGABYTE = [
    pytest.param("a" * 1_000_000, id="one-word"),
    pytest.param("a" + "\u0301" * 500_000, id="combining-marks"),
    pytest.param(" " * 1_000_000, id="spaces"),
    pytest.param("word and film " * 75_000, id="many-words", marks=pytest.mark.slow),
    pytest.param("👍🏽" * 125_000, id="emoji", marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed is not what is tested here."""
    monkeypatch.setattr(measuring, "_PASSES_SECONDS", 0.1)
    monkeypatch.setattr(measuring, "_CALLS_SECONDS", 0.1)


@pytest.fixture(scope="module")
def teacher(teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast) -> TextClassifier:
    return TextClassifier(teacher_model, teacher_tokenizer)


def student_for(tokenizer: PreTrainedTokenizerFast, **settings: Any) -> TextClassifier:
    sizes = {"embedding_dim": 4, "lstm_hidden_size": 4, "fc_size": 4, "pad_token_id": tokenizer.pad_token_id}
    config = BiLSTMConfig(vocab_size=len(tokenizer), **{**sizes, **settings})
    return TextClassifier(BiLSTMForSequenceClassification(config), tokenizer)


def read(path: Path, content: str | bytes) -> dict[str, list[Any]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return select_columns(load_file(path), {"text": "text", "label": "label"}, path.name).to_dict()


# -------------------------------------------------------------------------------------------------------- whole stages
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(odd_texts, min_size=1, max_size=5))
def test_odd_texts_pass_through_every_stage(teacher: TextClassifier, texts: list[str]) -> None:
    """A text in another script, with NUL or without a character stops a run, or shifts the rows after it."""
    own = Dataset.from_dict({"text": [*texts, "a good film"], "label": [0] * len(texts) + [1]})
    augmented = augment(own, HeuristicAugmenter(n_iter=2))
    originals = augmented.filter(lambda is_copy: not is_copy, input_columns="augmented")
    assert originals["text"][:] == own["text"][:]
    labelled = label_with_teacher(augmented, teacher)
    tokenizer = trim_tokenizer(teacher.tokenizer, labelled["text"][:])
    logits = np.array(labelled["teacher_logits"][:])
    assert logits.shape == (len(augmented), 2)
    assert np.isfinite(logits).all()
    encoded = encode(labelled, tokenizer)
    assert encoded["input_ids"][:] == tokenizer(labelled["text"][:], truncation=True)["input_ids"]
    labels, scores = student_for(tokenizer).predict(labelled["text"][:])
    assert len(labels) == len(scores) == len(augmented)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("text", MEGABYTE)
def test_a_megabyte_in_one_row_is_cut_and_not_waited_for(teacher: TextClassifier, text: str) -> None:
    """A scraped page, or a file without line ends, takes all memory; one long word once took minutes to tag."""
    rows = Dataset.from_dict({"text": ["a good film", text]})
    tokenizer = train_word_tokenizer(rows["text"][:])
    encoded = encode(label_with_teacher(augment(rows, HeuristicAugmenter(n_iter=1)), teacher), tokenizer)
    assert max(encoded["length"][:]) <= tokenizer.model_max_length
    assert np.isfinite(student_for(tokenizer).logits(rows["text"][:])).all()


class Watched(str):
    """A word that counts how often it is cut."""

    cuts = 0

    def __getitem__(self, place: Any) -> str:
        type(self).cuts += 1
        return super().__getitem__(place)


def test_the_time_to_tag_a_word_does_not_grow_with_the_square_of_its_length() -> None:
    """A word of a megabyte took minutes: each of its endings was looked up, and copied for that."""
    assert _first_guess(Watched("x" * 10_000)) == "NN?"
    assert 0 < Watched.cuts < 20
    long = "x" * 1_000_000
    assert load_tagger("lexicon")([long, long + "ness", long + "ing"]) == ["NN", "NN", "VBG"]


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b\u200d", "\x00"], ids=["empty", "blank", "no-width", "nul"])
def test_texts_without_a_token_have_logits(text: str) -> None:
    """A batch of empty texts alone stops the teacher, if its tokenizer puts no special tokens around them."""
    tokenizer = train_word_tokenizer(["a good film"])
    student = student_for(tokenizer)
    alone = student.logits([text])
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(student.logits([text, "a good film"])[:1], alone, atol=1e-5)


def test_a_transformer_without_special_tokens_reads_empty_texts(
    teacher_model: BertForSequenceClassification,
) -> None:
    """Empty texts are sorted to the end, make a batch of no tokens, and stop the labelling at its last batch."""
    words = [f"w{number}" for number in range(len(teacher_model.bert.embeddings.word_embeddings.weight) - 3)]
    bare = TextClassifier(teacher_model, word_tokenizer_from_words(words), max_length=64)
    assert np.isfinite(bare.logits(["", ""])).all()
    assert bare.logits([]).shape == (0, 2)


# ------------------------------------------------------------------------------------------------ what is no text
NO_TEXTS = {
    "none": (["a film", None], TypeError, "got None in row 1"),
    "number": ([1, "a film"], TypeError, "got 1 in row 0"),
    "missing-value": (["a", float("nan")], TypeError, "got nan in row 1"),
    "bytes": ([b"a film"], TypeError, "got b'a film' in row 0"),
    "list": (["a", ["a", "film"]], TypeError, "in row 1"),
    "one-text": ("a film", TypeError, "Expected several texts, got the one string 'a film'"),
    "half-a-character": (["a film", "good \ud83d film"], ValueError, r"row 1 .*'\\ud83d' at position 5"),
}


@pytest.mark.parametrize(("given_texts", "error", "message"), NO_TEXTS.values(), ids=NO_TEXTS.keys())
@pytest.mark.parametrize("stage", ["teacher", "student", "trimmed", "trained", "listed"])
def test_what_is_no_text_is_named_with_its_row(
    teacher: TextClassifier, stage: str, given_texts: Any, error: type, message: str
) -> None:
    """A string was classified letter by letter; for None the tokenizer's error does not say where it stands."""
    stages = {
        "teacher": teacher.logits,
        "student": student_for(train_word_tokenizer(["a film"])).predict,
        "trimmed": lambda rows: trim_tokenizer(teacher.tokenizer, rows),
        "trained": train_word_tokenizer,
        "listed": word_tokenizer_from_words,
    }
    with pytest.raises(error, match=message):
        stages[stage](given_texts)


def test_the_second_sentences_are_looked_at_too(teacher: TextClassifier) -> None:
    """None among second sentences would be an error of the tokenizer's."""
    with pytest.raises(TypeError, match="got None in row 1"):
        teacher.logits(["a", "b"], ["c", None])  # type: ignore[list-item]


def test_the_row_is_that_of_the_whole_list(teacher: TextClassifier) -> None:
    """The row that is named would be that of a part of the texts, and the user looks at another one."""
    texts: Any = ["a film"] * 2500
    texts[2345] = None
    for stage in (lambda rows: trim_tokenizer(teacher.tokenizer, rows), train_word_tokenizer):
        with pytest.raises(TypeError, match="got None in row 2345"):
            stage(iter(texts))


@settings(max_examples=30, deadline=None)
@given(text=half_characters())
def test_half_a_character_is_always_named(text: str) -> None:
    """JSON of other programs has them where a text was cut in the middle of an emoji."""
    with pytest.raises(ValueError, match="row 1 holds half a character"):
        train_word_tokenizer(["a film", text])


# ----------------------------------------------------------------------------------------------------- labels and rows
def arguments(folder: Path) -> DistillationTrainingArguments:
    return DistillationTrainingArguments(
        output_dir=str(folder),
        max_steps=2,
        alpha=0.5,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )


def distil(teacher: TextClassifier, rows: Dataset, folder: Path, **settings: Any) -> dict[str, Any]:
    """The whole way, on a few rows; gives what the report says of the student."""
    labelled = label_with_teacher(rows, teacher)
    student = student_for(teacher.tokenizer, **settings)
    encoded = encode(labelled, teacher.tokenizer)
    trainer = DistillationTrainer(
        student.model,
        arguments(folder),
        train_dataset=encoded,
        eval_dataset=encoded,
        processing_class=teacher.tokenizer,
        compute_metrics=compute_metrics_for(load_metrics(["accuracy"])),
    )
    trainer.train()
    assert np.isfinite(trainer.evaluate()["eval_loss"])
    report = distillation_report({"teacher": teacher, "student": student}, labelled, "accuracy", task="few")
    return report.to_dict()["models"][1]


def small_bert(tokenizer: PreTrainedTokenizerFast, num_labels: int) -> TextClassifier:
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        initializer_range=0.5,
        num_labels=num_labels,
        problem_type="single_label_classification",
    )
    return TextClassifier(BertForSequenceClassification(config), tokenizer, max_length=64)


@pytest.mark.slow
def test_ten_thousand_labels(teacher_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """A table of all labels by all labels takes gigabytes, and the report a browser's whole memory."""
    teacher = small_bert(teacher_tokenizer, 10_000)
    rows = Dataset.from_dict({"text": ["a good film", "a bad film", "a film"], "label": [0, 9_999, 5_000]})
    student = distil(teacher, rows, tmp_path, num_labels=10_000, problem_type="single_label_classification", fc_size=2)
    assert student["confusion"] is None
    assert len(student["classes"]) == 10_000
    assert student["agreement_with_teacher"] is not None


@pytest.mark.parametrize(
    ("few", "labels"),
    [(["a good film"], [1]), (["a good film", "a bad film"], [1, 1])],
    ids=["one-row", "one-gold-class"],
)
def test_one_row_and_one_class(teacher: TextClassifier, few: list[str], labels: list[int], tmp_path: Path) -> None:
    """Means, intervals and curves of a single row divide by zero."""
    student = distil(teacher, Dataset.from_dict({"text": few, "label": labels}), tmp_path, num_labels=2)
    assert student["metrics"]["accuracy"] in (0.0, 0.5, 1.0)
    assert len(augment(Dataset.from_dict({"text": few}), HeuristicAugmenter(n_iter=2))) >= len(few)


# ------------------------------------------------------------------------------------------------------------- files
def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path: Path) -> None:
    """Files of spreadsheet programs begin with one: the first column would not be found."""
    for name, content in {
        "rows.csv": "text,label\na,0\n",
        "rows.tsv": "text\tlabel\na\t0\n",
        "rows.jsonl": '{"text": "a", "label": 0}\n',
    }.items():
        assert read(tmp_path / name, b"\xef\xbb\xbf" + content.encode()) == {"text": ["a"], "label": [0]}


@pytest.mark.parametrize(
    "content",
    ["text,label\na, b,0\nc,1\n", "text,label\na,0,3\nb,1,2\n", "text,label\nc,1\na, b,0\n"],
    ids=["first-row", "every-row", "later-row"],
)
def test_a_row_with_more_fields_than_the_header_stops(tmp_path: Path, content: str) -> None:
    """A comma without quotes: pandas takes what comes first for the names of rows, and the texts are gone."""
    warnings.simplefilter("ignore")  # as users run: here each warning would be an error
    with pytest.raises(ValueError, match=r"rows\.csv cannot be read as csv"):
        read(tmp_path / "rows.csv", content)
    with pytest.raises(ValueError, match=r"rows\.tsv cannot be read as csv"):
        read(tmp_path / "rows.tsv", content.replace(",", "\t"))


def test_odd_characters_in_files_stay_what_they_are(tmp_path: Path) -> None:
    """NUL ends a text, a line separator begins a row, quotes swallow rows."""
    odd = ["a\x00b", "c\u2028d\u0085e", 'say ""hi""', "👩‍👩‍👧‍👦", "\u202eabc", "'\"'"]
    if Version(metadata.version("pandas")) < Version("3.1"):  # older ones end a text at NUL
        odd.pop(0)
    tsv = "text\tlabel\n" + "".join(f"{text}\t1\n" for text in odd)
    assert read(tmp_path / "rows.tsv", tsv)["text"] == odd
    with pytest.raises(ValueError, match=r"rows\.jsonl cannot be read as json.*surrogate"):
        read(tmp_path / "rows.jsonl", '{"text": "a \\ud83d b", "label": 0}\n')


def test_numbers_where_text_belongs_are_named(tmp_path: Path) -> None:
    """The id column was taken for the text."""
    with pytest.raises(TypeError, match="holds int64, not text"):
        read(tmp_path / "rows.csv", "text,label\n17,0\n18,1\n")
    with pytest.raises((TypeError, ValueError), match=r"not text|/text\) changed from string to number"):  # by datasets
        read(tmp_path / "rows.jsonl", '{"text": "a", "label": 0}\n{"text": 5, "label": 0}\n')


def test_a_megabyte_in_a_field_is_read(tmp_path: Path) -> None:
    """Readers with a limit on a field or a block cut the row, or the file."""
    text = "word " * 200_000
    assert read(tmp_path / "rows.csv", f"text,label\n{text},0\nb,1\n")["text"] == [text, "b"]
    assert read(tmp_path / "rows.tsv", f"text\tlabel\n{text}\t0\nb\t1\n")["text"] == [text, "b"]
    assert read(tmp_path / "rows.jsonl", f'{{"text": "{text}", "label": 0}}\n')["text"] == [text]


def test_a_file_that_changes_between_runs_is_read_again(tmp_path: Path) -> None:
    """Copies keep their times (cp -p, tar, rsync -t): the old rows came back from a cache."""
    path = tmp_path / "rows.csv"
    assert read(path, "text,label\nold,0\n")["text"] == ["old"]
    times = path.stat()
    path.write_text("text,label\nnew,1\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert load_file(path)["text"][:] == ["new"]


def test_a_file_name_is_a_name_and_no_pattern(tmp_path: Path) -> None:
    """`part[1].csv` is not found, and `a*.csv` reads other files too."""
    (tmp_path / "ab.csv").write_text("text,label\nother,0\n")
    for name in ("part[1].csv", "a*.csv", "what?.csv", "{x,y}.csv", "**.csv"):
        assert read(tmp_path / name, 'text,label\n"mine",0\n')["text"] == ["mine"]
