"""Checkpoints that a run may go on from, and those that it must not."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from hf_bilstm_distill import last_checkpoint
from hf_bilstm_distill.checkpoints import check_checkpoint, find_last_checkpoint
from hf_bilstm_distill.collation import encode
from hf_bilstm_distill.students import BiLSTMConfig, BiLSTMForSequenceClassification
from hf_bilstm_distill.tokenization import train_word_tokenizer
from hf_bilstm_distill.trainer import DistillationTrainer
from hf_bilstm_distill.training_args import DistillationTrainingArguments

Train = Callable[..., DistillationTrainer]


@pytest.fixture(scope="module")
def tokenizer(texts: Dataset) -> PreTrainedTokenizerFast:
    return train_word_tokenizer(texts["text"])


@pytest.fixture(scope="module")
def train(texts: Dataset, tokenizer: PreTrainedTokenizerFast) -> Train:
    """Train a small student on gold labels, in six steps with a checkpoint after every second."""
    rows = encode(texts.shuffle(seed=1), tokenizer)

    def run(folder: Path, resume_from_checkpoint: str | bool | None = None) -> DistillationTrainer:
        torch.manual_seed(0)
        config = BiLSTMConfig(vocab_size=len(tokenizer), embedding_dim=8, lstm_hidden_size=8, fc_size=8)
        trainer = DistillationTrainer(
            BiLSTMForSequenceClassification(config),
            arguments(folder),
            train_dataset=rows,
            eval_dataset=rows,
            processing_class=tokenizer,
        )
        trainer.train(resume_from_checkpoint=resume_from_checkpoint)
        return trainer

    return run


def arguments(folder: Path, resume_from_checkpoint: str | None = None) -> DistillationTrainingArguments:
    return DistillationTrainingArguments(
        output_dir=str(folder),
        resume_from_checkpoint=resume_from_checkpoint,
        alpha=1.0,
        learning_rate=0.02,
        max_steps=6,
        per_device_train_batch_size=16,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=2,
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        use_cpu=True,
        disable_tqdm=True,
        report_to="none",
    )


@pytest.fixture(scope="module")
def weights(train: Train, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """The folder of a whole run, and the student at its end."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder).model.state_dict()


@pytest.fixture
def folder(weights: tuple[Path, dict[str, Tensor]], tmp_path: Path) -> Path:
    """A copy of that folder, to do harm to."""
    copied = tmp_path / "run"
    shutil.copytree(weights[0], copied)
    for path in copied.glob("checkpoint-*/trainer_state.json"):  # it names the best checkpoint by its path
        path.write_text(path.read_text().replace(str(weights[0]), str(copied)))
        digests = path.with_name("sha256.json")
        content = json.loads(digests.read_text())
        content["trainer_state.json"] = sha256(path)
        digests.write_text(json.dumps(content))
    return copied


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip, truncate])
@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "tokenizer.json"],
)
def test_a_damaged_checkpoint_is_named_with_the_way_on(name: str, damage: Callable[[Path], None], folder: Path) -> None:
    """A run would go on from a wrong number without a word, or end in an error that names no file."""
    damage(folder / "checkpoint-6" / name)
    for wanted in ("last", str(folder / "checkpoint-6")):
        with pytest.raises(ValueError, match=rf"checkpoint-6/{name} is damaged.* Delete this folder to go on"):
            last_checkpoint(arguments(folder, wanted))
    shutil.rmtree(folder / "checkpoint-6")
    assert last_checkpoint(arguments(folder, "last")) == str(folder / "checkpoint-4")


@pytest.mark.parametrize("way", [True, "path"])
def test_the_trainer_itself_refuses_a_damaged_checkpoint(way: str | bool, folder: Path, train: Train) -> None:
    """Whoever calls `train` and no command would not be told."""
    flip(folder / "checkpoint-6" / "optimizer.pt")
    with pytest.raises(ValueError, match=r"checkpoint-6/optimizer\.pt is damaged"):
        train(folder, str(folder / "checkpoint-6") if way == "path" else way)


