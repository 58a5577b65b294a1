"""Measure models on the texts of a file: `hf-bilstm-distill report`."""

from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset

from hf_bilstm_distill.commands.command_line import log_to_stderr, parse_arguments
from hf_bilstm_distill.commands.errors import one_line_errors, one_line_if_disk_is_full
from hf_bilstm_distill.commands.gold_labels import number, settle_problem_type
from hf_bilstm_distill.commands.models import ExportedClassifier, load_classifier
from hf_bilstm_distill.commands.shared_arguments import FileArguments, LabelArguments
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.loading import load_file, select_columns
from hf_bilstm_distill.metrics import default_metrics, load_metrics
from hf_bilstm_distill.problem_types import find_problem_type, read_labels
from hf_bilstm_distill.report import distillation_report
from hf_bilstm_distill.transfer_set import LabelMismatchError, label_names, match_labels

Classifier = TextClassifier | ExportedClassifier


@dataclass(kw_only=True)
class ReportArguments(LabelArguments, FileArguments):
    """What to measure, on which texts."""

    models: list[str] = field(
        metadata={
            "help": "name=MODEL for each: a folder (a student, an exported one, any classifier) or an id on the Hub. "
            "The others are compared with the one that is called teacher."
        }
    )
    metric: list[str] | None = field(
        default=None,
        metadata={
            "help": "accuracy, f1, matthews_correlation, pearsonr, spearmanr, others of evaluate.load. Left out: as "
            "suits."
        },
    )
    num_examples: int = field(
        default=10, metadata={"help": "Texts to show on which a model differs most from the teacher. 0: none."}
    )
    output_dir: str = field(default="out/report", metadata={"help": "Where to write the table, the page and pictures."})


@one_line_if_disk_is_full()
def main() -> None:
    """Write `report.json`, `report.md`, `report.html` and pictures, and print the table."""
    (run,) = parse_arguments([ReportArguments], "Measure models side by side: quality, agreement, size and speed.")
    log_to_stderr()
    with one_line_errors():
        models = load_models(run.models)
        texts = select_columns(load_file(run.file), run.columns, run.file)
        texts, models, names, problem_type = settle(run, texts, models)
        metric = load_metrics(run.metric or default_metrics(problem_type))
    report = distillation_report(
        models, texts, metric, task=Path(run.file).stem, label_names=names, num_examples=run.num_examples
    )
    report.save(run.output_dir)
    print(report.to_table())


def load_models(given: list[str]) -> dict[str, Classifier]:
    """Load the models by the names that they were given."""
    named = [each.partition("=")[::2] for each in given]
    if not all(name and model for name, model in named) or len(dict(named)) < len(named):
        raise ValueError(
            f"--models takes name=MODEL, each name once, got {given}. Write teacher=FOLDER student=FOLDER."
        )
    return {name: load_classifier(model) for name, model in named}


def settle(
    run: ReportArguments, texts: Dataset, models: dict[str, Classifier]
) -> tuple[Dataset, dict[str, Classifier], list[str], str]:
    """Give texts with numbered labels, the models with theirs in that order, the labels' names, the problem type."""
    problem_types = {name: problem_type_of(run, texts, model) for name, model in models.items()}
    if len(set(problem_types.values())) > 1:
        raise ValueError(f"The models answer other questions: {problem_types}. Compare those of one problem type.")
    reference = models.get("teacher") or next(iter(models.values()))
    problem_type = next(iter(problem_types.values()))
    texts = read_labels(texts, problem_type, run.file)
    names = run.labels or label_names(texts) or list(reference.id2label.values())
    models = {name: in_order(name, model, names, run.label_order) for name, model in models.items()}
    return number(texts, names, problem_type), models, names, problem_type


def problem_type_of(run: ReportArguments, texts: Dataset, model: Classifier) -> str:
    """Settle what a label of a model is."""
    if isinstance(model, TextClassifier):
        return settle_problem_type(run, texts, model)
    return find_problem_type(texts, model.num_labels, teacher=model.problem_type, given=run.problem_type)


def in_order(name: str, model: Classifier, names: list[str], label_order: list[int] | None) -> Classifier:
    """Give a model with its labels in the order of the names; `label_order` is for one that has other names."""
    try:
        return model.with_label_order([0] if model.num_labels == 1 else match_labels(model.id2label, names), names)
    except LabelMismatchError as error:
        if label_order is not None:
            return model.with_label_order(label_order, names)
        raise LabelMismatchError(
            f"The labels {list(model.id2label.values())} of the model {name!r} cannot be matched by name to {names}. "
            "Say which is which: --label_order has, for each label of the data, its position in the model's scores."
        ) from error
