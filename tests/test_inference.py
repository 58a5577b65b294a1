"""`TextClassifier`: texts in, logits or labels with scores out."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

from hf_bilstm_distill import BiLSTMConfig, BiLSTMForSequenceClassification, LabelMismatchError, TextClassifier
from hf_bilstm_distill.inference import batches_of_similar_length


@pytest.fixture
def classifier(
    teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast
) -> TextClassifier:
    return TextClassifier(teacher_model, teacher_tokenizer)


def test_rows_come_back_in_their_order_with_the_logits_of_the_model(classifier: TextClassifier, texts: Dataset) -> None:
    """Sorting by length would mix up whose logits are whose."""
    sentences = sorted(texts["text"][:], key=hash)
    logits = classifier.logits(sentences)
    assert logits.dtype == np.float32
    for sentence, row in zip(sentences, logits, strict=True):
        alone = classifier.model(**classifier.tokenizer(sentence, return_tensors="pt")).logits[0]
        np.testing.assert_allclose(row, alone.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("pairs", [False, True], ids=["single", "pair"])
def test_labels_and_scores_are_those_of_the_pipeline(classifier: TextClassifier, texts: Dataset, pairs: bool) -> None:
    """A report would show other scores than people get from `pipeline`."""
    sentences = texts["text"][:12]
    seconds = sentences[::-1] if pairs else None
    labels, scores = classifier.predict(sentences, seconds)
    pipe = pipeline("text-classification", model=classifier.model, tokenizer=classifier.tokenizer, device="cpu")
    inputs = [{"text": a, "text_pair": b} for a, b in zip(sentences, sentences[::-1], strict=True)]
    expected = pipe(inputs if pairs else sentences, top_k=None)
    for label, row, predictions in zip(labels, scores, expected, strict=True):
        assert predictions[0]["label"] == classifier.id2label[label]
        by_name = {prediction["label"]: prediction["score"] for prediction in predictions}
        np.testing.assert_allclose(row, [by_name[classifier.id2label[i]] for i in range(2)], atol=1e-5)


def test_no_texts_give_no_rows(classifier: TextClassifier) -> None:
    """An empty list would crash."""
    assert classifier.logits([]).shape == (0, 2)


def test_another_label_order_moves_logits_and_names_together(classifier: TextClassifier, texts: Dataset) -> None:
    """The names would say one thing and the logits another."""
    other = classifier.with_label_order([1, 0])
    assert other.id2label == {0: "positive", 1: "negative"}
    np.testing.assert_array_equal(other.logits(texts["text"][:4]), classifier.logits(texts["text"][:4])[:, ::-1])
    assert other.with_label_order([1, 0]).id2label == classifier.id2label
    renamed = classifier.with_label_order([1, 0], ["good", "bad"])
    assert renamed.id2label == {0: "good", 1: "bad"}
    assert classifier.id2label == {0: "negative", 1: "positive"}
    assert len({classifier.fingerprint(), other.fingerprint()}) == 2
    with pytest.raises(LabelMismatchError):
        classifier.with_label_order([0, 0])


def test_the_fingerprint_knows_weights_and_tokenizer(
    teacher_dir: str, teacher_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Cached logits of one teacher would be taken for another's."""
    again = TextClassifier.from_pretrained(teacher_dir, device="cpu")
    before = again.fingerprint()
    assert before == TextClassifier.from_pretrained(teacher_dir, device="cpu").fingerprint()
    assert before != TextClassifier(again.model, again.tokenizer, max_length=8).fingerprint()
    moved = Path(shutil.copytree(teacher_dir, tmp_path / "elsewhere"))
    assert before == TextClassifier.from_pretrained(moved, device="cpu").fingerprint()
    with torch.no_grad():
        again.model.classifier.bias[0] += 0.001
    assert before != again.fingerprint()


def test_half_precision_checkpoints_are_computed_in_full(
    teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """transformers takes the type of the checkpoint: logits would be rounded without a word."""
    copy.deepcopy(teacher_model).half().save_pretrained(tmp_path)
    teacher_tokenizer.save_pretrained(tmp_path)
    loaded = TextClassifier.from_pretrained(tmp_path, device="cpu")
    assert loaded.model.dtype == torch.float32
    assert loaded.size_bytes == 4 * loaded.parameters


def test_what_cannot_be_loaded_is_named(tmp_path: Path, teacher_model: BertForSequenceClassification) -> None:
    """A wrong path would give a page of advice on the Hub; a headless encoder would be a random classifier."""
    with pytest.raises(FileNotFoundError, match="nothing"):
        TextClassifier.from_pretrained(tmp_path / "nothing")
    teacher_model.bert.save_pretrained(tmp_path / "encoder")
    with pytest.raises(ValueError, match=r"\['BertModel'\], without a trained classification head"):
        TextClassifier.from_pretrained(tmp_path / "encoder")


def test_parameters_are_counted_with_and_without_embeddings(teacher_tokenizer: PreTrainedTokenizerFast) -> None:
    """A report would hide the table, which is most of a student; or count its frozen twin as computation."""
    config = BiLSTMConfig(vocab_size=1000, multichannel=True)
    counted = TextClassifier(BiLSTMForSequenceClassification(config), teacher_tokenizer)
    assert counted.parameters_without_embeddings == 963_002  # Tang et al. 2019: 0.96 M
    assert counted.parameters == 963_002 + 2 * 1000 * 300


def test_batches_cover_every_row_once_within_the_budget() -> None:
    """Rows would be lost or labelled twice, or a batch of long texts would not fit in memory."""
    lengths = np.random.default_rng(0).integers(1, 200, 500)
    lengths[17] = 5000
    batches = list(batches_of_similar_length(lengths, 1000))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= 1000 for rows in batches)
    padded = sum(len(rows) * lengths[rows].max() for rows in batches)
    assert padded < 1.1 * lengths.sum()
