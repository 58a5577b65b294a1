"""Multi-task runs that mix up tasks, lose rows or weigh them wrongly, or that give another student the second time."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from torch import Tensor
from transformers import EvalPrediction, PreTrainedTokenizerFast
from transformers.trainer_utils import get_last_checkpoint

from hf_bilstm_distill import (
    BiAttentiveConfig,
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    DistillationTrainer,
    DistillationTrainingArguments,
    MultiTaskConfig,
    MultiTaskDistillationTrainer,
    MultiTaskForSequenceClassification,
    MultiTaskTrainingArguments,
    TextClassifier,
    compute_metrics_for,
    encode,
    finetune_per_task,
    label_with_teacher,
    load_metric,
    train_word_tokenizer,
)
from hf_bilstm_distill.task_batches import Spread, TaskBatchSampler, TaskRows, order_rows, steps_of_tasks

TASKS: dict[str, Any] = {
    "opinion": {"id2label": {0: "negative", 1: "positive"}},
    "score": {"num_labels": 1},
    "topic": {"num_labels": 3},
}
ROOT = Path(__file__).parents[1]

SCRIPT = """
import atexit, os, signal, sys
from pathlib import Path
from accelerate import PartialState
from datasets import load_from_disk
from transformers import AutoTokenizer, HfArgumentParser, TrainerCallback
from hf_bilstm_distill import (
    MultiTaskDistillationTrainer, MultiTaskForSequenceClassification, MultiTaskTrainingArguments
)

student, rows, last_step, *flags = sys.argv[1:]


class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == int(last_step):
            os.kill(os.getpid(), signal.SIGKILL)


(args,) = HfArgumentParser(MultiTaskTrainingArguments).parse_args_into_dataclasses(flags)
atexit.register(PartialState().destroy_process_group)
tasks = {folder.name: load_from_disk(folder) for folder in sorted(Path(rows).iterdir())}
trainer = MultiTaskDistillationTrainer(
    MultiTaskForSequenceClassification.from_pretrained(student),
    args,
    train_dataset=tasks,
    eval_dataset=tasks,
    processing_class=AutoTokenizer.from_pretrained(student),
    callbacks=[Kill()],
)
trainer.train()
trainer.evaluate()
trainer.save_model()
trainer.save_state()
"""


@pytest.fixture(scope="module")
def tokenizer(texts: Dataset) -> PreTrainedTokenizerFast:
    return train_word_tokenizer(texts["text"])


@pytest.fixture(scope="module")
def tasks(texts: Dataset, trained_teacher_dir: str, tokenizer: PreTrainedTokenizerFast) -> dict[str, Dataset]:
    """Forty-eight opinions with a teacher's logits; 21 scores; 5 topics without gold labels, with logits of width 3."""
    opinion = encode(label_with_teacher(texts, TextClassifier.from_pretrained(trained_teacher_dir)), tokenizer)
    scores = [[float(len(text.split())) / 4] for text in texts["text"]]
    score = texts.remove_columns("label").add_column("teacher_logits", scores)
    score = score.add_column("label", [score[0] for score in scores])
    topics = [[float("film" in text), float("acting" in text), float(len(text)) / 40] for text in texts["text"]]
    topic = texts.remove_columns("label").add_column("teacher_logits", topics)
    return {
        "opinion": opinion,
        "score": encode(score.select(range(21)), tokenizer),
        "topic": encode(topic.select(range(8, 13)), tokenizer),
    }


