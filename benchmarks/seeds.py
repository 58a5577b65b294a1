"""Put the reports of several runs, which differ in their seed, into one table: mean and standard deviation.

python benchmarks/seeds.py out/qqp-1 out/qqp-2 out/qqp-3
python benchmarks/seeds.py out/mkd-1 out/mkd-2 out/mkd-3     # of several tasks: a row for each task, and their mean
"""

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hf_bilstm_distill import ModelReport, Report


def main() -> None:
    """Print the table as Markdown, and its values as a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="the output_dir of each run")
    folders = parser.parse_args().folders
    tasks = tasks_of(folders[0])
    if tasks:
        print_tasks({task: [Report.load(folder / task) for folder in folders] for task in tasks})
    else:
        print_models([Report.load(folder) for folder in folders])


def tasks_of(folder: Path) -> list[str]:
    """Return the tasks of a run with several, none for a run with one."""
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return [] if "models" in content else list(content)


def print_models(reports: Sequence[Report]) -> None:
    """Print a row for each model of one task."""
    check_same_kind(reports)
    metrics = list(reports[0].models[0].metrics)
    columns = [column for metric in metrics for column in (metric, f"{metric} over the baseline")] + ["agreement"]
    print("| " + " | ".join(["model", *columns, "parameters", "without embeddings"]) + " |")
    print("|---|" + "---:|" * (len(columns) + 2))
    rows = {model.name: row_of(model.name, reports, metrics) for model in reports[0].models}
    for model in reports[0].models:
        sizes = [f"{number:,}" if number else "-" for number in (model.parameters, model.parameters_without_embeddings)]
        print("| " + " | ".join([model.name, *map(shown, rows[model.name]), *sizes]) + " |")
    print(json.dumps({"reports": len(reports), "columns": columns, "values": rows}))


def print_tasks(reports: Mapping[str, Sequence[Report]]) -> None:
    """Print a row for each task, by its first metric: all models, and what the student gains over that of one task."""
    rows: dict[str, dict[str, list[float]]] = {}
    for task, of_task in reports.items():
        check_same_kind(of_task)
        metric = next(iter(of_task[0].models[0].metrics))
        values = {
            model.name: [model_of(report, model.name).metrics[metric] for report in of_task]
            for model in of_task[0].models
        }
        if "single-task" in values:
            pairs = zip(values["student"], values["single-task"], strict=True)
            values["student over single-task"] = [student - alone for student, alone in pairs]
        rows[f"{task}, {metric}"] = values
    columns = list(dict.fromkeys(column for values in rows.values() for column in values))
    complete = [column for column in columns if all(column in values for values in rows.values())]
    rows["mean"] = {
        column: [statistics.mean(run) for run in zip(*(values[column] for values in rows.values()), strict=True)]
        for column in complete
    }
    print("| " + " | ".join(["", *columns]) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, values in rows.items():
        print("| " + " | ".join([name, *(shown(values.get(column, [])) for column in columns)]) + " |")
    print(json.dumps({"reports": len(next(iter(reports.values()))), "columns": columns, "values": rows}))


def check_same_kind(reports: Sequence[Report]) -> None:
    """Stop if the reports do not speak of the same models."""
    names = [[model.name for model in report.models] for report in reports]
    if any(each != names[0] for each in names):
        raise SystemExit(f"The reports hold different models: {names}. Give runs that differ in their seed alone.")


def row_of(name: str, reports: Sequence[Report], metrics: Iterable[str]) -> list[list[float]]:
    """Return for each column the values of all runs, and none where there is no baseline or no agreement."""
    row = []
    for metric in metrics:
        values = [model_of(report, name).metrics[metric] for report in reports]
        row.append(values)
        row.append(
            [
                value - model_of(report, "baseline").metrics[metric]
                for value, report in zip(values, reports, strict=True)
            ]
            if any(model.name == "baseline" for model in reports[0].models) and name != "baseline"
            else []
        )
    agreements = [model_of(report, name).agreement_with_teacher for report in reports]
    return [*row, [value for value in agreements if value is not None]]


def model_of(report: Report, name: str) -> ModelReport:
    """Return one model of a report."""
    return next(model for model in report.models if model.name == name)


def shown(values: Sequence[float]) -> str:
    """Write mean and standard deviation."""
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


if __name__ == "__main__":
    main()
