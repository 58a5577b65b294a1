"""Configuration of the multi-task student: one encoder, and a head for each task."""

import copy
from dataclasses import field
from typing import Any

from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, PreTrainedConfig

from .configuration_biattentive import BiAttentiveConfig
from .configuration_bilstm import BiLSTMConfig

_OWN_ENCODERS: dict[str, type[PreTrainedConfig]] = {
    BiAttentiveConfig.model_type: BiAttentiveConfig,
    BiLSTMConfig.model_type: BiLSTMConfig,
}


@strict
class MultiTaskConfig(PreTrainedConfig):
    """Configuration of a classifier for several tasks, which share an encoder (MKD, Liu et al. 2019).

    `id2label`, `label2id`, `num_labels` and `problem_type` are those of the task that is set. To set another one, call
    `set_task`, or give `task` to `from_pretrained`.

    Args:
        encoder: Configuration of the encoder, or a dict with its `model_type` and settings: `BiAttentiveConfig` (the
            default), `BiLSTMConfig`, or that of any BERT-like model in transformers.
        tasks: For each task its name and a dict of `num_labels` or `id2label`, `problem_type` and `is_pair`. Left out,
            `problem_type` is "regression" for one label and "single_label_classification" for more, and `is_pair`
            False; it says what an exported student reads. Tasks are kept in the order of their names, in which they
            are saved.
        task: Name of the task that is set. None sets the first one.
        fc_size: Width of the fully connected layer of each head. None leaves it out: a head is a linear layer.
        dropout: Probability of dropping a unit before the last layer of a head in training.
    """

    model_type = "multitask_distill"
    sub_configs = {"encoder": AutoConfig}

    encoder: Any = None
    tasks: dict[str, Any] = field(default_factory=dict)
    task: str | None = None
    fc_size: int | None = 512
    dropout: float | int = 0.1
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if not self.tasks:
            raise ValueError(
                'tasks must name at least one task, got none. Pass tasks={"sst2": {"num_labels": 2}, ...}.'
            )
        self.encoder = _read_encoder(self.encoder)
        self.task = self.task or next(iter(self.tasks))
        self.tasks = {name: _read_task(name, self.tasks[name]) for name in sorted(self.tasks)}
        super().__post_init__(**kwargs)
        self.set_task(self.task)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make a configuration from a dict, as `from_pretrained` does.

        Args:
            config_dict: What the file says.
            **kwargs: What replaces it. `task` sets the task, whose are `num_labels`, `id2label` and `problem_type`. Of
                other `tasks` the first one is set, unless that of the file is among them.

        Returns:
            The configuration, and what was not used where that is asked for.
        """
        if "tasks" in kwargs:
            tasks, task = kwargs.pop("tasks"), config_dict.get("task")
            config_dict = {**config_dict, "tasks": tasks, "task": task if task in tasks else None}
        if "task" in kwargs:
            config_dict = {**config_dict, "task": kwargs.pop("task")}
        labels = ("num_labels", "id2label", "problem_type")
        given = {name: value for name in labels if (value := kwargs.pop(name, None)) is not None}
        if given:
            kwargs.pop("label2id", None)  # id2label says it
            tasks = config_dict["tasks"]
            task = config_dict.get("task") or next(iter(tasks))
            config_dict = {**config_dict, "tasks": _relabel(tasks, task, given)}
        return super().from_dict(config_dict, **kwargs)

    def set_task(self, task: str) -> None:
        """Set the task whose labels the configuration shows, and for which a model answers.

        Args:
            task: Its name.

        Raises:
            ValueError: If there is no such task.
        """
        labels = self.get_task(task)
        self.task = task
        self.id2label = dict(labels["id2label"])
        self.label2id = {name: number for number, name in labels["id2label"].items()}
        self.problem_type = labels["problem_type"]

    def get_task(self, task: str) -> dict[str, Any]:
        """Return what is known of a task.

        Args:
            task: Its name.

        Returns:
            `id2label`, `problem_type` and `is_pair`.

        Raises:
            ValueError: If there is no such task.
        """
        if task not in self.tasks:
            raise ValueError(f"There is no task {task!r}. Choose one of {list(self.tasks)}.")
        return self.tasks[task]

    def validate_sizes(self) -> None:
        """Stop at sizes that no head can have.

        Raises:
            ValueError: If the size is not positive, or the dropout not a probability below 1.
        """
        if self.fc_size is not None and self.fc_size < 1:
            raise ValueError(f"fc_size must be at least 1, or None for linear heads, got {self.fc_size}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}.")

    @property
    def vocab_size(self) -> int:
        """Rows of the encoder's embedding table."""
        return self.encoder.vocab_size

    @vocab_size.setter
    def vocab_size(self, value: int) -> None:
        self.encoder.vocab_size = value

    @property
    def pad_token_id(self) -> int | None:
        """The encoder's padding token."""
        return self.encoder.pad_token_id

    @pad_token_id.setter
    def pad_token_id(self, value: int | None) -> None:
        self.encoder.pad_token_id = value

    @property
    def pooled_size(self) -> int:
        """Width of the vector that the heads read."""
        return getattr(self.encoder, "pooled_size", None) or self.encoder.hidden_size


def _read_encoder(encoder: dict[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig:
    if encoder is None:
        return BiAttentiveConfig()
    if isinstance(encoder, PreTrainedConfig):
        own = copy.deepcopy(encoder)
        own.name_or_path = ""  # a folder of this machine, which would be saved
        return own
    settings = dict(encoder)
    model_type = settings.pop("model_type", None)
    if model_type is None:
        raise ValueError(f"The encoder {encoder} has no model_type. Name one: {list(_OWN_ENCODERS)}, 'bert', ...")
    if model_type in _OWN_ENCODERS:
        return _OWN_ENCODERS[model_type](**settings)
    return AutoConfig.for_model(model_type, **settings)


def _relabel(tasks: dict[str, Any], task: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the tasks, one of which has other labels; of another number they have no names yet."""
    own = dict(tasks.get(task, {}))
    if "num_labels" in given and given["num_labels"] != len(own.get("id2label", {})):
        own.pop("id2label", None)
    return {name: {**own, **given} if name == task else labels for name, labels in tasks.items()}


def _read_task(name: str, task: dict[str, Any]) -> dict[str, Any]:
    """Return the labels of a task and its problem type, from a file or as somebody wrote them."""
    if not name or "." in name or hasattr(nn.ModuleDict, name):
        raise ValueError(f"A task cannot be named {name!r}: names of weights are made of it. Give it another name.")
    unknown = task.keys() - {"num_labels", "id2label", "problem_type", "is_pair"}
    if unknown or not (task.get("id2label") or task.get("num_labels")):
        raise ValueError(
            f"The task {name!r} is told by num_labels or id2label, problem_type where that is not clear, and is_pair, "
            f"got {task}."
        )
    given = task.get("id2label") or {number: f"LABEL_{number}" for number in range(task["num_labels"])}
    id2label = {int(number): str(label) for number, label in sorted(given.items(), key=lambda entry: int(entry[0]))}
    if list(id2label) != list(range(task.get("num_labels") or len(id2label))):
        raise ValueError(f"id2label of the task {name!r} must have one name for each label from 0 on, got {task}.")
    default = "regression" if len(id2label) == 1 else "single_label_classification"
    problem_type = task.get("problem_type") or default
    return {"id2label": id2label, "problem_type": problem_type, "is_pair": bool(task.get("is_pair"))}
