"""`TextClassifier`: texts in, logits or labels with scores out."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    LabelMismatchError,
    TextClassifier,
    trim_tokenizer,
)
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
    used = TextClassifier.from_pretrained(teacher_dir, device="cpu")
    used.max_length = 8
    used.logits(["a warm and funny film"])  # the tokenizer remembers how it was called
    used.max_length = again.max_length
    assert before == used.fingerprint()
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


# ---- vectors of sentences ----


@pytest.fixture
def siamese(teacher_tokenizer: PreTrainedTokenizerFast, texts: Dataset) -> TextClassifier:
    """A siamese student of three labels with the tokenizer that students get."""
    torch.manual_seed(1)
    tokenizer = trim_tokenizer(teacher_tokenizer, texts["text"])
    config = BiLSTMConfig(vocab_size=1000, embedding_dim=12, lstm_hidden_size=9, fc_size=7, is_pair=True, num_labels=3)
    student = BiLSTMForSequenceClassification(config)
    for parameter in student.parameters():
        torch.nn.init.uniform_(parameter, -0.7, 0.7)
    return TextClassifier(student, tokenizer)


def forward_scores(classifier: TextClassifier, firsts: list[str], seconds: list[str]) -> np.ndarray:
    """What the model itself says of each pair."""
    rows = []
    for one, other in zip(firsts, seconds, strict=True):
        inputs = classifier.tokenizer([one], [other], return_tensors="pt")
        with torch.no_grad():
            rows.append(classifier.model(**inputs).logits.softmax(dim=-1)[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("repeats", [1, 40], ids=["few", "many"])
def test_vectors_classify_as_the_texts_do(siamese: TextClassifier, texts: Dataset, repeats: int) -> None:
    """A search over stored vectors would give other labels than the student does on the texts."""
    firsts = ["", "a", *texts["text"][:12]]
    seconds = ["my friends said", "", *texts["text"][:-13:-1]]
    vectors = [siamese.encode(column * repeats) for column in (firsts, seconds)]
    assert (siamese._folded is not None) == (repeats > 1)
    expected = forward_scores(siamese, firsts, seconds)
    labels, scores = siamese.classify_pairs(*vectors)
    np.testing.assert_allclose(scores, np.tile(expected, (repeats, 1)), atol=1e-5)
    np.testing.assert_array_equal(labels, scores.argmax(axis=1))
    np.testing.assert_allclose(siamese.predict(firsts, seconds)[1], expected, atol=1e-5)
    np.testing.assert_allclose(
        siamese.classify_pairs(vectors[0][3], vectors[1][:14])[1],
        forward_scores(siamese, [firsts[3]] * 14, seconds),
        atol=1e-5,
    )
    np.testing.assert_allclose(
        siamese.classify_pairs(vectors[0][:14], vectors[1][5:6])[1],
        forward_scores(siamese, firsts, [seconds[5]] * 14),
        atol=1e-5,
    )


def test_a_vector_is_the_same_on_either_side(siamese: TextClassifier, texts: Dataset) -> None:
    """Stored vectors would have to be computed twice, once for each side of a pair."""
    sentences = texts["text"][:6]
    vectors = siamese.encode(sentences)
    as_second = siamese.classify_pairs(vectors[:1], vectors)[1]
    as_first = siamese.classify_pairs(vectors, vectors[:1])[1]
    np.testing.assert_allclose(as_second, forward_scores(siamese, [sentences[0]] * 6, sentences), atol=1e-5)
    np.testing.assert_allclose(as_first, forward_scores(siamese, sentences, [sentences[0]] * 6), atol=1e-5)
    assert np.abs(as_first - as_second).max() > 1e-3  # the pair itself has an order


def test_a_sentence_is_cut_by_itself(siamese: TextClassifier, texts: Dataset) -> None:
    """A long second sentence would take tokens from the first one's vector."""
    classifier = TextClassifier(siamese.model, siamese.tokenizer, max_length=6)
    short, long = "a dull film", " ".join(texts["text"][:5])
    ids = classifier.tokenizer(long)["input_ids"][:6]
    with torch.no_grad():
        expected = classifier.model.bilstm(
            torch.tensor([classifier.tokenizer(short)["input_ids"] + ids]),
            token_type_ids=torch.tensor([[0] * 3 + [1] * 6]),
        ).pooler_output[0, :36]
    np.testing.assert_allclose(np.concatenate(classifier.encode([short, long])), expected, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("split_special_tokens", [False, True])
def test_long_texts_and_special_tokens_are_read_as_by_the_tokenizer(
    siamese: TextClassifier, texts: Dataset, side: str, split_special_tokens: bool
) -> None:
    """Texts that say "[SEP]", or are cut, would get other scores than in `pipeline`."""
    tokenizer = siamese.tokenizer
    tokenizer.truncation_side, tokenizer.split_special_tokens = side, split_special_tokens
    siamese.max_length = 9
    firsts = ["a [SEP] dull [PAD] film", " ".join(texts["text"][:5]), "fun"]
    seconds = ["warm", "a long text " * 5, ""]
    expected = []
    for one, other in zip(firsts, seconds, strict=True):
        inputs = tokenizer([one], [other], truncation=True, max_length=9, return_tensors="pt")
        with torch.no_grad():
            expected.append(siamese.model(**inputs).logits[0].numpy())
    tokenizer(["a text"], truncation=True, max_length=2, padding="max_length")  # leaves its settings behind
    np.testing.assert_allclose(siamese.logits(firsts, seconds), np.stack(expected), atol=1e-5)


def test_labels_of_vectors_follow_the_label_order(siamese: TextClassifier, texts: Dataset) -> None:
    """Scores of stored vectors would stand under other names than those of texts."""
    vectors = siamese.encode(texts["text"][:5])
    other = siamese.with_label_order([2, 0, 1])
    expected = siamese.classify_pairs(vectors, vectors)[1][:, [2, 0, 1]]
    np.testing.assert_allclose(other.classify_pairs(vectors, vectors)[1], expected, atol=1e-6)


def test_vectors_in_a_file_are_read_in_parts(siamese: TextClassifier, texts: Dataset, tmp_path: Path) -> None:
    """A store larger than the memory could not be searched; or the last, smaller part would be lost."""
    vectors = np.tile(siamese.encode(texts["text"][:7]), (500, 1)).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    stored = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    labels, scores = siamese.classify_pairs(vectors[0], stored)
    assert labels.shape == (3500,)
    np.testing.assert_allclose(scores, np.tile(scores[:7], (500, 1)), atol=1e-6)
    assert siamese.classify_pairs(vectors[0], stored[:0])[1].shape == (0, 3)
    assert siamese.encode([]).shape == (0, 18)


def test_a_pair_without_a_second_sentence_does_not_crash(siamese: TextClassifier) -> None:
    """transformers drops an empty second text that is given by itself."""
    classify = pipeline("text-classification", model=siamese.model, tokenizer=siamese.tokenizer, device="cpu")
    found = classify({"text": "a dull film", "text_pair": ""}, top_k=None)
    expected = forward_scores(siamese, ["a dull film"], [""])[0]
    by_name = {each["label"]: each["score"] for each in found}
    np.testing.assert_allclose([by_name[f"LABEL_{number}"] for number in range(3)], expected, atol=1e-5)


def test_what_has_no_vectors_says_so(
    siamese: TextClassifier, classifier: TextClassifier, teacher_tokenizer: PreTrainedTokenizerFast
) -> None:
    """A crash in the middle of a layer, or vectors that no pair is made of."""
    single = TextClassifier(BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=100)), siamese.tokenizer)
    for other in (classifier, single):
        with pytest.raises(ValueError, match="Only a siamese student"):
            other.encode(["a film"])
        with pytest.raises(ValueError, match="Only a siamese student"):
            other.classify_pairs(np.zeros((1, 300)), np.zeros((1, 300)))
    with pytest.raises(ValueError, match=r"shape \(rows, 18\), got \(2, 5\)"):
        siamese.classify_pairs(np.zeros((2, 5)), np.zeros((2, 18)))
    with pytest.raises(ValueError, match="2 first vectors and 3 second ones"):
        siamese.classify_pairs(np.zeros((2, 18)), np.zeros((3, 18)))
    with pytest.raises(ValueError, match=r"trim_tokenizer"):  # [CLS] a [SEP] and b [SEP]
        TextClassifier(siamese.model, teacher_tokenizer).encode(["a film"])


