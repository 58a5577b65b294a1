"""A report gives a model numbers that are not its own, or a file that other programs cannot read."""

import json
import platform
import re
import socket
import sys
import time
from pathlib import Path

import evaluate
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_bilstm_distill.metrics import load_metric
from hf_bilstm_distill.report import ModelReport, Report, distillation_report

MODEL_KEYS = [
    "name",
    "metrics",
    "agreement_with_teacher",
    "parameters",
    "parameters_without_embeddings",
    "size_mb",
    "throughput_per_s",
    "latency_ms_p50",
    "latency_ms_p95",
    "intervals",
    "differences_to_teacher",
    "correlation_with_teacher",
    "calibration",
    "classes",
    "confusion",
    "disagreements",
    "lengths",
    "unknown_tokens",
]


class KeywordRule:
    """Label 1 for every text that holds one of the words."""

    def __init__(self, *words):
        self.words = words

    def predict(self, texts, text_pairs=None):
        labels = np.array([int(any(word in text.split() for word in self.words)) for text in texts])
        return labels, np.eye(2, dtype=np.float32)[labels]


class SizedRule(KeywordRule):
    parameters = 1_234_567
    parameters_without_embeddings = 234_567
    size_bytes = 4_938_268


class SharedWords:
    """Label 1 for pairs whose texts share a word."""

    def predict(self, texts, text_pairs=None):
        labels = np.array([int(bool(set(a.split()) & set(b.split()))) for a, b in zip(texts, text_pairs, strict=True)])
        return labels, np.eye(2, dtype=np.float32)[labels]


class Length:
    """A regression: the number of words."""

    def predict(self, texts, text_pairs=None):
        scores = np.array([[len(text.split())] for text in texts], dtype=np.float32)
        return np.zeros(len(texts), dtype=np.int64), scores


class Longer(Length):
    """Another regression: the square of the number of words."""

    def predict(self, texts, text_pairs=None):
        labels, scores = super().predict(texts)
        return labels, scores**2


TEXTS = ["a good film", "a bad film", "good and bad", "so boring", "great fun", "no film at all"]
GOLD = [1, 0, 0, 0, 1, 0]
# good:       1  0  1  0  0  0    right: 4 of 6
# good great: 1  0  1  0  1  0    right: 5 of 6; agrees with good on 5 of 6
# film:       1  1  0  0  0  1    right: 3 of 6; agrees with good on 3 of 6


@pytest.fixture
def texts():
    return Dataset.from_dict({"text": TEXTS, "label": GOLD})


def test_quality_and_agreement_are_those_counted_by_hand(texts):
    models = {"teacher": KeywordRule("good"), "student": KeywordRule("good", "great"), "baseline": KeywordRule("film")}
    report = distillation_report(models, texts, "accuracy", task="films")
    assert [model.metrics for model in report.models] == [
        {"accuracy": pytest.approx(4 / 6)},
        {"accuracy": pytest.approx(5 / 6)},
        {"accuracy": pytest.approx(3 / 6)},
    ]
    assert [model.agreement_with_teacher for model in report.models] == [
        1.0,
        pytest.approx(5 / 6),
        pytest.approx(3 / 6),
    ]


def test_models_stay_in_the_order_they_were_given(texts):
    names = ["student", "baseline", "teacher", "another"]
    report = distillation_report({name: KeywordRule("good") for name in names}, texts, "accuracy", task="films")
    assert [model.name for model in report.models] == names


def test_rows_without_a_gold_label_count_for_agreement_alone(texts):
    some = texts.remove_columns("label").add_column("label", [1, -100, 0, -100, -100, -100])
    models = {"teacher": KeywordRule("good"), "student": KeywordRule("film")}
    teacher, student = distillation_report(models, some, "accuracy", task="films").models
    assert teacher.metrics == {"accuracy": pytest.approx(1 / 2)}
    assert student.metrics == {"accuracy": pytest.approx(2 / 2)}
    assert student.agreement_with_teacher == pytest.approx(3 / 6)


