"""The models that a command runs: teachers, students, exported students."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch

from hf_bilstm_distill.commands.exported import is_exported
from hf_bilstm_distill.commands.shared_arguments import TeacherChoice
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.predictor import OnnxTextClassifier
from hf_bilstm_distill.report.measuring import from_logits
from hf_bilstm_distill.transfer_set import MULTI_LABEL, check_label_order


class ExportedClassifier:
    """An exported student in the form that the report measures: as a `TextClassifier`."""

    def __init__(self, name_or_path: str) -> None:
        self._classifier = OnnxTextClassifier.from_pretrained(name_or_path)
        self._graph = Path(name_or_path) / "model.onnx"
        self._order = list(range(len(self._classifier.labels)))

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the labels by their position in the scores."""
        return dict(enumerate(self._classifier.labels[position] for position in self._order))

    @property
    def num_labels(self) -> int:
        """How many scores a text gets."""
        return len(self._order)

    @property
    def problem_type(self) -> str | None:
        """What a label is."""
        return self._classifier.problem_type

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the graph, if it is in a folder."""
        return self._graph.stat().st_size if self._graph.is_file() else None

    def with_label_order(self, label_order: Sequence[int], names: Sequence[str] | None = None) -> Self:
        """Put the labels into another order."""
        check_label_order(label_order, self.num_labels)
        self._order = [self._order[position] for position in label_order]
        return self

    def predict(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Give the label of each text, and the scores of all labels."""
        inputs = texts if text_pairs is None else list(zip(texts, text_pairs, strict=True))
        logits = self._classifier.logits(inputs)[:, self._order]
        found = from_logits(logits, several_labels=self.problem_type == MULTI_LABEL)
        return found.values, found.scores


def load_teacher(run: TeacherChoice) -> TextClassifier | None:
    """Load the teacher, if there is one."""
    if run.teacher is None:
        return None
    return TextClassifier.from_pretrained(
        run.teacher, dtype=torch_dtype(run.teacher_dtype), trust_remote_code=run.trust_remote_code
    )


def load_classifier(name_or_path: str) -> TextClassifier | ExportedClassifier:
    """Load any classifier: a student, an exported one, or another model of transformers."""
    return (ExportedClassifier if is_exported(name_or_path) else TextClassifier.from_pretrained)(name_or_path)


def torch_dtype(name: str) -> torch.dtype:
    """Return what a name stands for: `auto` is bfloat16 where it is no slower than float32."""
    if name != "auto":
        return cast(torch.dtype, getattr(torch, name))
    if torch.cuda.is_available():
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features: dict[str, bool] = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # older versions of torch cannot tell
        has_bfloat16 = any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if has_bfloat16 else torch.float32
