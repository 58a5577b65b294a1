"""The multi-task student: an encoder that all tasks share, and a head for each."""

import copy
from types import SimpleNamespace
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from .configuration_biattentive import BiAttentiveConfig
from .configuration_bilstm import BiLSTMConfig
from .configuration_multitask import MultiTaskConfig
from .modeling_biattentive import BiAttentiveModel
from .modeling_bilstm import BiLSTMForSequenceClassification, BiLSTMModel, BiLSTMPreTrainedModel

# By name: with `trust_remote_code` this file and that of the configuration import two copies of each class.
_OWN_ENCODERS: dict[str, type[PreTrainedModel]] = {
    BiAttentiveConfig.model_type: BiAttentiveModel,
    BiLSTMConfig.model_type: BiLSTMModel,
}

# Ordinary classifiers that compute what an encoder with one head does: where each weight stands there.
_ROBERTA = {"encoder.pooler.": "classifier.", "encoder.": "roberta.", "classifier.": "classifier.out_proj."}
_ORDINARY_PLACES: dict[str, dict[str, str]] = {
    "bert": {"encoder.": "bert.", "classifier.": "classifier."},
    "bilstm_distill": {"encoder.": "bilstm.", "hidden.": "hidden.", "classifier.": "classifier."},
    "distilbert": {"encoder.": "distilbert.", "hidden.": "pre_classifier.", "classifier.": "classifier."},
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


class MultiTaskHead(nn.Module):
    """Classify the vector of an encoder: a fully connected layer with ReLU, unless it is left out, a linear layer.

    Args:
        config: That of the student.
        num_labels: How many labels the task has.
    """

    def __init__(self, config: MultiTaskConfig, num_labels: int) -> None:
        super().__init__()
        self.hidden = None if config.fc_size is None else nn.Linear(config.pooled_size, config.fc_size)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.fc_size or config.pooled_size, num_labels)

    def forward(self, pooled: Tensor) -> Tensor:
        """Give the logits.

        Args:
            pooled: `(batch, pooled size)`.

        Returns:
            `(batch, num_labels)`.
        """
        if self.hidden is not None:
            pooled = torch.relu(self.hidden(pooled))
        return cast(Tensor, self.classifier(self.dropout(pooled)))


