"""`label_with_teacher`: the teacher's logits as a column."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, IterableDataset, Value, load_dataset
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

from hf_bilstm_distill import LabelMismatchError, TextClassifier, label_with_teacher, labeling


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


class BrokenTeacher(CountingTeacher):
    """A counting teacher whose answer is spoilt where it reads one text."""

    def __init__(self, bad_text: str, value: float) -> None:
        super().__init__()
        self.bad_text = bad_text
        self.value = value

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
        """As the counting teacher, but for one number."""
        logits = super().logits(texts, text_pairs)
        logits[[text == self.bad_text for text in texts], 1] = self.value
        return logits


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of four texts, so that a small set has several."""
    monkeypatch.setattr(labeling, "_TEXTS_PER_SHARD", 4)
    monkeypatch.setattr(labeling, "_ROWS_PER_READ", 3)


def numbered(*numbers: int) -> Dataset:
    """Texts of known lengths: number n has n characters."""
    return Dataset.from_dict({"text": ["x" * number for number in numbers]})


def lengths(rows: Dataset) -> list[float]:
    """What the counting teacher said."""
    return [row[1] for row in rows["teacher_logits"]]


def run_script(script: str, *arguments: object, folder: Path, launcher: Sequence[str] = ()) -> list[Any]:
    """Run Python in a process of its own, with this module at hand; give each line that it prints, from JSON."""
    process = start_script(script, *arguments, folder=folder, launcher=launcher)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in out.splitlines()]


def start_script(
    script: str,
    *arguments: object,
    folder: Path,
    launcher: Sequence[str] = (),
    environment: dict[str, str] | None = None,
) -> "subprocess.Popen[str]":
    """Start Python in a process of its own, with this module at hand."""
    path = folder / "script.py"
    path.write_text(script)
    modules = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, *launcher, str(path), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": modules, "OMP_NUM_THREADS": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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


DYING = """
import json, os, signal, sys
from test_labeling import CountingTeacher, labeling, lengths, numbered

labeling._TEXTS_PER_SHARD = 10
class Dying(CountingTeacher):
    def logits(self, *texts):
        if len(self.read) >= 30:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().logits(*texts)
teacher = Dying() if sys.argv[1] == "die" else CountingTeacher()
labelled = labeling.label_with_teacher(numbered(*range(1, 101)), teacher, cache_dir=sys.argv[2])
print(json.dumps([len(teacher.read), lengths(labelled)]))
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """A run that died after hours would start again, or take half a file for a whole one."""
    killed = start_script(DYING, "die", tmp_path / "cache", folder=tmp_path)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    ((num_read, column),) = run_script(DYING, "live", tmp_path / "cache", folder=tmp_path)
    assert num_read == 70  # thirty were done before
    assert column == list(range(1, 101))


TOGETHER = """
import json, multiprocessing, os, sys
from test_labeling import CountingTeacher, labeling, lengths, numbered

labeling._TEXTS_PER_SHARD = 3
fork = multiprocessing.get_context("fork")
gate = fork.Barrier(3)
def label(together):
    teacher = CountingTeacher()
    if together:
        gate.wait()
    labelled = labeling.label_with_teacher(numbered(*range(300)), teacher, cache_dir=sys.argv[1])
    answer = json.dumps([len(teacher.read), lengths(labelled)])
    os.write(1, f"{answer}\\n".encode())  # at once, so that no other line comes between
processes = [fork.Process(target=label, args=[True]) for _ in range(3)]
for process in processes:
    process.start()
for process in processes:
    process.join()
label(False)
"""


@pytest.mark.multiprocess
def test_runs_that_share_a_cache_at_once_end_right_and_leave_it_whole(tmp_path: Path) -> None:
    """Two runs on one cache would read half of each other's files, or leave some for the next run."""
    answers = run_script(TOGETHER, tmp_path / "cache", folder=tmp_path)
    assert [column for _, column in answers] == [list(range(300))] * 4
    assert answers[-1][0] == 0  # the one that came afterwards had nothing to label
    assert sum(read for read, _ in answers) >= 300
    assert len(list(tmp_path.glob("cache/*/*.npy"))) == len(list(tmp_path.glob("cache/*/*"))) == 100


