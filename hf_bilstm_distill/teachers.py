"""Teachers beyond one model: a function, a pipeline, several as one, probabilities from elsewhere."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from transformers import Pipeline
from transformers import PreTrainedTokenizerBase as Tokenizer

from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.labeling import Teacher
from hf_bilstm_distill.transfer_set import match_labels

_SUM_TOLERANCE = 0.02  # probabilities that were rounded to two places


class CallableTeacher:
    """A function as a teacher: a model of another library, a service, rules.

    Args:
        function: Takes a list of texts (and for pairs a second list) and gives their logits, `(rows, num_labels)`. Has
            it probabilities, `logits_from_probabilities` turns them into logits.
        labels: The names of the labels, in the order of the logits.
        name: Tells this function from any that could give other logits, with its version: cached logits are found by
            it. None: its logits cannot be cached.

    Raises:
        ValueError: If a label stands there twice.

    Example:
        >>> teacher = CallableTeacher(lambda texts: [[-len(text), len(text)] for text in texts], ["short", "long"])
        >>> teacher.logits(["a film"]).tolist()
        [[-6.0, 6.0]]
    """

    def __init__(self, function: Callable[..., Any], labels: Sequence[str], *, name: str | None = None) -> None:
        if len(set(labels)) != len(labels):
            raise ValueError(f"The labels of a teacher must differ, got {list(labels)}.")
        self.function = function
        self.id2label = dict(enumerate(labels))
        self.name = name

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
        """Give the logits of texts, or of pairs of texts.

        Args:
            texts: The texts, or the first sentences.
            text_pairs: The second sentences.

        Returns:
            What the function gives, as float32.
        """
        columns = [list(texts)] if text_pairs is None else [list(texts), list(text_pairs)]
        return np.asarray(self.function(*columns), dtype=np.float32)

    def fingerprint(self) -> str:
        """Tell this teacher from any that could give other logits.

        Returns:
            A hash in hexadecimal.

        Raises:
            ValueError: If it has no name.
        """
        if not self.name:
            raise ValueError(
                "This teacher is a function without a name, so its cached logits could be taken for another's. Give "
                'CallableTeacher a name with a version, such as name="rules-1", or label without cache_dir.'
            )
        return _fingerprint("function", self.name, *self.id2label.values())


def average_teachers(teachers: Sequence[Teacher], weights: Sequence[float] | None = None) -> Teacher:
    """Make one teacher of several: its logits are the mean of theirs.

    The labels are matched by name and stand in the order of the first teacher's. The raw logits are averaged, so that a
    teacher whose logits are larger weighs more.

    Args:
        teachers: One or more, for the same labels.
        weights: How much each one counts, in relation to the others. None: all the same.

    Returns:
        The teacher.

    Raises:
        ValueError: If there are no teachers, or not as many weights, or a weight is not a positive number.
        LabelMismatchError: If the labels of the teachers differ.
    """
    weights = [1.0] * len(teachers) if weights is None else list(weights)
    if not teachers or len(weights) != len(teachers):
        raise ValueError(f"One weight for each teacher is needed, got {len(weights)} for {len(teachers)} teachers.")
    if not all(np.isfinite(weight) and weight > 0 for weight in weights):
        raise ValueError(f"weights must be positive numbers, got {weights}. Leave a teacher out instead of weighing 0.")
    return _AverageTeacher(teachers, [weight / sum(weights) for weight in weights])


class _AverageTeacher:
    def __init__(self, teachers: Sequence[Teacher], weights: Sequence[float]) -> None:
        self.id2label = dict(teachers[0].id2label)
        names = [self.id2label[position] for position in sorted(self.id2label)]
        self._teachers = teachers
        self._weights = weights
        self._orders = [match_labels(teacher.id2label, names) for teacher in teachers]

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
        mean = np.zeros((len(texts), len(self.id2label)))
        columns = [texts] if text_pairs is None else [texts, text_pairs]
        for number, (teacher, order, weight) in enumerate(
            zip(self._teachers, self._orders, self._weights, strict=True)
        ):
            logits = teacher.logits(*columns)
            if logits.shape != mean.shape:
                raise ValueError(
                    f"Teacher {number} of {len(self._teachers)} gave logits of shape {logits.shape} for {len(texts)} "
                    f"texts and the labels {list(teacher.id2label.values())}; it must be {mean.shape}."
                )
            mean += weight * logits[:, order]
        return mean.astype(np.float32)

    def fingerprint(self) -> str:
        members = zip(self._teachers, self._orders, self._weights, strict=True)
        return _fingerprint("mean", *(repr((teacher.fingerprint(), *rest)) for teacher, *rest in members))


def teacher_from_pipeline(pipeline: Pipeline) -> TextClassifier:
    """Make a teacher of a text-classification pipeline: its model, its tokenizer, the device where it is.

    Args:
        pipeline: What `transformers.pipeline("text-classification", ...)` gives.

    Returns:
        The teacher. It cuts long texts where the pipeline does, and where the model's positions end.

    Raises:
        ValueError: If it is a pipeline for something else.
    """
    if pipeline.task != "text-classification":
        raise ValueError(
            f"The pipeline is one for {pipeline.task!r}, not for 'text-classification'. Wrap it in a function that "
            "gives an array: CallableTeacher."
        )
    max_length = pipeline._preprocess_params.get("max_length")
    return TextClassifier(pipeline.model, cast(Tokenizer, pipeline.tokenizer), max_length=max_length)


def logits_from_probabilities(probabilities: npt.ArrayLike, epsilon: float = 1e-6) -> np.ndarray:
    """Turn probabilities into logits: their logarithms, whose softmax gives the probabilities again.

    Args:
        probabilities: Of each label, `(rows, num_labels)`. A row sums to 1, or nearly so after rounding.
        epsilon: Takes the place of smaller probabilities: the logarithm of 0 is no number to learn from.

    Returns:
        `(rows, num_labels)`, float32.

    Raises:
        ValueError: If these are not the probabilities of two or more labels.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"Probabilities of two or more labels must have shape (rows, num_labels), got {values.shape}.")
    if not 0 < epsilon < 1 / values.shape[1]:
        raise ValueError(f"epsilon must lie between 0 and 1 / {values.shape[1]} labels, got {epsilon}.")
    sums = values.sum(axis=1)
    is_wrong = ~((values >= 0).all(axis=1) & (np.abs(sums - 1) <= _SUM_TOLERANCE))  # NaN is wrong too
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise ValueError(
            f"{int(is_wrong.sum())} of {len(values)} rows hold no probabilities that sum to 1 (first: row {row}, "
            f"{values[row].tolist()}). Give logits as they are; independent probabilities of several labels as "
            "log(p / (1 - p))."
        )
    return np.log(np.maximum(values / sums[:, None], epsilon)).astype(np.float32)


def _fingerprint(*parts: str) -> str:
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
