"""A student that learns from the wrong rows, terms or teacher, or is measured on them."""

import copy
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    BertForSequenceClassification,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from hf_bilstm_distill.collation import DistillationCollator, encode
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.labeling import label_with_teacher
from hf_bilstm_distill.students import BiLSTMConfig, BiLSTMForSequenceClassification
from hf_bilstm_distill.tokenization import train_word_tokenizer
from hf_bilstm_distill.trainer import DistillationTrainer
from hf_bilstm_distill.training_args import DistillationTrainingArguments
from hf_bilstm_distill.transfer_set import LabelMismatchError

NAN = float("nan")
NAMES = {0: "negative", 1: "positive"}
MakeTrainer = Callable[..., DistillationTrainer]


@pytest.fixture(scope="module")
def tokenizer(texts: Dataset) -> PreTrainedTokenizerFast:
    """A student's tokenizer that is not the teacher's."""
    return train_word_tokenizer(texts["text"])


@pytest.fixture(scope="module")
def transfer_set(
    texts: Dataset, teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast
) -> Dataset:
    """The forty-eight texts with the teacher's logits."""
    return label_with_teacher(texts, TextClassifier(teacher_model, teacher_tokenizer))


@pytest.fixture(scope="module")
def encoded(transfer_set: Dataset, tokenizer: PreTrainedTokenizerFast) -> Dataset:
    return encode(transfer_set, tokenizer)


@pytest.fixture(scope="module")
def mixed(encoded: Dataset) -> Dataset:
    """Rows with a label, with logits, with both, with neither, in no order that batches of 8 could follow."""
    kinds = np.random.default_rng(0).integers(4, size=len(encoded))
    return encoded.map(
        lambda row, index: {
            "labels": row["labels"] if kinds[index] % 2 else -100,
            "teacher_logits": row["teacher_logits"] if kinds[index] >= 2 else None,
        },
        with_indices=True,
    )


def make_student(tokenizer: PreTrainedTokenizerFast, **settings: Any) -> BiLSTMForSequenceClassification:
    torch.manual_seed(0)
    names = {"id2label": NAMES, "label2id": {name: index for index, name in NAMES.items()}}
    sizes = {"embedding_dim": 8, "lstm_hidden_size": 8, "fc_size": 8, "dropout": 0.0}
    config = BiLSTMConfig(vocab_size=len(tokenizer), **{**names, **sizes, **settings})
    return BiLSTMForSequenceClassification(config)


@pytest.fixture
def make_trainer(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> MakeTrainer:
    """Make a trainer of a small student without dropout: one epoch over batches of 8, in the order of the rows."""

    def make(
        train_dataset: Any = None,
        *,
        model: PreTrainedModel | None = None,
        teacher_model: PreTrainedModel | None = None,
        teacher_tokenizer: PreTrainedTokenizerFast | None = None,
        eval_dataset: Any = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        **settings: Any,
    ) -> DistillationTrainer:
        chosen = {
            "output_dir": str(tmp_path / "student"),
            "use_cpu": True,
            "disable_tqdm": True,
            "save_strategy": "no",
            "num_train_epochs": 1,
            "per_device_train_batch_size": 8,
            "per_device_eval_batch_size": 8,
            "train_sampling_strategy": "sequential",
            "logging_steps": 1,
        }
        return DistillationTrainer(
            model or make_student(tokenizer),
            DistillationTrainingArguments(**{**chosen, **settings}),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=tokenizer,
            teacher_model=teacher_model,
            teacher_tokenizer=teacher_tokenizer,
            compute_metrics=compute_metrics,
        )

    return make


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((np.asarray(prediction.predictions).argmax(axis=1) == prediction.label_ids).mean())}


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def largest_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def trained(trainer: DistillationTrainer) -> dict[str, Tensor]:
    before = weights(trainer)
    trainer.train()
    after = weights(trainer)
    assert largest_difference(before, after) > 1e-3  # else all comparisons would hold for a run that does nothing
    return after


