"""A report's page runs what stands in a text, needs the network, or leaves out what was measured."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from datasets import Dataset

from hf_bilstm_distill.report import distillation_report
from hf_bilstm_distill.report.page import html_page, markdown_page

ODD = "<script>alert(1)</script> & <img src=x> | *stars* [link](http://example.com) `code` # _x_"


class Rule:
    def __init__(self, *words):
        self.words = words
        self.size_bytes = 1_000_000 * len(words)

    def predict(self, texts, text_pairs=None):
        labels = np.array([int(any(word in text for word in self.words)) for text in texts])
        return labels, np.where(np.eye(2)[labels] == 1, 0.875, 0.125)


@pytest.fixture(scope="module")
def report():
    texts = Dataset.from_dict(
        {"text": [f"good {ODD}\n\n- over lines", "bad", "so so film", "fine one", "film"], "label": [1, 0, 0, 1, 0]}
    )
    models = {"teacher": Rule("good", "fine"), "student": Rule("film"), "<b>|other|": Rule("bad")}
    return distillation_report(models, texts, "accuracy", task="films & <i>more</i>", label_names=["<no>", "yes"])


@pytest.fixture(scope="module")
def pictures(report):
    pytest.importorskip("matplotlib")
    from hf_bilstm_distill.report.pictures import draw_pictures

    return draw_pictures(report.task, report.models)


class Page(HTMLParser):
    """The tags that are open at each place, the words, and what the page would load."""

    EMPTY = {"meta", "br", "link", "img", "input", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.links, self.ids = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)


def test_the_page_stands_alone(report, pictures):
    """A page that is sent by mail would ask the network, and show boxes instead of pictures."""
    text = html_page(report.to_dict(), pictures, None)
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert page.tags.count("svg") == 3
    assert [link for link in page.links if not link.startswith("#")] == []
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_texts_and_names_are_shown_and_not_run(report, pictures):
    page = Page(html_page(report.to_dict(), pictures, None))
    words = " ".join(" ".join(page.words).split())
    assert ODD in words
    assert "films & <i>more</i>" in words
    assert "<b>|other|" in words
    assert not {"script", "img", "b|other|", "i"} & set(page.tags)


def test_the_page_holds_what_was_measured(report, pictures):
    words = " ".join(" ".join(Page(html_page(report.to_dict(), pictures, None)).words).split())
    teacher, student, _ = report.models
    for value in (teacher.metrics["accuracy"], student.agreement_with_teacher, student.classes[0]["precision"]):
        assert f"{value:.4f}" in words
    assert (
        "It gives 4 texts another label than the teacher. Of the 4 with a gold label, the teacher is right on 4"
        in words
    )
    assert "87.5%" in words
    assert "Measured on 5 texts. Metric: accuracy." in words


def test_colours_of_the_pictures_follow_the_page(report, pictures):
    """In the dark, black words would stand on a black page."""
    text = html_page(report.to_dict(), pictures, None)
    svgs = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert re.findall(r"#[0-9a-fA-F]{6}\b", svgs) == []
    used = set(re.findall(r"var\(--([a-z0-9-]+)\)", text))
    assert {"paper", "ink", "quiet", "cell", "on-cell", "colour-0", "colour-1"} <= used
    light, dark = re.findall(r":root \{(.*?)\}", text, flags=re.DOTALL)
    for values in (light, dark):
        assert used <= set(re.findall(r"--([a-z0-9-]+):", values))


def test_without_pictures_the_page_says_why(report):
    text = html_page(report.to_dict(), [], "The pictures need a thing.")
    assert "The pictures need a thing." in text
    assert "<svg" not in text
    assert "The pictures need a thing." in markdown_page(report.to_dict(), [], "The pictures need a thing.", folder="x")


def test_tables_of_the_markdown_are_whole(report, pictures):
    """A bar in a name, or a text over two lines, would break the table or the list it stands in."""
    text = markdown_page(report.to_dict(), pictures, None, folder="pictures")
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 4
    for block in blocks:
        assert set(block[1]) <= set("|-: ")
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1
    assert "\\<script\\>alert(1)" in text
    assert "\\_x\\_ - over lines" in text
    assert "](pictures/pareto.png)" in text
    assert not re.search(r"\n{4}|^[^-\n].*\n- ", text, flags=re.MULTILINE)  # a list begins after an empty line


def test_texts_without_labels_and_a_single_model_make_a_page(report):
    texts = Dataset.from_dict({"text": ["good", "bad"]})
    bare = distillation_report({"student": Rule("good")}, texts, "accuracy", task="films").to_dict()
    for page in (html_page(bare, [], None), markdown_page(bare, [], None, folder="x")):
        assert "None" not in page
        assert "nan" not in page.lower().replace("nance", "")
    assert Page(html_page(bare, [], None)).open == []