REAL = """
import json, os, sys, time
import numpy as np
from accelerate import PartialState
from datasets import Dataset
from test_labeling import TextClassifier, label_with_teacher, labeling

PartialState(cpu=True)
labeling._TEXTS_PER_SHARD = 64
class Logging(TextClassifier):
    def logits(self, texts, text_pairs=None):
        with open(sys.argv[4], "a") as log:
            log.write(json.dumps(texts) + "\\n")
        time.sleep(0.02)  # so that a kill finds it at work
        return super().logits(texts, text_pairs)
rows = Dataset.from_json(sys.argv[2])
labelled = label_with_teacher(rows, Logging.from_pretrained(sys.argv[1], device="cpu"), cache_dir=sys.argv[3])
np.save(sys.argv[5], np.array(labelled["teacher_logits"][:], dtype=np.float32))
PartialState().destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_run_killed_three_times_at_random_ends_with_the_same_bytes(
    trained_teacher_dir: str, texts: Dataset, tmp_path: Path
) -> None:
    """A kill at the wrong moment would cost more than a shard, or leave logits that differ from those of one run."""
    draw = random.Random()
    words = sorted({word for text in texts["text"] for word in text.split()})
    sentences = [" ".join(draw.choices(words, k=draw.randint(1, 20))) for _ in range(2000)]
    rows = tmp_path / "rows.jsonl"
    Dataset.from_dict({"text": sentences}).to_json(rows)
    num_distinct = len(set(sentences))

    def files(name: str) -> list[Path]:
        return [tmp_path / name, tmp_path / f"{name}.log", tmp_path / f"{name}.npy"]

    run_script(REAL, trained_teacher_dir, rows, *files("whole"), folder=tmp_path)
    for kill in range(1, 4):
        process = start_script(REAL, trained_teacher_dir, rows, *files("killed"), folder=tmp_path)
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "killed").glob("*/*.npy"))) < 7 * kill and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.1)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    run_script(REAL, trained_teacher_dir, rows, *files("killed"), folder=tmp_path)

    whole, killed = (np.load(tmp_path / f"{name}.npy") for name in ("whole", "killed"))
    assert whole.tobytes() == killed.tobytes()
    read = [text for line in files("killed")[1].read_text().splitlines() for text in json.loads(line)]
    assert set(read) == set(sentences)
    assert len(read) <= num_distinct + 3 * 64  # a shard was in flight at each kill


@pytest.mark.parametrize("cache", ["with-cache", pytest.param("without-cache", marks=pytest.mark.slow)])
@pytest.mark.multiprocess
def test_two_processes_give_the_column_of_one(
    trained_teacher_dir: str, texts: Dataset, cache: str, tmp_path: Path
) -> None:
    """Two processes would do the work twice, or train on other logits than one."""
    rows = tmp_path / "rows.jsonl"
    words = sorted({word for text in texts["text"] for word in text.split()})
    sentences = [f"{one} {other}" for one in words for other in words][:450]
    Dataset.from_dict({"text": sentences + sentences[:50]}).to_json(rows)
    script = REAL.replace(
        "np.save(sys.argv[5]", "rank = os.environ.get('RANK', 'alone')\nnp.save(sys.argv[5].replace('RANK', rank)"
    )
    script = script.replace("sys.argv[3])", "sys.argv[3])" if cache == "with-cache" else "None)")
    arguments = [trained_teacher_dir, rows, tmp_path / "cache", tmp_path / "two.log", tmp_path / "RANK.npy"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    process = start_script(script, *arguments, folder=tmp_path, launcher=launcher)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors.count("450/450") == 1  # one of them shows the progress, of both
    run_script(script, *arguments[:2], tmp_path / "cache of one", *arguments[3:], folder=tmp_path)
    columns = [np.load(tmp_path / f"{name}.npy") for name in ("0", "1", "alone")]
    assert columns[0].tobytes() == columns[1].tobytes() == columns[2].tobytes()
    assert len(columns[0]) == 500
    shards = [json.loads(line) for line in (tmp_path / "two.log").read_text().splitlines()]
    assert len(shards) == 2 * 8  # of 64 texts; the two together as many as the one
    assert sum(map(len, shards)) == 2 * 450


FAILING = """
import atexit, os, signal, sys
from accelerate import PartialState
from test_labeling import CountingTeacher, labeling, numbered

