"""The reports of several tasks in one table."""

from collections.abc import Mapping
from pathlib import Path

from hf_bilstm_distill.files import write_text
from hf_bilstm_distill.report.comparison import Report, _to_json
from hf_bilstm_distill.report.model_report import ModelReport
from hf_bilstm_distill.report.table import decimals, digits, markdown_table, range_of

_HEADER = ["task", "model", "metric", "value", "95%", "agreement", "w/o embeddings", "MB", "texts/s"]


def summary_cells(reports: Mapping[str, Report]) -> list[list[str]]:
    """Return a row for each task and model, the header first: the first metric, the likeness to the teacher, the cost.

    Args:
        reports: The report of each task.

    Returns:
        Lists of cells.
    """
    return [_HEADER, *(_row(task, model) for task, report in reports.items() for model in report.models)]


def save_summary(reports: Mapping[str, Report], folder: Path) -> None:
    """Write the table as `report.md`, all that was measured as `report.json`, and each task's report into its folder.

    Args:
        reports: The report of each task.
        folder: Where to write them.
    """
    for task, report in reports.items():
        report.save(folder / task)
    write_text(folder / "report.md", f"# Report: {', '.join(reports)}\n\n{markdown_table(summary_cells(reports))}\n")
    write_text(folder / "report.json", _to_json({task: report.to_dict() for task, report in reports.items()}))


def summary_table(reports: Mapping[str, Report]) -> str:
    """Return the table as text with aligned columns.

    Args:
        reports: The report of each task.

    Returns:
        Its lines.
    """
    cells = summary_cells(reports)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def _row(task: str, model: ModelReport) -> list[str]:
    metric, value = next(iter(model.metrics.items()), ("-", None))
    likeness = model.agreement_with_teacher
    return [
        task,
        model.name,
        metric,
        decimals(value),
        range_of(model.intervals.get(metric)),
        decimals(model.correlation_with_teacher if likeness is None else likeness),
        digits(model.parameters_without_embeddings),
        digits(model.size_mb),
        digits(model.throughput_per_s),
    ]
