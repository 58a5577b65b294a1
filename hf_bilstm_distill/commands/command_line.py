"""Arguments from a YAML file and flags, what is told on the way, resuming."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from accelerate import PartialState
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_bilstm_distill.checkpoints import check_checkpoint, find_last_checkpoint
from hf_bilstm_distill.commands.errors import OneLineParser

logger = logging.getLogger(__name__)

LAST_CHECKPOINT = "last"
_SHOWN_TRAINING_ARGUMENTS = {
    "output_dir",
    "alpha",
    "distillation_loss",
    "temperature",
    "learning_rate",
    "optim",
    "lr_scheduler_type",
    "warmup_steps",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "eval_strategy",
    "save_strategy",
    "logging_steps",
    "seed",
    "bf16",
    "use_cpu",
    "resume_from_checkpoint",
    "push_to_hub",
    "hub_model_id",
    "hub_private_repo",
}


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        flag = action.option_strings[0]  # of --output_dir and --output-dir, one is enough to read
        return flag if action.nargs in (0, "?") else f"{flag} {self._format_args(action, 'VALUE')}"


class _Parser(OneLineParser, HfArgumentParser):
    pass


def parse_arguments(
    dataclass_types: Sequence[type], description: str, arguments: Sequence[str] | None = None
) -> tuple[Any, ...]:
    """Read a command line `[config.yaml] [--flag value ...]`; flags override the file.

    Where there are arguments of training, `--help` shows the common ones and `--help_all` all of them, and
    `--resume_from_checkpoint` may stand without a value: then it is `last`.

    Args:
        dataclass_types: The dataclasses to fill, each field described by its `help`.
        description: What the script does, for `--help`.
        arguments: The command line. None takes the process's own.

    Returns:
        One instance of each dataclass.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    trains = any(issubclass(each, TrainingArguments) for each in dataclass_types)
    parser = _Parser(
        cast(Any, list(dataclass_types)),
        description=description,
        formatter_class=_HelpFormatter,
        epilog="All other arguments of transformers.TrainingArguments are taken too: --help_all shows them."
        if trains
        else None,
    )
    parser.usage = "%(prog)s [config.yaml] [--flag value ...]"
    if trains:
        parser.add_argument("--help_all", action="store_true", help="Show every argument and exit.")
    _describe(parser, dataclass_types, show_all="--help_all" in given)
    if "--help_all" in given:
        parser.print_help()
        parser.exit()
    if given and given[0].endswith((".yaml", ".yml")):
        parser.set_defaults(**_read_config(parser, given.pop(0)))
    for action in parser._actions:
        action.required = action.required and parser.get_default(action.dest) is None
    try:
        filled = parser.parse_args_into_dataclasses(args=given)
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    return tuple(filled[: len(dataclass_types)])  # behind them stands what is left, such as help_all


def log_to_stderr() -> None:
    """Show what the stages tell, once a line and by one process; the libraries below them only warn."""
    is_main = PartialState().is_main_process
    logging.basicConfig(format="%(message)s", level=logging.INFO if is_main else logging.ERROR)
    for noisy in ("httpx", "filelock", "fsspec"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def last_checkpoint(training: TrainingArguments) -> str | None:
    """Find the checkpoint to go on from, and keep a new run apart from the checkpoints of an earlier one.

    One that was being written when its run ended is left out, with a warning.

    Args:
        training: The arguments; `resume_from_checkpoint` is None, a folder, or `last` (or `true`).

    Returns:
        The folder; None to start from the beginning.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If the checkpoint is damaged.
    """
    output_dir, wanted = Path(str(training.output_dir)), training.resume_from_checkpoint
    if wanted is not None and wanted.lower() not in (LAST_CHECKPOINT, "true", "false"):
        if not Path(wanted).is_dir():
            raise FileNotFoundError(f"There is no checkpoint {wanted}. Leave the value out to take the last one.")
        check_checkpoint(wanted)
        return wanted
    if wanted is None or wanted.lower() == "false":
        if training.process_index == 0:
            _set_aside(output_dir)
        return None
    found = find_last_checkpoint(output_dir)
    if found is None:
        logger.warning(f"There is no checkpoint in {output_dir}: starting from the beginning.")
    else:
        check_checkpoint(found)
    return found


def _set_aside(output_dir: Path) -> None:
    """Move an earlier run's checkpoints away: a later resume would take its highest one for this run's."""
    checkpoints = list(output_dir.glob(f"{PREFIX_CHECKPOINT_DIR}-[0-9]*"))
    if not checkpoints:
        return
    number = 1
    while (aside := output_dir / f"_earlier_run_{number}").exists():
        number += 1
    aside.mkdir()
    for checkpoint in checkpoints:
        checkpoint.rename(aside / checkpoint.name)
    logger.warning(f"{output_dir} held checkpoints of an earlier run: they are now in {aside}.")


def _describe(parser: argparse.ArgumentParser, dataclass_types: Sequence[type], *, show_all: bool) -> None:
    inherited = {field.name for field in dataclasses.fields(TrainingArguments)} - _SHOWN_TRAINING_ARGUMENTS
    own = {
        field.name for cls in dataclass_types for field in dataclasses.fields(cls) if field.name in cls.__annotations__
    }
    for action in parser._actions:
        if action.dest == "resume_from_checkpoint":
            action.nargs, action.const = "?", LAST_CHECKPOINT
            action.help = "Go on from a checkpoint: its folder, or nothing for the last one in --output_dir."
        is_negation = action.option_strings[:1] == [f"--no_{action.dest}"]  # `--flag false` does the same
        if is_negation or (not show_all and action.dest in inherited - own):
            action.help = argparse.SUPPRESS


def _read_config(parser: argparse.ArgumentParser, path: str) -> dict[str, Any]:
    if not Path(path).is_file():
        parser.error(f"there is no file {path}")
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        parser.error(f"{path} is not YAML: {' '.join(str(error).split())}")
    if not isinstance(config, dict):
        parser.error(f"{path} must hold lines of the form name: value, got {type(config).__name__}")
    unknown = sorted(set(config) - {action.dest for action in parser._actions})
    if unknown:
        parser.error(f"{path} has unknown arguments {unknown}")
    return config