@pytest.mark.parametrize("how", ["no column", "no label"])
def test_texts_without_gold_labels_have_no_metrics(texts, how):
    unlabelled = texts.remove_columns("label")
    if how == "no label":
        unlabelled = unlabelled.add_column("label", [-100] * 6)
    report = distillation_report({"teacher": KeywordRule("good")}, unlabelled, "f1", task="films")
    assert report.metric == "f1"
    assert report.models[0].metrics == {}
    assert report.models[0].agreement_with_teacher == 1.0


def test_the_reference_may_have_another_name(texts):
    models = {"bert": KeywordRule("good"), "student": KeywordRule("film")}
    report = distillation_report(models, texts, "accuracy", task="films", reference="bert")
    assert [model.agreement_with_teacher for model in report.models] == [1.0, pytest.approx(0.5)]
    report = distillation_report(models, texts, "accuracy", task="films")
    assert [model.agreement_with_teacher for model in report.models] == [None, None]


def with_logits(dataset, logits):
    features = Features({**dataset.features, "teacher_logits": List(Value("float32"), length=2)})
    return Dataset.from_dict({**dataset.to_dict(), "teacher_logits": logits}, features=features)


def test_stored_logits_stand_for_a_teacher_that_is_not_there(texts):
    # Labels 1 0 1 0 0, and no logits for the last row, on which the rule says 1.
    logits = [[-1, 1], [1, -1], [-2, 5], [0.5, 0.4], [3, 0], [float("nan")] * 2]
    stored = with_logits(texts, logits)
    (student,) = distillation_report({"student": KeywordRule("film")}, stored, "accuracy", task="films").models
    assert student.agreement_with_teacher == pytest.approx(3 / 5)  # rows 0, 3 and 4
    both = {"student": KeywordRule("film"), "teacher": KeywordRule("film")}
    assert distillation_report(both, stored, "accuracy", task="films").models[0].agreement_with_teacher == 1.0


def test_pairs_reach_the_model_as_pairs():
    pairs = Dataset.from_dict({"text": ["a b", "c d", "e f"], "text_pair": ["b c", "d e", "g h"], "label": [1, 0, 0]})
    (model,) = distillation_report({"student": SharedWords()}, pairs, "accuracy", task="shared words").models
    assert model.metrics == {"accuracy": pytest.approx(2 / 3)}


def test_a_regression_is_measured_by_its_scores():
    texts = Dataset.from_dict({"text": ["a", "a b", "a b c", "a b c d"], "label": [0.5, 2.0, 1.0, 4.0]})
    models = {"teacher": Length(), "student": Length()}
    teacher, student = distillation_report(models, texts, "spearmanr", task="length").models
    assert teacher.metrics == {"spearmanr": pytest.approx(0.8)}
    assert student.agreement_with_teacher is None


def test_a_regression_has_no_numbers_of_classes():
    texts = Dataset.from_dict(
        {"text": ["a", "a b", "a b c", "a b c d e", "xx y"], "label": [0.5, 2.0, 1.0, 4.0, np.nan]}
    )
    teacher, student = distillation_report(
        {"teacher": Length(), "student": Longer()}, texts, "pearsonr", task="length"
    ).models
    assert student.correlation_with_teacher == pytest.approx(np.corrcoef([1, 2, 3, 5, 2], [1, 4, 9, 25, 4])[0, 1])
    assert teacher.metrics["pearsonr"] == pytest.approx(np.corrcoef([1, 2, 3, 5], [0.5, 2, 1, 4])[0, 1])
    expected = np.corrcoef([1, 4, 9, 25], [0.5, 2, 1, 4])[0, 1] - np.corrcoef([1, 2, 3, 5], [0.5, 2, 1, 4])[0, 1]
    assert student.differences_to_teacher["pearsonr"]["value"] == pytest.approx(expected)
    assert (student.calibration, student.classes, student.confusion) == (None, [], None)
    assert student.disagreements["rows"] is None
    first = student.disagreements["examples"][0]
    assert (first["text"], first["teacher"], first["model"], first["gold"]) == ("a b c d e", 5.0, 25.0, 4.0)
    assert student.disagreements["examples"][-1]["model"] == 4.0
    assert [band["mean_absolute_error"] for band in student.lengths] == [1.25, None, 14.5]


