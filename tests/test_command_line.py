"""Arguments from a file and flags, errors in one line, resuming."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hf_bilstm_distill import DistillationTrainingArguments, last_checkpoint, one_line_errors, parse_arguments


@dataclass
class Run:
    """Arguments of a small script."""

    teacher: str | None = field(default=None, metadata={"help": "The teacher."})
    names: list[str] | None = field(default=None, metadata={"help": "Names."})
    baseline: bool = field(default=False, metadata={"help": "Whether to train a baseline."})


def parse(*arguments: str) -> tuple[Run, DistillationTrainingArguments]:
    """Read a command line."""
    run, training = parse_arguments([Run, DistillationTrainingArguments], "A script.", arguments)
    return run, training


def test_flags_override_the_file_and_the_file_overrides_defaults(tmp_path: Path) -> None:
    """A user could not vary one setting of a recipe."""
    config = tmp_path / "recipe.yaml"
    config.write_text("teacher: a\nnames: [x, y]\nlearning_rate: 1e-3\nalpha: 0.5\noptim: adadelta\n")
    run, training = parse(str(config), "--alpha", "0.25", "--baseline", "--use_cpu")
    assert (run.teacher, run.names, run.baseline) == ("a", ["x", "y"], True)
    assert (training.learning_rate, training.alpha, training.optim) == (1e-3, 0.25, "adadelta")
    assert training.num_train_epochs == 3.0


@pytest.mark.parametrize(
    ("content", "message"),
    [("alhpa: 1\n", r"\['alhpa'\]"), ("- a\n", "name: value"), ("a: [\n", "not YAML"), (None, "no file")],
    ids=["unknown-name", "list", "broken", "missing"],
)
def test_a_wrong_file_is_one_line(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip in a recipe would be ignored, and the run be another one than was meant."""
    if content is not None:
        (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(SystemExit):
        parse(str(tmp_path / "recipe.yaml"))
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 1
    assert re.search(message, printed)


def test_all_arguments_are_a_flag_away(capsys: pytest.CaptureFixture[str]) -> None:
    """An argument of training that the short help leaves out could not be found."""
    with pytest.raises(SystemExit) as stop:
        parse("--help_all")
    assert stop.value.code == 0
    assert "--neftune_noise_alpha" in capsys.readouterr().out


def test_bad_input_ends_in_one_line_and_other_errors_keep_their_traceback() -> None:
    """A user would read a stack of functions; or a bug would be hidden."""

    def stop(error: Exception) -> None:
        with one_line_errors():
            raise error

    with pytest.raises(SystemExit, match="no rows: mend it"):
        stop(ValueError("no rows:\n  mend it"))
    with pytest.raises(ZeroDivisionError):
        stop(ZeroDivisionError())


def training(folder: Path, resume: str | None = None) -> DistillationTrainingArguments:
    """Arguments that write to a folder."""
    return DistillationTrainingArguments(output_dir=str(folder), resume_from_checkpoint=resume, use_cpu=True)


def test_the_last_checkpoint_is_found_only_when_asked_for(tmp_path: Path) -> None:
    """A new run would go on from an old one, or a resumed one start again."""
    assert last_checkpoint(training(tmp_path / "new")) is None
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        for name in ("optimizer.pt", "scheduler.pt", "trainer_state.json"):
            (tmp_path / f"checkpoint-{step}" / name).write_text('{"global_step": 5}')
    assert last_checkpoint(training(tmp_path, "last")) == str(tmp_path / "checkpoint-10")
    assert last_checkpoint(training(tmp_path, "true")) == str(tmp_path / "checkpoint-10")
    assert last_checkpoint(training(tmp_path, str(tmp_path / "checkpoint-5"))) == str(tmp_path / "checkpoint-5")
    with pytest.raises(FileNotFoundError, match="checkpoint-7"):
        last_checkpoint(training(tmp_path, str(tmp_path / "checkpoint-7")))


def test_checkpoints_of_an_earlier_run_are_set_aside_not_lost(tmp_path: Path) -> None:
    """A later resume would take the earlier run's highest checkpoint for this run's."""
    (tmp_path / "checkpoint-10").mkdir()
    (tmp_path / "checkpoint-10" / "weights").write_text("precious")
    assert last_checkpoint(training(tmp_path)) is None
    assert last_checkpoint(training(tmp_path, "last")) is None
    assert (tmp_path / "_earlier_run_1" / "checkpoint-10" / "weights").read_text() == "precious"
