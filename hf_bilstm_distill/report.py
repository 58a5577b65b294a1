"""Compare models on the same texts: quality, agreement with the teacher, size and speed."""

import json
import math
import os
import platform
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol

import evaluate
import numpy as np
import torch
from datasets import Dataset
from transformers.utils import logging

from hf_bilstm_distill.files import write_text
from hf_bilstm_distill.metrics import load_metric
from hf_bilstm_distill.transfer_set import LABEL, NO_LABEL, TEACHER_LOGITS, TEXT, TEXT_PAIR, check_texts

logger = logging.get_logger(__name__)

_FILE_NAME = "report.json"
_TEACHER = "teacher"
_MACHINE = ("processor", "accelerator", "cores", "threads")
_PACKAGES = ("hf-bilstm-distill", "torch", "transformers", "tokenizers", "datasets", "evaluate", "numpy", "onnxruntime")

_WARM_UP_ROWS, _MAX_PASSES, _PASSES_SECONDS = 64, 15, 3.0
_WARM_UP_CALLS, _MAX_CALLS, _CALLS_SECONDS = 5, 200, 3.0


class Predictor(Protocol):
    """What a model must do to be measured.

    It may also have the integers `parameters`, `parameters_without_embeddings` and `size_bytes`.
    """

    def predict(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each text, and its scores.

        Args:
            texts: The texts, or the first sentences of pairs.
            text_pairs: The second sentences of pairs; None for single sentences.

        Returns:
            Labels `(rows,)` as integers, and probabilities `(rows, num_labels)`. Scores of width 1 are those of a
            regression: they are the predictions, and the labels are not looked at.
        """
        ...


@dataclass(frozen=True)
class ModelReport:
    """What was measured of one model; None for what is not known.

    Attributes:
        name: `teacher`, `student`, `baseline` or another name of the model.
        metrics: The metric's values by name; empty without gold labels, NaN where a value is not defined.
        agreement_with_teacher: Share of the texts that get the label the teacher gives them.
        parameters: How many parameters it has.
        parameters_without_embeddings: The same without the embedding table.
        size_mb: Size of its weights, in megabytes of 10^6 bytes.
        throughput_per_s: Texts a second, given all texts at once.
        latency_ms_p50: Median time of a call with one text, in milliseconds.
        latency_ms_p95: The time that 95 % of these calls stay below, in milliseconds.
    """

    name: str
    metrics: dict[str, float | None]
    agreement_with_teacher: float | None
    parameters: int | None
    parameters_without_embeddings: int | None
    size_mb: float | None
    throughput_per_s: float | None
    latency_ms_p50: float | None
    latency_ms_p95: float | None


@dataclass(frozen=True)
class Report:
    """Models measured on the same texts and the same machine.

    Attributes:
        task: What the models were asked to do, in a word.
        metric: The metric's name.
        models: One entry for each model, in the order they were given.
        environment: The machine and the versions of the libraries.
    """

    task: str
    metric: str
    models: list[ModelReport]
    environment: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it: None in the place of NaN and infinity."""
        # NaN and infinity, which are not JSON, are written as constants, and each is read back as None.
        return json.loads(json.dumps(asdict(self)), parse_constant=lambda constant: None)

    def to_table(self) -> str:
        """Return the report as text with aligned columns, and a line on what they mean.

        Size and speed are compared with the model named `teacher`, if there is one. `-` stands for what is not known,
        and a column in which nothing is known is left out.
        """
        cells = _cells(self.models)
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join([f"{name:<{widths[0]}}", *map(str.rjust, row, widths[1:])]) for name, *row in cells]
        return "\n".join([f"Task: {self.task}", "", *lines, "", *textwrap.wrap(self._legend(), 110)])

    def to_markdown(self) -> str:
        """Return the table of `to_table` as Markdown."""
        header, *rows = [[cell.replace("|", "\\|") for cell in row] for row in _cells(self.models)]
        ruler = ["---", *["---:"] * (len(header) - 1)]
        lines = [f"| {' | '.join(row)} |" for row in (header, ruler, *rows)]
        return "\n".join([*lines, "", self._legend()])

    def save(self, folder: str | Path) -> Path:
        """Write `report.json`, whole or not at all.

        Args:
            folder: Where to write it. It is made if it is missing.

        Returns:
            The path of the file.
        """
        path = Path(folder) / _FILE_NAME
        write_text(path, json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Read what `save` wrote.

        Args:
            path: The file, or the folder it stands in.

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
            raise ValueError(f"{path} holds no report ({error}). Write one with compare(...).save(folder).") from error

    def _legend(self) -> str:
        machine = [f"{key}: {value}" for key, value in self.environment.items() if key in _MACHINE and value]
        return (
            "agreement: share of the texts that get the teacher's label. MB: 10^6 bytes of weights. "
            "texts/s: given all texts at once. p50, p95: milliseconds for a call with one text. "
            "x smaller, x faster: MB and texts/s against the teacher's. -: not known. "
            f"Measured on {', '.join(machine)}."
        )


def compare(
    models: Mapping[str, Predictor],
    dataset: Dataset,
    metric: evaluate.EvaluationModule | str,
    *,
    task: str,
    reference: str = _TEACHER,
) -> Report:
    """Measure models on the same texts.

    Each model predicts all texts once, which gives its quality, its agreement and a first measurement of its
    throughput. This is repeated, up to 15 times, while less than 3 seconds were used, and the median is reported: a
    fast model is measured many times, a slow one once. Then it gets up to 200 texts one at a time, the same for each
    model, for at most 3 seconds. Both come after a warm-up.

    Args:
        models: The models by the name they have in the report, in the order they stand there.
        dataset: Texts in the column `text` (and `text_pair`), gold labels in `label` if there are any; rows with the
            label -100 have none. It may hold a teacher's logits in `teacher_logits`, in the order of the labels.
        metric: What to measure against the gold labels: a name for `load_metric`, a metric, or several from
            `evaluate.combine`.
        task: What the models were asked to do, in a word.
        reference: The model whose labels the others' are compared with. If there is none of this name, the logits of
            the column `teacher_logits` are; without them the agreement is None.

    Returns:
        The report.

    Raises:
        ValueError: If there is no model or no text, if gold labels are None or not numbers, or if a model's predictions
            are not of the form that `Predictor` asks for.
    """
    if not models:
        raise ValueError("There is no model to compare. Pass at least one, by name.")
    check_texts(dataset)
    gold = _gold_labels(dataset)
    labelled = gold != NO_LABEL
    stored_labels = _stored_teacher_labels(dataset)
    module = load_metric(metric) if isinstance(metric, str) else metric
    if labelled.any():  # a metric that cannot take these labels stops here, before the slow work
        module.compute(predictions=gold[labelled], references=gold[labelled])

    predictions, speeds = {}, {}
    for name, model in models.items():
        logger.info(f"Measuring {name} on {len(dataset)} texts.")
        predictions[name], speeds[name] = _measure(name, model, dataset)
        logger.info(f"{name}: {speeds[name]}")

    teacher_labels = predictions.get(reference, stored_labels)
    return Report(
        task=task,
        metric=_metric_name(module),
        models=[
            ModelReport(
                name=name,
                metrics=_quality(module, predictions[name][labelled], gold[labelled]),
                agreement_with_teacher=_agreement(predictions[name], teacher_labels),
                parameters=_fact(model, "parameters"),
                parameters_without_embeddings=_fact(model, "parameters_without_embeddings"),
                size_mb=None if (size := _fact(model, "size_bytes")) is None else size / 1e6,
                **speeds[name],
            )
            for name, model in models.items()
        ],
        environment=_environment(),
    )


def _gold_labels(dataset: Dataset) -> np.ndarray:
    if LABEL not in dataset.column_names:
        return np.full(len(dataset), NO_LABEL)
    column = dataset.with_format("arrow")[LABEL][:]
    if column.null_count:
        raise ValueError(
            f"{column.null_count} of {len(dataset)} rows have None as their {LABEL!r}. Give them the label {NO_LABEL}."
        )
    labels = column.to_numpy()
    if labels.dtype.kind not in "iuf":
        raise ValueError(
            f"The column {LABEL!r} holds {column.type} (row 0: {labels[0]!r}), not numbers. "
            "Write each label as its position among the label names."
        )
    return labels


def _stored_teacher_labels(dataset: Dataset) -> np.ndarray | None:
    if TEACHER_LOGITS not in dataset.column_names:
        return None
    logits = np.stack(dataset.with_format("numpy")[TEACHER_LOGITS][:])
    labels = np.where(np.isnan(logits).all(axis=1), NO_LABEL, logits.argmax(axis=1))
    return labels if logits.shape[1] > 1 else None


def _measure(name: str, model: Predictor, dataset: Dataset) -> tuple[np.ndarray, dict[str, float]]:
    """Return what a model predicts for all rows, and its speeds under their names in a `ModelReport`."""
    texts = dataset[TEXT][:]
    pairs = dataset[TEXT_PAIR][:] if TEXT_PAIR in dataset.column_names else None

    def predict(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        return model.predict(texts[rows]) if pairs is None else model.predict(texts[rows], pairs[rows])

    everything = slice(None)
    predict(slice(_WARM_UP_ROWS))
    start = time.perf_counter()
    labels, scores = predict(everything)
    first_pass = time.perf_counter() - start
    predicted = _checked(name, np.asarray(labels), np.asarray(scores), len(texts))
    more_passes = _durations(predict, repeat(everything, _MAX_PASSES - 1), _PASSES_SECONDS - first_pass)

    # A random order, so that a model that is too slow for all of these calls gets texts of the same lengths.
    order = np.resize(np.random.default_rng(0).permutation(len(texts)), _MAX_CALLS)
    singles = [slice(row, row + 1) for row in order.tolist()]
    _durations(predict, singles[:_WARM_UP_CALLS], _CALLS_SECONDS)
    p50, p95 = np.percentile(_durations(predict, singles, _CALLS_SECONDS), [50, 95]) * 1e3
    return predicted, {
        "throughput_per_s": float(len(texts) / np.median([first_pass, *more_passes])),
        "latency_ms_p50": float(p50),
        "latency_ms_p95": float(p95),
    }


def _durations(predict: Callable[[slice], Any], rows: Iterable[slice], seconds: float) -> list[float]:
    """Time one call for each slice, and stop early once the calls took `seconds` together."""
    durations: list[float] = []
    for each in rows:
        if sum(durations) >= seconds:
            break
        start = time.perf_counter()
        predict(each)
        durations.append(time.perf_counter() - start)
    return durations


def _checked(name: str, labels: np.ndarray, scores: np.ndarray, rows: int) -> np.ndarray:
    """Return the predictions: labels, or the scores of a regression."""
    if scores.shape == (rows, 1):
        return scores[:, 0]
    if labels.shape != (rows,) or labels.dtype.kind not in "iu" or scores.ndim != 2 or len(scores) != rows:
        raise ValueError(
            f"{name}.predict gave labels of shape {labels.shape} and type {labels.dtype}, and scores of shape "
            f"{scores.shape}, for {rows} texts. It must give ({rows},) integers and ({rows}, num_labels) scores."
        )
    return labels


def _quality(module: evaluate.EvaluationModule, predicted: np.ndarray, gold: np.ndarray) -> dict[str, float | None]:
    if len(gold) == 0:
        return {}
    values = module.compute(predictions=predicted, references=gold)
    return {name: float(value) for name, value in values.items()}


def _agreement(predicted: np.ndarray, teacher_labels: np.ndarray | None) -> float | None:
    if teacher_labels is None or "f" in (predicted.dtype.kind, teacher_labels.dtype.kind):  # a regression has no labels
        return None
    known = teacher_labels != NO_LABEL
    return float((predicted == teacher_labels)[known].mean()) if known.any() else None


def _fact(model: Predictor, name: str) -> int | None:
    value = getattr(model, name, None)
    return int(value) if isinstance(value, int | np.integer) else None  # a torch module's `parameters` is a method


def _metric_name(module: Any) -> str:
    names = getattr(module, "evaluation_module_names", None)  # of what evaluate.combine returns
    return ", ".join(names) if names else module.name


def _environment() -> dict[str, Any]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        **versions,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # on Linux, platform.processor() gives the architecture or nothing
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cells(models: Sequence[ModelReport]) -> list[list[str]]:
    """Return the table's header and its rows; a column in which nothing is known is left out."""
    teacher = next((model for model in models if model.name == _TEACHER), None)
    metric_names = dict.fromkeys(name for model in models for name in model.metrics)
    columns = [
        ("model", [model.name for model in models]),
        *((name, [_decimals(model.metrics.get(name)) for model in models]) for name in metric_names),
        ("agreement", [_decimals(model.agreement_with_teacher) for model in models]),
        ("parameters", [_digits(model.parameters) for model in models]),
        ("w/o embeddings", [_digits(model.parameters_without_embeddings) for model in models]),
        ("MB", [_digits(model.size_mb) for model in models]),
        ("texts/s", [_digits(model.throughput_per_s) for model in models]),
        ("p50 ms", [_digits(model.latency_ms_p50) for model in models]),
        ("p95 ms", [_digits(model.latency_ms_p95) for model in models]),
    ]
    if teacher is not None:
        columns += [
            ("x smaller", [_digits(_ratio(teacher.size_mb, model.size_mb)) for model in models]),
            ("x faster", [_digits(_ratio(model.throughput_per_s, teacher.throughput_per_s)) for model in models]),
        ]
    known = [[header, *cells] for header, cells in columns if set(cells) != {"-"}]
    return [list(row) for row in zip(*known, strict=True)]


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def _decimals(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def _digits(value: float | None) -> str:
    """Write a count in full, a size or a speed with at least three significant digits."""
    if value is None or isinstance(value, int):
        return "-" if value is None else f"{value:,}"
    magnitude = math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:,.{max(0, 2 - magnitude)}f}"