class Letters:
    """Several labels a text: which of the letters a, b and c it has."""

    def __init__(self, letters="abc", *, labels_are_lists=True):
        self.letters = letters
        self.labels_are_lists = labels_are_lists

    def predict(self, texts, text_pairs=None):
        scores = np.array(
            [[0.9 if letter in text and letter in self.letters else 0.2 for letter in "abc"] for text in texts]
        )
        return (scores > 0.5).astype(int) if self.labels_are_lists else scores.argmax(axis=1), scores


@pytest.mark.parametrize("labels_are_lists", [True, False], ids=["lists", "positions"])
def test_several_labels_a_text_are_measured_label_by_label(labels_are_lists):
    texts = Dataset.from_dict(
        {
            "text": ["a", "ab", "abc", "none", "c"],
            "label": [[1.0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 0], [np.nan] * 3],
        }
    )
    models = {"teacher": Letters(), "student": Letters("ac", labels_are_lists=labels_are_lists)}
    names = ["A", "B", "C"]
    teacher, student = distillation_report(models, texts, "f1", task="letters", label_names=names).models
    assert teacher.metrics == {"f1": pytest.approx(2 * 6 / (2 * 6 + 0 + 1))}
    assert student.metrics == {"f1": pytest.approx(2 * 4 / (2 * 4 + 0 + 3))}
    assert student.agreement_with_teacher == pytest.approx(3 / 5)
    assert [each["support"] for each in student.classes] == [3, 3, 1]
    assert [each["recall"] for each in student.classes] == [1.0, 0.0, 1.0]
    assert [each["precision"] for each in student.classes] == [1.0, None, 1.0]
    assert (student.calibration, student.confusion) == (None, None)
    assert student.disagreements["rows"] == 2
    assert (student.disagreements["teacher_right"], student.disagreements["model_right"]) == (2, 0)
    example = student.disagreements["examples"][0]
    assert (example["teacher"], example["model"], example["gold"]) == (["A", "B"], ["A"], ["A", "B"])
    assert example["model_confidence"] is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1, 0, 2], [0, 0, 1]], r"\[1, 0, 2\] in row 0.*of 0 and 1"),
        ([[1, 0], [0, 1]], r"shape \(2, 2\)"),
        ([[1], [0, 1]], r"lists of \[1, 2\] values"),
        ([3, 0], r"from 0 to 3.*the labels 0 to 2"),
        ([0.5, 1.0], r"fractions \(such as 0\.5\)"),
    ],
    ids=["a two in a list", "too few labels", "lists of two lengths", "a label too many", "fractions"],
)
def test_gold_labels_that_the_predictions_do_not_fit_are_named(labels, message):
    texts = Dataset.from_dict({"text": ["good", "bad"], "label": labels})

    class Three:
        def predict(self, texts, text_pairs=None):
            scores = np.tile([0.2, 0.3, 0.5], (len(texts), 1))
            return scores.argmax(axis=1), scores

    metric = "accuracy" if isinstance(labels[0], list | int) else "pearsonr"
    with pytest.raises(ValueError, match=message):
        distillation_report({"student": Three()}, texts, metric, task="three")


def test_labels_have_the_names_they_are_given(texts):
    (named,) = distillation_report(
        {"student": KeywordRule("film")}, texts, "f1", task="t", label_names=["bad", "good"]
    ).models
    assert [each["name"] for each in named.classes] == ["bad", "good"]
    classes = texts.cast_column("label", ClassLabel(names=["no", "yes"]))
    (own,) = distillation_report({"student": KeywordRule("film")}, classes, "f1", task="t").models
    assert [each["name"] for each in own.classes] == ["no", "yes"]
    (numbered,) = distillation_report({"student": KeywordRule("film")}, texts, "f1", task="t").models
    assert [each["name"] for each in numbered.classes] == ["0", "1"]
    with pytest.raises(ValueError, match=r"2 scores a text, but the labels are \['a', 'b', 'c'\]"):
        distillation_report({"student": KeywordRule("film")}, texts, "f1", task="t", label_names=["a", "b", "c"])


