"""The terms of the distillation objective: functions of logits that give one value a row.

They do not average over rows, because the trainer has to: over the rows that carry a term in a whole step, which may
be spread over several batches and processes.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hf_bilstm_distill.transfer_set import NO_LABEL

DistillationLoss = Callable[[Tensor, Tensor], Tensor]
"""(student logits, teacher logits), both `(batch, num_labels)`, to one value a row, `(batch,)`."""


def mse_on_logits(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return the mean squared error between two sets of logits.

    No temperature and no centring: the raw scores carry how sure the teacher is. The mean runs over classes, so that
    the value is 1 / num_labels of the paper's sum.

    Args:
        student_logits: Scores of the student, `(batch, num_labels)`.
        teacher_logits: Scores of the teacher, same shape and label order.

    Returns:
        One value a row, `(batch,)`.

    Raises:
        ValueError: If the shapes differ. A width of 1 would broadcast, and train towards a constant.

    Source:
        Tang et al. 2019, section 3.3.
    """
    _check_shapes(student_logits, teacher_logits)
    return functional.mse_loss(student_logits, teacher_logits, reduction="none").mean(dim=-1)


def kl_on_logits(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return the Kullback-Leibler divergence of the softened probabilities, times the temperature squared.

    The factor keeps the size of the gradients the same at every temperature.

    Args:
        student_logits: Scores of the student, `(batch, num_labels)`.
        teacher_logits: Scores of the teacher, same shape and label order.
        temperature: What both are divided by before the softmax.

    Returns:
        One value a row, `(batch,)`.

    Raises:
        ValueError: If the shapes differ, or there is one label only (every softmax over one score is 1), or the
            temperature is not a positive number.

    Source:
        Hinton et al. 2015, section 2.
    """
    _check_temperature(temperature)
    _check_shapes(student_logits, teacher_logits)
    if student_logits.shape[-1] < 2:
        raise ValueError("The KL loss needs at least 2 labels, got logits of width 1. Use the loss 'mse'.")
    student = functional.log_softmax(student_logits / temperature, dim=-1)
    teacher = functional.log_softmax(teacher_logits / temperature, dim=-1)
    return functional.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1) * temperature**2


DISTILLATION_LOSSES = ("mse", "kl")


def distillation_loss(name: str, temperature: float) -> DistillationLoss:
    """Return a loss between logits by its name.

    Args:
        name: `mse` or `kl`.
        temperature: Softens the probabilities of `kl`; `mse` has none.

    Returns:
        The function.

    Raises:
        ValueError: If there is no such loss, or the temperature is not a positive number.
    """
    _check_temperature(temperature)
    table: dict[str, DistillationLoss] = {
        "mse": mse_on_logits,
        "kl": functools.partial(kl_on_logits, temperature=temperature),
    }
    if name not in table:
        raise ValueError(f"There is no distillation loss {name!r}. Choose one of {list(table)}.")
    return table[name]


def hard_label_loss(logits: Tensor, labels: Tensor, problem_type: str, label_smoothing: float = 0.0) -> Tensor:
    """Return the loss on gold labels, zero in rows that have none.

    Args:
        logits: Scores of the student, `(batch, num_labels)`.
        labels: Class numbers `(batch,)`; or for `multi_label_classification` zeros and ones `(batch, num_labels)`;
            or for `regression` numbers `(batch,)` or `(batch, num_labels)`.
        problem_type: Cross-entropy for `single_label_classification`, binary cross-entropy for
            `multi_label_classification`, squared error for `regression`.
        label_smoothing: Probability that the cross-entropy spreads over all labels.

    Returns:
        One value a row, `(batch,)`.
    """
    if problem_type == "single_label_classification":
        return functional.cross_entropy(
            logits, labels, ignore_index=NO_LABEL, reduction="none", label_smoothing=label_smoothing
        )
    present = has_gold_label(labels)
    labels = labels.reshape(logits.shape).to(logits.dtype)
    labels = labels.masked_fill(~present[:, None], 0.0)
    if problem_type == "regression":
        rows = functional.mse_loss(logits, labels, reduction="none").mean(dim=-1)
    else:
        rows = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=-1)
    return rows.masked_fill(~present, 0.0)


def has_gold_label(labels: Tensor) -> Tensor:
    """Tell which rows carry a gold label: those that are neither -100 nor NaN.

    Args:
        labels: `(batch,)` or `(batch, num_labels)`.

    Returns:
        `(batch,)`, boolean.
    """
    present = (labels != NO_LABEL) & ~torch.isnan(labels) if labels.is_floating_point() else labels != NO_LABEL
    return present.reshape(len(labels), -1).all(dim=1)


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < math.inf:
        raise ValueError(
            f"temperature must be positive and finite, got {temperature}. 1 compares the plain probabilities, a higher "
            "one softer ones."
        )


def _check_shapes(student_logits: Tensor, teacher_logits: Tensor) -> None:
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"The student's logits have shape {tuple(student_logits.shape)}, the teacher's "
            f"{tuple(teacher_logits.shape)}. They must have the same labels in the same order."
        )
