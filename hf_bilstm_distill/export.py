"""Write a student into a folder that runs without torch: an ONNX graph, its tokenizer, and the code that reads them."""

import copy
import inspect
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging

from hf_bilstm_distill.files import file_digest, whole_folder
from hf_bilstm_distill.predictor import OnnxTextClassifier
from hf_bilstm_distill.students import (
    BiAttentiveModel,
    BiLSTMForSequenceClassification,
    BiLSTMModel,
    MultiTaskForSequenceClassification,
)
from hf_bilstm_distill.transfer_set import LABEL, NO_LABEL, check_texts, text_columns

logger = logging.get_logger(__name__)

_REPORT = "export_report.json"
_PACKAGES = ("hf-bilstm-distill", "onnx", "onnxruntime", "tokenizers", "torch", "transformers")
_MAX_LENGTH = 512
_TOLERANCE = 1e-4
_LENGTHS_TO_COMPARE = (0, 1, 2, 3, 7, 20, 45)
_TEXTS_TO_COMPARE = 64
_ENOUGH_AGREEMENT = 0.99

_Row = tuple[list[int], list[int]]
"""Ids and types of the tokens of a text or a pair."""

_README = """\
---
library_name: onnx
pipeline_tag: text-classification
tags: [hf-bilstm-distill]
---

# A text classifier for ONNX Runtime

A BiLSTM student, {weights}. It needs this folder and three packages: `pip install onnxruntime tokenizers numpy`.

```python
from predictor import OnnxTextClassifier  # predictor.py of this folder

classifier = OnnxTextClassifier.from_pretrained(".")  # the path of this folder, or its id on the Hub
classifier.predict({one})  # [{{'label': ..., 'score': ...}}]
results = classifier.predict({many})  # any iterable
```

Labels: {labels}. How it compares with the model that it was made from is in `{report}`.
"""


_Student = BiLSTMForSequenceClassification | MultiTaskForSequenceClassification


def export_onnx(
    model: BiLSTMForSequenceClassification | MultiTaskForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    *,
    quantize: Literal["int8"] | None = None,
    eval_dataset: Dataset | None = None,
    max_length: int | None = None,
) -> dict[str, Any]:
    """Write a student into a folder that runs with onnxruntime, tokenizers and numpy.

    The folder holds `model.onnx` (see `student_graph`), `tokenizer.json`, `config.json`, `export_report.json`, a
    `README.md` and `predictor.py`, with which a server needs neither this package nor torch.

    Args:
        model: The student, of several tasks the one that is set. It stays as it is.
        tokenizer: Its tokenizer.
        folder: Where to write. A folder that was exported before is replaced.
        quantize: `int8` makes the file a quarter as large and the student faster, at the cost of a few labels. Its
            scores also shift a little with the texts of the same batch, since all states of a batch share a scale. None
            keeps float32.
        eval_dataset: Texts on which to compare int8 with float32, with the columns `text`, `text_pair` for pairs, and
            `label` if there are gold labels. float32 is compared with torch on some of them.
        max_length: Longest sequence in tokens; the rest is cut off. None takes the tokenizer's `model_max_length`, at
            most 512.

    Returns:
        The report: bytes of the graph, largest difference from torch, and for int8 what it loses.

    Raises:
        FileExistsError: If `folder` holds something else than an exported student.
        ImportError: If onnx or onnxruntime is not installed.
        RuntimeError: If the logits of the graph and of torch differ by more than 1e-4, times the largest where it is
            above 1.
        TypeError: If the model is no student, or the tokenizer not a fast one.
        ValueError: If an argument does not fit the model.
    """
    _check_arguments(model, tokenizer, quantize, max_length)
    _check_dataset(eval_dataset, model.config, _reads_pairs(model))
    folder = Path(folder)
    _check_folder(folder)
    to_graph = _import_student_graph()

    student = _exportable(copy.deepcopy(model).float().cpu().eval())
    max_length = max_length or min(tokenizer.model_max_length, _MAX_LENGTH)
    backend = _cutting_tokenizer(tokenizer, max_length)
    config = _folder_config(student, max_length, quantize)
    in_float32 = to_graph(student).SerializeToString()
    graph = to_graph(student, int8=True).SerializeToString() if quantize else in_float32
    report: dict[str, Any] = {
        "bytes": len(graph),
        "bytes_in_float32": len(in_float32),
        "difference_from_torch": _difference_from_torch(student, in_float32, backend, eval_dataset),
        "versions": _versions(),
    }
    if quantize and eval_dataset is None:
        logger.warning("What the student loses in int8 is not measured. Pass texts as eval_dataset to know it.")
    with whole_folder(folder) as temporary:
        (temporary / "model.onnx").write_bytes(graph)
        backend.save(str(temporary / "tokenizer.json"))
        config["sha256"] = {name: file_digest(temporary / name) for name in ("model.onnx", "tokenizer.json")}
        _write_json(temporary / "config.json", config)
        shutil.copyfile(inspect.getfile(OnnxTextClassifier), temporary / "predictor.py")
        (temporary / "README.md").write_text(_readme(config), encoding="utf-8")
        if quantize and eval_dataset is not None:
            exact = OnnxTextClassifier(in_float32, backend, config)
            report[quantize] = _loss(exact, OnnxTextClassifier.from_pretrained(temporary), eval_dataset)
        _write_json(temporary / _REPORT, report)
    logger.info("Wrote %s: %.1f MB, %.1f MB in float32.", folder, len(graph) / 1e6, len(in_float32) / 1e6)
    return report


