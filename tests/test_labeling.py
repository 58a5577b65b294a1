"""`label_with_teacher`: the teacher's logits as a column."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

from hf_bilstm_distill import LabelMismatchError, TextClassifier, label_with_teacher


class CountingTeacher:
    """A teacher whose logits follow from the length of a text, and that counts what it reads."""

    id2label = {0: "short", 1: "long"}

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.read: list[str] = []

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
        """Minus and plus the length."""
        self.read += texts
        sizes = np.array([len(text) for text in texts], dtype=np.float32) * self.factor
        if text_pairs is not None:
            sizes += 100 * np.array([len(text) for text in text_pairs])
        return np.stack([-sizes, sizes], axis=1).astype(np.float32)

    def fingerprint(self) -> str:
        """One for each factor."""
        return f"counting {self.factor}"


@pytest.fixture
def classifier(
    teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast
) -> TextClassifier:
    return TextClassifier(teacher_model, teacher_tokenizer)


@pytest.mark.parametrize("pairs", [False, True], ids=["single", "pair"])
def test_each_row_gets_the_logits_of_its_own_text(classifier: TextClassifier, texts: Dataset, pairs: bool) -> None:
    """Sorting and deduplication would give rows the logits of other rows."""
    rows = texts.shuffle(seed=3).select([*range(20), *range(10)])
    if pairs:
        rows = rows.add_column("text_pair", rows["text"][::-1])
    labelled = label_with_teacher(rows, classifier)
    assert labelled.features["teacher_logits"].feature.dtype == "float32"
    assert labelled.remove_columns("teacher_logits").to_dict() == rows.to_dict()
    for row in labelled:
        inputs = [row["text"], row["text_pair"]] if pairs else [row["text"]]
        encoded = classifier.tokenizer(*inputs, return_tensors="pt")
        expected = classifier.model(**encoded).logits[0].detach().numpy()
        np.testing.assert_allclose(row["teacher_logits"], expected, atol=1e-4)


def test_a_text_is_read_once_however_often_it_stands_there() -> None:
    """Duplicates would cost teacher time."""
    teacher = CountingTeacher()
    rows = label_with_teacher(Dataset.from_dict({"text": ["aa", "b", "aa", "ccc", "b"]}), teacher)
    assert sorted(teacher.read) == ["aa", "b", "ccc"]
    assert [row[1] for row in rows["teacher_logits"]] == [2, 1, 2, 3, 1]


def test_pairs_are_kept_apart() -> None:
    """("ab", "c") and ("a", "bc") would share their logits."""
    rows = Dataset.from_dict({"text": ["ab", "a", "ab"], "text_pair": ["c", "bc", "c"]})
    assert [row[1] for row in label_with_teacher(rows, CountingTeacher())["teacher_logits"]] == [102, 201, 102]


def test_a_second_run_reads_the_cache_and_another_teacher_does_not(tmp_path: Path) -> None:
    """Hours of labelling would be done again; or worse, an old teacher's logits taken for a new one's."""
    rows = Dataset.from_dict({"text": [str(number) * (number % 7) for number in range(50)]})
    first = label_with_teacher(rows, CountingTeacher(), cache_dir=tmp_path)
    again = CountingTeacher()
    second = label_with_teacher(rows.select(range(49, -1, -1)), again, cache_dir=tmp_path)
    assert again.read == []
    assert second["teacher_logits"][::-1] == first["teacher_logits"][:]
    other = CountingTeacher(factor=2.0)
    third = label_with_teacher(rows, other, cache_dir=tmp_path)
    assert other.read
    assert np.allclose(np.array(third["teacher_logits"][:]), 2 * np.array(first["teacher_logits"][:]))
    changed = CountingTeacher()
    label_with_teacher(Dataset.from_dict({"text": ["new"]}), changed, cache_dir=tmp_path)
    assert changed.read == ["new"]


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """A run that died after hours would start again, or take half a file for a whole one."""
    script = tmp_path / "label.py"
    script.write_text(
        f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from datasets import Dataset
from hf_bilstm_distill import label_with_teacher, labeling
from test_labeling import CountingTeacher
labeling._ROWS_PER_SHARD = 10
class Dying(CountingTeacher):
    def logits(self, *texts):
        if len(self.read) >= 30:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().logits(*texts)
rows = Dataset.from_dict({{"text": ["x" * number for number in range(1, 101)]}})
teacher = Dying() if sys.argv[1] == "die" else CountingTeacher()
labelled = label_with_teacher(rows, teacher, cache_dir={str(tmp_path / "cache")!r})
assert [row[1] for row in labelled["teacher_logits"]] == list(range(1, 101))
print(len(teacher.read))
"""
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    killed = subprocess.run([sys.executable, str(script), "die"], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    resumed = subprocess.run([sys.executable, str(script), "live"], env=environment, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    assert int(resumed.stdout) == 70  # thirty were done before


def test_named_labels_decide_the_order_of_the_logits(classifier: TextClassifier, texts: Dataset) -> None:
    """The columns would stand in the teacher's order while the labels stand in the data's."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=["positive", "negative"])})
    rows = Dataset.from_dict({"text": texts["text"][:4], "label": [0, 1, 0, 1]}, features=features)
    logits = np.array(label_with_teacher(rows, classifier)["teacher_logits"][:])
    np.testing.assert_allclose(logits, classifier.logits(texts["text"][:4])[:, ::-1], atol=1e-5)


def test_what_cannot_be_labelled_stops_before_the_teacher_reads() -> None:
    """An hour of work would end in an error that was there from the start."""
    teacher = CountingTeacher()
    with pytest.raises(LabelMismatchError, match=r"\['short', 'long'\]"):
        label_with_teacher(Dataset.from_dict({"text": ["a", "b"], "label": ["good", "bad"]}), teacher)
    with pytest.raises(ValueError, match="no text in column 'text' of 1 of its 2 rows"):
        label_with_teacher(Dataset.from_dict({"text": ["a", None]}), teacher)
    assert teacher.read == []


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["nan", "infinity"])
def test_logits_that_are_not_finite_stop_it(value: float, tmp_path: Path) -> None:
    """Broken logits would be cached and trained on."""

    class Broken(CountingTeacher):
        def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
            logits = super().logits(texts, text_pairs)
            logits[0, 0] = value
            return logits

    rows = Dataset.from_dict({"text": ["a", "bb"]})
    with pytest.raises(ValueError, match="NaN or infinity"):
        label_with_teacher(rows, Broken(), cache_dir=tmp_path)
    good = CountingTeacher()
    label_with_teacher(rows, good, cache_dir=tmp_path)
    assert good.read
