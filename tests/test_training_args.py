"""A run that trains with other settings than the user gave, or than the help promises."""

import copy
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import HfArgumentParser, TrainingArguments

from hf_bilstm_distill.training_args import DistillationTrainingArguments


@pytest.fixture
def output_dir(tmp_path: Path) -> str:
    return str(tmp_path / "student")


def defaults(cls: type) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(cls)}


# ---- defaults ----


def test_defaults_of_the_objective(output_dir: str) -> None:
    """Tang et al. 2019: MSE between logits alone; whoever leaves all settings out must get that."""
    args = DistillationTrainingArguments(output_dir)
    assert (args.alpha, args.distillation_loss, args.temperature, args.adadelta_rho) == (0.0, "mse", 3.0, 0.95)
    assert args.optim == TrainingArguments(output_dir).optim
    assert args.per_device_train_batch_size == args.per_device_eval_batch_size == 128
    assert args.train_sampling_strategy == "group_by_length"
    assert args.ddp_find_unused_parameters is False


def test_docstring_names_every_default_that_differs() -> None:
    """A default that differs from Trainer's without a word surprises those who know Trainer's."""
    ours, theirs = defaults(DistillationTrainingArguments), defaults(TrainingArguments)
    different = {name for name in theirs if ours[name] != theirs[name]}
    documented = {
        "per_device_train_batch_size": 128,
        "per_device_eval_batch_size": 128,
        "train_sampling_strategy": "group_by_length",
        "ddp_find_unused_parameters": False,
    }
    assert different == {"learning_rate", *documented}
    text = " ".join(str(DistillationTrainingArguments.__doc__).split())
    assert "`learning_rate` (by optimizer)" in text
    for name, value in documented.items():
        assert ours[name] == value
        assert f"`{name}={value!r}`".replace("'", '"') in text
    assert "`dataloader_pin_memory` only where there is a GPU" in text


def test_every_own_argument_has_a_help() -> None:
    """`--help` shows a flag without a word."""
    own = set(defaults(DistillationTrainingArguments)) - set(defaults(TrainingArguments))
    assert own == {"alpha", "distillation_loss", "temperature", "adadelta_rho", "embedding_learning_rate"}
    for field in dataclasses.fields(DistillationTrainingArguments):
        if field.name in DistillationTrainingArguments.__annotations__:
            assert str(field.metadata["help"]).endswith("."), field.name


def test_memory_is_pinned_only_for_a_gpu(output_dir: str) -> None:
    """Every run on a CPU warns of pinned memory."""
    assert DistillationTrainingArguments(output_dir).dataloader_pin_memory == torch.cuda.is_available()


# ---- the optimizer and its learning rate ----


@pytest.mark.parametrize(
    ("given", "learning_rate"),
    [
        ({"optim": "adadelta"}, 1.0),
        ({"optim": "adadelta", "learning_rate": 0.3}, 0.3),
        ({"optim": "adadelta", "learning_rate": 0.0}, 0.0),
        ({}, 2e-3),
        ({"optim": "sgd"}, 2e-3),
        ({"optim": "adamw_torch", "learning_rate": 1.0}, 1.0),
        ({"learning_rate": 5e-5}, 5e-5),
    ],
    ids=["adadelta", "adadelta_user", "adadelta_zero", "default", "sgd", "adamw_user", "default_user"],
)
def test_learning_rate_by_optimizer(output_dir: str, given: dict[str, Any], learning_rate: float) -> None:
    """Adadelta at AdamW's rate does not move, AdamW at Adadelta's diverges; the user's own value wins."""
    args = DistillationTrainingArguments(output_dir, **given)
    assert args.learning_rate == learning_rate
    assert args.optim == given.get("optim", TrainingArguments(output_dir).optim)


def test_an_unknown_optimizer_is_refused(output_dir: str) -> None:
    """A misspelt optimizer trains with another one."""
    with pytest.raises(ValueError, match="adadleta"):
        DistillationTrainingArguments(output_dir, optim="adadleta")


# ---- what must stop ----


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_alpha_out_of_range(output_dir: str, alpha: float) -> None:
    """An alpha above 1 teaches the opposite of the teacher."""
    with pytest.raises(
        ValueError, match=rf"alpha must be between 0 \(teacher only\) and 1 \(gold labels only\), got {alpha}"
    ):
        DistillationTrainingArguments(output_dir, alpha=alpha)


@pytest.mark.parametrize("alpha", [0, 1])
def test_alpha_at_its_ends(output_dir: str, alpha: int) -> None:
    """The two plain cases are refused."""
    assert DistillationTrainingArguments(output_dir, alpha=alpha).alpha == alpha