def test_after_the_damaged_checkpoint_is_deleted_the_run_ends_as_if_nothing_had_happened(
    folder: Path, train: Train, weights: tuple[Path, dict[str, Tensor]]
) -> None:
    """What the error advises would give another student."""
    shutil.rmtree(folder / "checkpoint-6")
    resumed = train(folder, last_checkpoint(arguments(folder, "last")))
    assert resumed.state.global_step == 6
    expected, found = weights[1], resumed.model.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_damaged_best_student_is_not_taken_for_the_result(folder: Path) -> None:
    """At the end the best checkpoint is loaded, so its damage would be the student's."""
    state = json.loads((folder / "checkpoint-6" / "trainer_state.json").read_text())
    best = Path(state["best_model_checkpoint"])
    last = folder / "checkpoint-8"
    shutil.copytree(folder / "checkpoint-6", last)
    flip(best / "model.safetensors")
    with pytest.raises(ValueError, match=rf"{best.name}/model.safetensors is damaged.* start again"):
        check_checkpoint(last)


@pytest.mark.parametrize("with_digests", [True, False], ids=["half-deleted", "half-written"])
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "trainer_state.json"])
def test_a_checkpoint_that_is_not_whole_is_left_out(
    name: str, with_digests: bool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a kill the same command would fail, or go on without the optimizer's state."""
    (folder / "checkpoint-6" / name).unlink()
    if not with_digests:
        (folder / "checkpoint-6" / "sha256.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert last_checkpoint(arguments(folder, "last")) == str(folder / "checkpoint-4")
    assert f"checkpoint-6 is left out: it has no whole {name}" in caplog.text
    with pytest.raises(ValueError, match=rf"checkpoint-6 has no whole {name}"):
        last_checkpoint(arguments(folder, str(folder / "checkpoint-6")))


def test_a_checkpoint_that_was_half_written_is_written_anew(
    folder: Path, train: Train, weights: tuple[Path, dict[str, Tensor]]
) -> None:
    """What the killed run left there would stay in the checkpoint for ever, or be taken for a part of it."""
    last = folder / "checkpoint-6"
    (last / "sha256.json").unlink()
    (last / "trainer_state.json").unlink()
    (last / ".files.abc").mkdir()
    (last / ".files.abc" / "model.safetensors").write_bytes(b"half")
    train(folder, last_checkpoint(arguments(folder, "last")))
    assert sorted(path.name for path in last.iterdir()) == sorted(
        path.name for path in (weights[0] / "checkpoint-6").iterdir()
    )
    check_checkpoint(last)


def test_half_a_state_without_digests_is_left_out(folder: Path) -> None:
    """It is the last file of plain `Trainer`: a run that was killed at it would fail with an error of JSON."""
    (folder / "checkpoint-6" / "sha256.json").unlink()
    truncate(folder / "checkpoint-6" / "trainer_state.json")
    assert find_last_checkpoint(folder) == str(folder / "checkpoint-4")


def test_a_checkpoint_without_digests_is_gone_on_from(folder: Path) -> None:
    """A run that was killed just before the digests, or that plain `Trainer` wrote, would lose its work."""
    (folder / "checkpoint-6" / "sha256.json").unlink()
    assert last_checkpoint(arguments(folder, "last")) == str(folder / "checkpoint-6")


def test_the_last_checkpoint_is_that_of_the_highest_number(folder: Path) -> None:
    """A run would go on from its ninth step, not from its tenth."""
    shutil.copytree(folder / "checkpoint-4", folder / "checkpoint-10")
    (folder / "checkpoint-mine").mkdir()
    assert find_last_checkpoint(folder) == str(folder / "checkpoint-10")
    assert find_last_checkpoint(folder / "nowhere") is None


def test_what_is_saved_does_not_depend_on_the_last_texts(
    train: Train, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A run that went on after a kill would end with another tokenizer.json than one that was not disturbed."""
    saved = []
    trainer = train(tmp_path)
    for texts in (["a film"], ["a warm and funny film", "a film"]):
        tokenizer(texts, padding=True, truncation=True, max_length=4)
        trainer.save_model(str(tmp_path / "student"))
        saved.append((tmp_path / "student" / "tokenizer.json").read_bytes())
    tokenizer(["a film"])
    trainer.save_model(str(tmp_path / "student"))
    assert saved[0] == saved[1] == (tmp_path / "student" / "tokenizer.json").read_bytes()