@pytest.fixture(scope="module")
def student_dir(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small student at its start, without dropout."""
    folder = tmp_path_factory.mktemp("student")
    torch.manual_seed(0)
    encoder = BiAttentiveConfig(
        vocab_size=len(tokenizer), embedding_dim=8, feed_forward_size=8, lstm_hidden_size=4, dropout=0.0
    )
    config = MultiTaskConfig(encoder=encoder, tasks=TASKS, fc_size=8, dropout=0.0)
    MultiTaskForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings(output_dir: Path, **changed: Any) -> dict[str, Any]:
    chosen = {
        "output_dir": str(output_dir),
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "learning_rate": 0.02,
        "adam_epsilon": 1e-4,  # at 1e-8 a gradient that is all rounding makes a whole step
        "logging_steps": 1,
    }
    return {**chosen, **changed}


Make = Callable[..., MultiTaskDistillationTrainer]


@pytest.fixture
def make(student_dir: Path, tokenizer: PreTrainedTokenizerFast, tasks: dict[str, Dataset], tmp_path: Path) -> Make:
    def make_trainer(dropout: float = 0.0, **changed: Any) -> MultiTaskDistillationTrainer:
        given = {"train_dataset": tasks, "eval_dataset": tasks, "processing_class": tokenizer}
        own = {name: changed.pop(name) for name in (*given, "compute_metrics", "callbacks") if name in changed}
        model = MultiTaskForSequenceClassification.from_pretrained(student_dir, dropout=dropout)
        return MultiTaskDistillationTrainer(
            model, MultiTaskTrainingArguments(**settings(tmp_path, **changed)), **{**given, **own}
        )

    return make_trainer


def weights(trainer: DistillationTrainer) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in trainer.model.state_dict().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], start: Path, *, largest: float = 0.0) -> None:
    """Compare two students: no weight differs by more than `largest`, and the mean difference is a hundredth of it."""
    before = load_file(start / "model.safetensors")
    assert one.keys() == other.keys() == before.keys()
    assert max(float((one[name] - before[name]).abs().max()) for name in one) > 0.02  # else they do nothing
    differences = torch.cat([(one[name] - other[name]).abs().flatten() for name in one])
    assert differences.max() <= largest
    assert differences.mean() <= largest / 100


def logged(history: list[dict[str, float]]) -> list[dict[str, float]]:
    names = ("loss", "loss_opinion", "loss_score", "loss_topic")
    return [{name: entry[name] for name in names if name in entry} for entry in history if "loss" in entry]


# ---- batches ----


@pytest.fixture
def rows(tasks: dict[str, Dataset]) -> TaskRows:
    return TaskRows(tasks)


def draw(rows: TaskRows, steps: list[int], epoch: int = 0, **spread: int) -> list[list[int]]:
    sampler = TaskBatchSampler(
        rows.lengths,
        Spread(**{"batch_size": 8, **spread}),
        steps,
        mix=True,
        order="group_by_length",
        seed=5,
        epoch=lambda: epoch,
    )
    batches = list(sampler)
    assert len(batches) == len(sampler)
    return batches


def test_an_epoch_sees_each_row_once_in_batches_of_one_task(rows: TaskRows) -> None:
    """Rows of a task are never seen or come twice; or a batch goes through the head of another task."""
    batches = draw(rows, steps_of_tasks([48, 21, 5], 8))
    assert sorted(index for batch in batches for index in batch) == list(range(74))
    found = [{row["task"] for row in rows.__getitems__(batch)} for batch in batches]
    assert all(len(names) == 1 for names in found)
    assert Counter(name for names in found for name in names) == {"opinion": 6, "score": 3, "topic": 1}
    assert found != sorted(found, key=str)  # mixed, not one task after the other
    following = draw(rows, [6, 3, 1], epoch=1)
    assert following != batches
    assert draw(rows, [6, 3, 1]) == batches


def test_rows_carry_what_their_task_has(rows: TaskRows, tasks: dict[str, Dataset]) -> None:
    """A row is given the logits of its neighbour in another task."""
    for index, task, own in ((0, "opinion", 0), (47, "opinion", 47), (48, "score", 0), (73, "topic", 4)):
        assert rows[index] == {**tasks[task][own], "task": task}
    blank = rows[~50]
    assert blank["input_ids"] == tasks["score"][2]["input_ids"]
    assert (blank["labels"], blank["teacher_logits"], blank["task"]) == (-100, None, "score")


def test_rows_of_a_batch_have_similar_lengths() -> None:
    """Half of each batch is padding."""
    lengths = np.random.default_rng(0).integers(1, 100, 4000)
    order = order_rows(lengths, 10, "group_by_length", np.random.default_rng(1))
    assert sorted(order) == list(range(4000))
    spans = np.ptp(lengths[order].reshape(-1, 10), axis=1)
    at_random = np.ptp(lengths[order_rows(lengths, 10, "random", np.random.default_rng(1))].reshape(-1, 10), axis=1)
    assert spans.mean() < at_random.mean() / 10


@pytest.mark.parametrize(
    ("sampling", "temperature", "expected"),
    [
        ("proportional", 1.0, [900, 90, 10, 1]),  # 1001 steps
        # 1001 * sqrt(rows) / (sqrt(9000) + sqrt(900) + sqrt(100) + 1), by hand: 94.868 + 30 + 10 + 1 = 135.868
        ("temperature", 2.0, [699, 221, 74, 7]),
        ("temperature", 1e9, [250, 250, 250, 250]),
        ("temperature", 1.0, [901, 90, 10, 1]),  # 0.1 for the last, but no task is left out
        ("round-robin", 2.0, [250, 250, 250, 250]),
    ],
)
def test_shares_of_the_samplings(sampling: str, temperature: float, expected: list[int]) -> None:
    """Small tasks are drowned, or large ones cut, against what was asked for."""
    assert steps_of_tasks([9000, 900, 100, 1], 10, sampling, temperature) == expected


def test_round_robin_takes_the_tasks_in_turn_and_goes_on_where_it_ended(make: Make, tasks: dict[str, Dataset]) -> None:
    """The first rows of a large task come in every epoch, and its last ones never."""
    trainer = make(task_sampling="round-robin")
    seen: list[dict[str, Any]] = []
    for epoch in (0.0, 1.0):
        trainer.state.epoch = epoch
        seen += list(trainer.get_train_dataloader())
    assert [batch["task"] for batch in seen] == ["opinion", "score", "topic"] * 6  # 10 steps for 3 tasks: 3 each
    opinion = [tuple(row) for batch in seen[::3] for row in batch["teacher_logits"].tolist()]
    assert sorted(opinion) == sorted(tuple(row) for row in tasks["opinion"]["teacher_logits"])


@pytest.mark.parametrize("num_rows", [32, 13, 3, 1])
def test_processes_share_a_step(num_rows: int) -> None:
    """A process waits for ever for one that has no batch, or rows are seen twice."""
    rows = np.arange(100, 100 + num_rows)
    parts = [Spread(4, num_accumulated=2, num_processes=4, process_index=index).batches(rows) for index in range(4)]
    assert [len(batches) for batches in parts] == [2, 2, 2, 2]
    read = [index for batches in parts for batch in batches for index in batch]
    assert sorted(index for index in read if index >= 0) == rows.tolist()
    assert len(read) == max(num_rows, 8)
    assert all(0 < len(batch) <= 4 for batches in parts for batch in batches)


# ---- training ----


def test_two_tasks_are_learned_at_once(make: Make, tasks: dict[str, Dataset], tmp_path: Path) -> None:
    """The loss of all falls while a task learns nothing, or unlearns what another one taught."""
    chosen = {task: tasks[task] for task in ("opinion", "score")}
    metrics = {
        "opinion": compute_metrics_for(load_metric("accuracy")),
        "score": compute_metrics_for(load_metric("pearsonr")),
    }
    trainer = make(
        train_dataset=chosen, eval_dataset=chosen, compute_metrics=metrics, num_train_epochs=50, logging_steps=500
    )
    untouched = weights(trainer)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_opinion_loss"] < before["eval_opinion_loss"] / 10
    assert after["eval_score_loss"] < before["eval_score_loss"] / 10
    assert after["eval_opinion_accuracy"] == 1.0
    assert after["eval_opinion_agreement_with_teacher"] == 1.0
    assert after["eval_score_pearsonr"] > 0.7
    assert after["eval_mean"] == pytest.approx((after["eval_opinion_accuracy"] + after["eval_score_pearsonr"]) / 2)
    assert after["eval_loss"] == pytest.approx((after["eval_opinion_loss"] + after["eval_score_loss"]) / 2)
    names = [name for name in untouched if name.startswith("heads.topic.")]
    assert names
    assert all(torch.equal(untouched[name], weights(trainer)[name]) for name in names)


def test_one_task_is_what_the_ordinary_trainer_makes_of_it(
    make: Make, tasks: dict[str, Dataset], student_dir: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """The loss of a task is scaled otherwise than everywhere else."""
    rows = tasks["opinion"].select(range(21))
    # The ordinary trainer reads the rows of an epoch in their order, this one mixes the steps: one step an epoch.
    changed = {"train_sampling_strategy": "sequential", "alpha": 0.3, "per_device_train_batch_size": 32}
    several = make(train_dataset={"opinion": rows}, eval_dataset=None, **changed)
    model = MultiTaskForSequenceClassification.from_pretrained(student_dir)
    alone = DistillationTrainer(
        model,
        DistillationTrainingArguments(**settings(tmp_path, **changed)),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    for trainer in (several, alone):
        trainer.train()
    assert_same(weights(several), weights(alone), student_dir, largest=1e-6)


@pytest.mark.parametrize("accumulated", [2, 4])
def test_a_batch_of_8_is_accumulated_batches(make: Make, student_dir: Path, accumulated: int) -> None:
    """Whoever lacks memory for a large batch gets another student."""
    whole = make(train_sampling_strategy="random")
    size = 8 // accumulated
    parts = make(
        train_sampling_strategy="random",
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulated,
    )
    for trainer in (whole, parts):
        trainer.train()
        assert trainer.state.global_step == 20
    assert_same(weights(whole), weights(parts), student_dir, largest=1e-5)
    one, other = logged(whole.state.log_history), logged(parts.state.log_history)
    assert [entry.keys() for entry in one] == [entry.keys() for entry in other]
    for here, there in zip(one, other, strict=True):
        assert list(here.values()) == pytest.approx(list(there.values()), rel=1e-3)


def test_the_loss_of_each_task_is_logged(make: Make) -> None:
    """One cannot see which task does not learn; or a rare task seems to have a small loss."""
    each, every_ten = make(), make(logging_steps=10)
    each.train()
    every_ten.train()
    steps, epochs = logged(each.state.log_history), logged(every_ten.state.log_history)
    assert (len(steps), len(epochs)) == (20, 2)
    for number, epoch in enumerate(epochs):
        own = steps[10 * number : 10 * number + 10]
        assert epoch["loss"] == pytest.approx(np.mean([step["loss"] for step in own]), rel=1e-3)
        for name in ("loss_opinion", "loss_score", "loss_topic"):
            assert epoch[name] == pytest.approx(np.mean([step[name] for step in own if name in step]), rel=1e-3)


@pytest.mark.parametrize("sampling", ["proportional", "round-robin"])
def test_a_resumed_run_is_one_that_was_not_interrupted(
    make: Make, student_dir: Path, tmp_path: Path, sampling: str
) -> None:
    """After a resume some rows come twice in an epoch and others never, or dropout takes another course."""
    shared = {"dropout": 0.3, "task_sampling": sampling, "per_device_train_batch_size": 16}
    whole = make(save_strategy="steps", save_steps=1, **shared)
    whole.train()
    total = whole.state.global_step
    assert total == 12
    for saved in range(1, total + 1):
        resumed = make(**shared)
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{saved}"))
        assert resumed.state.global_step == total
        assert_same(weights(whole), weights(resumed), student_dir)
        assert logged(whole.state.log_history) == logged(resumed.state.log_history)


def test_the_same_seed_gives_the_same_student(make: Make, student_dir: Path) -> None:
    """A result cannot be had again; or the seed has no effect."""
    runs = []
    for seed in (3, 3, 4):
        trainer = make(dropout=0.3, seed=seed)
        trainer.train()
        runs.append(weights(trainer))
    assert_same(runs[0], runs[1], student_dir)
    assert max(float((runs[0][name] - runs[2][name]).abs().max()) for name in runs[0]) > 1e-3


def test_a_task_of_one_row_and_one_without_gold_labels(make: Make, tasks: dict[str, Dataset]) -> None:
    """A tiny or unlabelled task stops the run of all, or the mean of all is not a number."""
    chosen = {"score": tasks["score"].select([3]), "topic": tasks["topic"]}
    trainer = make(
        train_dataset=chosen,
        eval_dataset=chosen,
        compute_metrics={"score": compute_metrics_for(load_metric("pearsonr"))},
        gradient_accumulation_steps=3,
        num_train_epochs=3,
    )
    trainer.train()
    assert trainer.state.global_step == 6
    values = trainer.evaluate()
    assert np.isfinite(values["eval_score_loss"])
    assert np.isnan(values["eval_score_pearsonr"])  # of one row
    assert values["eval_mean"] == values["eval_topic_agreement_with_teacher"]


# ---- evaluation ----


def test_tasks_may_be_missing_at_evaluation_and_the_mean_chooses_the_best(
    make: Make, tasks: dict[str, Dataset], tmp_path: Path
) -> None:
    """The kept checkpoint is that of another epoch than the best one."""
    chosen = {task: tasks[task] for task in ("opinion", "topic")}
    trainer = make(
        eval_dataset=chosen,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="mean",
        num_train_epochs=3,
    )
    trainer.train()
    entries = [entry for entry in trainer.state.log_history if "eval_mean" in entry]
    assert len(entries) == 3
    assert not any("eval_score_loss" in entry for entry in entries)
    for entry in entries:
        likeness = [entry[f"eval_{task}_agreement_with_teacher"] for task in chosen]
        assert entry["eval_mean"] == pytest.approx(np.mean(likeness))
    assert trainer.state.best_metric == max(entry["eval_mean"] for entry in entries)
    best = trainer.evaluate()
    assert best["eval_mean"] == pytest.approx(trainer.state.best_metric)
    assert trainer.evaluate({"score": tasks["score"]}).keys() >= {"eval_score_loss", "eval_loss", "eval_mean"}


def test_a_task_is_predicted_under_its_own_head(make: Make, tasks: dict[str, Dataset]) -> None:
    """Predictions of the task that was evaluated last, instead of the one that is set; or rows in another order."""
    trainer = make()
    trainer.evaluate()
    assert trainer.model.config.task == "opinion"
    trainer.model.set_task("topic")
    found = trainer.predict(tasks["topic"])
    assert found.predictions.shape == (5, 3)
    trainer.model.set_task("score")
    found = trainer.predict(tasks["score"])
    np.testing.assert_array_equal(found.label_ids, np.float32(tasks["score"]["labels"][:]))
    with torch.no_grad():
        rows = [trainer.model(torch.tensor([ids])).logits[0] for ids in tasks["score"]["input_ids"]]
    np.testing.assert_allclose(found.predictions, torch.stack(rows), atol=1e-6)


def test_the_mean_is_that_of_the_first_metrics(make: Make) -> None:
    """The best checkpoint is chosen by another metric than the one that was named first."""

    def named(**values: float) -> Callable[[EvalPrediction], dict[str, float]]:
        return lambda prediction: values

    metrics = {"opinion": named(mcc=0.9, accuracy=0.2, f1=0.3), "score": named(pearsonr=0.5, a_first_name=0.1)}
    found = make(compute_metrics=metrics).evaluate()
    assert found["eval_opinion_accuracy"] == 0.2
    agreement = found["eval_topic_agreement_with_teacher"]  # of a task without metrics of its own
    assert found["eval_mean"] == pytest.approx((0.9 + 0.5 + agreement) / 3)


def test_mistakes_are_named_before_the_first_step(make: Make, tasks: dict[str, Dataset]) -> None:
    """A misspelt task, or sets that cannot teach theirs, are found out after an epoch, or never."""
    with pytest.raises(ValueError, match=r"eval_dataset has the tasks \['topics'\].*\['opinion', 'score', 'topic'\]"):
        make(eval_dataset={"topics": tasks["topic"]})
    with pytest.raises(ValueError, match=r"train_dataset has the tasks \['opinions'\]"):
        make(train_dataset={"opinions": tasks["opinion"]})
    with pytest.raises(ValueError, match=r"train_dataset\['topic'\] has logits of width 2, but there are 3 labels"):
        make(train_dataset={"opinion": tasks["opinion"], "topic": tasks["opinion"].remove_columns("labels")})
    with pytest.raises(ValueError, match=r"Task 'topic': alpha=1.0"):
        make(alpha=1.0)
    with pytest.raises(TypeError, match=r"train_dataset must be a dict .* got Dataset"):
        make(train_dataset=tasks["opinion"])
    with pytest.raises(ValueError, match=r"regression.*mse"):
        make(distillation_loss="kl")
    with pytest.raises(ValueError, match=r"\['cola'\]"):
        make().evaluate({"cola": tasks["topic"]})
    with pytest.raises(ValueError, match="nothing to evaluate on"):
        make(eval_dataset=None).evaluate()
    with pytest.raises(ValueError, match="nothing to train on"):
        make(train_dataset=None).train()


def test_a_student_of_one_task_and_a_single_teacher_are_refused(
    tokenizer: PreTrainedTokenizerFast, tasks: dict[str, Dataset], tmp_path: Path
) -> None:
    """An error from deep within, about an attribute that a user never wrote."""
    args = MultiTaskTrainingArguments(**settings(tmp_path))
    student = BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=len(tokenizer)))
    with pytest.raises(ValueError, match="BiLSTMForSequenceClassification, which knows one task"):
        MultiTaskDistillationTrainer(student, args, train_dataset=tasks, processing_class=tokenizer)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one teacher_model for all"):
        MultiTaskDistillationTrainer(student, args, train_dataset=tasks, teacher_model=student)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task_sampling": "uniform"}, "task_sampling must be one of .* got 'uniform'"),
        ({"task_sampling_temperature": 0.0}, "task_sampling_temperature must be positive"),
        ({"train_sampling_strategy": "batch_rebalance"}, "batch_rebalance"),
        ({"dataloader_drop_last": True}, "dataloader_drop_last"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    """A setting without effect, or one that fails in the first epoch."""
    with pytest.raises(ValueError, match=message):
        MultiTaskTrainingArguments(str(tmp_path), **wrong)


# ---- the second stage ----


def test_each_task_gets_a_student_of_its_own(make: Make, tasks: dict[str, Dataset], tmp_path: Path) -> None:
    """The copies share weights, or the multi-task student is changed by them, or one lies in the folder of another."""
    trainer = make()
    trainer.train()
    chosen = {task: tasks[task] for task in ("opinion", "score")}
    before = weights(trainer)
    args = DistillationTrainingArguments(**settings(tmp_path / "single", num_train_epochs=3, learning_rate=0.003))
    found = finetune_per_task(
        trainer.model,
        args,
        train_dataset=chosen,
        eval_dataset=chosen,
        compute_metrics={"opinion": compute_metrics_for(load_metric("accuracy"))},
        processing_class=trainer.processing_class,
    )
    assert list(found) == ["opinion", "score"]
    assert args.output_dir == str(tmp_path / "single")
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(trainer).items())
    joint = trainer.evaluate(chosen)
    for task, width in (("opinion", 2), ("score", 1)):
        alone = found[task].evaluate()
        assert alone["eval_loss"] < joint[f"eval_{task}_loss"]
        assert ("eval_accuracy" in alone) == (task == "opinion")
        saved = TextClassifier.from_pretrained(tmp_path / "single" / task, device="cpu")
        assert saved.num_labels == width


# ---- several processes ----


def launch(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "train.py"
    script.write_text(SCRIPT, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(script) if part == "SCRIPT" else part for part in command],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )


def flags(chosen: dict[str, Any]) -> list[str]:
    return [part for name, value in chosen.items() for part in (f"--{name}", str(value))]


@pytest.fixture
def rows_dir(tasks: dict[str, Dataset], tmp_path: Path) -> str:
    for task, dataset in tasks.items():
        (dataset.select([0]) if task == "topic" else dataset).save_to_disk(tmp_path / "rows" / task)
    return str(tmp_path / "rows")


@pytest.mark.slow
@pytest.mark.multiprocess
def test_two_processes_are_one(
    make: Make, student_dir: Path, tasks: dict[str, Dataset], rows_dir: str, tmp_path: Path
) -> None:
    """A second process trains another task in the same step, halves the gradient, or waits for ever."""
    tasks = {**tasks, "topic": tasks["topic"].select([0])}  # one process has no row of it
    changed = {"train_sampling_strategy": "random", "alpha": 0.0}
    one = make(train_dataset=tasks, eval_dataset=tasks, **changed)
    one.train()
    one.evaluate()

    two_dir = tmp_path / "two"
    there = flags(settings(two_dir, **changed, per_device_train_batch_size=2, gradient_accumulation_steps=2))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    run = launch([*launcher, "SCRIPT", str(student_dir), rows_dir, "-1", *there], tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]

    assert_same(weights(one), load_file(two_dir / "model.safetensors"), student_dir, largest=1e-5)
    history = json.loads((two_dir / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    here, elsewhere = logged(one.state.log_history), logged(history)
    assert len(here) == 20
    for ours, theirs in zip(here, elsewhere, strict=True):
        assert ours.keys() == theirs.keys()
        assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=1e-3)
    (alone,), (together,) = ([row for row in rows if "eval_mean" in row] for rows in (one.state.log_history, history))
    for name in ("eval_mean", "eval_loss", "eval_opinion_loss", "eval_score_loss", "eval_topic_loss"):
        assert together[name] == pytest.approx(alone[name], rel=1e-3)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    make: Make, student_dir: Path, tasks: dict[str, Dataset], rows_dir: str, tmp_path: Path
) -> None:
    """A process that had no time to clean up leaves checkpoints that cannot be gone on from."""
    tasks = {**tasks, "topic": tasks["topic"].select([0])}
    whole = make(train_dataset=tasks)
    whole.train()
    chosen = settings(tmp_path / "killed", save_strategy="steps", save_steps=4)
    run = launch([sys.executable, "SCRIPT", str(student_dir), rows_dir, "10", *flags(chosen)], tmp_path)
    assert run.returncode == -signal.SIGKILL, run.stderr[-3000:]
    checkpoint = get_last_checkpoint(str(tmp_path / "killed"))
    assert checkpoint == str(tmp_path / "killed" / "checkpoint-8")
    resumed = make(train_dataset=tasks)
    resumed.train(resume_from_checkpoint=checkpoint)
    assert_same(weights(whole), weights(resumed), student_dir, largest=1e-5)
