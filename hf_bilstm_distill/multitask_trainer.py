"""A `Trainer` that teaches one student several tasks at once, each by the logits of its own teacher."""

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import EvalPrediction, PreTrainedModel
from transformers.trainer_utils import PredictionOutput, seed_worker, speed_metrics

from hf_bilstm_distill.checkpoints import find_last_checkpoint
from hf_bilstm_distill.collation import check_encoded, check_padding, check_terms
from hf_bilstm_distill.students import MultiTaskForSequenceClassification
from hf_bilstm_distill.task_batches import (
    ROUND_ROBIN,
    TASK,
    Spread,
    TaskBatchSampler,
    TaskCollator,
    TaskRows,
    check_by_task,
    steps_of_tasks,
)
from hf_bilstm_distill.trainer import DISTILLATION_LOSS, HARD_LOSS, DistillationTrainer
from hf_bilstm_distill.training_args import DistillationTrainingArguments, MultiTaskTrainingArguments

Metrics = Callable[[EvalPrediction], dict[str, float]]
_LOSSES = ("loss", HARD_LOSS, DISTILLATION_LOSS)


class MultiTaskDistillationTrainer(DistillationTrainer):
    """Train a multi-task student: each task by the logits of its teacher, its gold labels, or both.

    A step is of one task: all the batches that it accumulates, in all processes. Its loss is that of
    `DistillationTrainer` on these rows, so every step weighs the same, and a task weighs as much as it has steps
    (`task_sampling`). It trains the encoder and the head of its task.

    Beside the loss of all steps since the last entry, that of each task is logged, `loss_<task>`. Evaluation gives
    `eval_<task>_<metric>`, and over the tasks `eval_loss` and `eval_mean`: the mean of the first metric of each task
    (of `compute_metrics`, or where it gives none, the likeness to the teacher). Both can be `metric_for_best_model`.

    Args:
        model: The student. Tasks that are not trained here are left as they are.
        args: The arguments. None takes the defaults.
        train_dataset: For each task its rows, as `encode` gives them, with `teacher_logits`.
        eval_dataset: The same, for evaluation. A task may be missing.
        compute_metrics: For each task what to measure, in addition to losses and the likeness to the teacher. A task
            may be missing.
        **kwargs: All else that `DistillationTrainer` takes, without a teacher in the loop.

    Raises:
        TypeError: If the sets do not come by task.
        ValueError: If there is a task that the student does not know, or a set cannot teach its task: see
            `DistillationTrainer`.

    Source:
        Liu et al. 2019 (MKD).
    """

    def __init__(
        self,
        model: MultiTaskForSequenceClassification | None = None,
        args: MultiTaskTrainingArguments | None = None,
        *,
        train_dataset: Mapping[str, Dataset] | None = None,
        eval_dataset: Mapping[str, Dataset] | None = None,
        compute_metrics: Mapping[str, Metrics] | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("teacher_model") is not None:
            raise ValueError(
                "A multi-task student has a teacher for each task, got one teacher_model for all. Store the logits of "
                "each with label_with_teacher()."
            )
        check_by_task(train_dataset, "train_dataset")
        check_by_task(eval_dataset, "eval_dataset")
        self._metrics_of = dict(compute_metrics or {})
        self._task = ""
        self._first_values: dict[str, float] = {}
        self._loss_of: dict[str, Tensor] = {}
        self._steps_of: Counter[str] = Counter()
        kwargs["train_dataset"] = None if train_dataset is None else TaskRows(train_dataset)
        kwargs["eval_dataset"] = None if eval_dataset is None else dict(eval_dataset)
        super().__init__(cast(Any, model), args or MultiTaskTrainingArguments(), **kwargs)

    # ---- training ----

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Make what gives this process its batches, each of one task.

        Returns:
            The loader.

        Raises:
            ValueError: If there is no training set.
        """
        # accelerate would deal the batches of a step out again: they are already those of this process.
        if self.train_dataset is None:
            raise ValueError("There is nothing to train on. Pass train_dataset={'sst2': ..., 'mnli': ...}.")
        args, rows = cast(MultiTaskTrainingArguments, self.args), cast(TaskRows, self.train_dataset)
        spread = Spread(self._train_batch_size, args.gradient_accumulation_steps, args.world_size, args.process_index)
        lengths = rows.lengths
        sampler = TaskBatchSampler(
            lengths,
            spread,
            steps_of_tasks(
                [len(each) for each in lengths],
                spread.rows_per_step,
                args.task_sampling,
                args.task_sampling_temperature,
            ),
            mix=args.task_sampling != ROUND_ROBIN,
            order=args.train_sampling_strategy,
            seed=args.seed if args.data_seed is None else args.data_seed,
            epoch=lambda: int(self.state.epoch or 0),
        )
        return DataLoader(
            rows,
            batch_sampler=sampler,
            collate_fn=TaskCollator(self.data_collator),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            worker_init_fn=partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Take the batches of one step, and count the rows that carry each term of the loss over all processes.

        Args:
            epoch_iterator: Gives batches.
            num_batches: How many make up a step in this process.
            device: Where to put the counts.

        Returns:
            The batches, and the counts.
        """
        batches, counts = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self._logged_steps == 1:  # the first one of a log entry
            self._loss_of, self._steps_of = {}, Counter()
        self._steps_of[cast(str, batches[0][TASK])] += 1
        return batches, counts

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, Any]:
        """Compute this batch's share of the loss of a step.

        Args:
            model: The student.
            inputs: A batch, with the name of its `task`.
            return_outputs: Whether to give the student's outputs as well.
            num_items_in_batch: Rows with gold labels and rows with teacher logits in the whole step, `(2,)`. Left
                out: the batch is the step.

        Returns:
            The loss, or the loss and the outputs.
        """
        self._task = task = inputs[TASK]
        result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if isinstance(num_items_in_batch, Tensor):
            loss = result[0] if isinstance(result, tuple) else result
            share = loss.detach() / self.accelerator.num_processes  # by which it was multiplied
            self._loss_of[task] = self._loss_of.get(task, 0) + share
        return result

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log values, and beside a training loss that of each task since the last time.

        Args:
            logs: The values.
            start_time: When training began.
        """
        if "loss" in logs and self._loss_of:
            shares = torch.stack(list(self._loss_of.values()))
            totals = self.accelerator.gather(shares[None]).sum(dim=0).tolist()
            means = {
                f"loss_{task}": total / self._steps_of[task] for task, total in zip(self._loss_of, totals, strict=True)
            }
            logs.update(sorted(means.items()))
        super().log(logs, start_time)

    # ---- evaluation ----

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Evaluate each task.

        Args:
            eval_dataset: For each task its rows. None takes the trainer's.
            ignore_keys: Not used: the outputs other than the logits are left out.
            metric_key_prefix: What the names of the values begin with.

        Returns:
            The values of all tasks, and `eval_loss` and `eval_mean` over them.

        Raises:
            ValueError: If there is nothing to evaluate on, or a task that the student does not know.
        """
        datasets = cast(Any, self.eval_dataset) if eval_dataset is None else eval_dataset
        if datasets is None:
            raise ValueError("There is nothing to evaluate on. Pass eval_dataset={'sst2': ..., 'mnli': ...}.")
        check_by_task(datasets, "eval_dataset")
        self._check_tasks(datasets, "eval_dataset")
        self._first_values = {}
        start = time.time()
        values: dict[str, Any] = {}
        for task, rows in datasets.items():
            # Loaders of the trainer's own sets are kept by name if their workers are.
            own = eval_dataset is None
            loader = self.get_eval_dataloader(task) if own else self.get_test_dataloader(cast(Any, rows))
            with self._as_task(task):
                output = self.evaluation_loop(
                    loader,
                    description=f"Evaluation of {task}",
                    ignore_keys=ignore_keys,
                    metric_key_prefix=f"{metric_key_prefix}_{task}",
                )
            values.update(output.metrics or {})
        losses = [loss for task in datasets if (loss := values.get(f"{metric_key_prefix}_{task}_loss")) is not None]
        for name, found in (("loss", losses), ("mean", list(self._first_values.values()))):
            if found:
                values[f"{metric_key_prefix}_{name}"] = float(np.mean(found))
        values.update(speed_metrics(metric_key_prefix, start, num_samples=sum(len(rows) for rows in datasets.values())))
        self.log(values)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, values)
        return values

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Any]:
        """Evaluate a batch of the task that is being evaluated.

        Args:
            model: The student.
            inputs: A batch.
            prediction_loss_only: Whether to give the loss alone.
            ignore_keys: Not used: the outputs other than the logits are left out.

        Returns:
            The loss, if it alone is asked for; the logits; and the labels and teacher logits.
        """
        inputs = {**inputs, TASK: self._task}
        return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Predict rows of the task that the student is set to: `model.set_task(...)`.

        Args:
            test_dataset: The rows.
            ignore_keys: Not used: the outputs other than the logits are left out.
            metric_key_prefix: What the names of the values begin with.

        Returns:
            Logits, gold labels and values.
        """
        with self._as_task(self._multitask_config.task):
            return super().predict(test_dataset, ignore_keys, metric_key_prefix)

    def _compute_metrics(self, prediction: EvalPrediction) -> dict[str, float]:
        self._user_compute_metrics = self._metrics_of.get(self._task)
        values = super()._compute_metrics(prediction)
        own = [value for name, value in values.items() if name not in _LOSSES and not np.isnan(value)]
        if own:
            self._first_values[self._task] = own[0]
        return values

    # ---- the task at hand ----

    @property
    def _multitask_config(self) -> Any:
        return cast(PreTrainedModel, self.model).config

    @property
    def _student_config(self) -> Any:
        """The student's configuration as it is with the task at hand set."""
        return self._config_of[self._task]

    @contextmanager
    def _as_task(self, task: str) -> Iterator[None]:
        before, self._task = self._task, task
        self._settle_problem_type(None)
        try:
            yield
        finally:
            self._task = before

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write the model card, with the labels of the task that is set.

        Args:
            *args: As in `DistillationTrainer`.
            **kwargs: As in `DistillationTrainer`.
        """
        with self._as_task(self._multitask_config.task):
            super().create_model_card(*args, **kwargs)

    def _check_data(self) -> None:
        config = self._multitask_config
        if not hasattr(config, "get_task"):
            raise ValueError(
                f"The student is a {type(self.model).__name__}, which knows one task. Pass a "
                "MultiTaskForSequenceClassification, or use DistillationTrainer."
            )
        check_padding(self.processing_class, config)
        self._config_of: dict[str, Any] = {task: copy.deepcopy(config) for task in config.tasks}
        for task, own in self._config_of.items():
            own.set_task(task)
        self._task = config.task
        training = {} if self.train_dataset is None else cast(TaskRows, self.train_dataset).datasets
        evaluation = cast(dict[str, Dataset], self.eval_dataset or {})
        for name, datasets in {"train_dataset": training, "eval_dataset": evaluation}.items():
            self._check_tasks(datasets, name)
            for task, dataset in datasets.items():
                with self._as_task(task):  # settles the loss as well, which not every task can have
                    check_encoded(dataset, self._student_config, f"{name}[{task!r}]")
        for task, dataset in training.items():
            try:
                check_terms(dataset, self.args.alpha, has_teacher=False)
            except ValueError as error:
                raise ValueError(f"Task {task!r}: {error}") from error

    def _check_tasks(self, datasets: Mapping[str, Any], name: str) -> None:
        unknown = [task for task in datasets if task not in self._config_of]
        if unknown:
            raise ValueError(
                f"{name} has the tasks {unknown}, which the student does not know: it has {list(self._config_of)}. "
                "Name its tasks, or make a student with these."
            )


def finetune_per_task(
    model: MultiTaskForSequenceClassification,
    args: DistillationTrainingArguments,
    *,
    train_dataset: Mapping[str, Dataset],
    eval_dataset: Mapping[str, Dataset] | None = None,
    compute_metrics: Mapping[str, Metrics] | None = None,
    **kwargs: Any,
) -> dict[str, DistillationTrainer]:
    """Train a copy of a multi-task student for each task, on that task alone, and save it.

    Args:
        model: The student. It stays as it is.
        args: The arguments. The copy for a task is saved in a folder of its name in `output_dir`. If
            `resume_from_checkpoint` is set, each goes on from the last checkpoint in its folder.
        train_dataset: For each task its rows. These tasks get a copy.
        eval_dataset: The same, for evaluation.
        compute_metrics: For each task what to measure.
        **kwargs: All else that `DistillationTrainer` takes.

    Returns:
        For each task its trainer, which has the copy as `model`.

    Source:
        Liu et al. 2019 (MKD), the second stage.
    """
    trainers = {}
    for task, rows in train_dataset.items():
        folder = Path(str(args.output_dir)) / task
        own_args = copy.copy(args)
        own_args.output_dir = str(folder)
        goes_on = args.resume_from_checkpoint is not None and folder.is_dir()
        trainers[task] = DistillationTrainer(
            model.single_task(task),
            own_args,
            train_dataset=rows,
            eval_dataset=(eval_dataset or {}).get(task),
            compute_metrics=(compute_metrics or {}).get(task),
            **kwargs,
        )
        trainers[task].train(resume_from_checkpoint=find_last_checkpoint(folder) if goes_on else None)
        trainers[task].save_model()
    return trainers