def _check_arguments(model: Any, tokenizer: Any, quantize: str | None, max_length: int | None) -> None:
    encoder = getattr(model, "base_model", None)
    if not isinstance(model, _Student) or not isinstance(encoder, BiLSTMModel | BiAttentiveModel):
        raise TypeError(
            "export_onnx writes a BiLSTMForSequenceClassification, or a MultiTaskForSequenceClassification over a "
            f"BiLSTM or a bi-attentive LSTM, got a {type(model).__name__} over a {type(encoder).__name__}."
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TypeError(
            f"{type(tokenizer).__name__} is not a fast tokenizer, so there is no tokenizer.json to export. "
            "Load it with AutoTokenizer."
        )
    largest = max(tokenizer.get_vocab().values())
    if largest >= model.config.vocab_size:
        raise ValueError(
            f"The tokenizer has ids up to {largest}, the model {model.config.vocab_size} embeddings. Export a model "
            "with the tokenizer that it was trained with."
        )
    if quantize not in (None, "int8"):
        raise ValueError(f"quantize must be 'int8' or None, got {quantize!r}.")
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}.")


def _reads_pairs(student: _Student) -> bool:
    if isinstance(student, MultiTaskForSequenceClassification) and isinstance(student.encoder, BiAttentiveModel):
        return bool(student.config.get_task(student.config.task)["is_pair"])
    return bool(cast(Any, student.base_model).config.is_pair)


def _exportable(student: _Student) -> _Student:
    """Return a BiLSTM under the heads of several tasks as the ordinary student of the one that is set."""
    if isinstance(student, MultiTaskForSequenceClassification) and isinstance(student.encoder, BiLSTMModel):
        return cast(_Student, student.single_task())
    return student


def _check_dataset(dataset: Dataset | None, config: Any, is_pair: bool) -> None:
    if dataset is None:
        return
    check_texts(dataset, "eval_dataset")
    if len(text_columns(dataset)) != 1 + is_pair:
        raise ValueError(
            f"eval_dataset has the columns {text_columns(dataset)}, and the student reads "
            f"{'pairs' if is_pair else 'single texts'}. Pass a set of such rows."
        )
    if _is_one_of_many(config.problem_type, config.num_labels) and LABEL in dataset.column_names:
        labels = np.asarray(dataset[LABEL][:])
        if labels.dtype.kind not in "iu":
            raise ValueError(
                f"The column {LABEL!r} of eval_dataset does not hold numbers (row 0: {dataset[LABEL][0]!r}). "
                f"Number the labels (number_labels), and give rows without one {NO_LABEL}."
            )


def _check_folder(folder: Path) -> None:
    if folder.is_dir() and (not any(folder.iterdir()) or (folder / _REPORT).is_file()):
        return
    if folder.exists():
        raise FileExistsError(
            f"{str(folder)!r} holds something else than an exported student. Name a folder of its own."
        )


def _import_student_graph() -> Callable[..., Any]:
    try:
        import onnxruntime  # noqa: F401

        from hf_bilstm_distill.onnx_graph import student_graph
    except ImportError as error:
        raise ImportError(
            f'export_onnx cannot run: {error}. Install what it needs: `pip install "hf-bilstm-distill[onnx]"`.'
        ) from error
    return student_graph


