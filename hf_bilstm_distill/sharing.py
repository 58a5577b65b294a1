"""Share a student: with its code, for people who do not have this package, and without losing it to a failed push."""

import shlex
from pathlib import Path
from typing import cast

from huggingface_hub import HfApi
from transformers import PreTrainedModel, Trainer, TrainingArguments

from hf_bilstm_distill.hub import to_secret
from hf_bilstm_distill.students import (
    BiAttentiveModel,
    BiLSTMForSequenceClassification,
    BiLSTMModel,
    MultiTaskForSequenceClassification,
    MultiTaskModel,
)

_AUTO_CLASSES: dict[type[PreTrainedModel], str] = {
    BiLSTMModel: "AutoModel",
    BiLSTMForSequenceClassification: "AutoModelForSequenceClassification",
    BiAttentiveModel: "AutoModel",
    MultiTaskModel: "AutoModel",
    MultiTaskForSequenceClassification: "AutoModelForSequenceClassification",
}


def include_code(model: PreTrainedModel) -> None:
    """Make `save_pretrained` and `push_to_hub` copy the Python files that a student is made of beside its weights.

    `AutoModel` and `AutoModelForSequenceClassification` then load it with `trust_remote_code=True` where this package
    is not installed. It holds for this model, and for its encoder saved apart; checkpoints that are saved after the
    call have the code too.

    Args:
        model: The student.

    Raises:
        TypeError: If the model is none of this package's students.
    """
    if type(model) not in _AUTO_CLASSES:
        names = [known.__name__ for known in _AUTO_CLASSES]
        raise TypeError(f"include_code takes one of {names}, got {type(model).__name__}.")
    # `register_for_auto_class` would do this to the class, and so to every student of this process.
    vars(model.config)["_auto_class"] = "AutoConfig"
    for part in (model, cast(PreTrainedModel, model.base_model)):
        if part.config is model.config:
            vars(part)["_auto_class"] = _AUTO_CLASSES[type(part)]
    # transformers enters the saved class alone; people also load the encoder from a classifier's checkpoint.
    model.config.auto_map = {
        name: f"{known.__module__.rpartition('.')[2]}.{known.__name__}"
        for known, name in _AUTO_CLASSES.items()
        if known.config_class is type(model.config)
    }


def check_push(training: TrainingArguments) -> None:
    """Create the repository that will be pushed to, so that what cannot be pushed shows before the long work.

    Args:
        training: The arguments; `hub_model_id`, `hub_token` and `hub_private_repo` are read.

    Raises:
        ConnectionError: If the Hub cannot be reached, or does not let one write there.
        ValueError: If `hub_token` is no token.
    """
    name = training.hub_model_id or Path(str(training.output_dir)).absolute().name
    token = to_secret(training.hub_token)
    try:
        HfApi(token=token).create_repo(name, private=training.hub_private_repo, exist_ok=True)
    except Exception as error:  # HTTP errors have another class in each version of huggingface_hub
        raise ConnectionError(
            f"The Hub takes no push to {name!r} ({_reason(error, token)}). Check --hub_model_id and the token "
            "(--hub_token, HF_TOKEN or `hf auth login`), or leave out --push_to_hub."
        ) from None


def push(trainer: Trainer) -> None:
    """Push a trained student; if that fails, say where it lies and how to push it again.

    Args:
        trainer: The trainer, after training.

    Raises:
        ConnectionError: If it could not be pushed.
    """
    training = trainer.args
    try:
        trainer.push_to_hub()
    except Exception as error:  # whatever it is, the student is not lost
        name = trainer.hub_model_id or training.hub_model_id or Path(str(training.output_dir)).absolute().name
        options = ["--exclude", "_*", "--exclude", "checkpoint-*"]
        options += ["--revision", training.hub_revision] if training.hub_revision else []
        options += ["--private"] if training.hub_private_repo else []
        again = shlex.join(["hf", "upload", name, str(training.output_dir), ".", *options])
        raise ConnectionError(
            f"The student could not be pushed to {name!r} ({_reason(error, training.hub_token)}). It is saved in "
            f"{str(training.output_dir)!r}. Push it again: {again}"
        ) from None


def _reason(error: Exception, token: str | None) -> str:
    """Return what went wrong on one line, without the token."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(token, "<token>") if token else text