def test_intervals_and_differences_hold_the_values_they_belong_to():
    rows = [f"{'good' if row % 10 else 'so so'} {row}" for row in range(300)]
    gold = [int(row % 10 > 2) for row in range(300)]
    texts = Dataset.from_dict({"text": rows, "label": gold})
    models = {"teacher": KeywordRule("good"), "student": KeywordRule("good", "so"), "twin": KeywordRule("good")}
    teacher, student, twin = distillation_report(models, texts, "accuracy", task="films").models
    low, high = teacher.intervals["accuracy"]
    assert low < teacher.metrics["accuracy"] == 0.8 < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 300), rel=0.15)  # of a binomial
    paired = student.differences_to_teacher["accuracy"]
    assert paired["value"] == pytest.approx(-0.1)
    assert paired["low"] < -0.1 < paired["high"] < 0
    assert paired["high"] - paired["low"] == pytest.approx(2 * 1.96 * np.sqrt(0.1 * 0.9 / 300), rel=0.15)
    assert twin.differences_to_teacher == {"accuracy": {"value": 0.0, "low": None, "high": None}}
    assert teacher.differences_to_teacher == {}
    low, high = student.intervals["agreement_with_teacher"]
    assert low < 0.9 < high
    assert "agreement_with_teacher" not in teacher.intervals


def test_several_metrics_stand_side_by_side(texts):
    metrics = evaluate.combine([load_metric("accuracy"), load_metric("f1")])
    report = distillation_report({"teacher": KeywordRule("good")}, texts, metrics, task="films")
    assert report.metric == "accuracy, f1"
    assert report.models[0].metrics == {"accuracy": pytest.approx(4 / 6), "f1": pytest.approx(1 / 2)}


def test_sizes_are_the_models_own_or_unknown(texts):
    sized, bare = distillation_report(
        {"teacher": SizedRule("good"), "student": KeywordRule("good")}, texts, "f1", task="t"
    ).models
    assert (sized.parameters, sized.parameters_without_embeddings) == (1_234_567, 234_567)
    assert sized.size_mb == pytest.approx(4.938268)
    assert (bare.parameters, bare.parameters_without_embeddings, bare.size_mb) == (None, None, None)


def test_a_method_is_not_a_number_of_parameters(texts):
    class WithMethod(KeywordRule):
        def parameters(self):
            return iter(self.words)

    (model,) = distillation_report({"teacher": WithMethod("good")}, texts, "accuracy", task="films").models
    assert model.parameters is None


def test_speeds_have_the_units_they_are_named_for(texts):
    """Seconds pass for milliseconds. The bounds are those of `sleep`, which a busy machine cannot break."""

    class Slow(KeywordRule):
        def predict(self, texts, text_pairs=None):
            time.sleep(0.002 + 0.001 * len(texts))
            return super().predict(texts)

    (model,) = distillation_report({"teacher": Slow("good")}, texts, "accuracy", task="films").models
    assert 0 < model.throughput_per_s <= 6 / 0.008
    assert 3 <= model.latency_ms_p50 <= model.latency_ms_p95


def test_a_slow_model_predicts_the_texts_once(texts):
    """A teacher of many minutes is run again and again."""
    rows = []

    class VerySlow(KeywordRule):
        def predict(self, texts, text_pairs=None):
            rows.append(len(texts))
            time.sleep(3.1 if len(texts) == 100 else 0)
            return super().predict(texts)

    many = Dataset.from_dict({"text": ["a good film"] * 100, "label": [1] * 100})
    distillation_report({"teacher": VerySlow("good")}, many, "accuracy", task="films")
    assert rows.count(100) == 1
    assert rows.count(1) <= 205


def test_the_json_has_these_keys_and_no_other(texts, tmp_path):
    models = {"teacher": SizedRule("good"), "student": KeywordRule("good")}
    path = distillation_report(models, texts, "accuracy", task="films").save(tmp_path / "new")
    assert path == tmp_path / "new" / "report.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content) == ["task", "metric", "models", "environment", "rows", "rows_with_gold"]
    assert (content["task"], content["metric"]) == ("films", "accuracy")
    assert [list(model) for model in content["models"]] == [MODEL_KEYS] * 2
    assert (content["rows"], content["rows_with_gold"]) == (6, 6)


