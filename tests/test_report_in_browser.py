"""A report's page is cut off on a phone, unreadable in the dark, or empty without a network."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from headless_browser import DESK, PHONE, Browser, needs_browser, open_browser

from hf_bilstm_distill.report import distillation_report

pytestmark = [pytest.mark.slow, needs_browser]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


class Rule:
    """The label of the first word among the names, at some probability; and as slow and as large as it is told."""

    def __init__(self, size_bytes: int, wrong: int) -> None:
        self.size_bytes = size_bytes
        self._wrong = wrong

    def predict(self, texts: Any, text_pairs: Any = None) -> tuple[np.ndarray, np.ndarray]:
        labels = np.array([(int(text.split()[0]) + (int(text.split()[1]) % 7 < self._wrong)) % 3 for text in texts])
        return labels, np.where(np.eye(3)[labels] == 1, 0.8, 0.1)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [f"{row % 3} {row} " + "long-word-without-a-place-to-break" * (row % 5) for row in range(120)]
    dataset = Dataset.from_dict({"text": texts, "label": [row % 3 for row in range(120)]})
    models = {
        name: Rule(size, wrong)
        for name, size, wrong in [
            ("teacher", 440_000_000, 0),
            ("student", 3_000_000, 1),
            ("baseline", 3_000_000, 2),
            ("tf-idf", 500_000, 3),
        ]
    }
    folder = tmp_path_factory.mktemp("report")
    report = distillation_report(models, dataset, "accuracy", task="intents", label_names=["bad", "so so", "very good"])
    report.save(folder)
    return folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_fits_the_screen_and_can_be_read(
    browser: Browser, page: Path, size: tuple[int, int], scheme: str
) -> None:
    """A reader would scroll sideways, or see dark words on a dark page."""
    browser.open(page.as_uri(), size, scheme)
    assert browser.run("return innerWidth") == size[0]
    assert browser.run("return document.scrollingElement.scrollWidth") <= size[0]
    paper, ink = _colours(browser, "getComputedStyle(document.body)", "backgroundColor", "color")
    assert _contrast(paper, ink) > 7
    words = "getComputedStyle(document.querySelector('figure svg text'))"
    assert _contrast(paper, _colours(browser, words, "fill")[0]) > 7
    cells = [each for each in _fills(browser) if each["text"].isdigit()]
    assert len(cells) == 9  # the teacher is always right, the student sometimes
    for cell in cells:
        behind = [
            (1 - cell["shade"]) * under + cell["shade"] * over for under, over in zip(paper, cell["fill"], strict=True)
        ]
        assert _contrast(behind, cell["ink"]) > 3.9, cell


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_no_label_of_the_picture_covers_another(browser: Browser, page: Path, size: tuple[int, int]) -> None:
    """The font of the reader's machine is not the one that the places were found with."""
    browser.open(page.as_uri(), size, "light")
    boxes = browser.run(
        "return [...document.querySelectorAll('figure')[0].querySelectorAll('text')].map(text => {"
        "const box = text.getBoundingClientRect(); return [text.textContent, box.x, box.y, box.right, box.bottom]})"
    )
    assert {"teacher", "student", "baseline", "tf-idf"} <= {box[0] for box in boxes}
    for one, other in combinations(boxes, 2):
        width = min(one[3], other[3]) - max(one[1], other[1])
        height = min(one[4], other[4]) - max(one[2], other[2])
        apart = min(one[4] - one[2], other[4] - other[2]) / 3  # boxes of text hold the room for its descenders
        assert width <= 0 or height <= apart, (one, other)


def test_the_page_asks_for_nothing_and_runs_nothing(browser: Browser, page: Path) -> None:
    """A page that was sent by mail would come without its pictures."""
    browser.open(page.as_uri(), DESK, "light")
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.run("return document.scripts.length") == 0
    ids = browser.run("return [...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids)) > 0


def _fills(browser: Browser) -> list[dict[str, Any]]:
    """Return the numbers of the confusion picture with their own colour and that of the cell below them."""
    found = browser.run(
        "const figure = document.querySelectorAll('figure')[1];"
        "const cells = [...figure.querySelectorAll('path')]"
        ".filter(each => each.style.fill === 'var(--cell)');"
        "return [...figure.querySelectorAll('text')].map(text => {"
        "const at = text.getBoundingClientRect(); const x = (at.x + at.right) / 2, y = (at.y + at.bottom) / 2;"
        "const under = cells.find(each => {const box = each.getBoundingClientRect();"
        "return box.x <= x && x <= box.right && box.y <= y && y <= box.bottom});"
        "return [text.textContent, getComputedStyle(text).fill,"
        "under ? getComputedStyle(under).fill : null, under ? Number(under.style.opacity || 1) : 0]})"
    )
    return [
        {"text": text, "ink": _rgb(ink), "fill": _rgb(fill), "shade": shade}
        for text, ink, fill, shade in found
        if fill is not None
    ]


def _colours(browser: Browser, style: str, *names: str) -> list[list[float]]:
    return [_rgb(browser.run(f"return {style}.{name}")) for name in names]


def _rgb(colour: str) -> list[float]:
    return [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]


def _contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast ratio of two colours, by the formula of WCAG 2.2."""

    def luminance(colour: list[float]) -> float:
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)
