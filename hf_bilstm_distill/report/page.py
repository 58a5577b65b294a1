"""A report as pages for people: one HTML file that needs no other, and Markdown."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from hf_bilstm_distill.report.model_report import ModelReport
from hf_bilstm_distill.report.pictures import CELL, COLOURS, INK, ON_COLOUR, PAPER, QUIET, Picture, colour_of, headline
from hf_bilstm_distill.report.table import (
    decimals,
    digits,
    legend,
    length_cells,
    markdown_table,
    range_of,
    ratio,
    table_cells,
)

_FOLDER = Path(__file__).parent
_PAGE, _MARKDOWN = "page.html", "page.md"
_VARIABLES = {INK: "ink", QUIET: "quiet", PAPER: "paper", ON_COLOUR: "on-cell", CELL: "cell"} | {
    colour: f"colour-{number}" for number, colour in enumerate(COLOURS)
}


def html_page(content: dict[str, Any], pictures: Sequence[Picture], missing: str | None) -> str:
    """Return a report as one HTML page, for phones and desks, light and dark, without scripts.

    Args:
        content: The report as JSON holds it.
        pictures: Its pictures, which become part of the page.
        missing: Why there are none, or None.

    Returns:
        The page. It refers to nothing outside itself.
    """
    svgs = {picture.name: {"title": picture.title, "svg": _inline(picture)} for picture in pictures}
    return _render(_PAGE, content, pictures=svgs, missing=missing)


def markdown_page(content: dict[str, Any], pictures: Sequence[Picture], missing: str | None, *, folder: str) -> str:
    """Return a report as Markdown.

    Args:
        content: The report as JSON holds it.
        pictures: Its pictures.
        missing: Why there are none, or None.
        folder: Where the PNG files of the pictures are, from the page.

    Returns:
        The page.
    """
    links = {picture.name: f"![{_plain(picture.description)}]({folder}/{picture.name}.png)" for picture in pictures}
    return _render(_MARKDOWN, content, pictures=links, missing=missing)


def _render(template: str, content: dict[str, Any], **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=template.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "decimals": decimals,
        "digits": digits,
        "range": range_of,
        "percent": _percent,
        "answer": _answer,
        "plain": _plain,
        "table": markdown_table,
        "words": lambda name: name.replace("_", " "),
        "signed": lambda value: "-" if value is None else f"{value:+.4f}",
    }
    models = [ModelReport(**model) for model in content["models"]]
    by_name = {model.name: model for model in models}
    teacher, student = by_name.get("teacher"), by_name.get("student")
    return environment.get_template(template).render(
        **content,
        **values,
        headline=headline(content["task"], models),
        cells=table_cells(models),
        lengths=length_cells(models),
        legend=legend(models, content["environment"]),
        student=student,
        faster=ratio(student.throughput_per_s, teacher.throughput_per_s) if student and teacher else None,
        smaller=ratio(teacher.size_mb, student.size_mb) if student and teacher else None,
        dots={model.name: f"var(--{_VARIABLES[colour_of(model.name, models)]})" for model in models},
    )


def _inline(picture: Picture) -> Markup:
    """Return a picture's SVG as a part of a page: it fits its width, and takes its colours from the page's style."""
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg))
    # Names are unique in a page, and each picture was drawn as if it were alone.
    svg = re.sub(r'\bid="', rf'id="{picture.name}-', svg)
    svg = svg.replace('href="#', f'href="#{picture.name}-').replace("url(#", f"url(#{picture.name}-")
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    label = str(Markup.escape(picture.description))
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _answer(value: Any) -> str:
    """Write what a model says of a text: a label, several, or a score."""
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "not known" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(text.split()))
