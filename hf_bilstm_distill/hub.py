"""What a push to the Hub must keep: secrets out of files, and the card that a person has edited there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError
from transformers import TrainingArguments
from transformers.utils import logging

from hf_bilstm_distill.files import write_text
from hf_bilstm_distill.model_card import is_edited

logger = logging.get_logger(__name__)


class Secret(str):
    """A token that pickles as None: `Trainer` pickles its arguments beside the model, and pushes that file."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return type(None), ()


def to_secret(token: str | None) -> Secret | None:
    """Check a token, and make it one that is not written to files.

    Args:
        token: A token of the Hub. White space around it is left out.

    Returns:
        The same as a secret; None if there is none.

    Raises:
        ValueError: If it cannot be part of an HTTP header. The errors of such headers would show it.
    """
    token = (token or "").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"hub_token ({len(token)} characters) holds spaces or signs that no token has. Copy it again.")
    return Secret(token) if token else None


def prepare_repository(repo_id: str, args: TrainingArguments, token: str | None) -> None:
    """Make ready to push `output_dir` to a repository: its branch exists, and a card that was edited there is kept.

    An edited card is written into the folder, from where it is pushed again, unless the folder has one that was edited
    itself: on the Hub the earlier one stays in the history.

    Args:
        repo_id: The repository. It must exist.
        args: The arguments of the training.
        token: A token that may write there. None takes that of the arguments, or else the one stored on this machine.
    """
    api, revision = HfApi(token=token or args.hub_token), args.hub_revision
    if revision is not None and not revision.startswith("refs/"):
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    try:
        there = Path(api.hf_hub_download(repo_id, "README.md", revision=revision)).read_text(encoding="utf-8")
    except EntryNotFoundError:
        return
    here = Path(str(args.output_dir)) / "README.md"
    if not is_edited(there) or (here.exists() and is_edited(here.read_text(encoding="utf-8"))):
        return
    write_text(here, there)
    logger.warning(
        f"The card of {repo_id} was edited on the Hub: it is kept, and now stands in {here} too. To have a new one "
        "written, delete both."
    )
