"""A `Trainer` that learns from a teacher's logits, stored in a column or given by a teacher in the loop."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import Sampler, SequentialSampler
from transformers import EvalPrediction, PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import EvalLoopOutput
from transformers.utils import logging

from hf_bilstm_distill.cautions import check_world_size, warn_if_heavier
from hf_bilstm_distill.checkpoints import CheckpointingTrainer
from hf_bilstm_distill.collation import (
    LABELS,
    TEACHER_INPUTS,
    TEACHER_PREFIX,
    DistillationCollator,
    EpochLengthSampler,
    check_encoded,
    check_evaluation,
    check_padding,
    check_teacher_inputs,
    check_terms,
)
from hf_bilstm_distill.hub import prepare_repository, to_secret
from hf_bilstm_distill.losses import distillation_loss, hard_label_loss, has_gold_label, problem_type_of
from hf_bilstm_distill.metrics import agreement, predictions_of
from hf_bilstm_distill.model_card import CardFacts, add_training, save_card
from hf_bilstm_distill.problem_types import match_outputs
from hf_bilstm_distill.training_args import ADADELTA, DistillationTrainingArguments
from hf_bilstm_distill.transfer_set import REGRESSION, TEACHER_LOGITS

logger = logging.get_logger(__name__)

HARD_LOSS = "hard_label_loss"
DISTILLATION_LOSS = "distillation_loss"
AGREEMENT = "agreement_with_teacher"
CORRELATION = "correlation_with_teacher"


class DistillationTrainer(CheckpointingTrainer):
    """Train a student on `alpha * hard-label loss + (1 - alpha) * distillation loss`.

    Each of the two losses is the mean over the rows of a step that carry it: rows with a gold label, rows with
    logits of the teacher. A step is what one update of the weights sees, so the loss is the same however the step is
    spread over accumulated batches and processes. Both terms are logged beside the loss. Evaluation adds the share of
    rows on which student and teacher choose the same label (where a row can have several, the same set of them; in a
    regression it is their correlation), and leaves out a value that its rows cannot give.

    A student whose configuration names no `problem_type` gets the one that its labels have.

    The teacher's logits stand in the column `teacher_logits` (float32, in the order of the student's labels; None or
    NaN in rows without), or, where there is no such column, come from `teacher_model`, which reads its own inputs (see
    `encode`), is never trained and never saved.

    `card_facts` is what the model card shall tell beyond what the trainer knows itself.

    Args:
        model: The student: any sequence-classification model.
        args: The arguments. None takes the defaults.
        teacher_model: A teacher to run in every step. Its labels are matched with the student's by name.
        teacher_tokenizer: Its tokenizer, to pad its inputs.
        **kwargs: All else that `transformers.Trainer` takes.

    Raises:
        ValueError: If the training set cannot teach: no logits, logits of the wrong width, not finite or all equal, no
            gold labels for an `alpha` above 0, labels or token ids out of range; or a padding token that differs
            between tokenizer and student. If the metrics shall not see all logits at once.
        LabelMismatchError: If the labels of teacher and student differ.

    Source:
        Tang et al. 2019, section 3.3.
    """

    # The loss is normalized over the whole step here: nothing is left to divide by accumulated batches.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PreTrainedModel | None = None,
        args: DistillationTrainingArguments | None = None,
        *,
        teacher_model: PreTrainedModel | None = None,
        teacher_tokenizer: PreTrainedTokenizerBase | None = None,
        **kwargs: Any,
    ) -> None:
        args = args or DistillationTrainingArguments()
        check_world_size(args.world_size)
        check_evaluation(args, kwargs.get("preprocess_logits_for_metrics"))
        if kwargs.get("data_collator") is None and kwargs.get("processing_class") is not None:
            kwargs["data_collator"] = DistillationCollator(kwargs["processing_class"], teacher_tokenizer)
        args.hub_token = to_secret(args.hub_token)
        super().__init__(model, args, **kwargs)
        self.args: DistillationTrainingArguments
        self.model_accepts_loss_kwargs = True  # what `loss_is_scaled_for_ga` says, for transformers before 5.23
        self._user_compute_metrics = self.compute_metrics
        self.compute_metrics = self._compute_metrics
        self.card_facts = CardFacts(model_name=Path(str(args.output_dir)).name)
        self._logged_terms: dict[str, Tensor] = {}
        self._logged_steps = 0

        self.teacher_model = teacher_model
        if teacher_model is not None:
            self._label_order = torch.tensor(
                match_outputs(teacher_model.config, self._student_config), device=args.device
            )
            warn_if_heavier(cast(PreTrainedModel, self.model), teacher_model)
            teacher_model.requires_grad_(False)
            teacher_model.eval().to(args.device)
        self._check_data()
        self._settle_problem_type(None)

    # ---- the loss ----

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Take the batches of one step, and count the rows that carry each term of the loss over all processes.

        Args:
            epoch_iterator: Gives batches.
            num_batches: How many make up a step in this process.
            device: Where to put the counts.

        Returns:
            The batches; and the number of rows with gold labels and of rows with teacher logits, `(2,)`.
        """
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self.state.global_step == self._globalstep_last_logged:  # the run begins here, or after a log entry
            self._logged_terms, self._logged_steps = {}, 0
        self._logged_steps += 1
        counts = sum((self._count_rows(batch) for batch in batches), torch.zeros(2)).to(device)
        return batches, self.accelerator.gather(counts[None]).sum(dim=0)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, Any]:
        """Compute this batch's share of the loss of a step.

        Args:
            model: The student.
            inputs: A batch of `DistillationCollator`.
            return_outputs: Whether to give the student's outputs as well.
            num_items_in_batch: Rows with gold labels and rows with teacher logits in the whole step, `(2,)`. Left
                out: the batch is the step.

        Returns:
            The loss, or the loss and the outputs.
        """
        in_training = isinstance(num_items_in_batch, Tensor)
        counts = num_items_in_batch if isinstance(num_items_in_batch, Tensor) else self._count_rows(inputs)
        student_inputs = {
            name: values
            for name, values in inputs.items()
            if name not in (LABELS, TEACHER_LOGITS) and not name.startswith(TEACHER_PREFIX)
        }
        self._settle_problem_type(inputs.get(LABELS))
        outputs = model(**student_inputs)
        terms = self._terms(outputs["logits"].float(), inputs.get(LABELS), self._teacher_logits(inputs), counts)
        loss = self._weighted(terms)
        if in_training:
            for name, mean in terms.items():
                self._logged_terms[name] = self._logged_terms.get(name, 0) + mean.detach()
            loss = loss * self.accelerator.num_processes  # gradients are averaged over processes
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log values, and beside a training loss its two terms since the last time.

        Args:
            logs: The values.
            start_time: When training began.
        """
        if "loss" in logs and self._logged_terms:
            terms = torch.stack(list(self._logged_terms.values()))
            totals = self.accelerator.gather(terms[None]).sum(dim=0) / self._logged_steps
            logs.update(zip(self._logged_terms, totals.tolist(), strict=True))
        super().log(logs, start_time)

    def _count_rows(self, batch: Mapping[str, Tensor]) -> Tensor:
        labelled = int(has_gold_label(batch[LABELS]).sum()) if LABELS in batch else 0
        if TEACHER_LOGITS in batch:
            taught = int((~batch[TEACHER_LOGITS].isnan().all(dim=1)).sum())
        else:
            taught = len(batch["input_ids"]) if self.teacher_model is not None else 0
        return torch.tensor([labelled, taught], dtype=torch.float32)

    def _terms(
        self, logits: Tensor, labels: Tensor | None, teacher_logits: Tensor | None, counts: Tensor
    ) -> dict[str, Tensor]:
        sums = torch.stack([self._hard_label_sum(logits, labels), self._distillation_sum(logits, teacher_logits)])
        return dict(zip((HARD_LOSS, DISTILLATION_LOSS), sums / counts.to(sums.device).clamp(min=1), strict=True))

    def _weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        return self.args.alpha * terms[HARD_LOSS] + (1 - self.args.alpha) * terms[DISTILLATION_LOSS]

    def _hard_label_sum(self, logits: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            return logits.sum() * 0
        return hard_label_loss(logits, labels, self.problem_type, self.args.label_smoothing_factor).sum()

    def _distillation_sum(self, logits: Tensor, teacher_logits: Tensor | None) -> Tensor:
        if teacher_logits is None:
            return logits.sum() * 0
        missing = teacher_logits.isnan().all(dim=1)
        losses = self.distillation_loss(logits, teacher_logits.masked_fill(missing[:, None], 0.0))
        return losses.masked_fill(missing, 0.0).sum()

    def _teacher_logits(self, inputs: Mapping[str, Tensor]) -> Tensor | None:
        stored, num_labels = inputs.get(TEACHER_LOGITS), self._student_config.num_labels
        if stored is not None and stored.shape[1] != num_labels and stored.isnan().all():
            stored = stored[:, :1].expand(-1, num_labels)  # the collator cannot know the width of what no row has
        if self.teacher_model is None or stored is not None:
            return stored
        check_teacher_inputs(inputs, self.teacher_model.config, self._student_config, "The batch")
        own = {name.removeprefix(TEACHER_PREFIX): inputs[name] for name in TEACHER_INPUTS if name in inputs}
        if not own:  # the same vocabulary
            own = {name: inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in inputs}
        with torch.no_grad():
            return self.teacher_model(**own).logits.float()[:, self._label_order]

    # ---- evaluation ----

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Any]:
        """Evaluate a batch, whatever of gold labels and teacher logits it has.

        Args:
            model: The student.
            inputs: A batch of `DistillationCollator`.
            prediction_loss_only: Whether to give the loss alone.
            ignore_keys: Not used: the outputs other than the logits are left out.

        Returns:
            The loss, if it alone is asked for; the logits; and the labels and teacher logits.
        """
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            targets = {LABELS: inputs.get(LABELS), TEACHER_LOGITS: self._teacher_logits(inputs)}
            known = {name: values.detach() for name, values in targets.items() if values is not None}
            # With the teacher's logits at hand the teacher need not run twice.
            loss, outputs = self.compute_loss(model, {**inputs, **known}, return_outputs=True)
        if prediction_loss_only:
            return (loss.detach() if known else None), None, None
        # Batches differ in how many rows carry a term, so their losses have no mean: see `_compute_metrics`.
        return None, outputs["logits"].detach().float(), known or None

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate, and give the gold labels as `label_ids`, as `Trainer` does.

        Args:
            *args: As in `Trainer`.
            **kwargs: As in `Trainer`.

        Returns:
            Predictions, gold labels (None if there are none) and metrics.
        """
        # Reading a DataLoader draws from the global generator; a run resumed after this evaluation would miss that.
        with torch.random.fork_rng(devices=[]):
            output = super().evaluation_loop(*args, **kwargs)
        targets: dict[str, np.ndarray] = output.label_ids if isinstance(output.label_ids, dict) else {}
        return output._replace(label_ids=targets.get(LABELS))

    def _compute_metrics(self, prediction: EvalPrediction) -> dict[str, float]:
        targets = cast(dict[str, np.ndarray], prediction.label_ids)
        predictions = cast(np.ndarray, prediction.predictions)
        metrics = self._losses(predictions, targets)
        labels = targets.get(LABELS)
        if labels is not None and self._user_compute_metrics is not None:
            gold = has_gold_label(torch.from_numpy(labels)).numpy()
            if gold.any():
                metrics.update(self._user_compute_metrics(EvalPrediction(predictions[gold], labels[gold])))
        logits = targets.get(TEACHER_LOGITS)
        if logits is not None and (known := ~np.isnan(logits).all(axis=1)).any():
            pair = [predictions_of(each[known], self.problem_type) for each in (predictions, logits)]
            metrics[CORRELATION if self.problem_type == REGRESSION else AGREEMENT] = agreement(*pair)
        return metrics

    def _losses(self, predictions: np.ndarray, targets: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the terms that some row carries; and the loss, if no term that it weighs is missing."""
        known = {name: torch.from_numpy(values) for name, values in targets.items()}
        counts = self._count_rows(known)
        terms = self._terms(torch.from_numpy(predictions), known.get(LABELS), known.get(TEACHER_LOGITS), counts)
        losses = {name: float(mean) for (name, mean), count in zip(terms.items(), counts, strict=True) if count > 0}
        weights = {HARD_LOSS: self.args.alpha, DISTILLATION_LOSS: 1 - self.args.alpha}
        if all(name in losses for name, weight in weights.items() if weight > 0):
            losses["loss"] = float(self._weighted(terms))
        return losses

    # ---- what Trainer must know ----

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        sampler = super()._get_train_sampler(train_dataset)
        if not isinstance(sampler, LengthGroupedSampler):
            return sampler
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return EpochLengthSampler(sampler, seed, lambda: int(self.state.epoch or 0))

    def _get_eval_sampler(self, eval_dataset: Dataset) -> Sampler[int]:
        return SequentialSampler(eval_dataset)  # where transformers groups by length, `predict` mixes up the rows

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            columns: Any = self._signature_columns  # a list, although Trainer declares it as None alone
            columns += [LABELS, TEACHER_LOGITS, *TEACHER_INPUTS, self.args.length_column_name]

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Create the optimizer, with a group of its own for the embedding table if that has its own learning rate.

        Args:
            model: The student.

        Returns:
            The optimizer.
        """
        optimizer = super().create_optimizer(model)
        learning_rate = self.args.embedding_learning_rate
        if learning_rate is None or any(group.get("is_embedding") for group in optimizer.param_groups):
            return optimizer
        table = cast(nn.Embedding, cast(PreTrainedModel, self.model).get_input_embeddings()).weight
        for group in list(optimizer.param_groups):
            if any(parameter is table for parameter in group["params"]):
                group["params"] = [parameter for parameter in group["params"] if parameter is not table]
                options = {name: value for name, value in group.items() if name not in ("params", "lr")}
                optimizer.add_param_group({**options, "params": [table], "lr": learning_rate, "is_embedding": True})
        return optimizer

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: TrainingArguments, model: PreTrainedModel | None = None) -> tuple[Any, Any]:
        """Return the class of the optimizer and its arguments: Adadelta as well as all of `Trainer`'s.

        Args:
            args: The arguments.
            model: The student; some optimizers need it.

        Returns:
            The class and its arguments.
        """
        if isinstance(args, DistillationTrainingArguments) and args.optim == ADADELTA:
            return torch.optim.Adadelta, {"lr": args.learning_rate, "rho": args.adadelta_rho}
        return Trainer.get_optimizer_cls_and_kwargs(args, model)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write the model card: what the trainer knows, and what `card_facts` adds or says otherwise.

        Args:
            *args: Not used; `Trainer` has them for its own template.
            **kwargs: The same; but `language`, `license`, `dataset` and `finetuned_from` go into the card.
        """
        if self.is_world_process_zero():
            facts = add_training(self.card_facts, self.args, self._student_config, self.hub_model_id, kwargs)
            save_card(facts, str(self.args.output_dir))

    def init_hf_repo(self, *args: Any, **kwargs: Any) -> None:
        """Create the repository on the Hub and the branch to push to; a card that was edited there is kept."""
        super().init_hf_repo(*args, **kwargs)
        if self.is_world_process_zero():
            prepare_repository(str(self.hub_model_id), self.args, kwargs.get("token", *args[:1]))

    # ---- checks before the first step ----

    @property
    def _student_config(self) -> Any:
        return cast(PreTrainedModel, self.model).config

    def _check_data(self) -> None:
        check_padding(self.processing_class, self._student_config)
        evaluation = self.eval_dataset if isinstance(self.eval_dataset, dict) else {"eval_dataset": self.eval_dataset}
        for name, dataset in {"train_dataset": self.train_dataset, **evaluation}.items():
            if isinstance(dataset, Dataset):  # a stream cannot be looked through
                check_encoded(dataset, self._student_config, name)
                if self.teacher_model is not None:
                    check_teacher_inputs(dataset.column_names, self.teacher_model.config, self._student_config, name)
        if isinstance(self.train_dataset, Dataset):
            check_terms(self.train_dataset, self.args.alpha, has_teacher=self.teacher_model is not None)

    def _settle_problem_type(self, labels: Tensor | None) -> None:
        config = self._student_config
        self.problem_type = problem_type_of(config, labels)
        if labels is not None or config.num_labels == 1:  # as transformers does; `pipeline` reads it
            config.problem_type = self.problem_type
        self.distillation_loss = distillation_loss(
            self.args.distillation_loss, self.args.temperature, self.problem_type
        )
