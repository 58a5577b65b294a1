"""The folded student: the logits of the plain one, from a table."""

import itertools
import logging

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from hf_bilstm_distill import BiLSTMConfig, BiLSTMForSequenceClassification, TextClassifier, inference
from hf_bilstm_distill.folding import FoldedBiLSTM, FoldedStudent


def make_student(tokenizer: PreTrainedTokenizerFast, **options: object) -> BiLSTMForSequenceClassification:
    torch.manual_seed(0)
    config = BiLSTMConfig(
        vocab_size=len(tokenizer), embedding_dim=12, lstm_hidden_size=9, fc_size=7, initializer_range=1.0, **options
    )
    student = BiLSTMForSequenceClassification(config).eval()
    for name, parameter in student.named_parameters():
        if "bias" in name:  # zero in a new student, never in a trained one
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return student


@pytest.fixture
def sentences(texts: Dataset) -> list[str]:
    """Of many lengths, an empty one and a long one among them, more than one batch, in no order."""
    words = " ".join(texts["text"][:]).split()
    cut = [" ".join(words[start : start + length]) for start, length in zip(range(300), itertools.cycle(range(1, 20)))]
    return [*cut[:150], "", " ".join(words), *cut[150:], ""]


def plain_logits(
    student: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, *columns: list[str]
) -> np.ndarray:
    """Each row by itself through the model."""
    rows = []
    for row in zip(*columns, strict=True):
        one = [[text] for text in row]  # as a batch: transformers drops an empty second sentence given by itself
        inputs = tokenizer(*one, truncation=True, max_length=64, return_tensors="pt", return_token_type_ids=True)
        with torch.no_grad():
            rows.append(student(**inputs).logits[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"multichannel": True},
        {"is_pair": True},
        {"is_pair": True, "multichannel": True},
        {"num_labels": 5},
        {"pooling": "max"},
        {"pooling": "max", "is_pair": True},
    ],
    ids=str,
)
def test_folding_changes_no_logit(
    teacher_tokenizer: PreTrainedTokenizerFast, sentences: list[str], options: dict[str, object]
) -> None:
    """A student would answer other things in bulk than it does through `pipeline`."""
    student = make_student(teacher_tokenizer, **options)
    columns = [sentences, sentences[::-1]] if options.get("is_pair") else [sentences]
    classifier = TextClassifier(student, teacher_tokenizer, max_length=64)
    logits = classifier.logits(*columns)
    assert classifier._folded is not None
    np.testing.assert_allclose(logits, plain_logits(student, teacher_tokenizer, *columns), atol=1e-5)
    other = classifier.with_label_order(list(range(student.num_labels))[::-1])
    np.testing.assert_array_equal(other.logits(*columns), logits[:, ::-1])


def test_a_tokenizer_without_special_tokens(teacher_tokenizer: PreTrainedTokenizerFast) -> None:
    """Texts without any token would crash, or take a token from their neighbour."""
    student = make_student(teacher_tokenizer)
    word = teacher_tokenizer.convert_tokens_to_ids("film")
    tokens = [[], [word], [], [word, word + 1, word + 2], [word], []]
    logits = FoldedStudent(student).logits({"input_ids": tokens})
    with torch.no_grad():
        for row, ids in zip(logits, tokens, strict=True):
            alone = student(torch.tensor([ids or [student.config.pad_token_id]])).logits[0]
            torch.testing.assert_close(row, alone, atol=1e-5, rtol=0)


def test_texts_that_begin_alike_and_texts_that_do_not(teacher_tokenizer: PreTrainedTokenizerFast) -> None:
    """The step that is shared by texts with the same first token would be shared by all."""
    student = make_student(teacher_tokenizer)
    ids = np.random.default_rng(0).integers(5, len(teacher_tokenizer), (40, 6))
    for tokens in (ids, np.where(np.arange(6) % 5 == 0, 7, ids), np.where(np.arange(6) == 0, 7, ids)):
        logits = FoldedStudent(student).logits({"input_ids": tokens.tolist()})
        with torch.no_grad():
            torch.testing.assert_close(logits, student(torch.from_numpy(tokens)).logits, atol=1e-5, rtol=0)


def test_weights_that_changed_are_folded_anew(teacher_tokenizer: PreTrainedTokenizerFast, sentences: list[str]) -> None:
    """A student that was trained on would go on answering with its old weights."""
    student = make_student(teacher_tokenizer)
    classifier = TextClassifier(student, teacher_tokenizer, max_length=64)
    before = classifier.logits(sentences)
    optimizer = torch.optim.SGD(student.parameters(), lr=1.0)
    student(torch.tensor([[5, 6, 7]]), labels=torch.tensor([0])).loss.backward()
    optimizer.step()
    after = classifier.logits(sentences)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, plain_logits(student, teacher_tokenizer, sentences), atol=1e-5)
    student.load_state_dict(make_student(teacher_tokenizer).state_dict())
    np.testing.assert_allclose(classifier.logits(sentences), before, atol=1e-6)
    student.bilstm.embed_tokens.weight = torch.nn.Parameter(torch.zeros_like(student.bilstm.embed_tokens.weight))
    np.testing.assert_allclose(
        classifier.logits(sentences), plain_logits(student, teacher_tokenizer, sentences), atol=1e-5
    )


def test_few_texts_are_not_worth_a_table(teacher_tokenizer: PreTrainedTokenizerFast) -> None:
    """A single request would wait until the whole vocabulary has gone through the LSTM."""
    classifier = TextClassifier(make_student(teacher_tokenizer), teacher_tokenizer)
    logits = classifier.logits(["a warm film"])
    assert classifier._folded is None
    np.testing.assert_allclose(logits, plain_logits(classifier.model, teacher_tokenizer, ["a warm film"]), atol=1e-5)


def test_too_large_a_table_is_said_and_not_built(
    teacher_tokenizer: PreTrainedTokenizerFast,
    sentences: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A large vocabulary would fill the memory without a word."""
    student = make_student(teacher_tokenizer)
    assert FoldedBiLSTM.table_bytes(student.bilstm) == FoldedBiLSTM(student.bilstm)._table.nbytes
    monkeypatch.setattr(inference, "_LARGEST_TABLE", 1000)
    monkeypatch.setattr(inference.logger, "handlers", [caplog.handler])
    classifier = TextClassifier(student, teacher_tokenizer, max_length=64)
    with caplog.at_level(logging.WARNING):
        logits = classifier.logits(sentences)
    assert "trim_tokenizer" in caplog.text
    np.testing.assert_allclose(logits, plain_logits(student, teacher_tokenizer, sentences), atol=1e-5)


def test_half_precision_stays_close(teacher_tokenizer: PreTrainedTokenizerFast, sentences: list[str]) -> None:
    """A student that is loaded in bfloat16 would crash or answer at random."""
    student = make_student(teacher_tokenizer)
    expected = plain_logits(student, teacher_tokenizer, sentences)
    half = TextClassifier(student.to(torch.bfloat16), teacher_tokenizer, max_length=64).logits(sentences)
    np.testing.assert_allclose(half, expected, atol=0.05 * np.abs(expected).max())