def _cutting_tokenizer(tokenizer: PreTrainedTokenizerBase, max_length: int) -> Tokenizer:
    """Return a copy that cuts texts and does not pad them, whatever its last call left in it."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
    return backend


def _folder_config(student: _Student, max_length: int, quantize: str | None) -> dict[str, Any]:
    config = student.config
    names = cast(dict[int, str], config.id2label)
    return {
        "export_format": 1,
        "hf_bilstm_distill_version": _versions().get("hf-bilstm-distill"),
        "model_type": config.model_type,
        "weights": quantize or "float32",
        "labels": [str(names[number]) for number in sorted(names)],
        "problem_type": config.problem_type,
        "is_pair": _reads_pairs(student),
        "max_length": max_length,
        "pad_token_id": config.pad_token_id,
    }


def _difference_from_torch(student: _Student, graph: bytes, tokenizer: Tokenizer, dataset: Dataset | None) -> float:
    """Return the largest difference between the logits of the graph and of torch on rows of many lengths."""
    import onnxruntime

    is_pair, vocab_size = _reads_pairs(student), cast(int, student.config.vocab_size)
    inputs = _padded(_random_rows(vocab_size, is_pair) + _first_rows(tokenizer, dataset))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    inputs = {given.name: inputs[given.name] for given in session.get_inputs()}
    with torch.inference_mode():
        expected = student(**inputs).logits.numpy()
    (given,) = session.run(None, {name: values.numpy() for name, values in inputs.items()})
    difference = float(np.abs(given - expected).max())
    allowed = _TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not difference <= allowed:  # NaN too
        raise RuntimeError(
            f"The exported graph and torch differ by {difference:.2g} in their logits, more than {allowed:.2g}. "
            "If the weights are finite, this is a bug: please report it with the versions of torch and onnxruntime."
        )
    return difference


def _random_rows(vocab_size: int, is_pair: bool) -> list[_Row]:
    generator = np.random.default_rng(0)
    rows = []
    for length in _LENGTHS_TO_COMPARE:
        types = np.sort(generator.integers(0, 2, length)) if is_pair else np.zeros(length, dtype=int)
        rows.append((generator.integers(0, vocab_size, length).tolist(), types.tolist()))
    return rows


def _first_rows(tokenizer: Tokenizer, dataset: Dataset | None) -> list[_Row]:
    if dataset is None:
        return []
    encodings = tokenizer.encode_batch(_inputs(dataset.select(range(min(len(dataset), _TEXTS_TO_COMPARE)))))
    return [(encoding.ids, encoding.type_ids) for encoding in encodings]


def _padded(rows: Sequence[_Row]) -> dict[str, Tensor]:
    shape = (len(rows), max(len(ids) for ids, _ in rows))
    inputs = {name: torch.zeros(shape, dtype=torch.long) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for place, (ids, types) in enumerate(rows):
        for name, values in zip(inputs, (ids, [1] * len(ids), types), strict=True):
            inputs[name][place, : len(ids)] = torch.tensor(values, dtype=torch.long)
    return inputs


def _loss(exact: OnnxTextClassifier, quantized: OnnxTextClassifier, dataset: Dataset) -> dict[str, Any]:
    """Say what quantization costs: how far logits move, how many labels stay, how many are right."""
    inputs = _inputs(dataset)
    expected, given = exact.logits(inputs), quantized.logits(inputs)
    distance = np.abs(given - expected)
    loss: dict[str, Any] = {
        "texts": len(inputs),
        "mean_difference": float(distance.mean()),
        "max_difference": float(distance.max()),
    }
    if exact.problem_type == "regression":
        return loss
    one_of_many = _is_one_of_many(exact.problem_type, len(exact.labels))
    decisions = [logits.argmax(axis=1)[:, None] if one_of_many else logits > 0 for logits in (expected, given)]
    loss["agreement"] = float((decisions[0] == decisions[1]).all(axis=1).mean())
    if loss["agreement"] < _ENOUGH_AGREEMENT:
        logger.warning(
            "In int8 the student gives another label to %.1f %% of the texts. Export it with quantize=None if that is "
            "too many.",
            100 * (1 - loss["agreement"]),
        )
    if one_of_many and LABEL in dataset.column_names:
        labels = np.asarray(dataset[LABEL][:])[:, None]
        known = labels[:, 0] != NO_LABEL
        for name, decided in zip(("accuracy_in_float32", "accuracy"), decisions, strict=True):
            loss[name] = float((decided == labels)[known].mean()) if known.any() else None
    return loss


def _is_one_of_many(problem_type: str | None, num_labels: int) -> bool:
    return problem_type in (None, "single_label_classification") and num_labels > 1


def _inputs(dataset: Dataset) -> list[Any]:
    columns = [dataset[name][:] for name in text_columns(dataset)]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # this package, used from a checkout
            continue
    return versions


def _readme(config: Mapping[str, Any]) -> str:
    pairs = '[("How old are you?", "What is your age?"), ("Who is it?", "What is it?")]'
    return _README.format(
        weights="in int8" if config["weights"] == "int8" else "in float32",
        one='{"text": "How old are you?", "text_pair": "What is your age?"}' if config["is_pair"] else '"A warm film."',
        many=pairs if config["is_pair"] else '["A warm film.", "A dull film."]',
        labels=", ".join(config["labels"]),
        report=_REPORT,
    )


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