def test_everything_is_written_beside_the_student_at_once(texts, tmp_path):
    pytest.importorskip("matplotlib")
    models = {"teacher": SizedRule("good"), "student": KeywordRule("film")}
    report = distillation_report(models, texts, "accuracy", task="films")
    report.save(tmp_path)
    pictures = [f"report/{name}.{kind}" for name in ("confusion", "pareto", "reliability") for kind in ("png", "svg")]
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == sorted([*pictures, "report.html", "report.json", "report.md"])
    for link in re.findall(r"\]\(([^)]*)\)", (tmp_path / "report.md").read_text(encoding="utf-8")):
        assert (tmp_path / link).is_file()
    first = {path: (tmp_path / path).read_bytes() for path in written}
    Report.load(tmp_path).save(tmp_path)  # the same report makes the same files, from its JSON too
    assert first == {path: (tmp_path / path).read_bytes() for path in written}


def test_a_report_without_matplotlib_says_what_is_missing(texts, tmp_path, monkeypatch):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "pareto.png").write_bytes(b"of another run")
    (tmp_path / "report" / "notes.txt").write_text("mine")
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    distillation_report({"student": KeywordRule("film")}, texts, "accuracy", task="films").save(tmp_path)
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["notes.txt"]
    for page in ("report.html", "report.md"):
        assert "hf-bilstm-distill[report]" in (tmp_path / page).read_text(encoding="utf-8").replace("&#39;", "'")
    assert "0.5000" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_texts_that_must_not_be_passed_on_stay_out_of_the_report(texts, tmp_path):
    models = {"teacher": KeywordRule("good"), "student": KeywordRule("film")}
    report = distillation_report(models, texts, "accuracy", task="films", num_examples=0)
    assert report.models[1].disagreements["rows"] == 3
    report.save(tmp_path)
    for file in ("report.json", "report.html", "report.md"):
        assert not [text for text in TEXTS if text in (tmp_path / file).read_text(encoding="utf-8")]


def test_rows_of_a_table_stand_on_a_line_and_texts_stay_as_they_are(tmp_path):
    odd = ["[\n 1,\n 2 ]", "[ 1, 2 ]"]
    texts = Dataset.from_dict({"text": odd, "label": [1, 0]})
    models = {"teacher": KeywordRule("1,"), "student": KeywordRule("never")}
    path = distillation_report(models, texts, "accuracy", task="films").save(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "[1, 0]" in text
    assert {each["text"] for each in json.loads(text)["models"][1]["disagreements"]["examples"]} == set(odd)


def test_a_value_that_is_not_defined_is_null_in_json(tmp_path):
    texts = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1.0, 2.0, 3.0]})  # all of one length
    report = distillation_report({"teacher": Length()}, texts, "pearsonr", task="length")
    assert np.isnan(report.models[0].metrics["pearsonr"])
    text = report.save(tmp_path).read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["models"][0]["metrics"] == {"pearsonr": None}
    assert " nan" not in report.to_table().lower()


def test_a_report_that_was_saved_is_loaded_as_it_was(texts, tmp_path):
    models = {"teacher": SizedRule("good"), "étudiant": KeywordRule("film")}
    report = distillation_report(models, texts, "accuracy", task="films")
    path = report.save(tmp_path)
    assert Report.load(path) == report
    assert Report.load(tmp_path) == report


@pytest.mark.parametrize("content", ["[1]", "{", '{"task": "films"}'], ids=["list", "cut off", "keys missing"])
def test_a_file_that_is_no_report_is_named(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"report\.json holds no report"):
        Report.load(path)


def test_the_environment_tells_the_machine_but_not_whose_it_is(texts):
    report = distillation_report({"teacher": KeywordRule("good")}, texts, "accuracy", task="films")
    assert report.environment["python"] == platform.python_version()
    assert {"processor", "cores", "threads", "torch", "transformers"} <= set(report.environment)
    text = json.dumps(report.environment)
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text


def hand_made_report():
    teacher = ModelReport("teacher", {"accuracy": 0.92431}, 1.0, 22_713_216, 10_000_000, 90.0, 150.0, 13.8, 20.0)
    student = ModelReport("student", {"accuracy": 0.9}, 0.95, 963_002, None, 4.5, 6900.0, 0.25, 0.3)
    return Report("films", "accuracy", [teacher, student], {"processor": "abacus", "cores": 2, "threads": 1})