class MultiTaskForSequenceClassification(BiLSTMPreTrainedModel):
    """Classify sentences or pairs for several tasks: a shared encoder, and for each task a head.

    The task that is set is the one whose logits, labels and loss the model gives, so that `pipeline` serves it.

    The heads read `pooler_output` of the encoder; of a Transformer without a pooler, the state of the first token. A
    Transformer pads on the side, and reads `token_type_ids`, as it does in transformers.

    Source:
        Liu et al. 2019 (MKD).
    """

    config_class = MultiTaskConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True  # what an encoder does not support it refuses itself
    _supports_flash_attn = True

    def __init__(self, config: MultiTaskConfig) -> None:
        super().__init__(config)
        encoder_class = _OWN_ENCODERS.get(config.encoder.model_type)
        self.encoder = encoder_class(config.encoder) if encoder_class else AutoModel.from_config(config.encoder)
        config.encoder = self.encoder.config  # versions of transformers that copy it would part the two
        self.heads = nn.ModuleDict(
            {task: MultiTaskHead(config, len(labels["id2label"])) for task, labels in config.tasks.items()}
        )
        self.post_init()

    @classmethod
    def from_teacher(cls, teacher: str, tasks: dict[str, Any], num_hidden_layers: int = 3) -> Self:
        """Make a student of the first layers of a BERT-like teacher, with new heads.

        The encoder is `AutoModel.from_pretrained(teacher, num_hidden_layers=...)`: embeddings, layers and, where it has
        one, the pooler. A head is a linear layer on the pooler, which is a layer itself; where there is no pooler, the
        head has a layer of the same width before. For one task
        `AutoModelForSequenceClassification.from_pretrained(teacher, num_hidden_layers=3)` does the same.

        Args:
            teacher: Folder or Hub name of the teacher.
            tasks: The tasks, as in `MultiTaskConfig`.
            num_hidden_layers: How many layers to take. MKD takes three of BERT-base's twelve.

        Returns:
            The student, in float32 and in evaluation mode.

        Raises:
            ValueError: If the teacher has fewer layers.

        Source:
            Liu et al. 2019 (MKD).
        """
        available = AutoConfig.from_pretrained(teacher).num_hidden_layers
        if not 1 <= num_hidden_layers <= available:
            raise ValueError(f"num_hidden_layers must be in 1..{available}, the teacher's, got {num_hidden_layers}.")
        encoder = AutoModel.from_pretrained(teacher, num_hidden_layers=num_hidden_layers, dtype=torch.float32)
        fc_size = None if getattr(encoder, "pooler", None) is not None else encoder.config.hidden_size
        student = cls(MultiTaskConfig(encoder=encoder.config, tasks=tasks, fc_size=fc_size))
        student.encoder.load_state_dict(encoder.state_dict())
        return student.eval()

    def set_task(self, task: str) -> None:
        """Set the task for which the model answers, and whose labels its configuration shows.

        Args:
            task: Its name.

        Raises:
            ValueError: If there is no such task.
        """
        self.config.set_task(task)

    def single_task(self, task: str | None = None) -> PreTrainedModel:
        """Copy the student for one task, as an ordinary model that answers the same: `save_pretrained` saves it.

        With a BiLSTM encoder and a fully connected layer in the head that is a `BiLSTMForSequenceClassification`. With
        a Transformer made by `from_teacher` it is what `AutoModelForSequenceClassification` makes of BERT, RoBERTa,
        XLM-RoBERTa and DistilBERT. All else is a `MultiTaskForSequenceClassification` with that task alone.

        Args:
            task: Its name. None takes the task that is set.

        Returns:
            The copy, in evaluation mode.

        Raises:
            ValueError: If there is no such task.
        """
        task = task or cast(str, self.config.task)
        labels, head = self.config.get_task(task), f"heads.{task}."
        weights = {name: v for name, v in self.state_dict().items() if name.startswith(("encoder.", head))}
        single: Any = self._ordinary_classifier(labels)
        moved = _move(weights, head, self.config.encoder.model_type)
        if single is None or _shapes(single.state_dict()) != _shapes(moved):
            config = copy.deepcopy(cast(MultiTaskConfig, self.config))
            config.tasks = {task: labels}
            config.set_task(task)
            single, moved = type(self)(config), weights
        single.to(device=self.device, dtype=self.dtype).load_state_dict(moved)
        return single.eval()

    def _ordinary_classifier(self, labels: dict[str, Any]) -> PreTrainedModel | None:
        """Make the classifier that the encoder's kind usually has, with new weights."""
        config = copy.deepcopy(self.config.encoder)
        config.id2label = dict(labels["id2label"])
        config.label2id = {name: number for number, name in config.id2label.items()}
        config.problem_type = labels["problem_type"]
        if config.model_type == BiLSTMConfig.model_type:
            config.fc_size = self.config.fc_size or config.fc_size
            config.dropout = self.config.dropout
            return BiLSTMForSequenceClassification(config)
        if config.model_type not in _ORDINARY_PLACES:
            return None
        return AutoModelForSequenceClassification.from_config(config)

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder's embedding table."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the encoder's embedding table.

        Args:
            value: The new table.
        """
        self.encoder.set_input_embeddings(value)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """Change the number of rows of the encoder's embedding table.

        Args:
            new_num_tokens: Rows to have afterwards. None leaves the table as it is.
            pad_to_multiple_of: Round the number of rows up to a multiple of this.
            mean_resizing: Draw new rows around the mean of the old ones.

        Returns:
            The table.
        """
        return self.encoder.resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)

    def _encode(self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
        """Return the vectors that the heads read, `(batch, pooled size)`."""
        if self.config.encoder.model_type in _OWN_ENCODERS:
            return self.encoder(input_ids, attention_mask, token_type_ids, return_dict=True).pooler_output
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        inputs = {"input_ids": input_ids, "attention_mask": mask}
        if token_type_ids is not None and getattr(self.config.encoder, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = token_type_ids
        inputs = _read_padding_where_empty(inputs, self.config.pad_token_id or 0)
        encoded = self.encoder(**inputs, return_dict=True)
        pooled = getattr(encoded, "pooler_output", None)
        return encoded.last_hidden_state[:, 0] if pooled is None else pooled

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        task: str | None = None,
    ) -> SequenceClassifierOutput:
        """Give the logits of a task for sentences or pairs, and the loss on gold labels where there are any.

        Args:
            input_ids: `(batch, length)`.
            attention_mask: 1 at tokens, 0 at padding, `(batch, length)`. Left out: every position is a token.
            token_type_ids: 0 at the first sentence of a pair and 1 at the second, `(batch, length)`.
            labels: Class numbers `(batch,)`, or floats `(batch, num_labels)` for several labels a row, or floats
                `(batch,)` for regression.
            task: Name of the task. Left out: the one that is set.

        Returns:
            `logits`, `(batch, num_labels)`, and `loss` if there are labels.
        """
        task = task or cast(str, self.config.task)
        settings = self.config.get_task(task)
        logits = self.heads[task](self._encode(input_ids, attention_mask, token_type_ids))
        loss = None
        if labels is not None:
            of_task = SimpleNamespace(num_labels=len(settings["id2label"]), problem_type=settings["problem_type"])
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=of_task)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class MultiTaskModel(BiLSTMPreTrainedModel):
    """What `AutoModel` makes of a multi-task student: its encoder, as the model that it is without the student.

    That is a `BiAttentiveModel`, a `BiLSTMModel`, or what `AutoModel` gives for the Transformer.
    """

    config_class = MultiTaskConfig

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load the encoder from the folder of a student.

        Args:
            *args: As in `PreTrainedModel`.
            **kwargs: As in `PreTrainedModel`.

        Returns:
            The encoder, and what else is asked for.
        """
        found = MultiTaskForSequenceClassification.from_pretrained(*args, **kwargs)
        return (found[0].encoder, *found[1:]) if isinstance(found, tuple) else found.encoder

    @classmethod
    def _from_config(cls, config: MultiTaskConfig, **kwargs: Any) -> Any:
        return MultiTaskForSequenceClassification._from_config(config, **kwargs).encoder


def _read_padding_where_empty(inputs: dict[str, Tensor], pad_token_id: int) -> dict[str, Tensor]:
    """Let rows without tokens be read as one padding token: an attention over nothing is NaN."""
    if inputs["input_ids"].shape[1] == 0:
        inputs = {name: values.new_zeros(len(values), 1) for name, values in inputs.items()}
        inputs["input_ids"] += pad_token_id
    mask = inputs["attention_mask"]
    is_empty = ~mask.bool().any(dim=1, keepdim=True)
    return inputs | {"attention_mask": torch.cat([mask[:, :1].masked_fill(is_empty, 1), mask[:, 1:]], dim=1)}


def _move(weights: dict[str, Tensor], head: str, model_type: str) -> dict[str, Tensor]:
    """Name the weights of encoder and head as the ordinary classifier names them, where there is one."""
    moved = {}
    for name, values in weights.items():
        name = name.removeprefix(head)
        for here, there in _ORDINARY_PLACES.get(model_type, {}).items():
            if name.startswith(here):
                name = there + name.removeprefix(here)
                break
        moved[name] = values
    return moved


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: values.shape for name, values in weights.items()}