# ---- problem types ----


@pytest.mark.parametrize("problem_type", ["regression", "multi_label_classification"])
def test_labels_and_scores_of_other_problem_types(
    teacher_tokenizer: PreTrainedTokenizerFast, texts: Dataset, problem_type: str
) -> None:
    """A score would be squeezed into a probability, or the likeliest label taken for the only one."""
    torch.manual_seed(0)
    is_regression = problem_type == "regression"
    config = BiLSTMConfig(
        vocab_size=len(teacher_tokenizer), num_labels=1 if is_regression else 4, problem_type=problem_type
    )
    model = BiLSTMForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([3.5] if is_regression else [0.5, -0.5, 0.5, -0.5]))
    sentences = texts["text"][:6]
    labels, scores = TextClassifier(model, teacher_tokenizer).predict(sentences)
    classify = pipeline("text-classification", model=model, tokenizer=teacher_tokenizer, device="cpu")
    for row, found in zip(scores, classify(sentences, top_k=None), strict=True):
        by_name = {each["label"]: each["score"] for each in found}
        np.testing.assert_allclose(row, [by_name[f"LABEL_{number}"] for number in range(len(row))], atol=1e-5)
    if is_regression:
        assert scores.max() > 1
        np.testing.assert_array_equal(labels, np.zeros(6))
    else:
        np.testing.assert_array_equal(labels, (scores >= 0.5).astype(int))
        assert 0 < labels.mean() < 1
