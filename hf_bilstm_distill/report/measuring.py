"""Run a model over texts: what it predicts, how fast, how large it is, and on which machine."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from datasets import Dataset

from hf_bilstm_distill.transfer_set import MULTI_LABEL, REGRESSION, SINGLE_LABEL, TEXT, TEXT_PAIR

_PACKAGES = ("hf-bilstm-distill", "torch", "transformers", "tokenizers", "datasets", "evaluate", "numpy", "onnxruntime")

_WARM_UP_ROWS, _MAX_PASSES, _PASSES_SECONDS = 64, 15, 3.0
_WARM_UP_CALLS, _MAX_CALLS, _CALLS_SECONDS = 5, 200, 3.0
_THRESHOLD = 0.5


class Predictor(Protocol):
    """What a model must do to be measured.

    It may also have the integers `parameters`, `parameters_without_embeddings` and `size_bytes`, and the `tokenizer`
    that it reads texts with.
    """

    def predict(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each text, and its scores.

        Args:
            texts: The texts, or the first sentences of pairs.
            text_pairs: The second sentences of pairs; None for single sentences.

        Returns:
            Labels `(rows,)` as integers, and probabilities `(rows, num_labels)`. Where a text can have several labels,
            these may be `(rows, num_labels)` of 0 and 1; else a label is taken to be given from a probability of 0.5.
            Scores of width 1 are those of a regression: they are the predictions, and the labels are not looked at.
        """
        ...


@dataclass(frozen=True)
class Predictions:
    """What a model says of all texts.

    Attributes:
        values: Labels `(rows,)` as integers; 0 and 1 `(rows, num_labels)` where a text can have several; floats
            `(rows,)` in a regression.
        scores: Scores `(rows, num_labels)`. A row of NaN is one that nothing is known of.
    """

    values: np.ndarray
    scores: np.ndarray

    @property
    def problem_type(self) -> str:
        """The kind of prediction, as transformers names it."""
        if self.values.dtype.kind == "f":
            return REGRESSION
        return SINGLE_LABEL if self.values.ndim == 1 else MULTI_LABEL

    @property
    def known(self) -> np.ndarray:
        """The rows that something is known of, `(rows,)`."""
        return ~np.isnan(self.scores).any(axis=1)


def measure(
    name: str, model: Predictor, dataset: Dataset, *, several_labels: bool
) -> tuple[Predictions, dict[str, Any]]:
    """Run a model over all texts at once, and over single ones.

    Args:
        name: What to call the model in an error.
        model: The model.
        dataset: Texts in the column `text`, and in `text_pair` if they come in pairs.
        several_labels: Whether a text can have several labels.

    Returns:
        What it predicts; and `throughput_per_s`, `latency_ms_p50` and `latency_ms_p95`.

    Raises:
        ValueError: If its predictions are not of the form that `Predictor` asks for.
    """
    texts = dataset[TEXT][:]
    pairs = dataset[TEXT_PAIR][:] if TEXT_PAIR in dataset.column_names else None

    def predict(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        return model.predict(texts[rows]) if pairs is None else model.predict(texts[rows], pairs[rows])

    everything = slice(None)
    predict(slice(_WARM_UP_ROWS))
    start = time.perf_counter()
    labels, scores = predict(everything)
    first_pass = time.perf_counter() - start
    predictions = _checked(name, np.asarray(labels), np.asarray(scores), len(texts), several_labels)
    more_passes = _durations(predict, repeat(everything, _MAX_PASSES - 1), _PASSES_SECONDS - first_pass)

    # A random order, so that a model that is too slow for all of these calls gets texts of the same lengths.
    order = np.resize(np.random.default_rng(0).permutation(len(texts)), _MAX_CALLS)
    singles = [slice(row, row + 1) for row in order.tolist()]
    _durations(predict, singles[:_WARM_UP_CALLS], _CALLS_SECONDS)
    p50, p95 = np.percentile(_durations(predict, singles, _CALLS_SECONDS), [50, 95]) * 1e3
    return predictions, {
        "throughput_per_s": float(len(texts) / np.median([first_pass, *more_passes])),
        "latency_ms_p50": float(p50),
        "latency_ms_p95": float(p95),
    }


def from_logits(logits: np.ndarray, *, several_labels: bool) -> Predictions:
    """Read stored logits as the predictions of the model they came from.

    Args:
        logits: `(rows, num_labels)`, NaN in rows without logits. Those of width 1 are scores of a regression.
        several_labels: Whether a text can have several labels.

    Returns:
        The predictions.
    """
    if several_labels:
        scores = 1 / (1 + np.exp(-logits))
        return Predictions((scores >= _THRESHOLD).astype(np.int64), scores)
    if logits.shape[1] == 1:
        return Predictions(logits[:, 0], logits)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return Predictions(logits.argmax(axis=1), exponentials / exponentials.sum(axis=1, keepdims=True))


def size_of(model: Predictor) -> dict[str, Any]:
    """Return what a model tells of its size, None for what it does not tell.

    Args:
        model: The model.

    Returns:
        `parameters`, `parameters_without_embeddings` and `size_mb`.
    """
    size = _integer(model, "size_bytes")
    return {
        "parameters": _integer(model, "parameters"),
        "parameters_without_embeddings": _integer(model, "parameters_without_embeddings"),
        "size_mb": None if size is None else size / 1e6,
    }


def environment() -> dict[str, Any]:
    """Return the machine and the versions of the libraries, but nothing that tells whose machine it is.

    Returns:
        `python`, `platform`, `processor`, `accelerator`, `cores`, `threads`, and a version for each package.
    """
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


def _checked(name: str, labels: np.ndarray, scores: np.ndarray, rows: int, several_labels: bool) -> Predictions:
    if scores.ndim == 2 and len(scores) == rows and np.isnan(scores).any():
        row = int(np.isnan(scores).any(axis=1).argmax())
        raise ValueError(f"{name}.predict gave the scores {scores[row].tolist()} for row {row}. Each must be a number.")
    if scores.shape == (rows, 1) and not several_labels:
        return Predictions(scores[:, 0].astype(np.float64), scores)
    is_integer = labels.dtype.kind in "iu" or (labels.dtype.kind == "b" and labels.ndim == 2)
    if labels.shape not in ((rows,), scores.shape) or not is_integer or scores.ndim != 2 or len(scores) != rows:
        raise ValueError(
            f"{name}.predict gave labels of shape {labels.shape} and type {labels.dtype}, and scores of shape "
            f"{scores.shape}, for {rows} texts. It must give ({rows},) integers and ({rows}, num_labels) scores."
        )
    if several_labels and labels.ndim == 1:
        labels = scores >= _THRESHOLD
    return Predictions(labels.astype(np.int64), scores)


def _integer(model: Predictor, name: str) -> int | None:
    value = getattr(model, name, None)
    return int(value) if isinstance(value, int | np.integer) else None  # a torch module's `parameters` is a method


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # on Linux, platform.processor() gives the architecture or nothing
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
