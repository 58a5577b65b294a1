"""The terms of the distillation objective: functions of logits that give one value a row.

They do not average over rows, because the trainer has to: over the rows that carry a term in a whole step, which may
be spread over several batches and processes.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hf_bilstm_distill.transfer_set import MULTI_LABEL, NO_LABEL, REGRESSION, SINGLE_LABEL

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


def binary_kl_on_logits(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return the Kullback-Leibler divergence of each label by itself, times the temperature squared.

    For texts that can have several labels: each has a probability of its own. The mean runs over labels, as that of the
    binary cross-entropy on gold labels does.

    Args:
        student_logits: Scores of the student, `(batch, num_labels)`.
        teacher_logits: Scores of the teacher, same shape and label order.
        temperature: What both are divided by before the sigmoid.

    Returns:
        One value a row, `(batch,)`.

    Raises:
        ValueError: If the shapes differ, or the temperature is not a positive number.
    """
    _check_temperature(temperature)
    _check_shapes(student_logits, teacher_logits)
    student, teacher = student_logits / temperature, teacher_logits / temperature
    present = teacher.sigmoid() * (functional.logsigmoid(teacher) - functional.logsigmoid(student))
    absent = (-teacher).sigmoid() * (functional.logsigmoid(-teacher) - functional.logsigmoid(-student))
    return (present + absent).mean(dim=-1) * temperature**2


DISTILLATION_LOSSES = ("mse", "kl")


def distillation_loss(name: str, temperature: float, problem_type: str = SINGLE_LABEL) -> DistillationLoss:
    """Return a loss between logits by its name.

    Args:
        name: `mse` or `kl`.
        temperature: Softens the probabilities of `kl`; `mse` has none.
        problem_type: Where a text can have several labels, `kl` compares each label by itself.

    Returns:
        The function.

    Raises:
        ValueError: If there is no such loss, or the temperature is not a positive number, or a regression shall learn
            by `kl`.
    """
    _check_temperature(temperature)
    kl = binary_kl_on_logits if problem_type == MULTI_LABEL else kl_on_logits
    table: dict[str, DistillationLoss] = {
        "mse": mse_on_logits,
        "kl": functools.partial(kl, temperature=temperature),
    }
    if name not in table:
        raise ValueError(f"There is no distillation loss {name!r}. Choose one of {list(table)}.")
    if name == "kl" and problem_type == REGRESSION:
        raise ValueError("The loss 'kl' compares probabilities, and a regression has none. Use the loss 'mse'.")
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
    if problem_type == SINGLE_LABEL:
        return functional.cross_entropy(
            logits, labels, ignore_index=NO_LABEL, reduction="none", label_smoothing=label_smoothing
        )
    present = has_gold_label(labels)
    labels = labels.reshape(logits.shape).to(logits.dtype)
    labels = labels.masked_fill(~present[:, None], 0.0)
    if problem_type == REGRESSION:
        rows = functional.mse_loss(logits, labels, reduction="none").mean(dim=-1)
    else:
        rows = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=-1)
    return rows.masked_fill(~present, 0.0)


def problem_type_of(config: Any, labels: Tensor | np.ndarray | None) -> str:
    """Return the problem type of a configuration; if it names none, the one that its labels have.

    Args:
        config: The student's configuration.
        labels: Gold labels of some rows, if there are any.

    Returns:
        `problem_type` of the configuration; else a regression for one output, several labels a row where a row's label
        is a list, and otherwise one.
    """
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return REGRESSION
    return MULTI_LABEL if labels is not None and labels.ndim > 1 else SINGLE_LABEL


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