def test_the_table_can_be_read_by_a_stranger():
    lines = hand_made_report().to_table().splitlines()
    assert lines[0] == "Task: films"
    header, teacher, student = lines[2:5]
    assert " ".join(teacher.split()) == "teacher 0.9243 1.0000 22,713,216 10,000,000 90.0 150 13.8 20.0 1.00 1.00"
    assert " ".join(student.split()) == "student 0.9000 0.9500 963,002 - 4.50 6,900 0.250 0.300 20.0 46.0"
    assert len(header) == len(teacher) == len(student)
    for number, column in [("963,002", "parameters"), ("6,900", "texts/s"), ("46.0", "x faster")]:
        assert student.index(number) + len(number) == header.index(column) + len(column)
    assert "abacus" in lines[-1]


def test_the_markdown_table_has_the_same_cells():
    report = hand_made_report()
    header, ruler, *rows = [line for line in report.to_markdown().splitlines() if line.startswith("|")]
    assert header.count("|") == ruler.count("|") == rows[0].count("|") == rows[1].count("|")
    assert [cell.strip() for cell in rows[1].strip("|").split("|")] == report.to_table().splitlines()[4].split()


def test_a_name_with_a_bar_does_not_break_the_markdown_table():
    report = hand_made_report()
    odd = ModelReport("a|b", {}, None, None, None, None, 1.0, 1.0, 1.0)
    markdown = Report(report.task, report.metric, [*report.models, odd], report.environment).to_markdown()
    assert "| a\\|b | - | - |" in markdown


def test_columns_of_which_nothing_is_known_are_left_out(texts):
    table = distillation_report(
        {"student": KeywordRule("good")}, texts.remove_columns("label"), "f1", task="films"
    ).to_table()
    header = table.splitlines()[2]
    assert header.split("  ")[0] == "model"
    assert not [column for column in ("f1", "agreement", "parameters", "MB", "x faster") if column in header]
    assert "texts/s" in header


def test_what_cannot_be_measured_stops_before_the_models_run(texts):
    class Unused:
        def predict(self, texts, text_pairs=None):
            pytest.fail("the model ran")

    models = {"teacher": Unused()}
    three_classes = texts.remove_columns("label").add_column("label", [0, 1, 2, 0, 1, 2])
    with pytest.raises(ValueError, match="average='macro'"):
        distillation_report(models, three_classes, "f1", task="films")
    with pytest.raises(ValueError, match="none of this package's metrics"):
        distillation_report(models, texts, "acuracy", task="films")
    with pytest.raises(ValueError, match=r"1 of 6 rows have None.*-100"):
        distillation_report(
            models, texts.remove_columns("label").add_column("label", [0, 1, None, 0, 1, 0]), "f1", task="films"
        )
    with pytest.raises(ValueError, match=r"string.*'yes'.*not numbers"):
        distillation_report(models, texts.remove_columns("label").add_column("label", ["yes"] * 6), "f1", task="films")
    with pytest.raises(ValueError, match="no column 'text'"):
        distillation_report(models, texts.rename_column("text", "sentence"), "f1", task="films")
    with pytest.raises(ValueError, match="no model"):
        distillation_report({}, texts, "f1", task="films")


@pytest.mark.parametrize(
    "wrong",
    [
        (np.zeros(3, dtype=np.int64), np.zeros((3, 2))),
        (np.zeros((6, 1), dtype=np.int64), np.zeros((6, 2))),
        (np.array(["positive"] * 6), np.zeros((6, 2))),
        (np.zeros(6, dtype=np.int64), np.zeros(6)),
    ],
    ids=["rows missing", "column of labels", "label names", "flat scores"],
)
def test_predictions_of_another_form_name_the_model(texts, wrong):
    class Wrong:
        def predict(self, texts, text_pairs=None):
            return wrong

    with pytest.raises(ValueError, match=r"student\.predict gave .* for 6 texts"):
        distillation_report({"student": Wrong()}, texts, "accuracy", task="films")
