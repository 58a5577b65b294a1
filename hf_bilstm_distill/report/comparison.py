"""Compare models on the same texts: quality, agreement with the teacher, size and speed."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
from datasets import ClassLabel, Dataset
from transformers.utils import logging

from hf_bilstm_distill.files import whole_file, write_text
from hf_bilstm_distill.metrics import load_metric
from hf_bilstm_distill.report.disagreement import disagreements, length_bands, unknown_tokens
from hf_bilstm_distill.report.evaluation_labels import check_fit, evaluation_labels
from hf_bilstm_distill.report.measuring import Predictions, Predictor, environment, from_logits, measure, size_of
from hf_bilstm_distill.report.model_report import Disagreements, ModelReport
from hf_bilstm_distill.report.page import html_page, markdown_page
from hf_bilstm_distill.report.pictures import PICTURES, draw_pictures
from hf_bilstm_distill.report.quality import (
    Measure,
    agreement_measure,
    calibration,
    class_scores,
    confusion,
    difference,
    interval,
    metric_measure,
    metric_values,
    resampled,
)
from hf_bilstm_distill.report.table import legend, markdown_table, table_cells, text_table
from hf_bilstm_distill.transfer_set import (
    LABEL,
    MULTI_LABEL,
    NO_LABEL,
    REGRESSION,
    TEACHER_LOGITS,
    check_texts,
    has_gold,
    logits_array,
)

__all__ = ["ModelReport", "Predictor", "Report", "distillation_report"]

logger = logging.get_logger(__name__)

_FILE_NAME = "report.json"
_MARKDOWN, _PAGE, _PICTURES = "report.md", "report.html", "report"
_TEACHER = "teacher"


@dataclass(frozen=True)
class Report:
    """Models measured on the same texts and the same machine.

    Attributes:
        task: What the models were asked to do, in a word.
        metric: The metric's name.
        models: One entry for each model, in the order they were given.
        environment: The machine and the versions of the libraries.
        rows: On how many texts they were measured; None in a report of an older version.
        rows_with_gold: How many of these have a gold label.
    """

    task: str
    metric: str
    models: list[ModelReport]
    environment: dict[str, Any]
    rows: int | None = None
    rows_with_gold: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it: None in the place of NaN and infinity."""
        # NaN and infinity, which are not JSON, are written as constants, and each is read back as None.
        return json.loads(json.dumps(asdict(self)), parse_constant=lambda constant: None)

    def to_table(self) -> str:
        """Return the report as text with aligned columns, and a line on what they mean.

        Size and speed are compared with the model named `teacher`, if there is one. `-` stands for what is not known,
        and a column in which nothing is known is left out.
        """
        return f"Task: {self.task}\n\n{text_table(self.models, self.environment)}"

    def to_markdown(self) -> str:
        """Return the table of `to_table` as Markdown."""
        return f"{markdown_table(table_cells(self.models))}\n\n{legend(self.models, self.environment)}"

    def save(self, folder: str | Path) -> Path:
        """Write the report into a folder, each file whole or not at all.

        `report.json` holds all of it, `report.md` and `report.html` are for people (the page needs no other file), and
        the folder `report` has the pictures as PNG and SVG. These need matplotlib; without it they are left out, and
        the page says so.

        Args:
            folder: Where to write them. It is made if it is missing.

        Returns:
            The path of `report.json`.
        """
        folder = Path(folder)
        try:
            pictures = draw_pictures(self.task, self.models)
            missing = None
        except ImportError as error:
            pictures, missing = [], str(error)
            logger.warning(missing)
        for name in PICTURES:  # one that is not drawn this time would be of another report
            for suffix in (".svg", ".png"):
                (folder / _PICTURES / f"{name}{suffix}").unlink(missing_ok=True)
        for picture in pictures:
            write_text(folder / _PICTURES / f"{picture.name}.svg", picture.svg)
            with whole_file(folder / _PICTURES / f"{picture.name}.png") as path:
                path.write_bytes(picture.png)
        content = self.to_dict()
        write_text(folder / _PAGE, html_page(content, pictures, missing))
        write_text(folder / _MARKDOWN, markdown_page(content, pictures, missing, folder=_PICTURES))
        write_text(folder / _FILE_NAME, _to_json(content))
        return folder / _FILE_NAME

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Read what `save` wrote.

        Args:
            path: `report.json`, or the folder it stands in.

        Returns:
            The report. What was NaN is None.

        Raises:
            ValueError: If the file holds no report.
        """
        path = Path(path)
        path = path / _FILE_NAME if path.is_dir() else path
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**content, "models": [ModelReport(**model) for model in content["models"]]})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} holds no report ({error}). Write one with distillation_report(...).save(folder)."
            ) from error


def distillation_report(
    models: Mapping[str, Predictor],
    dataset: Dataset,
    metric: evaluate.EvaluationModule | str,
    *,
    task: str,
    reference: str = _TEACHER,
    label_names: Sequence[str] | None = None,
    num_examples: int = 10,
) -> Report:
    """Measure models on the same texts.

    Each model predicts all texts once, which gives its quality, its agreement and a first measurement of its
    throughput. This is repeated, up to 15 times, while less than 3 seconds were used, and the median is reported: a
    fast model is measured many times, a slow one once. Then it gets up to 200 texts one at a time, the same for each
    model, for at most 3 seconds. Both come after a warm-up. Intervals are those of 1000 bootstrap samples, the same
    samples for each model.

    Args:
        models: The models by the name they have in the report, in the order they stand there.
        dataset: Texts in the column `text` (and `text_pair`), gold labels in `label` if there are any: numbers of
            classes, scores, or lists of 0 and 1 where a text can have several labels. Rows with the label -100 or NaN
            have none. It may hold a teacher's logits in `teacher_logits`, in the order of the labels.
        metric: What to measure against the gold labels: a name for `load_metric`, a metric, or several from
            `evaluate.combine`.
        task: What the models were asked to do, in a word.
        reference: The model whose labels the others' are compared with. If there is none of this name, the logits of
            the column `teacher_logits` are; without them the agreement is None.
        label_names: Names of the labels, in the order of the scores. None takes those of the column `label`, if it is
            of `ClassLabel`s, and else the numbers.
        num_examples: How many texts the report shows of those on which a model differs most from the teacher. 0 is for
            texts that must not be passed on.

    Returns:
        The report.

    Raises:
        ValueError: If there is no model or no text, if gold labels are None or not numbers, or if a model's predictions
            are not of the form that `Predictor` asks for, or do not fit the gold labels or the names.
    """
    if not models:
        raise ValueError("There is no model to compare. Pass at least one, by name.")
    check_texts(dataset)
    gold = evaluation_labels(dataset)
    labelled = np.flatnonzero(has_gold(gold))
    stored_logits = logits_array(dataset) if TEACHER_LOGITS in dataset.column_names else None
    module = load_metric(metric) if isinstance(metric, str) else metric
    metric_values(module, gold[labelled], gold[labelled])  # stops before the slow work if it cannot take such labels

    predictions, speeds = {}, {}
    for name, model in models.items():
        logger.info(f"Measuring {name} on {len(dataset)} texts.")
        predictions[name], speeds[name] = measure(name, model, dataset, several_labels=gold.ndim == 2)
        check_fit(name, predictions[name], gold, label_names)
        logger.info(f"{name}: {speeds[name]}")

    if gold.dtype.kind == "f" and any(each.problem_type != REGRESSION for each in predictions.values()):
        gold = np.where(has_gold(gold), gold, NO_LABEL).astype(np.int64)  # classes that were read as floats
    teacher = predictions.get(reference)
    if teacher is None and stored_logits is not None:
        several_labels = any(each.problem_type == MULTI_LABEL for each in predictions.values())
        teacher = from_logits(stored_logits, several_labels=several_labels)
    names = label_names or _feature_names(dataset)
    qualities = _qualities(module, predictions, gold, labelled, teacher, reference)
    return Report(
        task=task,
        metric=_metric_name(module),
        models=[
            ModelReport(
                name=name,
                **qualities[name],
                **size_of(model),
                **speeds[name],
                **_classes(predictions[name], gold, labelled, names),
                disagreements=_disagreements(predictions[name], teacher, gold, dataset, names, num_examples),
                lengths=length_bands(dataset, predictions[name], teacher, gold),
                unknown_tokens=unknown_tokens(model, dataset),
            )
            for name, model in models.items()
        ],
        environment=environment(),
        rows=len(dataset),
        rows_with_gold=len(labelled),
    )


def _feature_names(dataset: Dataset) -> Sequence[str] | None:
    feature = dataset.features.get(LABEL)
    return feature.names if isinstance(feature, ClassLabel) else None


def _qualities(
    module: Any,
    predictions: Mapping[str, Predictions],
    gold: np.ndarray,
    labelled: np.ndarray,
    teacher: Predictions | None,
    reference: str,
) -> dict[str, dict[str, Any]]:
    """Return the metrics, the agreement and the intervals of each model, under their names in a `ModelReport`."""
    values = {name: metric_values(module, each.values[labelled], gold[labelled]) for name, each in predictions.items()}
    resamples: dict[str, dict[str, np.ndarray]] = {name: {} for name in predictions}
    if len(labelled):
        for name, each in predictions.items():
            measured = metric_measure(module, each.values[labelled], gold[labelled])
            resamples[name] = resampled(measured, np.arange(len(labelled)))
    qualities = {}
    for name, each in predictions.items():
        agreement, agreement_interval = _agreement(each, teacher)
        intervals = {metric: interval(drawn) for metric, drawn in resamples[name].items()}
        intervals["agreement_with_teacher"] = agreement_interval
        qualities[name] = {
            "metrics": values[name],
            "agreement_with_teacher": agreement,
            "intervals": {key: ends for key, ends in intervals.items() if ends is not None},
            "differences_to_teacher": {
                metric: difference(values[name][metric], values[reference][metric], drawn, resamples[reference][metric])
                for metric, drawn in resamples[name].items()
                if name != reference and reference in predictions
            },
            "correlation_with_teacher": _correlation(each, teacher),
        }
    return qualities


def _agreement(predictions: Predictions, teacher: Predictions | None) -> tuple[float | None, list[float] | None]:
    rows = np.flatnonzero(teacher.known) if teacher is not None else np.empty(0)
    share: Measure | None = agreement_measure(predictions, teacher) if teacher is not None else None
    if share is None or len(rows) == 0:
        return None, None
    (agreement,) = share(rows).values()
    (drawn,) = resampled(share, rows).values()
    return agreement, interval(drawn)


def _correlation(predictions: Predictions, teacher: Predictions | None) -> float | None:
    if teacher is None or {predictions.problem_type, teacher.problem_type} != {REGRESSION}:
        return None
    pairs = np.stack([predictions.values, teacher.values])[:, teacher.known]
    if pairs.shape[1] < 2 or (pairs == pairs[:, :1]).all(axis=1).any():
        return None
    return float(np.corrcoef(pairs)[0, 1])


def _classes(
    predictions: Predictions, gold: np.ndarray, labelled: np.ndarray, label_names: Sequence[str] | None
) -> dict[str, Any]:
    """Return what is said of single classes and of probabilities, under its names in a `ModelReport`."""
    if predictions.problem_type == REGRESSION or len(labelled) == 0:
        return {}
    names = _names(predictions, label_names)
    predicted, known = predictions.values[labelled], gold[labelled]
    return {
        "calibration": calibration(predictions, gold, labelled),
        "classes": class_scores(predicted, known, names),
        "confusion": confusion(predicted, known, len(names)),
    }


def _names(predictions: Predictions, label_names: Sequence[str] | None) -> Sequence[str]:
    num_labels = predictions.scores.shape[1]
    return label_names if label_names and len(label_names) == num_labels else [str(n) for n in range(num_labels)]


def _disagreements(
    predictions: Predictions,
    teacher: Predictions | None,
    gold: np.ndarray,
    dataset: Dataset,
    label_names: Sequence[str] | None,
    num_examples: int,
) -> Disagreements | None:
    if teacher is None or predictions is teacher:
        return None
    if predictions.problem_type == REGRESSION:
        gold = np.where(has_gold(gold), gold, np.nan)
    elif gold.ndim != predictions.values.ndim:  # no gold labels at all, where a text can have several
        gold = np.full(predictions.values.shape, NO_LABEL)
    return disagreements(predictions, teacher, gold, dataset, _names(predictions, label_names), num_examples)


def _metric_name(module: Any) -> str:
    names = getattr(module, "evaluation_module_names", None)  # of what evaluate.combine returns
    return ", ".join(names) if names else module.name


def _to_json(content: dict[str, Any]) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    numbers_alone = re.compile(r"\[\n\s+((?:-?[\d.e+-]+,?\s+)+)\]")  # a row of a table on a line of its own
    return numbers_alone.sub(lambda found: "[" + " ".join(found[1].split()) + "]", text)