atexit.register(PartialState(cpu=sys.argv[1] != "not joined").destroy_process_group)
labeling._TEXTS_PER_SHARD = 4
class Failing(CountingTeacher):
    def logits(self, *texts):
        if os.environ["RANK"] == "1" and len(self.read) >= 8:
            if sys.argv[1] == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError("no room for this batch")
        return super().logits(*texts)
size = 100 + int(os.environ["RANK"]) if sys.argv[1] == "other rows" else 100
labeling.label_with_teacher(numbered(*range(size)), Failing())
"""


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raises", "RuntimeError: Process 1 stopped, so this one stops too. Its error was MemoryError: no room for"),
        ("killed", "RuntimeError: Another process of this run is gone"),
        ("other rows", "ValueError: The 2 processes hold different sets to label"),
        ("not joined", "RuntimeError: The launcher started 2 processes, but they don't know of each other"),
    ],
    ids=["raises", "killed", "other-rows", "not-joined"],
)
def test_no_process_waits_for_one_that_failed(how: str, message: str, tmp_path: Path) -> None:
    """A run on many machines would hang, paid by the hour, because one of them gave up."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    processes = [
        start_script(FAILING, how, folder=tmp_path, environment={**world, "RANK": rank, "LOCAL_RANK": rank})
        for rank in ("0", "1")
    ]
    (_, errors), _ = (process.communicate(timeout=120) for process in processes)
    assert processes[0].returncode == 1
    assert message in errors


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
@pytest.mark.usefixtures("small_shards")
def test_logits_that_are_not_finite_stop_it_and_name_the_row(value: float, tmp_path: Path) -> None:
    """Broken logits would be cached and trained on; or one text of a million would have to be searched for."""
    bad_text = "y" * 70
    rows = Dataset.from_dict({"text": ["a", "bb", "a", "ccc", "dddd", "eeeee", bad_text, "z"]})
    shown = rf"NaN or infinity for 1 of 3 texts \(first: row 6, '{'y' * 60}\.\.\.': \[-70\.0, {value}\]\)"
    with pytest.raises(ValueError, match=shown):
        label_with_teacher(rows, BrokenTeacher(bad_text, value), cache_dir=tmp_path)
    with pytest.raises(ValueError, match=r"NaN or infinity for 1 of 4 texts \(first: row 6,"):
        list(label_with_teacher(rows.to_iterable_dataset(), BrokenTeacher(bad_text, value)))
    good = CountingTeacher()
    assert lengths(label_with_teacher(rows, good, cache_dir=tmp_path))[-2:] == [70, 1]
    assert good.read == ["eeeee", bad_text, "z"]  # the shard before was kept


@pytest.mark.parametrize("answer", [np.zeros((3, 2)), np.zeros((2, 3)), np.zeros(2)], ids=["rows", "width", "flat"])
def test_logits_of_another_shape_stop_it(answer: np.ndarray) -> None:
    """Logits would stand beside other texts, or be cut to the labels without a word."""

    class Misshapen(CountingTeacher):
        def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
            return answer

    with pytest.raises(ValueError, match=r"labels \['short', 'long'\]; it must be \(2, 2\) \(first: row 0, 'a'\)"):
        label_with_teacher(Dataset.from_dict({"text": ["a", "b"]}), Misshapen())


