"""Arguments of the distillation trainer."""

import math
from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments
from transformers.training_args import OptimizerNames
from transformers.utils import logging

from hf_bilstm_distill.losses import DISTILLATION_LOSSES, distillation_loss
from hf_bilstm_distill.task_batches import PROPORTIONAL, TASK_SAMPLINGS

logger = logging.get_logger(__name__)

ADADELTA = "adadelta"
_DEFAULT_TEMPERATURE = 3.0
_DEFAULT_LEARNING_RATE = 2e-3
_PAPER_LEARNING_RATE = 1.0  # of Adadelta: Tang et al. 2019, section 4.2


@dataclass(repr=False)  # that of TrainingArguments hides the token
class DistillationTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with the settings of the distillation objective.

    Other defaults than in the base class: `learning_rate` (by optimizer), `per_device_train_batch_size=128`,
    `per_device_eval_batch_size=128`, `train_sampling_strategy="group_by_length"`, `ddp_find_unused_parameters=False`,
    and `dataloader_pin_memory` only where there is a GPU. `optim` also takes `adadelta`.

    Raises:
        ValueError: If `alpha`, `temperature`, `distillation_loss` or `embedding_learning_rate` is out of its range.
    """

    alpha: float = field(
        default=0.0,
        metadata={
            "help": "Weight of the hard-label term: loss = alpha * CE(gold labels) + (1 - alpha) * distillation loss. "
            "0 learns from the teacher alone (Tang et al. 2019 found it best), 1 from gold labels alone."
        },
    )
    distillation_loss: str = field(
        default="mse",
        metadata={
            "help": "Loss between the logits of student and teacher: mse (Tang et al. 2019) or kl (softened "
            "probabilities, times temperature squared).",
            "choices": list(DISTILLATION_LOSSES),
        },
    )
    temperature: float = field(
        default=_DEFAULT_TEMPERATURE, metadata={"help": "Softens the probabilities that the loss kl compares."}
    )
    adadelta_rho: float = field(
        default=0.95, metadata={"help": "Decay of the running averages, for --optim adadelta (Tang et al. 2019)."}
    )
    learning_rate: float | None = field(  # type: ignore[assignment]
        default=None, metadata={"help": "Peak learning rate. Left out: 1.0 for adadelta, 2e-3 for all others."}
    )
    embedding_learning_rate: float | None = field(
        default=None,
        metadata={
            "help": "Peak learning rate of the embedding table. Left out: that of the rest. Embeddings that start from "
            "a teacher or a file keep more of what they know at a lower one."
        },
    )
    optim: str = field(
        default=TrainingArguments.optim,
        metadata={"help": "adadelta (as in Tang et al. 2019), or any optimizer of transformers.Trainer."},
    )
    per_device_train_batch_size: int = field(default=128, metadata={"help": "Training rows a device and step."})
    per_device_eval_batch_size: int = field(default=128, metadata={"help": "Evaluation rows a device and step."})
    train_sampling_strategy: str = field(
        default="group_by_length",
        metadata={
            "help": "How training rows are put together in batches. group_by_length wastes least on padding.",
            "choices": ["random", "sequential", "group_by_length", "batch_rebalance"],
        },
    )
    ddp_find_unused_parameters: bool | None = field(
        default=False, metadata={"help": "Every parameter of a student is used in every step."}
    )

    def __post_init__(self) -> None:
        is_adadelta = self.optim == ADADELTA
        if is_adadelta:  # transformers' list of optimizers is closed; `DistillationTrainer` knows this one
            self.optim = OptimizerNames.ADAMW_TORCH
        if self.learning_rate is None:
            self.learning_rate = _PAPER_LEARNING_RATE if is_adadelta else _DEFAULT_LEARNING_RATE
        if not torch.cuda.is_available():
            self.dataloader_pin_memory = False
        super().__post_init__()
        if is_adadelta:
            self.optim = ADADELTA
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be between 0 (teacher only) and 1 (gold labels only), got {self.alpha}.")
        if self.embedding_learning_rate is not None and self.embedding_learning_rate < 0:
            raise ValueError(f"embedding_learning_rate must not be negative, got {self.embedding_learning_rate}.")
        distillation_loss(self.distillation_loss, self.temperature)  # raises if there is no such loss
        if self.distillation_loss != "kl" and self.temperature != _DEFAULT_TEMPERATURE:
            logger.warning(
                f"temperature={self.temperature} has no effect with distillation_loss={self.distillation_loss!r}. "
                "Set distillation_loss='kl' to use it."
            )


@dataclass(repr=False)
class MultiTaskTrainingArguments(DistillationTrainingArguments):
    """`DistillationTrainingArguments` with the settings of several tasks.

    Another default: `ddp_find_unused_parameters=True`, because a step uses the head of one task.

    Raises:
        ValueError: If `task_sampling_temperature` is not positive, or rows are to be dropped or sorted in a way that
            batches of one task do not have.
    """

    task_sampling: str = field(
        default=PROPORTIONAL,
        metadata={
            "help": "How often each task has its turn. proportional: an epoch sees each row of each task once, its "
            "steps shuffled (Liu et al. 2019). temperature: by the number of rows to the power of 1 / "
            "task_sampling_temperature, so that small tasks come more often. round-robin: the tasks in turn. An epoch "
            "has about as many steps in each; a task goes on in the next epoch where it ended.",
            "choices": list(TASK_SAMPLINGS),
        },
    )
    task_sampling_temperature: float = field(
        default=2.0,
        metadata={
            "help": "For --task_sampling temperature: 1 is proportional to the rows, a high one gives all the same."
        },
    )
    ddp_find_unused_parameters: bool | None = field(default=True, metadata={"help": "A step uses one of the heads."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task_sampling not in TASK_SAMPLINGS:
            raise ValueError(f"task_sampling must be one of {list(TASK_SAMPLINGS)}, got {self.task_sampling!r}.")
        if not 0 < self.task_sampling_temperature < math.inf:
            raise ValueError(
                f"task_sampling_temperature must be positive and finite, got {self.task_sampling_temperature}. 1 is "
                "proportional to the rows, a higher one more equal."
            )
        if self.train_sampling_strategy == "batch_rebalance" or self.dataloader_drop_last:
            raise ValueError(
                "Batches of one task know neither train_sampling_strategy='batch_rebalance' nor "
                f"dataloader_drop_last=True, got {str(self.train_sampling_strategy)!r} and "
                f"{self.dataloader_drop_last}. Leave them out."
            )
