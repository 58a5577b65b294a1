"""The learning rate of the embedding table, apart from the rest's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    DistillationTrainer,
    DistillationTrainingArguments,
    encode,
    train_word_tokenizer,
)


def changes(texts: Dataset, folder: Path, rate: float | None) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Take one step of gradient descent; give the changes of the table and of the rest, and all learning rates."""
    tokenizer = train_word_tokenizer(texts["text"])
    logits = np.random.default_rng(0).normal(size=(len(texts), 2)).astype(np.float32)
    rows = encode(texts.add_column("teacher_logits", list(logits)), tokenizer)
    torch.manual_seed(0)
    student = BiLSTMForSequenceClassification(
        BiLSTMConfig(vocab_size=len(tokenizer), embedding_dim=8, lstm_hidden_size=4, fc_size=4, dropout=0)
    )
    before = {name: parameter.clone() for name, parameter in student.named_parameters()}
    args = DistillationTrainingArguments(
        output_dir=str(folder),
        optim="sgd",
        learning_rate=0.1,
        embedding_learning_rate=rate,
        lr_scheduler_type="constant",
        max_steps=1,
        max_grad_norm=0,
        per_device_train_batch_size=len(texts),
        use_cpu=True,
        save_strategy="no",
    )
    trainer = DistillationTrainer(student, args, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    moved = {name: parameter.detach() - before[name] for name, parameter in student.named_parameters()}
    table = moved.pop("bilstm.embed_tokens.weight")
    rates = [group["lr"] for group in trainer.optimizer.param_groups if group["params"]]
    return table, torch.cat([change.flatten() for change in moved.values()]), rates


@pytest.mark.parametrize("share", [0.0, 0.25], ids=["frozen", "slower"])
def test_the_table_moves_by_its_own_rate_and_the_rest_as_before(texts: Dataset, tmp_path: Path, share: float) -> None:
    """A lower rate for pretrained embeddings would have no effect, or slow down the whole student."""
    table, rest, rates = changes(texts, tmp_path, None)
    slower_table, same_rest, slower_rates = changes(texts, tmp_path, share * 0.1)
    assert table.abs().max() > 0
    torch.testing.assert_close(slower_table, share * table)
    torch.testing.assert_close(same_rest, rest)
    assert set(rates) == {0.1}
    assert set(slower_rates) == {0.1, share * 0.1}