def logits_of(model: PreTrainedModel, dataset: Dataset, tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """The student's logits of each row, on its own."""
    model.eval()
    with torch.no_grad():
        rows = [model(input_ids=torch.tensor([ids])).logits[0] for ids in dataset["input_ids"]]
    return torch.stack(rows).double().numpy()


def cross_entropies(logits: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Of rows with a label; NaN elsewhere."""
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return np.array([NAN if label == -100 else -log_probabilities[row, label] for row, label in enumerate(labels)])


def squared_errors(logits: np.ndarray, teacher_logits: Iterable[Sequence[float] | None]) -> np.ndarray:
    """Means over the labels of a row, of rows with logits; NaN elsewhere."""
    teacher = np.array([[NAN] * logits.shape[1] if row is None else row for row in teacher_logits])
    return ((logits - teacher) ** 2).mean(axis=1)


def terms_by_hand(
    model: PreTrainedModel, dataset: Dataset, tokenizer: PreTrainedTokenizerFast, rows: slice = slice(None)
) -> tuple[float, float]:
    """Mean cross-entropy over the labelled rows, and mean squared error over those with logits."""
    logits = logits_of(model, dataset, tokenizer)
    terms = (cross_entropies(logits, dataset["labels"]), squared_errors(logits, dataset["teacher_logits"]))
    means = [values[rows][~np.isnan(values[rows])] for values in terms]
    return tuple(float(values.mean()) if len(values) else 0.0 for values in means)


def training_logs(trainer: Trainer) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


# ---- learning ----


@pytest.mark.parametrize(
    ("optim", "distillation_loss"), [("adadelta", "mse"), ("adamw_torch", "mse"), ("adamw_torch", "kl")]
)
def test_a_student_learns_its_teacher(
    make_trainer: MakeTrainer, texts: Dataset, tokenizer: PreTrainedTokenizerFast, optim: str, distillation_loss: str
) -> None:
    """A student that trains without error and stays as it was, or learns its rows by heart."""
    scores = [(1 if row["label"] else -1) * (1 + len(row["text"]) / 40) for row in texts]
    rows = encode(texts.add_column("teacher_logits", [[-score, score] for score in scores]), tokenizer)
    seen, unseen = rows.select(range(8, 48)), rows.select(range(8))
    trainer = make_trainer(
        seen,
        eval_dataset=unseen,
        num_train_epochs=20,
        optim=optim,
        learning_rate=1.0 if optim == "adadelta" else 0.02,
        distillation_loss=distillation_loss,
        train_sampling_strategy="group_by_length",
        logging_strategy="epoch",
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert before["eval_agreement_with_teacher"] <= 0.75
    assert after["eval_agreement_with_teacher"] == 1.0
    assert after["eval_loss"] < 0.2 * before["eval_loss"]
    losses = [entry["loss"] for entry in training_logs(trainer)]
    assert losses[-1] < 0.1 * losses[0]


def test_alpha_0_never_looks_at_gold_labels(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """Labels of another data set spoil a student that should learn from its teacher alone."""
    exchanged = encoded.map(lambda row: {"labels": 1 - row["labels"]})
    runs = [trained(make_trainer(data)) for data in (encoded, exchanged, encoded.remove_columns("labels"))]
    assert largest_difference(runs[0], runs[1]) == 0
    assert largest_difference(runs[0], runs[2]) == 0


def test_alpha_1_never_looks_at_the_teacher(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """The baseline without a teacher has learned from one."""
    exchanged = encoded.map(lambda row: {"teacher_logits": row["teacher_logits"][::-1]})
    alone = encoded.remove_columns("teacher_logits")
    runs = [trained(make_trainer(data, alpha=1)) for data in (encoded, exchanged, alone)]
    assert largest_difference(runs[0], runs[1]) == 0
    assert largest_difference(runs[0], runs[2]) == 0


def test_alpha_1_trains_as_trainer_does(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A baseline on gold labels that is not the one every user knows."""
    ours = make_trainer(encoded, alpha=1, label_smoothing_factor=0.1)
    shared = [
        *("use_cpu", "save_strategy", "num_train_epochs", "per_device_train_batch_size", "train_sampling_strategy"),
        *("learning_rate", "optim", "dataloader_pin_memory", "label_smoothing_factor", "logging_steps"),
    ]
    theirs = Trainer(
        make_student(tokenizer),
        TrainingArguments(str(tmp_path / "theirs"), **{name: getattr(ours.args, name) for name in shared}),
        train_dataset=encoded.remove_columns(["teacher_logits", "length"]),
        processing_class=tokenizer,
    )
    theirs.train()
    assert largest_difference(trained(ours), weights(theirs)) < 1e-6
    found, expected = ([entry["loss"] for entry in training_logs(trainer)] for trainer in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_loss_of_the_first_step(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast, alpha: float
) -> None:
    """`alpha` weighs the other term, or a term that the step has not."""
    trainer = make_trainer(encoded, alpha=alpha, max_steps=1)
    hard, soft = terms_by_hand(make_student(tokenizer), encoded, tokenizer, slice(0, 8))
    trained(trainer)
    (entry,) = training_logs(trainer)
    assert entry["loss"] == pytest.approx(alpha * hard + (1 - alpha) * soft, rel=1e-4)
    assert entry["hard_label_loss"] == pytest.approx(hard, rel=1e-4)
    assert entry["distillation_loss"] == pytest.approx(soft, rel=1e-4)


def test_kl_loss_of_the_first_step(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """The arguments say KL and a temperature, the trainer uses MSE or another temperature."""
    trainer = make_trainer(encoded, distillation_loss="kl", temperature=2.0, max_steps=1)
    student = np.exp(logits_of(make_student(tokenizer), encoded, tokenizer)[:8] / 2)
    teacher = np.exp(np.array(encoded["teacher_logits"][:8]) / 2)
    student, teacher = (values / values.sum(axis=1, keepdims=True) for values in (student, teacher))
    trained(trainer)
    (entry,) = training_logs(trainer)
    expected = 4 * (teacher * np.log(teacher / student)).sum(axis=1).mean()
    assert entry["loss"] == entry["distillation_loss"] == pytest.approx(expected, rel=1e-4)


# ---- mixed rows ----


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_loss_of_a_mixed_batch(
    make_trainer: MakeTrainer, mixed: Dataset, tokenizer: PreTrainedTokenizerFast, alpha: float
) -> None:
    """Rows without a label or without logits weaken that term for all others."""
    trainer = make_trainer(mixed, alpha=alpha)
    trainer.model.eval()
    collator = DistillationCollator(tokenizer)
    for start in range(0, len(mixed), 8):
        hard, soft = terms_by_hand(trainer.model, mixed, tokenizer, slice(start, start + 8))
        batch = collator([mixed[row] for row in range(start, start + 8)])
        loss = trainer.compute_loss(trainer.model, batch)
        assert loss.item() == pytest.approx(alpha * hard + (1 - alpha) * soft, rel=1e-5)


@pytest.mark.parametrize("accumulated", [1, 2, 4])
def test_terms_are_logged_and_add_up(
    make_trainer: MakeTrainer, mixed: Dataset, tokenizer: PreTrainedTokenizerFast, accumulated: int
) -> None:
    """A user sees terms that do not make up the loss, or the mean over batches of unequal weight."""
    trainer = make_trainer(
        mixed,
        alpha=0.3,
        learning_rate=0.0,
        gradient_accumulation_steps=accumulated,
        logging_steps=2,
        num_train_epochs=2,
    )
    student = make_student(tokenizer)
    starts = list(range(0, len(mixed), 8 * accumulated)) * 2  # without a learning rate both epochs are the same
    steps = [terms_by_hand(student, mixed, tokenizer, slice(start, start + 8 * accumulated)) for start in starts]
    trainer.train()
    entries = training_logs(trainer)
    assert len(entries) == len(steps) // 2
    for entry, pair in zip(entries, zip(steps[::2], steps[1::2], strict=True), strict=True):
        hard, soft = np.mean(pair, axis=0)
        assert entry["hard_label_loss"] == pytest.approx(hard, rel=1e-4)
        assert entry["distillation_loss"] == pytest.approx(soft, rel=1e-4)
        assert entry["loss"] == pytest.approx(0.3 * hard + 0.7 * soft, rel=1e-4)
    assert largest_difference(weights(trainer), student.state_dict()) == 0


def test_terms_of_an_earlier_run_are_not_logged_again(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """The first entry of a second `train()` mixes in steps that the first one had not logged yet."""
    trainer = make_trainer(encoded, alpha=0.5, logging_steps=5)  # of 6 steps
    for _ in range(2):
        trainer.train()
        entry = training_logs(trainer)[0]
        expected = 0.5 * entry["hard_label_loss"] + 0.5 * entry["distillation_loss"]
        assert entry["loss"] == pytest.approx(expected, rel=1e-4)


def test_evaluation_does_not_touch_the_logged_terms(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """Evaluation in the middle of training is logged as training."""
    plain = make_trainer(encoded, alpha=0.5, logging_steps=3)
    evaluated = make_trainer(
        encoded, eval_dataset=encoded, alpha=0.5, logging_steps=3, eval_steps=2, eval_strategy="steps"
    )
    assert largest_difference(trained(plain), trained(evaluated)) == 0
    names = ("loss", "hard_label_loss", "distillation_loss")
    one, other = ([[entry[name] for name in names] for entry in training_logs(run)] for run in (plain, evaluated))
    assert one == other


def test_batches_without_any_logits_or_labels(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Sets that were joined one after the other end in a batch that has nothing of one kind."""
    unlabelled = encoded.select(range(16)).map(lambda row: {"labels": -100})
    untaught = encoded.select(range(16, 32)).map(lambda row: {"teacher_logits": None}, features=encoded.features)
    joined = concatenate_datasets([unlabelled, untaught, encoded.select(range(32, 48))])
    trainer = make_trainer(joined, eval_dataset=joined, alpha=0.3, learning_rate=0.0, compute_metrics=accuracy)
    trainer.train()
    student = make_student(tokenizer)
    for index, entry in enumerate(training_logs(trainer)):
        hard, soft = terms_by_hand(student, joined, tokenizer, slice(8 * index, 8 * index + 8))
        assert entry["hard_label_loss"] == pytest.approx(hard, rel=1e-4)
        assert entry["distillation_loss"] == pytest.approx(soft, rel=1e-4)
    logits = logits_of(student, joined, tokenizer)
    metrics = trainer.evaluate()
    gold = np.array(joined["labels"][:])
    taught = [row for row in range(48) if joined[row]["teacher_logits"] is not None]
    same = logits.argmax(axis=1)[taught] == np.array([joined[row]["teacher_logits"] for row in taught]).argmax(axis=1)
    assert metrics["eval_accuracy"] == (logits.argmax(axis=1) == gold)[gold != -100].mean()
    assert metrics["eval_agreement_with_teacher"] == same.mean()


# ---- evaluation ----


def test_evaluation_of_mixed_rows(
    make_trainer: MakeTrainer, encoded: Dataset, mixed: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Rows without a label count as wrong, rows without logits as disagreement."""
    trainer = make_trainer(encoded, eval_dataset=mixed, compute_metrics=accuracy)
    trained(trainer)
    chosen = logits_of(trainer.model, mixed, tokenizer).argmax(axis=1)
    gold = np.array(mixed["labels"][:])
    taught = [row for row in range(len(mixed)) if mixed[row]["teacher_logits"] is not None]
    teacher = np.array([mixed[row]["teacher_logits"] for row in taught]).argmax(axis=1)
    metrics = trainer.evaluate()
    assert metrics["eval_accuracy"] == (chosen == gold)[gold != -100].mean()
    assert metrics["eval_agreement_with_teacher"] == (chosen[taught] == teacher).mean()


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_loss_of_an_evaluation(
    make_trainer: MakeTrainer, encoded: Dataset, mixed: Dataset, tokenizer: PreTrainedTokenizerFast, batch: int
) -> None:
    """The loss by which the best checkpoint is chosen depends on the batch size, or on rows that have no such term."""
    trainer = make_trainer(encoded, per_device_eval_batch_size=batch)
    for dataset in (encoded, mixed):
        hard, soft = terms_by_hand(trainer.model, dataset, tokenizer)
        for alpha in (0.0, 0.3, 1.0):
            trainer.args.alpha = alpha
            metrics = trainer.evaluate(dataset)
            assert metrics["eval_loss"] == pytest.approx(alpha * hard + (1 - alpha) * soft, rel=1e-4)
            assert metrics["eval_hard_label_loss"] == pytest.approx(hard, rel=1e-4)
            assert metrics["eval_distillation_loss"] == pytest.approx(soft, rel=1e-4)


def test_an_evaluation_that_gives_the_loss_alone(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """`prediction_loss_only` keeps a large evaluation small, and must still give the loss."""
    trainer = make_trainer(encoded, alpha=0.3, prediction_loss_only=True)
    hard, soft = terms_by_hand(trainer.model, encoded, tokenizer)
    metrics = trainer.evaluate(encoded)
    assert metrics["eval_loss"] == pytest.approx(0.3 * hard + 0.7 * soft, rel=1e-4)
    assert "eval_agreement_with_teacher" not in metrics


def test_evaluation_without_labels_without_logits_and_with_text_only(
    make_trainer: MakeTrainer, encoded: Dataset
) -> None:
    """A set that lacks one kind of target cannot be evaluated at all, or gets a value for what it lacks."""
    trainer = make_trainer(encoded, compute_metrics=accuracy)
    both = trainer.evaluate(encoded)
    unlabelled = trainer.evaluate(encoded.remove_columns("labels"))
    untaught = trainer.evaluate(encoded.remove_columns("teacher_logits"))
    texts = trainer.evaluate(encoded.remove_columns(["labels", "teacher_logits"]))
    assert {"eval_accuracy", "eval_agreement_with_teacher", "eval_loss"} <= both.keys()
    assert unlabelled["eval_agreement_with_teacher"] == both["eval_agreement_with_teacher"]
    assert unlabelled["eval_loss"] == both["eval_loss"]
    assert not {"eval_accuracy", "eval_hard_label_loss"} & unlabelled.keys()
    assert untaught["eval_accuracy"] == both["eval_accuracy"]
    assert untaught["eval_hard_label_loss"] == both["eval_hard_label_loss"]
    # At alpha 0 the loss of rows without logits would be zero, whatever the student says: the best checkpoint of all.
    assert not {"eval_agreement_with_teacher", "eval_distillation_loss", "eval_loss"} & untaught.keys()
    assert not {"eval_accuracy", "eval_agreement_with_teacher", "eval_loss"} & texts.keys()
    assert texts["eval_runtime"] >= 0


def test_several_evaluation_sets(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """One of several sets is left out, or has the values of another."""
    parts = {"first": encoded.select(range(8)), "rest": encoded.select(range(8, 48))}
    trainer = make_trainer(encoded, eval_dataset=parts, compute_metrics=accuracy)
    metrics = trainer.evaluate()
    for name, part in parts.items():
        alone = trainer.evaluate(part)
        for metric in ("loss", "accuracy", "agreement_with_teacher"):
            assert metrics[f"eval_{name}_{metric}"] == pytest.approx(alone[f"eval_{metric}"], rel=1e-6)


def test_without_a_metric_agreement_is_still_measured(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """Whoever passes no `compute_metrics` learns nothing of the student but the loss."""
    metrics = make_trainer(encoded, eval_dataset=encoded).evaluate()
    assert 0 <= metrics["eval_agreement_with_teacher"] <= 1


def test_predict_gives_what_trainer_gives(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Code written for Trainer meets a dict where it expects labels."""
    ours = make_trainer(encoded, compute_metrics=accuracy, alpha=1).predict(encoded)
    theirs = Trainer(
        make_student(tokenizer),
        TrainingArguments(str(tmp_path / "theirs"), use_cpu=True, dataloader_pin_memory=False),
        processing_class=tokenizer,
        compute_metrics=accuracy,
    ).predict(encoded.remove_columns(["teacher_logits", "length"]))
    np.testing.assert_array_equal(ours.label_ids, theirs.label_ids)
    assert ours.label_ids.dtype == theirs.label_ids.dtype
    np.testing.assert_allclose(ours.predictions, theirs.predictions, atol=1e-6)
    assert ours.metrics["test_accuracy"] == theirs.metrics["test_accuracy"]
    assert ours.metrics["test_loss"] == pytest.approx(theirs.metrics["test_loss"], rel=1e-5)


def test_predict_texts_without_labels(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Predictions for new texts fail for want of labels, or come in another order."""
    trainer = make_trainer(encoded)
    output = trainer.predict(encoded.remove_columns(["labels", "teacher_logits"]))
    assert output.label_ids is None
    np.testing.assert_allclose(output.predictions, logits_of(trainer.model, encoded, tokenizer), atol=1e-6)


@pytest.mark.parametrize("strategy", ["group_by_length", "random"])
def test_rows_come_back_in_the_order_of_the_set(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast, strategy: str
) -> None:
    """Predictions that are written beside the texts of other rows, since those of similar length were read together."""
    seen: list[EvalPrediction] = []
    rows = changed(encoded, labels=np.random.default_rng(0).integers(2, size=48).tolist())
    trainer = make_trainer(
        rows,
        eval_dataset=rows,
        compute_metrics=lambda prediction: seen.append(prediction) or {},
        train_sampling_strategy=strategy,
    )
    logits = logits_of(trainer.model, rows, tokenizer)
    assert len(np.unique(logits.round(4), axis=0)) > 24  # rows that can be told apart
    output = trainer.predict(rows)
    trainer.evaluate()
    for found in (output, *seen):
        np.testing.assert_allclose(found.predictions, logits, atol=1e-6)
        np.testing.assert_array_equal(found.label_ids, rows["labels"][:])
    assert len(seen) == 2


def test_the_best_checkpoint_by_agreement(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """`metric_for_best_model` does not know the metric that says how well the student imitates."""
    trainer = make_trainer(
        encoded,
        eval_dataset=encoded,
        num_train_epochs=4,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="agreement_with_teacher",
        learning_rate=0.05,
    )
    trainer.train()
    measured = [entry["eval_agreement_with_teacher"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(measured) == 4
    assert trainer.state.best_metric == max(measured)
    assert trainer.evaluate()["eval_agreement_with_teacher"] == max(measured)


# ---- what Trainer must know ----


def test_unused_columns_change_nothing(make_trainer: MakeTrainer, encoded: Dataset, texts: Dataset) -> None:
    """`remove_unused_columns=True` drops the logits, or False passes them to the student."""
    crowded = encoded.add_column("text", texts["text"][:])
    runs = [
        trained(make_trainer(data, remove_unused_columns=removed, alpha=0.5, train_sampling_strategy="group_by_length"))
        for data, removed in ((encoded, True), (encoded, False), (crowded, True))
    ]
    assert largest_difference(runs[0], runs[1]) == 0
    assert largest_difference(runs[0], runs[2]) == 0


def test_each_epoch_has_an_order_of_its_own(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """The same rows meet in the same batches in every epoch, or an epoch leaves rows out."""
    trainer = make_trainer(
        encoded, num_train_epochs=3, learning_rate=0.0, train_sampling_strategy="group_by_length", alpha=0.5
    )
    trainer.train()
    epochs = np.array([entry["loss"] for entry in training_logs(trainer)]).reshape(3, 6)
    np.testing.assert_allclose(epochs.mean(axis=1), epochs.mean(), rtol=1e-4)
    for one, other in itertools.combinations(np.sort(epochs, axis=1), 2):
        assert np.abs(one - other).max() > 1e-3


def test_a_stream_trains_as_a_set(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """A transfer set too large for memory cannot be learned from."""
    stored = trained(make_trainer(encoded, alpha=0.5, max_steps=6))
    streamed = trained(make_trainer(encoded.to_iterable_dataset(), alpha=0.5, max_steps=6))
    assert largest_difference(stored, streamed) == 0


def test_adadelta_is_that_of_torch(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """`--optim adadelta` trains with other settings than the paper's: rho 0.95, learning rate 1."""
    trainer = make_trainer(encoded, optim="adadelta", lr_scheduler_type="constant", max_grad_norm=0.0)
    found = trained(trainer)

    student = make_student(tokenizer).train()
    optimizer = torch.optim.Adadelta(student.parameters(), lr=1.0, rho=0.95)
    for start in range(0, len(encoded), 8):
        rows = encoded.select(range(start, start + 8))
        inputs = tokenizer.pad({"input_ids": rows["input_ids"][:]}, return_tensors="pt")
        logits = student(**inputs).logits
        nn.functional.mse_loss(logits, torch.tensor(rows["teacher_logits"][:])).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert largest_difference(found, student.state_dict()) < 1e-6
    assert {entry["learning_rate"] for entry in training_logs(trainer)} == {1.0}


def test_other_optimizers_are_those_of_trainer(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """The optimizer that the user chose, or brought along, gives way to Adadelta."""
    chosen = make_trainer(encoded, optim="sgd", max_steps=1)
    chosen.train()
    assert type(chosen.optimizer.optimizer) is torch.optim.SGD
    student = chosen.model
    brought = torch.optim.Adam(student.parameters(), lr=0.5)
    trainer = DistillationTrainer(
        student, chosen.args, train_dataset=encoded, data_collator=chosen.data_collator, optimizers=(brought, None)
    )
    trainer.train()
    assert trainer.optimizer.optimizer is brought


# ---- a teacher in the loop ----


@pytest.fixture(scope="module")
def in_the_loop(
    texts: Dataset, tokenizer: PreTrainedTokenizerFast, teacher_tokenizer: PreTrainedTokenizerFast
) -> Dataset:
    """The texts without stored logits, but with the teacher's own inputs."""
    return encode(texts, tokenizer, teacher_tokenizer=teacher_tokenizer)


@pytest.fixture
def teacher(teacher_model: BertForSequenceClassification) -> BertForSequenceClassification:
    """As a user may have it after fine-tuning: in training mode, with dropout, its weights to be trained."""
    teacher = copy.deepcopy(teacher_model).train()
    assert teacher.config.hidden_dropout_prob > 0
    return teacher.requires_grad_(True)


def test_a_teacher_in_the_loop_teaches_what_its_stored_logits_teach(
    make_trainer: MakeTrainer,
    encoded: Dataset,
    in_the_loop: Dataset,
    teacher: BertForSequenceClassification,
    teacher_tokenizer: PreTrainedTokenizerFast,
) -> None:
    """The teacher's dropout, padding or token ids make it say something else than it would alone."""
    settings = {"alpha": 0.3, "num_train_epochs": 3, "learning_rate": 0.01}
    stored = make_trainer(encoded, eval_dataset=encoded, **settings)
    looped = make_trainer(
        in_the_loop,
        eval_dataset=in_the_loop,
        teacher_model=teacher,
        teacher_tokenizer=teacher_tokenizer,
        **settings,
    )
    assert largest_difference(trained(stored), trained(looped)) < 1e-4
    one, other = stored.evaluate(), looped.evaluate()
    assert other["eval_agreement_with_teacher"] == one["eval_agreement_with_teacher"]
    assert other["eval_loss"] == pytest.approx(one["eval_loss"], rel=1e-3)


def test_a_teacher_with_the_vocabulary_of_the_student_needs_no_own_inputs(
    make_trainer: MakeTrainer,
    transfer_set: Dataset,
    texts: Dataset,
    teacher: BertForSequenceClassification,
    teacher_tokenizer: PreTrainedTokenizerFast,
) -> None:
    """The teacher gets the student's token ids without their mask, or not at all."""
    runs = [
        trained(make_trainer(data, model=make_student(teacher_tokenizer), teacher_model=given))
        for data, given in (
            (encode(transfer_set, teacher_tokenizer), None),
            (encode(texts, teacher_tokenizer), teacher),
        )
    ]
    assert largest_difference(*runs) < 1e-4


def test_a_teacher_is_never_trained_nor_saved(
    make_trainer: MakeTrainer,
    in_the_loop: Dataset,
    teacher: BertForSequenceClassification,
    teacher_tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    """A teacher that learns along, or a checkpoint of the teacher's size."""
    before = copy.deepcopy(teacher.state_dict())
    trainer = make_trainer(
        in_the_loop,
        teacher_model=teacher,
        teacher_tokenizer=teacher_tokenizer,
        save_strategy="steps",
        save_steps=6,
        weight_decay=0.1,
    )
    trained(trainer)
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in teacher.parameters())
    assert largest_difference(before, teacher.state_dict()) == 0
    optimized = {id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]}
    assert optimized == {id(parameter) for parameter in trainer.model.parameters()}
    checkpoint = tmp_path / "student" / "checkpoint-6"
    assert load_file(checkpoint / "model.safetensors").keys() == trainer.model.state_dict().keys()
    optimizer = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    assert len(optimizer["state"]) == len(list(trainer.model.parameters()))
    assert not [path.name for path in checkpoint.rglob("*") if "teacher" in path.name]


def test_stored_logits_come_before_the_teacher(
    make_trainer: MakeTrainer,
    encoded: Dataset,
    teacher: BertForSequenceClassification,
    teacher_tokenizer: PreTrainedTokenizerFast,
) -> None:
    """A teacher that is passed beside its stored logits runs for nothing, or contradicts them."""
    nn.init.constant_(teacher.classifier.bias, 100.0)
    alone = trained(make_trainer(encoded))
    beside = trained(make_trainer(encoded, teacher_model=teacher, teacher_tokenizer=teacher_tokenizer))
    assert largest_difference(alone, beside) == 0


def test_labels_of_the_teacher_are_matched_by_name(
    make_trainer: MakeTrainer,
    encoded: Dataset,
    in_the_loop: Dataset,
    teacher: BertForSequenceClassification,
    teacher_tokenizer: PreTrainedTokenizerFast,
) -> None:
    """A teacher whose labels stand in another order teaches the opposite."""
    with torch.no_grad():
        for parameter in teacher.classifier.parameters():
            parameter.copy_(parameter.flip(0))
    teacher.config.id2label = {0: "POSITIVE", 1: "NEGATIVE"}
    stored = trained(make_trainer(encoded))
    looped = trained(make_trainer(in_the_loop, teacher_model=teacher, teacher_tokenizer=teacher_tokenizer))
    assert largest_difference(stored, looped) < 1e-4


def test_labels_of_the_teacher_that_cannot_be_matched(
    make_trainer: MakeTrainer, in_the_loop: Dataset, teacher: BertForSequenceClassification
) -> None:
    """A teacher of another task teaches this one."""
    teacher.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
    with pytest.raises(LabelMismatchError, match=re.escape("['LABEL_0', 'LABEL_1'] cannot be matched by name to")):
        make_trainer(in_the_loop, teacher_model=teacher)


@pytest.mark.parametrize("place", ["train_dataset", "eval_dataset"])
def test_a_teacher_without_inputs_of_its_own(
    make_trainer: MakeTrainer,
    texts: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    in_the_loop: Dataset,
    teacher: BertForSequenceClassification,
    place: str,
) -> None:
    """The teacher reads token ids of another vocabulary, and teaches noise."""
    datasets = {"train_dataset": in_the_loop, "eval_dataset": in_the_loop} | {place: encode(texts, tokenizer)}
    cause = (
        f"{place} has no inputs for the teacher, whose vocabulary \\({teacher.config.vocab_size} tokens\\) is not the "
        f"student's \\({len(tokenizer)}\\). Pass teacher_tokenizer to encode"
    )
    with pytest.raises(ValueError, match=cause):
        make_trainer(teacher_model=teacher, **datasets)


def test_new_texts_without_inputs_for_the_teacher(
    make_trainer: MakeTrainer,
    texts: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    in_the_loop: Dataset,
    teacher: BertForSequenceClassification,
    teacher_tokenizer: PreTrainedTokenizerFast,
) -> None:
    """A set that comes after the checks of the first ones is read with the wrong vocabulary."""
    trainer = make_trainer(in_the_loop, teacher_model=teacher, teacher_tokenizer=teacher_tokenizer)
    with pytest.raises(ValueError, match="no inputs for the teacher"):
        trainer.evaluate(encode(texts, tokenizer))


# ---- checks before the first step ----


def changed(encoded: Dataset, **columns: Any) -> Dataset:
    for name, values in columns.items():
        encoded = encoded.remove_columns(name).add_column(name, values)
    return encoded


def test_no_logits(make_trainer: MakeTrainer, encoded: Dataset) -> None:
    """A run without a teacher learns nothing."""
    cause = (
        "alpha=0.5 learns from a teacher, but train_dataset has no logits in a column 'teacher_logits' and there is no "
        "teacher_model. Its columns are ['labels', 'input_ids', 'length']. Label it with label_with_teacher()."
    )
    with pytest.raises(ValueError, match=re.escape(cause)):
        make_trainer(encoded.remove_columns("teacher_logits"), alpha=0.5)
    with pytest.raises(ValueError, match="learns from a teacher, but train_dataset has no logits"):
        make_trainer(changed(encoded, teacher_logits=[[NAN, NAN]] * 48))


@pytest.mark.parametrize("columns", [{}, {"labels": [-100] * 48}], ids=["no_column", "no_label"])
def test_no_labels(make_trainer: MakeTrainer, encoded: Dataset, columns: dict[str, Any]) -> None:
    """A run with alpha 1 learns nothing."""
    dataset = changed(encoded, **columns) if columns else encoded.remove_columns("labels")
    with pytest.raises(ValueError, match=r"alpha=0.5 learns from gold labels, but train_dataset has none. Use alpha=0"):
        make_trainer(dataset, alpha=0.5)


@pytest.mark.parametrize("place", ["train_dataset", "eval_dataset", "held_out"])
@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ({"teacher_logits": [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]] * 24}, "logits of width 3, but there are 2 labels"),
        (
            {"teacher_logits": [[1.0, 2.0], [NAN, 1.0]] * 24},
            "NaN or infinity among the logits of 24 rows (first: row 1",
        ),
        ({"teacher_logits": [[1.0, 2.0]] * 48}, "the same logits [1.0, 2.0] in all 48 rows"),
        ({"labels": [0, 5] * 24}, "label 5 in row 1, but the student's labels are 0..1"),
        ({"labels": [0, None] * 24}, "no label in 24 of its 48 rows (first: row 1)"),
        ({"input_ids": [[1], [777]] * 24}, "token id 777, but the student's vocabulary ends at"),
    ],
    ids=["width", "nan", "equal", "label", "label_none", "token"],
)
def test_what_trains_wrongly_stops_before_training(
    make_trainer: MakeTrainer, encoded: Dataset, place: str, columns: dict[str, Any], cause: str
) -> None:
    """Hours of training end in an error at the first evaluation, or in a student that has learned nothing."""
    broken = changed(encoded, **columns)
    sets: dict[str, Any] = {
        "train_dataset": {"train_dataset": broken},
        "eval_dataset": {"train_dataset": encoded, "eval_dataset": broken},
        "held_out": {"train_dataset": encoded, "eval_dataset": {"seen": encoded, "held_out": broken}},
    }[place]
    with pytest.raises(ValueError, match=f"{place} has {re.escape(cause)}"):
        make_trainer(**sets)


def test_padding_tokens_that_differ(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """The student takes a word for padding."""
    with pytest.raises(ValueError, match="tokenizer pads with token 0, but the student takes 1 for padding"):
        make_trainer(encoded, model=make_student(tokenizer, pad_token_id=1))


@pytest.mark.parametrize(
    ("name", "value"), [("batch_eval_metrics", True), ("eval_do_concat_batches", False)], ids=["batch", "no-concat"]
)
def test_evaluation_in_parts(make_trainer: MakeTrainer, encoded: Dataset, name: str, value: bool) -> None:
    """Agreement over the last batch is shown as that over all rows."""
    with pytest.raises(ValueError, match=f"{name}={value} is not supported: agreement and losses"):
        make_trainer(encoded, **{name: value})


def test_logits_that_are_replaced_before_they_are_measured(
    encoded: Dataset, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """The loss of an evaluation is computed from class numbers, or crashes after an epoch."""
    with pytest.raises(ValueError, match="preprocess_logits_for_metrics is not supported"):
        DistillationTrainer(
            make_student(tokenizer),
            DistillationTrainingArguments(output_dir=str(tmp_path), use_cpu=True),
            train_dataset=encoded,
            preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(dim=-1),
        )


def test_rows_that_teach_nothing_are_told(
    make_trainer: MakeTrainer, mixed: Dataset, encoded: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of a transfer set has no logits, and nobody notices."""
    useless = {
        0: sum(logits is None for logits in mixed["teacher_logits"]),
        1: sum(label == -100 for label in mixed["labels"]),
    }
    for alpha, what in ((0, "logits of the teacher"), (1, "gold label")):
        with caplog.at_level(logging.WARNING):
            make_trainer(mixed, alpha=alpha)
        assert f"{useless[alpha]} of 48 training rows have no {what}" in caplog.text
    caplog.clear()
    for dataset, alpha in ((mixed, 0.5), (encoded, 0), (encoded, 1)):
        make_trainer(dataset, alpha=alpha)
    assert "training rows have no" not in caplog.text


# ---- the card ----


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"optim": "adadelta"},
            [
                "**Optimizer:** adadelta",
                "| `learning_rate` | `1.0` |",
                "**Loss:** mean squared error between the logits",
            ],
        ),
        (
            {"optim": "sgd", "alpha": 0.25, "distillation_loss": "kl", "temperature": 2.0, "learning_rate": 0.1},
            [
                "**Optimizer:** sgd",
                "| `learning_rate` | `0.1` |",
                "0.25 * loss on gold labels + 0.75 * KL divergence of student and teacher at temperature 2, times its",
            ],
        ),
    ],
    ids=["adadelta", "sgd"],
)
def test_card(
    make_trainer: MakeTrainer, encoded: Dataset, tmp_path: Path, settings: dict[str, Any], told: list[str]
) -> None:
    """The card tells of AdamW whatever trained the student."""
    trainer = make_trainer(encoded, gradient_accumulation_steps=2, max_steps=1, **settings)
    trainer.train()
    trainer.create_model_card(language="en", license="mit", dataset="glue", finetuned_from="bert-base-uncased")
    card = (tmp_path / "student" / "README.md").read_text(encoding="utf-8")
    for each in told:
        assert each in card
    assert "AdamW" not in card
    assert "adamw" not in card
    assert "| `train_batch_size` | `16` |" in card
    for line in ("language: en", "license: mit", "base_model: bert-base-uncased", "- glue"):
        assert line in card
    assert card.index("negative") < card.index("positive")


# ---- regression ----


def test_regression(make_trainer: MakeTrainer, texts: Dataset, tokenizer: PreTrainedTokenizerFast) -> None:
    """One score a row broadcasts against its labels, or is rounded to a class."""
    lengths = np.array([len(text.split()) for text in texts["text"]], dtype=np.float64)
    target = (lengths - lengths.mean()) / lengths.std()
    scored = texts.remove_columns("label").add_column("label", target.tolist())
    scored = scored.add_column("teacher_logits", [[value + 0.1] for value in target])
    dataset = encode(scored, tokenizer)

    student = make_student(tokenizer, num_labels=1, id2label={0: "length"}, label2id={"length": 0})
    trainer = make_trainer(
        dataset, model=student, eval_dataset=dataset, alpha=0.5, num_train_epochs=40, learning_rate=0.02
    )
    logits = logits_of(copy.deepcopy(student), dataset, tokenizer)[:, 0]
    expected = 0.5 * ((logits - target) ** 2).mean() + 0.5 * ((logits - target - 0.1) ** 2).mean()
    before = trainer.evaluate()
    assert before["eval_loss"] == pytest.approx(expected, rel=1e-4)
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < 0.1 * before["eval_loss"]
    assert "eval_agreement_with_teacher" not in after
    assert student.config.problem_type == "regression"  # else `pipeline` gives a sigmoid of the score
    output = trainer.predict(dataset)
    teacher = np.array(dataset["teacher_logits"])[:, 0]
    correlation = np.corrcoef(output.predictions[:, 0], teacher)[0, 1]
    assert after["eval_correlation_with_teacher"] == pytest.approx(correlation, abs=1e-5)
    np.testing.assert_allclose(output.label_ids, target, rtol=1e-6)
    assert np.corrcoef(output.predictions[:, 0], target)[0, 1] > 0.95


def test_several_labels_a_row(make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast) -> None:
    """Labels that are zeros and ones are taken for probabilities of exclusive classes."""
    labels = np.random.default_rng(0).integers(2, size=(48, 2)).astype(np.float64)
    labels[5] = NAN
    trainer = make_trainer(changed(encoded, labels=labels.tolist()), alpha=1, max_steps=1)
    sigmoid = 1 / (1 + np.exp(-logits_of(trainer.model, encoded, tokenizer)[:8]))
    losses = -(labels[:8] * np.log(sigmoid) + (1 - labels[:8]) * np.log(1 - sigmoid))
    trained(trainer)
    (entry,) = training_logs(trainer)
    assert entry["loss"] == pytest.approx(np.nanmean(losses), rel=1e-4)
    assert trainer.model.config.problem_type == "multi_label_classification"  # else `pipeline` gives a softmax


def test_a_teacher_of_several_labels_a_row(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Labels that do not exclude each other are softened together, or agreement looks at the largest alone."""
    student = make_student(tokenizer, problem_type="multi_label_classification")
    logits = logits_of(copy.deepcopy(student), encoded, tokenizer)
    teacher = np.random.default_rng(1).normal(size=logits.shape)
    dataset = changed(encoded, teacher_logits=teacher.tolist()).remove_columns("labels")
    trainer = make_trainer(dataset, model=student, eval_dataset=dataset, distillation_loss="kl", temperature=2.0)
    found = trainer.evaluate()
    p, q = (1 / (1 + np.exp(-each / 2)) for each in (teacher, logits))
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert found["eval_loss"] == pytest.approx(4 * divergence.mean(), rel=1e-3)
    pairs = zip(logits, teacher, strict=True)
    same_set = [set(np.flatnonzero(one > 0)) == set(np.flatnonzero(other > 0)) for one, other in pairs]
    assert 0 < np.mean(same_set) < np.mean(logits.argmax(axis=1) == teacher.argmax(axis=1))
    assert found["eval_agreement_with_teacher"] == pytest.approx(np.mean(same_set))


def test_a_regression_has_no_divergence(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """A softmax over one score is always 1: the student learns nothing, and the loss is zero."""
    student = make_student(tokenizer, num_labels=1, id2label={0: "length"}, label2id={"length": 0})
    scored = changed(encoded, teacher_logits=[[float(row)] for row in range(48)]).remove_columns("labels")
    with pytest.raises(ValueError, match="a regression has none"):
        make_trainer(scored, model=student, distillation_loss="kl", temperature=2.0)


def test_a_teacher_in_the_loop_of_another_problem_type(
    make_trainer: MakeTrainer,
    encoded: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    teacher_model: BertForSequenceClassification,
) -> None:
    """Independent logits are learned as if they excluded each other."""
    teacher = copy.deepcopy(teacher_model)
    teacher.config.problem_type = "multi_label_classification"
    student = make_student(tokenizer, problem_type="single_label_classification")
    with pytest.raises(ValueError, match="'multi_label_classification', the student's 'single_label_classification'"):
        make_trainer(encoded, model=student, teacher_model=teacher)


# ---- pairs ----


def test_a_siamese_student_without_second_sentences(
    make_trainer: MakeTrainer, encoded: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """It would learn to compare each text with nothing."""
    with pytest.raises(ValueError, match="train_dataset has no second sentences"):
        make_trainer(encoded, model=make_student(tokenizer, is_pair=True))


def test_pairs_keep_their_two_sentences(
    make_trainer: MakeTrainer, texts: Dataset, tokenizer: PreTrainedTokenizerFast
) -> None:
    """`token_type_ids` are dropped on the way, and a siamese student reads both sentences as one."""
    pairs = texts.add_column("text_pair", texts["text"][::-1])
    rows = encode(pairs.add_column("teacher_logits", [[1.0 + row, -row] for row in range(48)]), tokenizer)
    student = make_student(tokenizer, is_pair=True)
    trainer = make_trainer(rows, model=student)
    trained(trainer)
    found = trainer.predict(rows).predictions
    with torch.no_grad():
        inputs = [tokenizer(row["text"], row["text_pair"], return_tensors="pt") for row in pairs]
        expected = torch.cat([student(**each).logits for each in inputs])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
