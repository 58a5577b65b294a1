"""Checkpoints that are whole: no run goes on from one that was half written or half deleted, or that is damaged."""

import json
import shutil
from pathlib import Path
from typing import Any

from torch import nn
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging

from hf_bilstm_distill.files import file_digest, name_full_disk, whole_files, write_text

logger = logging.get_logger(__name__)

DIGESTS = "sha256.json"
"""The file of a checkpoint that has the digests of all others. It is written last."""
# A run that is killed just before the digests may have deleted the checkpoint before already, so they can be missing.
_WITHOUT_DIGESTS = (OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME)
_PREFIX = f"{PREFIX_CHECKPOINT_DIR}-"


class CheckpointingTrainer(Trainer):
    """A `Trainer` that goes on from whole checkpoints only, and whose files replace earlier ones when they are whole.

    `Trainer` itself writes a checkpoint in its place, file by file, and takes the one with the highest number.
    """

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial)) / f"{_PREFIX}{self.state.global_step}"
        with name_full_disk(folder):
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)  # what a run left there that was killed
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                write_text(folder / DIGESTS, json.dumps(_digests(folder), indent=2) + "\n")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        check_checkpoint(resume_from_checkpoint)
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        tokenizer = getattr(self.processing_class, "backend_tokenizer", None)
        if tokenizer is not None:  # it would be saved as its last call left it, and a run that goes on has fewer calls
            tokenizer.no_padding()
            tokenizer.no_truncation()
        with whole_files(str(output_dir or self.args.output_dir)) as temporary:
            super()._save(str(temporary), state_dict)


def find_last_checkpoint(folder: str | Path) -> str | None:
    """Find the last whole checkpoint of a folder; others are left out, with a warning.

    Args:
        folder: Where `Trainer` saved. It may be missing.

    Returns:
        Its path; None if there is none.
    """
    numbers = {path: path.name.removeprefix(_PREFIX) for path in Path(folder).glob(f"{_PREFIX}*")}
    checkpoints = [path for path, number in numbers.items() if number.isdecimal()]
    for path in sorted(checkpoints, key=lambda path: int(numbers[path]), reverse=True):
        missing = _find_missing(path)
        if missing is None:
            return str(path)
        logger.warning(f"{path} is left out: it has no whole {missing}, as if the run ended while it was written.")
    return None


def check_checkpoint(folder: str | Path) -> None:
    """Stop if a checkpoint, or that of the best student until then, is not what was written.

    Checkpoints that plain `Trainer` wrote have no digests: of these only files that are missing are noticed.

    Args:
        folder: The checkpoint.

    Raises:
        ValueError: If a file is missing or has changed.
    """
    folder = Path(folder)
    _check(folder, "Delete this folder to go on from the checkpoint before it.")
    best = json.loads((folder / TRAINER_STATE_NAME).read_text(encoding="utf-8")).get("best_model_checkpoint")
    if best is not None and Path(best).is_dir():
        _check(Path(best), "It holds the best student until then: start again, without resume_from_checkpoint.")


def _check(folder: Path, way_out: str) -> None:
    missing = _find_missing(folder)
    if missing is not None:
        raise ValueError(f"{folder} has no whole {missing}, as if the run ended while it was written. {way_out}")
    for name, digest in (_read_json(folder / DIGESTS) or {}).items():
        if file_digest(folder / name) != digest:
            raise ValueError(f"{folder / name} is damaged: it is not what was written ({DIGESTS}). {way_out}")


def _find_missing(folder: Path) -> str | None:
    """Return the name of a file that a whole checkpoint would have; None if it is whole."""
    names = _read_json(folder / DIGESTS) or _WITHOUT_DIGESTS
    for name in names:
        if not (folder / name).is_file():
            return str(name)
    return TRAINER_STATE_NAME if names is _WITHOUT_DIGESTS and not _read_json(folder / TRAINER_STATE_NAME) else None


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def _read_json(path: Path) -> Any:
    """Return what a file holds; None if it is missing or not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
