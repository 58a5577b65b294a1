"""Texts from files: csv, tsv, json lines, parquet."""

from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_bilstm_distill import LabelMismatchError, load_file, load_texts, number_labels, select_columns

ROWS = {
    "text": ['he said "no', "null", "a, b; c", "NA", "  spaces  ", "émoji 🎬"],
    "label": [0, 1, 0, 1, 0, 1],
}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_every_format_gives_the_texts_as_they_were(ending: str, tmp_path: Path) -> None:
    """Quotes would swallow rows, and the words null and NA would become missing texts."""
    path = str(tmp_path / f"rows.{ending}")
    rows = Dataset.from_dict(ROWS)
    {"csv": rows.to_csv, "parquet": rows.to_parquet}.get(ending, rows.to_json)(path)
    assert load_texts({"train": path}, {"text": "text", "label": "label"})["train"].to_dict() == ROWS


def test_a_quote_in_a_tsv_is_a_character(tmp_path: Path) -> None:
    """An opening quote would join all rows up to the next one."""
    path = tmp_path / "rows.tsv"
    path.write_text('sentence\tlabel\nhe said "no\t0\nnull\t1\nan "open quote\t0\n')
    rows = select_columns(load_file(path), {"text": "sentence", "label": "label"}, "rows")
    assert rows.to_dict() == {"text": ['he said "no', "null", 'an "open quote'], "label": [0, 1, 0]}


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("rows.xlsx", "x", ValueError, "must end in one of"),
        ("rows.csv", "", ValueError, "is empty"),
        ("rows.csv", "text,label\n", ValueError, "no rows"),
        ("rows.jsonl", '{"text": "a"}\n{"text"', ValueError, "cannot be read as json"),
        ("rows.parquet", "not parquet", ValueError, "cannot be read as parquet"),
    ],
    ids=["unknown-ending", "empty", "header-only", "broken-json", "broken-parquet"],
)
def test_files_that_cannot_be_read_are_named(
    name: str, content: str, error: type, message: str, tmp_path: Path
) -> None:
    """A user would not learn which file is wrong."""
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=message) as raised:
        load_file(tmp_path / name)
    assert name in str(raised.value)


def test_a_missing_file_is_named() -> None:
    """A user would not see the slip in the path."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        load_file("nowhere.csv")


def test_columns_get_their_standard_names_and_others_go(tmp_path: Path) -> None:
    """Further columns of the user's would travel into the training set."""
    rows = Dataset.from_dict({"q1": ["a"], "q2": ["b"], "same": [1], "id": [7], "text": ["c"]})
    columns = {"text": "q1", "text_pair": "q2", "label": "same", "teacher_logits": None}
    assert select_columns(rows, columns, "rows").to_dict() == {"text": ["a"], "text_pair": ["b"], "label": [1]}


def test_only_columns_said_to_be_optional_may_be_missing() -> None:
    """A slip in --label_column would train without labels."""
    rows = Dataset.from_dict({"text": ["a"]})
    assert select_columns(rows, {"text": "text", "label": "label"}, "rows").column_names == ["text"]
    with pytest.raises(ValueError, match=r"no column 'stars' for the label.*\['text'\].*--label_column"):
        select_columns(rows, {"text": "text", "label": "stars"}, "rows", optional=[])


def test_label_names_become_numbers_and_missing_ones_minus_100() -> None:
    """Unlabelled rows would count as the first label."""
    rows = Dataset.from_dict({"text": list("abcd"), "label": ["good", "", None, "bad"]})
    assert number_labels(rows, ["bad", "good"])["label"][:] == [1, -100, -100, 0]
    with pytest.raises(LabelMismatchError, match=r"\['good'\] are none of \['bad', 'fine'\]"):
        number_labels(rows, ["bad", "fine"])


def test_numbers_and_class_labels_become_plain_integers() -> None:
    """A ClassLabel refuses -100, so augmentation would crash."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    rows = number_labels(Dataset.from_dict({"text": ["a"], "label": [1]}, features=features), ["bad", "good"])
    assert rows.features["label"] == Value("int64")
    gaps = number_labels(Dataset.from_dict({"text": ["a", "b"], "label": [1, None]}), ["bad", "good"])
    assert gaps["label"][:] == [1, -100]
    assert number_labels(Dataset.from_dict({"text": ["a"]}), []).column_names == ["text"]


def test_logits_in_a_csv_are_read_and_broken_ones_named(tmp_path: Path) -> None:
    """A csv holds lists as text: its logits could not be used, or would stop the run with an error of numpy's."""
    path = tmp_path / "rows.csv"
    path.write_text('text,scores\na,"[-1.5, 2]"\nb,\n')
    columns = {"text": "text", "teacher_logits": "scores"}
    assert select_columns(load_file(path), columns, "rows")["teacher_logits"][:] == [[-1.5, 2.0], None]
    path.write_text('text,scores\na,"[-1.5, 2]"\nb,positive\n')
    with pytest.raises(ValueError, match=r"'positive' in row 1"):
        select_columns(load_file(path), columns, "rows")
