"""The classifier that a distilled student must beat: TF-IDF of words, and logistic regression on it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.sparse import hstack
from transformers.utils import logging

from hf_bilstm_distill.transfer_set import LABEL, NO_LABEL, check_texts, text_columns

logger = logging.get_logger(__name__)

_WORD = r"(?u)\w+|[^\w\s]"  # scikit-learn's own pattern drops words of one letter, and marks such as "!"


class TfidfClassifier:
    """TF-IDF of words and pairs of words, and logistic regression on it. See `train_tfidf`.

    Args:
        vectorizer: A fitted `TfidfVectorizer`.
        classifier: A fitted `LogisticRegression`.
        num_labels: How many labels there are, those that no text was learned for too.
    """

    def __init__(self, vectorizer: Any, classifier: Any, num_labels: int) -> None:
        self._vectorizer = vectorizer
        self._classifier = classifier
        self._num_labels = num_labels

    @property
    def parameters(self) -> int:
        """Numbers in the model: one weight for each word and label, and one for each word's rarity."""
        return sum(array.size for array in self._arrays())

    @property
    def size_bytes(self) -> int:
        """Bytes of these numbers; the list of words is not counted, as a tokenizer's is not."""
        return sum(array.nbytes for array in self._arrays())

    def predict(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Give the label of each text, and the probabilities of all labels.

        Args:
            texts: The texts, or the first sentences.
            text_pairs: The second sentences.

        Returns:
            Labels as their positions, `(rows,)`; and probabilities `(rows, num_labels)`.
        """
        columns = [texts] if text_pairs is None else [texts, text_pairs]
        scores = np.zeros((len(texts), self._num_labels))
        scores[:, self._classifier.classes_] = self._classifier.predict_proba(_features(self._vectorizer, columns))
        return scores.argmax(axis=1), scores

    def _arrays(self) -> list[np.ndarray]:
        return [self._vectorizer.idf_, self._classifier.coef_, self._classifier.intercept_]


def train_tfidf(dataset: Dataset, *, num_labels: int | None = None) -> TfidfClassifier:
    """Train logistic regression on the TF-IDF of words and pairs of neighbouring words.

    No teacher, no GPU, and scikit-learn's own settings: what one would try first. Of a pair of texts it sees the words
    of the first, those of the second, and those of both.

    Args:
        dataset: Texts in the column `text` (and `text_pair`), and numbers of classes in `label`. Rows without a label
            (-100 or None) are left out.
        num_labels: How many labels there are. None takes the largest label and one.

    Returns:
        The classifier.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If there are no labels, if they are no numbers of classes, or if they are all of one class.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError(
            "TF-IDF with logistic regression needs scikit-learn, which is not installed. "
            "Install it with: pip install 'hf-bilstm-distill[report]'"
        ) from error
    check_texts(dataset)
    if LABEL not in dataset.column_names or "int" not in str(getattr(dataset.features[LABEL], "dtype", "")):
        raise ValueError(
            f"TF-IDF with logistic regression learns from numbers of classes in the column {LABEL!r}, but the columns "
            f"are {dict(dataset.features)}. Leave it out for regressions and for several labels a text."
        )
    labelled = dataset.filter(lambda label: label is not None and label != NO_LABEL, input_columns=LABEL)
    labels = np.array(labelled[LABEL][:])
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"The {len(labels)} labelled rows have the labels {np.unique(labels).tolist()}. "
            "There is nothing to tell apart: give texts of two classes at least."
        )
    columns = [labelled[column][:] for column in text_columns(labelled)]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD, dtype=np.float32)
    vectorizer.fit([text for column in columns for text in column])
    logger.info(f"Training logistic regression on the TF-IDF of {len(vectorizer.vocabulary_):,} words and word pairs.")
    classifier = LogisticRegression(max_iter=1000).fit(_features(vectorizer, columns), labels)
    return TfidfClassifier(vectorizer, classifier, num_labels or int(labels.max()) + 1)


def _features(vectorizer: Any, columns: Sequence[Sequence[str]]) -> Any:
    vectors = [vectorizer.transform(column) for column in columns]
    return vectors[0] if len(vectors) == 1 else hstack([*vectors, vectors[0].multiply(vectors[1])], format="csr")
