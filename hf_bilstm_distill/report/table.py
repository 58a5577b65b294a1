"""Models side by side, a line each: as text and as Markdown."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from hf_bilstm_distill.report.model_report import ModelReport

_TEACHER = "teacher"
_MACHINE = ("processor", "accelerator", "cores", "threads")
_MEANINGS = {
    "95%": "95%: interval of 1,000 bootstrap samples of the texts.",
    "agreement": "agreement: share of the texts that get the teacher's label.",
    "r(teacher)": "r(teacher): correlation of the scores with the teacher's.",
    "ECE": "ECE: expected calibration error of the predicted label's probability, 15 bins of equal width.",
    "MB": "MB: 10^6 bytes of weights.",
    "texts/s": "texts/s: given all texts at once.",
    "p50 ms": "p50, p95: milliseconds for a call with one text.",
    "x faster": "x smaller, x faster: MB and texts/s against the teacher's.",
}


def table_cells(models: Sequence[ModelReport]) -> list[list[str]]:
    """Return the table's header and its rows; a column in which nothing is known is left out.

    Args:
        models: What was measured.

    Returns:
        Lists of cells, all of one length.
    """
    teacher = next((model for model in models if model.name == _TEACHER), None)
    metric_names = dict.fromkeys(name for model in models for name in model.metrics)
    columns = [("model", [model.name for model in models])]
    for name in metric_names:
        columns.append((name, [decimals(model.metrics.get(name)) for model in models]))
        columns.append(("95%", [range_of(model.intervals.get(name)) for model in models]))
    columns += [
        ("agreement", [decimals(model.agreement_with_teacher) for model in models]),
        ("r(teacher)", [decimals(model.correlation_with_teacher) for model in models]),
        ("ECE", [decimals(_calibration_error(model)) for model in models]),
        ("parameters", [digits(model.parameters) for model in models]),
        ("w/o embeddings", [digits(model.parameters_without_embeddings) for model in models]),
        ("MB", [digits(model.size_mb) for model in models]),
        ("texts/s", [digits(model.throughput_per_s) for model in models]),
        ("p50 ms", [digits(model.latency_ms_p50) for model in models]),
        ("p95 ms", [digits(model.latency_ms_p95) for model in models]),
    ]
    if teacher is not None:
        columns += [
            ("x smaller", [digits(ratio(teacher.size_mb, model.size_mb)) for model in models]),
            ("x faster", [digits(ratio(model.throughput_per_s, teacher.throughput_per_s)) for model in models]),
        ]
    return _rows(columns)


def length_cells(models: Sequence[ModelReport]) -> list[list[str]]:
    """Return the table of short, middle and long texts, a row for each model and band.

    Args:
        models: What was measured.

    Returns:
        Lists of cells, the header first; a column in which nothing is known is left out. Empty if there are no bands.
    """
    bands = [(model.name, band) for model in models for band in model.lengths]
    columns = [
        ("model", [name for name, _ in bands]),
        ("characters", [f"{band['shortest']:,} to {band['longest']:,}" for _, band in bands]),
        ("texts", [digits(band["rows"]) for _, band in bands]),
        ("right", [decimals(band["share_right"]) for _, band in bands]),
        ("mean error", [decimals(band["mean_absolute_error"]) for _, band in bands]),
        ("agreement", [decimals(band["agreement_with_teacher"]) for _, band in bands]),
    ]
    return _rows(columns) if bands else []


def text_table(models: Sequence[ModelReport], environment: Mapping[str, Any]) -> str:
    """Return the table with aligned columns, and a line on what they mean.

    Args:
        models: What was measured.
        environment: The machine.

    Returns:
        The text.
    """
    cells = table_cells(models)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([f"{name:<{widths[0]}}", *map(str.rjust, row, widths[1:])]) for name, *row in cells]
    return "\n".join([*lines, "", *textwrap.wrap(legend(models, environment), 110)])


def markdown_table(cells: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown.

    Args:
        cells: Its rows, the header first.

    Returns:
        Its lines.
    """
    header, *rows = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ruler, *rows))


def legend(models: Sequence[ModelReport], environment: Mapping[str, Any]) -> str:
    """Return what the columns mean, and where this was measured.

    Args:
        models: What was measured.
        environment: The machine.

    Returns:
        A paragraph.
    """
    header = table_cells(models)[0]
    meanings = [meaning for column, meaning in _MEANINGS.items() if column in header]
    machine = [f"{key}: {value}" for key, value in environment.items() if key in _MACHINE and value]
    return " ".join([*meanings, "-: not known.", f"Measured on {', '.join(machine)}."])


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Divide, where both are known and that is possible.

    Args:
        numerator: The one.
        denominator: The other.

    Returns:
        Their ratio, or None.
    """
    return numerator / denominator if numerator is not None and denominator else None


def decimals(value: float | None) -> str:
    """Write a share or a metric.

    Args:
        value: The value; None or NaN where it is not known.

    Returns:
        Four decimals, or `-`.
    """
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def range_of(ends: Sequence[float] | None) -> str:
    """Write an interval.

    Args:
        ends: Its two ends, or None.

    Returns:
        Three decimals each, or `-`.
    """
    return "-" if ends is None else f"{ends[0]:.3f}..{ends[1]:.3f}"


def digits(value: float | None) -> str:
    """Write a count in full, a size or a speed with at least three significant digits.

    Args:
        value: The value, or None.

    Returns:
        The number, or `-`.
    """
    if value is None or isinstance(value, int):
        return "-" if value is None else f"{value:,}"
    magnitude = math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:,.{max(0, 2 - magnitude)}f}"


def _rows(columns: Sequence[tuple[str, list[str]]]) -> list[list[str]]:
    """Turn columns with their headers into rows, without the columns in which nothing is known."""
    known = [[header, *cells] for header, cells in columns if set(cells) != {"-"}]
    return [list(row) for row in zip(*known, strict=True)]


def _calibration_error(model: ModelReport) -> float | None:
    return None if model.calibration is None else model.calibration["expected_calibration_error"]
