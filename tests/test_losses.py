"""A student that trains without complaint towards the wrong target."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from hf_bilstm_distill.losses import (
    DISTILLATION_LOSSES,
    DistillationLoss,
    distillation_loss,
    hard_label_loss,
    has_gold_label,
    kl_on_logits,
    mse_on_logits,
)

NAN = float("nan")
STUDENT = np.random.default_rng(0).normal(scale=2.0, size=(5, 3))
TEACHER = np.random.default_rng(1).normal(scale=2.0, size=(5, 3))


def probabilities(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def tensors() -> tuple[Tensor, Tensor]:
    return torch.from_numpy(STUDENT), torch.from_numpy(TEACHER)


@pytest.fixture(params=[*DISTILLATION_LOSSES, "kl-several-labels"])
def loss(request: pytest.FixtureRequest) -> DistillationLoss:
    """Each loss of the table, `kl` at a temperature at which a forgotten factor shows."""
    name, _, several = request.param.partition("-")
    problem_type = "multi_label_classification" if several else "single_label_classification"
    return distillation_loss(name, temperature=2.0, problem_type=problem_type)


# ---- losses between logits ----


def test_mse_by_hand() -> None:
    """A mean over rows in the loss itself would weigh batches of different sizes alike."""
    student = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    teacher = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    assert mse_on_logits(student, teacher).tolist() == [0.5, 4.0]  # (1 + 0) / 2 and (4 + 4) / 2


def test_kl_by_hand() -> None:
    """The divergence from student to teacher has other values: it lets the student drop labels."""
    student = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64)) * 2
    teacher = torch.log(torch.tensor([[0.5, 0.5], [0.2, 0.8]], dtype=torch.float64)) * 2
    expected = [
        4 * (0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)),
        4 * (0.2 * math.log(0.2 / 0.5) + 0.8 * math.log(0.8 / 0.5)),
    ]
    assert kl_on_logits(student, teacher, temperature=2.0).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 20.0])
def test_kl_is_the_formula_times_the_temperature_squared(temperature: float) -> None:
    """Without the square the teacher's term fades as the temperature rises."""
    student, teacher = probabilities(STUDENT / temperature), probabilities(TEACHER / temperature)
    expected = temperature**2 * (teacher * np.log(teacher / student)).sum(axis=1)
    found = distillation_loss("kl", temperature)(*tensors())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_kl_at_a_high_temperature_is_half_the_mse_of_centred_logits() -> None:
    """Hinton et al. 2015, section 2.1: at the limit both losses pull the same way, so alpha means the same for both."""
    student, teacher = (logits - logits.mean(axis=1, keepdims=True) for logits in (STUDENT, TEACHER))
    expected = ((student - teacher) ** 2).mean(axis=1) / 2
    found = distillation_loss("kl", temperature=1e4)(*tensors())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)


def test_kl_of_several_labels_a_row_by_hand() -> None:
    """Labels that do not exclude each other would share one softmax."""
    student, teacher = (torch.tensor([[0.5, 0.25], [p, 0.5]], dtype=torch.float64).logit() for p in (0.9, 0.2))
    student[0], teacher[0] = student[0] * 2, torch.tensor([0.8, 0.5], dtype=torch.float64).logit() * 2
    teacher[1] *= 2
    student[1] *= 2
    loss = distillation_loss("kl", 2.0, "multi_label_classification")

    def divergence(p: float, q: float) -> float:
        return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

    expected = [4 * (divergence(0.8, 0.5) + divergence(0.5, 0.25)) / 2, 4 * (divergence(0.2, 0.9) + 0) / 2]
    assert loss(student, teacher).tolist() == pytest.approx(expected, rel=1e-9)


def test_kl_of_a_regression_is_refused() -> None:
    """Scores have no probabilities: the loss would be zero whatever the student says."""
    with pytest.raises(ValueError, match="a regression has none"):
        distillation_loss("kl", 3.0, "regression")


def test_mse_ignores_the_temperature() -> None:
    """A softened MSE would depend on a setting that the arguments call useless."""
    student, teacher = tensors()
    assert torch.equal(distillation_loss("mse", 1.0)(student, teacher), distillation_loss("mse", 9.0)(student, teacher))


