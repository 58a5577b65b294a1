"""The classifier that a student must beat is weaker than it should be, or is asked for what it cannot do."""

import sys

import numpy as np
import pytest
from datasets import Dataset

from hf_bilstm_distill.report import distillation_report
from hf_bilstm_distill.tfidf import train_tfidf

pytest.importorskip("sklearn")


def test_it_learns_words_and_is_measured_like_any_model(texts):
    model = train_tfidf(texts)
    (measured,) = distillation_report({"tf-idf": model}, texts, "accuracy", task="films").models
    assert measured.metrics["accuracy"] > 0.95
    assert measured.calibration is not None
    assert measured.parameters == model.parameters
    assert measured.size_mb == pytest.approx(model.size_bytes / 1e6)


def test_its_parameters_are_a_weight_and_a_rarity_for_each_word():
    model = train_tfidf(Dataset.from_dict({"text": ["a b", "a c"], "label": [0, 1]}))
    assert model.parameters == 5 + 5 + 1  # a, b, c, "a b" and "a c"; one intercept


def test_a_mark_and_a_letter_count_as_words():
    """`!` and `i` tell a lot about a tweet, and scikit-learn drops both."""
    rows = Dataset.from_dict({"text": ["u ok !", "u ok ?", "i ok !", "i ok ?"] * 5, "label": [1, 0, 1, 0] * 5})
    assert train_tfidf(rows).predict(["!", "?"])[0].tolist() == [1, 0]


def test_rows_without_a_label_are_left_out_and_labels_without_a_row_get_nothing():
    rows = Dataset.from_dict({"text": ["good", "good one", "bad", "bad film", "zzz"], "label": [3, 3, 1, 1, -100]})
    labels, scores = train_tfidf(rows, num_labels=5).predict(["good", "bad", ""])
    assert labels[:2].tolist() == [3, 1]
    assert scores.shape == (3, 5)
    assert scores.sum(axis=1) == pytest.approx(1.0)
    assert (scores[:, [0, 2, 4]] == 0).all()


def test_of_a_pair_it_sees_which_text_a_word_is_in():
    rows = {"text": ["yes", "no"] * 4, "text_pair": ["no", "yes"] * 4, "label": [1, 0] * 4}
    labels, _ = train_tfidf(Dataset.from_dict(rows)).predict(["yes", "no"], ["no", "yes"])
    assert labels.tolist() == [1, 0]


def test_of_a_pair_it_sees_the_words_that_both_texts_have():
    words = [f"w{n}" for n in range(12)]
    pairs = [(one, other) for one in words for other in words]
    rows = {"text": [one for one, _ in pairs], "text_pair": [other for _, other in pairs]}
    labels = [int(one == other) for one, other in pairs]
    model = train_tfidf(Dataset.from_dict({**rows, "label": labels}))
    same = model.predict(words, words)[1][:, 1]
    other = model.predict(words, words[1:] + words[:1])[1][:, 1]
    assert same.min() > other.max()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0.5, 1.5]}, "numbers of classes"),
        ({"label": [[1, 0], [0, 1]]}, "numbers of classes"),
        ({}, "numbers of classes"),
        ({"label": [1, 1]}, r"2 labelled rows have the labels \[1\]"),
        ({"label": [1, -100]}, r"1 labelled rows have the labels \[1\]"),
    ],
    ids=["scores", "several labels", "no labels", "one class", "one label"],
)
def test_what_it_cannot_learn_is_named(columns, message):
    with pytest.raises(ValueError, match=message):
        train_tfidf(Dataset.from_dict({"text": ["a", "b"], **columns}))


def test_a_missing_scikit_learn_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ImportError, match=r"needs scikit-learn.*pip install 'hf-bilstm-distill\[report\]'"):
        train_tfidf(Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}))


def test_it_is_the_same_each_time(texts):
    one, other = (train_tfidf(texts).predict(texts["text"][:])[1] for _ in range(2))
    assert np.array_equal(one, other)
