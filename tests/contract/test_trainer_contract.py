"""Runs that a user takes for the same run, and that give different students."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast
from transformers.trainer_utils import get_last_checkpoint

from hf_bilstm_distill.collation import encode
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.labeling import label_with_teacher
from hf_bilstm_distill.students import BiLSTMConfig, BiLSTMForSequenceClassification
from hf_bilstm_distill.tokenization import train_word_tokenizer
from hf_bilstm_distill.trainer import DistillationTrainer
from hf_bilstm_distill.training_args import DistillationTrainingArguments

NUM_ROWS = 44  # 32 and 12, or five times 8 and 4: the last step is smaller, and so is its last batch
TERMS = ("loss", "hard_label_loss", "distillation_loss")

SCRIPT = """
import atexit, os, signal, sys
import numpy as np
from accelerate import PartialState
from datasets import load_from_disk
from transformers import AutoTokenizer, HfArgumentParser, TrainerCallback
from hf_bilstm_distill import BiLSTMForSequenceClassification, DistillationTrainer, DistillationTrainingArguments

student, rows, last_step, *flags = sys.argv[1:]


class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == int(last_step):
            os.kill(os.getpid(), signal.SIGKILL)


(args,) = HfArgumentParser(DistillationTrainingArguments).parse_args_into_dataclasses(flags)
atexit.register(PartialState().destroy_process_group)
trainer = DistillationTrainer(
    BiLSTMForSequenceClassification.from_pretrained(student),
    args,
    train_dataset=load_from_disk(rows),
    eval_dataset=load_from_disk(rows),
    processing_class=AutoTokenizer.from_pretrained(student),
    callbacks=[Kill()],
)
trainer.train()
trainer.evaluate()
trainer.save_model()
trainer.save_state()
np.save(f"{args.output_dir}/predictions-{args.process_index}.npy", trainer.predict(trainer.eval_dataset).predictions)
"""


@pytest.fixture(scope="module")
def tokenizer(texts: Dataset) -> PreTrainedTokenizerFast:
    return train_word_tokenizer(texts["text"])


@pytest.fixture(scope="module")
def encoded(
    texts: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    teacher_model: BertForSequenceClassification,
    teacher_tokenizer: PreTrainedTokenizerFast,
) -> Dataset:
    return encode(label_with_teacher(texts, TextClassifier(teacher_model, teacher_tokenizer)), tokenizer)


@pytest.fixture(scope="module")
def mixed(encoded: Dataset) -> Dataset:
    """Some rows lack a label, some their logits; no two batches of 8 lack the same number."""
    generator = np.random.default_rng(1)
    has_label, has_logits = generator.random((2, len(encoded))) < 0.6
    return encoded.map(
        lambda row, index: {
            "labels": row["labels"] if has_label[index] else -100,
            "teacher_logits": row["teacher_logits"] if has_logits[index] else None,
        },
        with_indices=True,
    )


@pytest.fixture(scope="module")
def student_dir(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small student at its start, without dropout."""
    folder = tmp_path_factory.mktemp("student")
    torch.manual_seed(0)
    names = {0: "negative", 1: "positive"}
    config = BiLSTMConfig(
        vocab_size=len(tokenizer),
        embedding_dim=8,
        lstm_hidden_size=8,
        fc_size=8,
        dropout=0.0,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    BiLSTMForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings(output_dir: Path, **changed: Any) -> dict[str, Any]:
    chosen = {
        "output_dir": str(output_dir),
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "num_train_epochs": 3,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "train_sampling_strategy": "sequential",
        "learning_rate": 0.02,
        "adam_epsilon": 1e-4,  # at 1e-8 a gradient that is all rounding makes a whole step
        "alpha": 0.3,
        "logging_steps": 1,
    }
    return {**chosen, **changed}


def make_trainer(
    student_dir: Path, tokenizer: PreTrainedTokenizerFast, rows: Dataset, *, dropout: float = 0.0, **changed: Any
) -> DistillationTrainer:
    return DistillationTrainer(
        BiLSTMForSequenceClassification.from_pretrained(student_dir, dropout=dropout),
        DistillationTrainingArguments(**changed),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
    )


def launch(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "train.py"
    script.write_text(SCRIPT, encoding="utf-8")
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    place = command.index("SCRIPT")
    return subprocess.run(
        [*command[:place], str(script), *command[place + 1 :]], env=env, capture_output=True, text=True, timeout=300
    )


def flags(chosen: dict[str, Any]) -> list[str]:
    return [part for name, value in chosen.items() for part in (f"--{name}", str(value))]


def weights(trainer: DistillationTrainer) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in trainer.model.state_dict().items()}


def assert_same(
    one: dict[str, Tensor], other: dict[str, Tensor], start: Path, *, largest: float = 0.0, mean: float = 0.0
) -> None:
    """Compare two students: no weight differs by more than `largest`, nor all together by more than `mean`."""
    before = load_file(start / "model.safetensors")
    assert one.keys() == other.keys() == before.keys()
    moved = torch.cat([(one[name] - before[name]).abs().flatten() for name in one])
    assert moved.max() > 0.02  # else runs that do nothing would agree
    differences = torch.cat([(one[name] - other[name]).abs().flatten() for name in one])
    assert differences.max() <= largest
    assert differences.mean() <= mean


def logged(history: list[dict[str, float]]) -> np.ndarray:
    return np.array([[entry[name] for name in TERMS] for entry in history if "loss" in entry])


# ---- the same step, spread in another way ----


@pytest.mark.parametrize("distillation_loss", ["mse", "kl"])
def test_a_batch_of_32_is_four_accumulated_batches_of_8(
    student_dir: Path, tokenizer: PreTrainedTokenizerFast, mixed: Dataset, tmp_path: Path, distillation_loss: str
) -> None:
    """Whoever lacks memory for a large batch gets another student: rows weigh more in batches that lack labels."""
    rows = mixed.select(range(NUM_ROWS))
    shared = settings(tmp_path, distillation_loss=distillation_loss)
    whole = make_trainer(student_dir, tokenizer, rows, **shared | {"per_device_train_batch_size": 32})
    parts = make_trainer(student_dir, tokenizer, rows, **shared, gradient_accumulation_steps=4)
    for trainer in (whole, parts):
        trainer.train()
        assert trainer.state.global_step == 6
    assert_same(weights(whole), weights(parts), student_dir, largest=1e-5, mean=1e-7)
    one, other = logged(whole.state.log_history), logged(parts.state.log_history)
    assert len(one) == 6
    np.testing.assert_allclose(one, other, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_two_processes_are_one(
    student_dir: Path, tokenizer: PreTrainedTokenizerFast, mixed: Dataset, tmp_path: Path
) -> None:
    """A second process halves the gradient, or weighs its rows by what it has itself."""
    mixed.save_to_disk(tmp_path / "rows")
    shared = settings(tmp_path / "one")
    one = make_trainer(student_dir, tokenizer, mixed, **shared)
    one.train()
    one.evaluate()

    two_dir = tmp_path / "two"
    there = flags(shared | {"output_dir": two_dir, "per_device_train_batch_size": 4})
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    run = launch([*launcher, "SCRIPT", str(student_dir), str(tmp_path / "rows"), "-1", *there], tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]

    assert_same(weights(one), load_file(two_dir / "model.safetensors"), student_dir, largest=1e-5, mean=1e-7)
    history = json.loads((two_dir / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    assert len(logged(history)) == 18
    np.testing.assert_allclose(logged(one.state.log_history), logged(history), rtol=1e-3)
    (alone,), (together,) = ([row for row in rows if "eval_loss" in row] for rows in (one.state.log_history, history))
    for name in ("eval_loss", "eval_agreement_with_teacher"):
        assert together[name] == pytest.approx(alone[name], rel=1e-3)
    predictions = one.predict(one.eval_dataset).predictions
    for process in (0, 1):
        found = np.load(two_dir / f"predictions-{process}.npy")
        np.testing.assert_allclose(found, predictions, rtol=0, atol=1e-4)


# ---- the same run, once more ----


def test_the_same_seed_gives_the_same_student(
    student_dir: Path, tokenizer: PreTrainedTokenizerFast, encoded: Dataset, tmp_path: Path
) -> None:
    """A result cannot be had again; or the seed has no effect."""
    shared = settings(tmp_path, train_sampling_strategy="group_by_length")
    runs = []
    for seed in (3, 3, 4):
        trainer = make_trainer(student_dir, tokenizer, encoded, dropout=0.3, **shared, seed=seed)
        trainer.train()
        runs.append(weights(trainer))
    assert_same(runs[0], runs[1], student_dir)
    assert max(float((runs[0][name] - runs[2][name]).abs().max()) for name in runs[0]) > 1e-3


@pytest.mark.parametrize("strategy", ["group_by_length", "random"])
def test_a_resumed_run_is_one_that_was_not_interrupted(
    student_dir: Path, tokenizer: PreTrainedTokenizerFast, encoded: Dataset, tmp_path: Path, strategy: str
) -> None:
    """After a resume some rows come twice in an epoch and others never, or dropout takes another course."""
    shared = settings(
        tmp_path, train_sampling_strategy=strategy, save_strategy="steps", save_steps=1, num_train_epochs=2
    )
    whole = make_trainer(student_dir, tokenizer, encoded, dropout=0.3, **shared)
    whole.train()
    assert whole.state.global_step == 12
    for saved in range(1, 13):  # the sixth one lies between two epochs, after the last one there is nothing to do
        resumed = make_trainer(student_dir, tokenizer, encoded, dropout=0.3, **shared | {"save_strategy": "no"})
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{saved}"))
        assert resumed.state.global_step == 12
        assert_same(weights(whole), weights(resumed), student_dir)
        np.testing.assert_array_equal(logged(whole.state.log_history), logged(resumed.state.log_history))


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    student_dir: Path, tokenizer: PreTrainedTokenizerFast, encoded: Dataset, tmp_path: Path
) -> None:
    """A process that had no time to clean up leaves checkpoints that cannot be gone on from."""
    encoded.save_to_disk(tmp_path / "rows")
    with_dropout = tmp_path / "start"
    BiLSTMForSequenceClassification.from_pretrained(student_dir, dropout=0.3).save_pretrained(with_dropout)
    tokenizer.save_pretrained(with_dropout)
    shared = settings(tmp_path / "killed", train_sampling_strategy="group_by_length")
    whole = make_trainer(with_dropout, tokenizer, encoded, dropout=0.3, **shared | {"output_dir": str(tmp_path)})
    whole.train()

    shared |= {"save_strategy": "steps", "save_steps": 4}
    run = launch([sys.executable, "SCRIPT", str(with_dropout), str(tmp_path / "rows"), "10", *flags(shared)], tmp_path)
    assert run.returncode == -signal.SIGKILL, run.stderr[-3000:]
    checkpoint = get_last_checkpoint(str(tmp_path / "killed"))
    assert checkpoint == str(tmp_path / "killed" / "checkpoint-8")

    resumed = make_trainer(with_dropout, tokenizer, encoded, dropout=0.3, **shared)
    resumed.train(resume_from_checkpoint=checkpoint)
    # Threads of another process may add in another order: the last digit of a float32.
    assert_same(weights(whole), weights(resumed), student_dir, largest=1e-6, mean=1e-7)


@pytest.mark.multiprocess
def test_two_processes_encode_as_one(
    texts: Dataset, tokenizer: PreTrainedTokenizerFast, teacher_tokenizer: PreTrainedTokenizerFast
) -> None:
    """Rows change their places or their tokens when the work is shared."""
    one, two = (encode(texts, tokenizer, teacher_tokenizer=teacher_tokenizer, num_proc=num_proc) for num_proc in (1, 2))
    assert one.features == two.features
    assert one[:] == two[:]