def test_loss_is_zero_at_equality_and_positive_elsewhere(loss: DistillationLoss) -> None:
    """A student that has learned all there is would still be pushed around."""
    student, teacher = tensors()
    assert loss(teacher, teacher).abs().max() < 1e-12
    assert loss(student, teacher).min() > 1e-3


def test_loss_gives_one_value_a_row(loss: DistillationLoss) -> None:
    """Rows that leak into each other would make the loss depend on batch mates."""
    student, teacher = tensors()
    together = loss(student, teacher)
    alone = torch.cat([loss(student[row : row + 1], teacher[row : row + 1]) for row in range(5)])
    assert together.shape == (5,)
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=0)


def test_gradient_is_that_of_finite_differences(loss: DistillationLoss) -> None:
    """A detached or doubled term gives right values and trains wrongly."""
    student, teacher = tensors()
    student.requires_grad_(True)
    loss(student, teacher).sum().backward()
    step = 1e-6
    differences = np.zeros_like(STUDENT)
    for index in np.ndindex(*STUDENT.shape):
        moved = np.zeros_like(STUDENT)
        moved[index] = step
        above, below = (loss(torch.from_numpy(STUDENT + sign * moved), teacher).sum().item() for sign in (1, -1))
        differences[index] = (above - below) / (2 * step)
    assert student.grad is not None
    np.testing.assert_allclose(student.grad.numpy(), differences, rtol=1e-5, atol=1e-7)


def test_large_logits_stay_finite(loss: DistillationLoss) -> None:
    """One sure teacher would turn all weights to NaN."""
    student = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4], [-1e4, 1e4]])
    values = loss(student, teacher)
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert values[0] > 1e3
    assert values[1] == 0
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


# ---- what must stop ----


@pytest.mark.parametrize("shape", [(5, 1), (1, 3), (1, 1)], ids=["one_score", "one_row", "one_number"])
def test_logits_that_would_broadcast_are_refused(loss: DistillationLoss, shape: tuple[int, int]) -> None:
    """A teacher of width 1 is stretched over all labels, and the student learns a constant."""
    student, _ = tensors()
    with pytest.raises(ValueError, match=rf"shape \(5, 3\), the teacher's \({shape[0]}, {shape[1]}\)"):
        loss(student, torch.zeros(shape, dtype=student.dtype))


@pytest.mark.parametrize("shape", [(5, 2), (5, 4), (4, 3), (3,), (5, 3, 1)])
def test_logits_of_another_shape_are_refused(loss: DistillationLoss, shape: tuple[int, ...]) -> None:
    """A teacher of another task is learned from."""
    student, _ = tensors()
    with pytest.raises(ValueError, match="same labels in the same order"):
        loss(student, torch.zeros(shape, dtype=student.dtype))


def test_kl_of_one_label_is_refused() -> None:
    """Every softmax over one score is 1: the loss is zero and nothing is learned."""
    with pytest.raises(ValueError, match=r"at least 2 labels, got logits of width 1.*'mse'"):
        kl_on_logits(torch.randn(4, 1), torch.randn(4, 1), temperature=2.0)


@pytest.mark.parametrize("name", DISTILLATION_LOSSES)
@pytest.mark.parametrize("temperature", [0.0, -1.0, NAN, math.inf])
def test_a_temperature_that_is_not_positive_is_refused(name: str, temperature: float) -> None:
    """A negative temperature teaches the opposite of the teacher, zero and infinity teach NaN."""
    with pytest.raises(ValueError, match=f"temperature must be positive and finite, got {temperature}"):
        distillation_loss(name, temperature)


@pytest.mark.parametrize("temperature", [0.0, -1.0, NAN, math.inf])
def test_kl_itself_refuses_such_a_temperature(temperature: float) -> None:
    """Whoever calls the function directly gets the same answer as the trainer."""
    with pytest.raises(ValueError, match=f"temperature must be positive and finite, got {temperature}"):
        kl_on_logits(*tensors(), temperature)


def test_an_unknown_loss_is_refused() -> None:
    """A misspelt name falls back to another loss."""
    with pytest.raises(ValueError, match=r"no distillation loss 'mean'. Choose one of \['mse', 'kl'\]"):
        distillation_loss("mean", temperature=1.0)


# ---- losses on gold labels ----