def test_a_teacher_that_says_the_same_of_everything_stops_it(small_shards: None, tmp_path: Path) -> None:
    """A student would learn a constant; and the hours until then would be lost."""

    class Constant(CountingTeacher):
        def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
            return super().logits(texts, text_pairs) * 0 + 1

    teacher = Constant()
    with pytest.raises(ValueError, match=r"the same logits \[1.0, 1.0\] for 4 texts"):
        label_with_teacher(numbered(*range(40)), teacher, cache_dir=tmp_path)
    assert len(teacher.read) == 4
    assert not list(tmp_path.glob("*/*"))
    with pytest.raises(ValueError, match="same logits"):
        label_with_teacher(numbered(1, 2), teacher)
    label_with_teacher(numbered(1, 1), teacher)  # one text can have but one answer


# ---- what is found again ----


@pytest.mark.usefixtures("small_shards")
def test_a_grown_set_costs_only_its_new_texts(tmp_path: Path) -> None:
    """More copies, rows in another order, or another file would cost all the hours again."""
    label_with_teacher(numbered(*range(0, 20, 2)), CountingTeacher(), cache_dir=tmp_path)
    teacher = CountingTeacher()
    grown = label_with_teacher(numbered(*range(20), 4, 5), teacher, cache_dir=tmp_path)
    assert sorted(map(len, teacher.read)) == list(range(1, 20, 2))
    assert lengths(grown) == [*range(20), 4, 5]
    again = CountingTeacher()
    shuffled = label_with_teacher(numbered(*range(20)).shuffle(seed=1), again, cache_dir=tmp_path)
    assert again.read == []
    assert lengths(shuffled) == [len(text) for text in shuffled["text"]]


@pytest.mark.usefixtures("small_shards")
def test_duplicates_far_apart_are_read_once() -> None:
    """Only duplicates within a shard would be noticed."""
    teacher = CountingTeacher()
    rows = label_with_teacher(numbered(*range(10), *range(12), 3), teacher)
    assert sorted(map(len, teacher.read)) == list(range(12))
    assert lengths(rows) == [*range(10), *range(12), 3]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # the last digits of a logit
    path.write_bytes(content)


def lose_a_block(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-24] + bytes(24))


def spoil(path: Path) -> None:
    records = np.load(path)
    records["logits"][0, 0] = np.nan
    np.save(path, records)


def widen(path: Path) -> None:
    np.save(path, np.zeros((4, 3), dtype=np.float32))


def swap(path: Path) -> None:
    other = next(one for one in path.parent.iterdir() if one != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [truncate, empty, flip, lose_a_block, spoil, widen, swap])
