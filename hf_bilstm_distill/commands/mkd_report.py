"""The reports of several tasks in one table, and what the model card tells of their student."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset

from hf_bilstm_distill.commands.distill_arguments import RunArguments
from hf_bilstm_distill.commands.mkd_arguments import MultiTaskRunArguments
from hf_bilstm_distill.commands.shared_arguments import AUGMENTATION
from hf_bilstm_distill.embeddings import EmbeddingTable
from hf_bilstm_distill.files import write_text
from hf_bilstm_distill.model_card import CardFacts
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


def card_facts(
    run: MultiTaskRunArguments,
    runs: Mapping[str, RunArguments],
    transfer_sets: Mapping[str, Dataset],
    table: EmbeddingTable | None,
    reports: Mapping[str, Report],
    model_name: str,
) -> CardFacts:
    """Collect what the model card tells beyond what the trainer knows.

    Args:
        run: The arguments.
        runs: Those of each task.
        transfer_sets: What the student learned of each task.
        table: Its first embeddings. None: it has those of its Transformer.
        reports: The report of each task.
        model_name: The name of the student, if it has none on the Hub.

    Returns:
        The facts.
    """
    first = next(iter(runs))  # the one that is set
    layers = f"{run.num_hidden_layers} Transformer layers"
    encoders = {"biattentive": "bi-attentive LSTM", "bilstm": "single-layer BiLSTM", "transformer": layers}
    teachers = {own_run.teacher for own_run in runs.values()}
    num_copies = sum(int(np.sum(rows["augmented"][:])) for rows in transfer_sets.values())
    return CardFacts(
        model_name=model_name,
        architecture=f"{encoders[run.student]} with a head for each of {len(runs)} tasks",
        teacher=teachers.pop() if len(teachers) == 1 else None,
        language=run.language,
        license=run.license,
        is_pair=runs[first].text_pair_column is not None,
        datasets=list(dict.fromkeys(each.dataset_name or task for task, each in runs.items())),
        evaluation_dataset="the held-out texts of each task",
        report=(
            f'It answers for {first} unless it is loaded with another `task="..."` of {", ".join(runs)}.\n\n'
            f"{markdown_table(summary_cells(reports))}"
        ),
        num_originals=sum(map(len, transfer_sets.values())) - num_copies,
        num_copies=num_copies,
        augmentation={
            **{name: getattr(run, name) for name in AUGMENTATION},
            "n_iter": {task: each.n_iter for task, each in runs.items()},
            "n_recombined": {task: each.n_recombined or 0 for task, each in runs.items()},
        },
        tokenizer=run.tokenizer,
        embeddings=run.embeddings,
        embedding_coverage=table.coverage if table else None,
    )


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