@pytest.mark.parametrize("distillation_loss", ["mse", "kl"])
@pytest.mark.parametrize("temperature", [0.0, -2.0, float("nan")])
def test_temperature_out_of_range(output_dir: str, temperature: float, distillation_loss: str) -> None:
    """A negative temperature teaches the opposite of the teacher, zero teaches NaN."""
    with pytest.raises(ValueError, match=f"temperature must be positive and finite, got {temperature}"):
        DistillationTrainingArguments(output_dir, temperature=temperature, distillation_loss=distillation_loss)


def test_an_unknown_loss_is_refused(output_dir: str) -> None:
    """A misspelt loss is found out only once the data is loaded."""
    with pytest.raises(ValueError, match=r"no distillation loss 'mse_loss'. Choose one of \['mse', 'kl'\]"):
        DistillationTrainingArguments(output_dir, distillation_loss="mse_loss")


@pytest.mark.parametrize(
    ("settings", "is_useless"),
    [
        ({"temperature": 2.0}, True),
        ({"temperature": 2.0, "distillation_loss": "kl"}, False),
        ({"distillation_loss": "kl"}, False),
        ({}, False),
    ],
    ids=["mse_with_temperature", "kl_with_temperature", "kl", "defaults"],
)
def test_a_temperature_without_effect_is_told(
    output_dir: str, settings: dict[str, Any], is_useless: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A user tunes the temperature of a loss that has none; or is warned for nothing."""
    with caplog.at_level(logging.WARNING):
        DistillationTrainingArguments(output_dir, **settings)
    warnings = [record.getMessage() for record in caplog.records if "temperature" in record.getMessage()]
    assert len(warnings) == is_useless
    if is_useless:
        assert "temperature=2.0 has no effect with distillation_loss='mse'" in warnings[0]
        assert "distillation_loss='kl'" in warnings[0]


# ---- there and back ----

UNUSUAL = {
    "alpha": 0.25,
    "distillation_loss": "kl",
    "temperature": 5.0,
    "optim": "adadelta",
    "adadelta_rho": 0.9,
    "train_sampling_strategy": "sequential",
}


@pytest.mark.parametrize("settings", [{}, UNUSUAL], ids=["defaults", "unusual"])
def test_json_and_back(tmp_path: Path, output_dir: str, settings: dict[str, Any]) -> None:
    """The settings that a run has written down do not start the same run."""
    args = DistillationTrainingArguments(output_dir, **settings)
    written = json.loads(args.to_json_string())
    assert written == json.loads(json.dumps(args.to_dict()))
    assert written["learning_rate"] == (1.0 if settings else 2e-3)
    assert written["optim"] == ("adadelta" if settings else TrainingArguments(output_dir).to_dict()["optim"])

    path = tmp_path / "args.json"
    path.write_text(args.to_json_string())
    (read,) = HfArgumentParser(DistillationTrainingArguments).parse_json_file(str(path))
    assert read.to_dict() == args.to_dict()


def test_copies_are_equal(tmp_path: Path, output_dir: str) -> None:
    """`dataclasses.replace`, a copy, or `training_args.bin` silently go back to another optimizer."""
    args = DistillationTrainingArguments(output_dir, **UNUSUAL)
    torch.save(args, tmp_path / "training_args.bin")
    loaded = torch.load(tmp_path / "training_args.bin", weights_only=False)
    for other in (copy.deepcopy(args), dataclasses.replace(args), loaded):
        assert isinstance(other, DistillationTrainingArguments)
        assert other.to_dict() == args.to_dict()
    assert dataclasses.replace(args, seed=7).optim == "adadelta"


def test_command_line(output_dir: str) -> None:
    """A flag of the help is not understood."""
    parser = HfArgumentParser(DistillationTrainingArguments)
    objective = ["--alpha", "0.5", "--distillation_loss", "kl", "--temperature", "2"]
    flags = ["--optim", "adadelta", "--adadelta_rho", "0.9", *objective]
    (args,) = parser.parse_args_into_dataclasses(["--output_dir", output_dir, *flags])
    assert (args.optim, args.learning_rate, args.alpha) == ("adadelta", 1.0, 0.5)
    assert (args.distillation_loss, args.temperature, args.adadelta_rho) == ("kl", 2.0, 0.9)
    (args,) = parser.parse_args_into_dataclasses(["--output_dir", output_dir, "--learning_rate", "0.01"])
    assert args.learning_rate == 0.01


def test_command_line_lists_the_losses(output_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt loss gets no hint."""
    with pytest.raises(SystemExit):
        HfArgumentParser(DistillationTrainingArguments).parse_args_into_dataclasses(["--distillation_loss", "nll"])
    error = capsys.readouterr().err
    assert "nll" in error
    assert "mse" in error
    assert "kl" in error
