"""A picture on a slide has labels over labels, or shows something else than was measured."""

import re
import sys
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from hf_bilstm_distill.report.model_report import ModelReport
from hf_bilstm_distill.report.pictures import draw_pictures, headline

matplotlib = pytest.importorskip("matplotlib")

BINS = [
    {
        "low": n / 15,
        "high": (n + 1) / 15,
        "rows": 10 * (n > 7),
        "confidence": (n + 0.5) / 15 if n > 7 else None,
        "accuracy": n / 15 if n > 7 else None,
    }
    for n in range(15)
]


def model(name, accuracy=0.9, speed=100.0, size=90.0, *, classes=("bad", "good")):
    number = len(classes)
    return ModelReport(
        name,
        {"accuracy": accuracy},
        0.95,
        None,
        None,
        size,
        speed,
        1.0,
        2.0,
        intervals={"accuracy": [accuracy - 0.02, accuracy + 0.02]},
        calibration={"expected_calibration_error": 0.033, "bins": BINS},
        classes=[{"name": each, "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 10} for each in classes],
        confusion=(9 * np.eye(number, dtype=int) + 1).tolist(),
    )


USUAL = [
    model("teacher", 0.92, 120.0, 440.0),
    model("student", 0.9, 4000.0, 4.5),
    model("baseline", 0.85, 4100.0, 4.5),
    model("tf-idf", 0.8, 30_000.0, 0.5),
]


def words_of(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def boxes_of_labels(models, monkeypatch):
    """Draw, and return where the bold name and the facts of each label ended up, and the frame."""
    from hf_bilstm_distill.report import pictures

    found = []

    def keep(axes, **arguments):
        place(axes, **arguments)
        wanted = {*arguments["names"], *arguments["facts"]}
        labels = [text for text in axes.texts if text.get_text() in wanted]
        found.append(([(each.get_text(), each.get_window_extent()) for each in labels], axes.get_window_extent()))

    place = pictures.place_labels
    monkeypatch.setattr(pictures, "place_labels", keep)
    draw_pictures("films", models)
    return found[0]


@pytest.mark.parametrize(
    "models",
    [
        USUAL,
        [*USUAL, *(model(f"another student {n}", 0.9 - n / 300, 3900.0 + 90 * n, 4.4) for n in range(4))],
        [model("teacher", 0.9, 100.0, 90.0), model("the very same model once more", 0.9, 100.0, 90.0)],
        [model("alone")],
    ],
    ids=["usual", "a crowd", "in one place", "alone"],
)
def test_labels_lie_apart_and_inside_the_picture(models, monkeypatch):
    labels, frame = boxes_of_labels(models, monkeypatch)
    assert len(labels) == 2 * len(models)
    for (one, box), (other, another) in combinations(labels, 2):
        width = min(box.x1, another.x1) - max(box.x0, another.x0)
        height = min(box.y1, another.y1) - max(box.y0, another.y0)
        assert width <= 0 or height <= 2, (one, other)  # the two lines of a label may touch
    for text, box in labels:
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, text
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, text


def test_pictures_say_what_was_measured_in_words_that_can_be_searched():
    pictures = {picture.name: picture for picture in draw_pictures("films", USUAL)}
    assert list(pictures) == ["pareto", "confusion", "reliability"]
    assert {"student", "0.900 · 4,000/s · 4.50 MB", "1,000", "10,000"} <= set(words_of(pictures["pareto"].svg))
    assert words_of(pictures["confusion"].svg).count("10") == 4  # right ones of the teacher and of the student
    assert words_of(pictures["confusion"].svg).count("91%") == 4
    assert words_of(pictures["reliability"].svg).count("ECE 0.033") == 4
    assert "student: 0.900" in pictures["pareto"].description
    for picture in pictures.values():
        assert picture.png.startswith(b"\x89PNG")
        assert "films" in picture.title


def test_the_same_report_makes_the_same_pictures():
    """A report in a repository would change each time it is made."""
    assert draw_pictures("films", USUAL) == draw_pictures("films", USUAL)


def test_no_picture_shows_what_is_not_known():
    bare = ModelReport("student", {}, None, None, None, None, 100.0, 1.0, 2.0)
    assert draw_pictures("films", [bare]) == []
    (only,) = draw_pictures("films", [replace(bare, agreement_with_teacher=0.9)])
    assert "agreement with the teacher  →  better" in words_of(only.svg)
    assert "0.900 · 100/s" in words_of(only.svg)
    nowhere = replace(bare, metrics={"pearsonr": float("nan")})
    assert draw_pictures("films", [nowhere]) == []


@pytest.mark.parametrize("number", [3, 12, 13, 40], ids=str)
def test_many_classes_are_drawn_without_a_heap_of_numbers(number):
    pictures = draw_pictures("intents", [model("student", classes=[f"intent {n}" for n in range(number)])])
    words = words_of(next(picture for picture in pictures if picture.name == "confusion").svg)
    assert words.count("10") == (number if number <= 12 else 0)
    assert [word for word in words if word.startswith("intent ")] == [f"intent {n}" for n in range(number)] * 2


def test_a_hundred_classes_are_left_to_the_table():
    pictures = draw_pictures("intents", [model("student", classes=[str(n) for n in range(100)])])
    assert "confusion" not in {picture.name for picture in pictures}


def test_names_are_shown_as_they_are_written():
    """A dollar sign would start a formula, and a Chinese label would stop the report."""
    odd = [model("$student_1$ <b>", classes=("悪い", "$a_b$"))]
    pictures = {picture.name: picture for picture in draw_pictures("50% & $more", odd)}
    assert "$student_1$ <b>" in words_of(pictures["pareto"].svg)
    assert {"悪い", "$a_b$"} <= set(words_of(pictures["confusion"].svg))


def test_models_keep_their_colours_in_every_picture():
    """A reader would take the student's curve for the teacher's."""
    blue, orange = "#0072b2", "#d55e00"
    for models in (USUAL, USUAL[::-1]):
        svg = next(picture for picture in draw_pictures("films", models) if picture.name == "reliability").svg
        panels = re.split(r'<g id="axes_\d">', svg)[1:]
        for each, panel in zip(models, panels, strict=True):
            assert (blue in panel) == (each.name == "teacher")
            assert (orange in panel) == (each.name == "student")


def test_the_headline_says_no_more_than_is_so():
    teacher, student = USUAL[:2]
    assert headline("films", USUAL) == "films: 33x faster, 98x smaller, 97.8% of the teacher's accuracy"
    assert headline("films", [student]) == "films"
    slow = replace(student, throughput_per_s=60.0, size_mb=None)
    assert headline("films", [teacher, slow]) == "films: 97.8% of the teacher's accuracy"
    negative = [replace(each, metrics={"pearsonr": -0.1}) for each in (teacher, slow)]
    assert headline("films", negative) == "films"


def test_a_missing_matplotlib_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"need matplotlib.*pip install 'hf-bilstm-distill\[report\]'"):
        draw_pictures("films", USUAL)