def test_cross_entropy_of_numbered_labels() -> None:
    """Rows without a label count as label 0, or pull the mean down."""
    labels = [2, -100, 0, 1, -100]
    log_probabilities = np.log(probabilities(STUDENT))
    expected = [0.0 if label == -100 else -log_probabilities[row, label] for row, label in enumerate(labels)]
    found = hard_label_loss(torch.from_numpy(STUDENT), torch.tensor(labels), "single_label_classification")
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_label_smoothing_spreads_over_all_labels() -> None:
    """`label_smoothing_factor` is taken and has no effect, or touches rows without a label."""
    labels = [2, -100, 0, 1, 1]
    log_probabilities = np.log(probabilities(STUDENT))
    expected = [
        0.0 if label == -100 else -0.7 * log_probabilities[row, label] - 0.3 * log_probabilities[row].mean()
        for row, label in enumerate(labels)
    ]
    found = hard_label_loss(torch.from_numpy(STUDENT), torch.tensor(labels), "single_label_classification", 0.3)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_binary_cross_entropy_of_several_labels_a_row() -> None:
    """A row without labels (NaN, or -100 throughout) turns the loss to NaN or counts as all zeros."""
    labels = np.array([[1.0, 0, 1], [NAN] * 3, [0, 0, 0], [-100] * 3, [1, 1, 1]])
    sigmoid = 1 / (1 + np.exp(-STUDENT))
    losses = -(labels * np.log(sigmoid) + (1 - labels) * np.log(1 - sigmoid)).mean(axis=1)
    losses[[1, 3]] = 0
    found = hard_label_loss(torch.from_numpy(STUDENT), torch.from_numpy(labels), "multi_label_classification")
    np.testing.assert_allclose(found.numpy(), losses, rtol=1e-9)


@pytest.mark.parametrize("columns", [0, 1], ids=["flat", "column"])
def test_squared_error_of_a_number_a_row(columns: int) -> None:
    """Labels of shape (rows,) against logits of (rows, 1) broadcast to (rows, rows)."""
    labels = np.array([1.5, NAN, -2.0, -100.0, 0.0])
    losses = np.nan_to_num((STUDENT[:, 0] - labels) ** 2)
    losses[3] = 0
    shaped = torch.from_numpy(labels).reshape(5, *[1] * columns)
    found = hard_label_loss(torch.from_numpy(STUDENT[:, :1]), shaped, "regression")
    np.testing.assert_allclose(found.numpy(), losses, rtol=1e-12)


def test_squared_error_of_several_numbers_a_row() -> None:
    """The mean runs over the numbers of a row, not over rows."""
    losses = ((STUDENT - TEACHER) ** 2).mean(axis=1)
    found = hard_label_loss(torch.from_numpy(STUDENT), torch.from_numpy(TEACHER), "regression")
    np.testing.assert_allclose(found.numpy(), losses, rtol=1e-12)


@pytest.mark.parametrize(
    ("problem_type", "labels"),
    [
        ("single_label_classification", torch.tensor([1, -100, 0, -100, 2])),
        ("multi_label_classification", torch.tensor([[1.0, 0, 1], [NAN] * 3, [0, 1, 0], [-100] * 3, [1, 1, 1]])),
        ("regression", torch.tensor([[1.0, 2, 3], [NAN] * 3, [3, 2, 1], [-100] * 3, [0, 0, 0]])),
    ],
)
def test_rows_without_a_label_give_no_gradient(problem_type: str, labels: Tensor) -> None:
    """A NaN that is masked in the value still poisons the weights through the gradient."""
    logits = torch.from_numpy(STUDENT).requires_grad_(True)
    hard_label_loss(logits, labels, problem_type).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[[1, 3]].abs().max() == 0
    assert (logits.grad[[0, 2, 4]].abs().amax(dim=1) > 1e-3).all()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (torch.tensor([0, -100, 1]), [True, False, True]),
        (torch.tensor([0.0, NAN, -100.0]), [True, False, False]),
        (torch.tensor([[0.0, 1.0], [NAN, 1.0], [1.0, -100.0]]), [True, False, False]),
        (torch.tensor([[0, 1], [-100, -100], [1, -100]]), [True, False, False]),
    ],
    ids=["numbers", "floats", "rows_of_floats", "rows_of_numbers"],
)
def test_has_gold_label(labels: Tensor, expected: list[bool]) -> None:
    """A row that is counted as labelled and gives no loss makes the mean too small."""
    assert has_gold_label(labels).tolist() == expected