@pytest.mark.usefixtures("small_shards")
def test_a_damaged_shard_is_named_and_made_again(damage: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A disk error would end every later run, or put wrong logits beside texts."""
    rows = numbered(*range(12))
    label_with_teacher(rows, CountingTeacher(), cache_dir=tmp_path)
    path = sorted(tmp_path.glob("*/*.npy"))[1]
    damage(path)
    teacher = CountingTeacher()
    assert lengths(label_with_teacher(rows, teacher, cache_dir=tmp_path)) == list(range(12))
    assert len(teacher.read) == 4
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{path} is damaged and its texts are labelled again" in record.getMessage()
    again = CountingTeacher()
    label_with_teacher(rows, again, cache_dir=tmp_path)
    assert again.read == []
    assert len(caplog.records) == 1


def test_a_shard_of_the_first_version_is_read(tmp_path: Path) -> None:
    """Hours of labelling would be done again after an update."""
    rows = numbered(*range(12))
    label_with_teacher(rows, CountingTeacher(), cache_dir=tmp_path)
    (path,) = tmp_path.glob("*/*.npy")
    np.save(path, np.load(path))  # without the digest at its end
    teacher = CountingTeacher()
    assert lengths(label_with_teacher(rows, teacher, cache_dir=tmp_path)) == list(range(12))
    assert teacher.read == []


def test_half_a_file_of_another_process_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run would read, or warn of, what a run beside it is just writing."""
    rows = numbered(*range(12))
    label_with_teacher(rows, CountingTeacher(), cache_dir=tmp_path)
    (path,) = tmp_path.glob("*/*.npy")
    half = path.with_name(f"_{path.name}.abc.npy")
    half.write_bytes(b"half")
    assert lengths(label_with_teacher(rows, CountingTeacher(), cache_dir=tmp_path)) == list(range(12))
    assert half.read_bytes() == b"half"
    assert not caplog.records


def test_logits_in_half_precision_are_kept_apart(teacher_dir: str, texts: Dataset, tmp_path: Path) -> None:
    """Who asks for float32 would get what was cached in bfloat16."""
    columns = [
        label_with_teacher(texts, TextClassifier.from_pretrained(teacher_dir, dtype=dtype, device="cpu"), cache_dir=dir)
        for dtype, dir in ((torch.bfloat16, tmp_path), (torch.float32, tmp_path), (torch.float32, None))
    ]
    half, full, alone = (np.array(rows["teacher_logits"][:]) for rows in columns)
    np.testing.assert_array_equal(full, alone)
    assert 0 < np.abs(half - full).max() < 0.5


def test_the_bar_counts_what_was_found(
    small_shards: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a resume the rate would look a hundred times too fast, and the time left too short."""
    bars = []

    class Watched(labeling.tqdm):  # type: ignore[misc]
        def close(self) -> None:
            bars.append(self.format_dict)
            super().close()

    monkeypatch.setattr(labeling, "tqdm", Watched)
    label_with_teacher(numbered(*range(8)), CountingTeacher(), cache_dir=tmp_path)
    label_with_teacher(numbered(*range(20), 3, 3), CountingTeacher(), cache_dir=tmp_path)
    assert [(bar["initial"], bar["n"], bar["total"]) for bar in bars if bar["unit"] == " texts"][::2] == [
        (0, 8, 8),
        (8, 20, 20),
    ]
    assert "20/20" in capsys.readouterr().err


def test_texts_are_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set larger than memory could not be labelled."""
    monkeypatch.setattr(labeling, "_ROWS_PER_READ", 500)
    monkeypatch.setattr(labeling, "_TEXTS_PER_SHARD", 500)
    rows = Dataset.from_dict({"text": [f"{number} {'word ' * 400}" for number in range(20_000)]})

    class Short(CountingTeacher):
        def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
            return super().logits([text[: int(text.split()[0]) % 100] for text in texts])

    tracemalloc.start()
    label_with_teacher(rows.select(range(19_999, -1, -1)), Short())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000  # the texts have forty million letters


# ---- streams ----


@pytest.mark.parametrize("pairs", [False, True], ids=["single", "pair"])
@pytest.mark.usefixtures("small_shards")
def test_a_stream_gets_the_logits_of_the_set(classifier: TextClassifier, texts: Dataset, pairs: bool) -> None:
    """Large sets would be trained on other logits than small ones."""
    rows = texts.add_column("text_pair", texts["text"][::-1]) if pairs else texts
    stream = label_with_teacher(rows.to_iterable_dataset(), classifier)
    assert isinstance(stream, IterableDataset)
    labelled = label_with_teacher(rows, classifier)
    assert stream.features == labelled.features
    assert list(stream) == list(labelled)


@pytest.mark.usefixtures("small_shards")
def test_a_stream_is_read_only_as_far_as_it_is_used(tmp_path: Path) -> None:
    """A stream of a billion rows would be read to its end, or into memory."""
    read = []

    def endless() -> Iterator[dict[str, Any]]:
        for number in range(1, 10**9):
            read.append(number)
            yield {"text": "x" * (number % 50), "source": number}

    teacher = CountingTeacher()
    stream = label_with_teacher(IterableDataset.from_generator(endless), teacher, cache_dir=tmp_path)
    read.clear()  # a few rows are looked at to check them
    assert teacher.read == []
    first = list(stream.take(10))
    assert [(row["source"], row["teacher_logits"]) for row in first] == [(n, [-n, n]) for n in range(1, 11)]
    assert len(read) <= 20  # up to two shards ahead
    assert len(teacher.read) <= 20
    labelled = len(teacher.read)
    assert list(stream.take(10)) == first
    assert len(teacher.read) == labelled  # found the second time


@pytest.mark.usefixtures("small_shards")
def test_stream_and_set_share_their_work(tmp_path: Path) -> None:
    """Who tries a sample first and streams later would pay twice."""
    rows = numbered(*range(12))
    label_with_teacher(rows, CountingTeacher(), cache_dir=tmp_path)
    teacher = CountingTeacher()
    assert lengths(Dataset.from_list(list(label_with_teacher(rows.to_iterable_dataset(), teacher, cache_dir=tmp_path))))
    assert teacher.read == []
    other = CountingTeacher()
    list(label_with_teacher(numbered(*range(50, 60), 50).to_iterable_dataset(), other, cache_dir=tmp_path))
    label_with_teacher(numbered(*range(60)), other, cache_dir=tmp_path)
    assert sorted(map(len, other.read)) == sorted([*range(12, 60), 50])  # 50 came twice, in two shards of the stream


def test_sharded_parquet_is_streamed_from_end_to_end(tmp_path: Path) -> None:
    """A set that is larger than memory could not be written with its logits."""
    for number in range(3):
        numbered(*range(number * 10, number * 10 + 10)).to_parquet(tmp_path / f"in-{number}.parquet")
    files = sorted(map(str, tmp_path.glob("in-*.parquet")))
    stream = load_dataset("parquet", data_files=files, split="train", streaming=True, cache_dir=str(tmp_path))
    label_with_teacher(stream, CountingTeacher()).to_parquet(tmp_path / "out.parquet")
    labelled = Dataset.from_parquet(str(tmp_path / "out.parquet"), cache_dir=str(tmp_path))
    assert labelled.features["teacher_logits"].length == 2
    assert lengths(labelled) == list(range(30))


def test_named_labels_of_a_stream_decide_the_order() -> None:
    """The columns would stand in the teacher's order while the labels stand in the data's."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=["Long", "short"])})
    rows = Dataset.from_dict({"text": ["a", "bb"], "label": [0, 1]}, features=features)
    stream = label_with_teacher(rows.to_iterable_dataset(), CountingTeacher())
    assert [row["teacher_logits"] for row in stream] == [[1, -1], [2, -2]]
    words = Dataset.from_dict({"text": ["a", "bb"], "label": ["long", "short"]}).to_iterable_dataset()
    with pytest.raises(ValueError, match=r"cast_column\('label', ClassLabel\(names=\[...\]\)\)"):
        label_with_teacher(words, CountingTeacher())
    named = words.cast_column("label", ClassLabel(names=["long", "short"]))
    assert [row["teacher_logits"] for row in label_with_teacher(named, CountingTeacher())] == [[1, -1], [2, -2]]


def test_a_stream_that_cannot_be_labelled_stops_at_once() -> None:
    """Hours later, or in the middle of training, it would turn out that a column is missing."""
    with pytest.raises(ValueError, match=r"The stream has no column 'text'. Its columns are \['sentence'\]"):
        label_with_teacher(Dataset.from_dict({"sentence": ["a"]}).to_iterable_dataset(), CountingTeacher())
    late = Dataset.from_dict({"text": [*"a" * 150, None]}).to_iterable_dataset()
    with pytest.raises(ValueError, match="no text in column 'text' of row 150"):
        list(label_with_teacher(late, CountingTeacher()))
