"""A classifier of many texts that reads other tokens than its tokenizer gives."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import odd_texts
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from hf_bilstm_distill.predictor import WordLookup
from hf_bilstm_distill.tokenization import train_word_tokenizer, trim_tokenizer

TEXTS = ["a good film", "a bad film .", "unbelievably bad, don't", "café, The GOOD film's end", "[MASK] film"]


@pytest.fixture(scope="module")
def word_tokenizer() -> Tokenizer:
    return train_word_tokenizer(TEXTS).backend_tokenizer


@pytest.fixture(scope="module")
def trimmed_tokenizer(teacher_tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    return trim_tokenizer(teacher_tokenizer, TEXTS).backend_tokenizer


def expected(tokenizer: Tokenizer, sentences: list[Any]) -> list[tuple[list[int], list[int]]]:
    return [(encoding.ids, encoding.type_ids) for encoding in tokenizer.encode_batch(sentences)]


@pytest.mark.parametrize("kind", ["word_tokenizer", "trimmed_tokenizer"])
@pytest.mark.parametrize("direction", ["right", "left"])
@pytest.mark.parametrize("is_pair", [False, True], ids=["text", "pair"])
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_texts(
    kind: str, direction: str, is_pair: bool, request: pytest.FixtureRequest, data: st.DataObject
) -> None:
    """Words that are cut elsewhere than within the text, or a text that is too long and loses its other end."""
    tokenizer = request.getfixturevalue(kind)
    tokenizer.enable_truncation(8, direction=direction)
    lookup = WordLookup(tokenizer)
    item = st.tuples(odd_texts, odd_texts) if is_pair else odd_texts
    for _ in range(2):  # the second finds words that the first left
        sentences = data.draw(st.lists(item, min_size=16, max_size=20))
        assert lookup.encode(sentences) == expected(tokenizer, sentences)


def test_words_are_looked_up(word_tokenizer: Tokenizer, trimmed_tokenizer: Tokenizer) -> None:
    """Tokenizers of students that are taken for ones that cannot be served so: slow, and nobody notices."""
    for tokenizer in (word_tokenizer, trimmed_tokenizer):
        lookup = WordLookup(tokenizer)
        lookup.encode(TEXTS * 4)
        assert lookup._known["film"] == [tokenizer.token_to_id("film")]
        assert "unseen" not in lookup._known


def test_memory_has_a_bound(word_tokenizer: Tokenizer, trimmed_tokenizer: Tokenizer) -> None:
    """A server whose memory grows with every new word that it is sent."""
    for tokenizer in (word_tokenizer, trimmed_tokenizer):
        lookup = WordLookup(tokenizer)
        for call in range(20):
            lookup.encode([f"film zq{call}x{number} don't" for number in range(20)])
        assert set(lookup._known) <= {"", "film", "don't"}


def bert(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()


def with_special_tokens(tokenizer: Tokenizer) -> None:
    bert(tokenizer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))


def with_a_name_of_two_words(tokenizer: Tokenizer) -> None:
    bert(tokenizer)
    tokenizer.add_tokens(["good film"])


def with_a_rule_beyond_a_space(tokenizer: Tokenizer) -> None:
    bert(tokenizer)
    tokenizer.normalizer = normalizers.Replace("a good", "bad")


def whole_texts(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Prepend("▁")


@pytest.mark.parametrize(
    "change", [bert, with_special_tokens, with_a_name_of_two_words, with_a_rule_beyond_a_space, whole_texts]
)
def test_other_tokenizers_tokenize_themselves(change: Callable[[Tokenizer], None]) -> None:
    """A tokenizer that looks beyond a space, or puts tokens around a text, and is served as if it did not."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=80, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    change(tokenizer)
    assert WordLookup(tokenizer).encode(TEXTS * 4) == expected(tokenizer, TEXTS * 4)


def test_byte_pairs_tokenize_themselves() -> None:
    """A byte-level tokenizer, for which the space is a part of the word after it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=90, show_progress=False))
    assert WordLookup(tokenizer).encode(TEXTS * 4) == expected(tokenizer, TEXTS * 4)


def test_tokens_added_later_count(word_tokenizer: Tokenizer) -> None:
    """A classifier that was used, gets a new token, and goes on as before."""
    tokenizer = Tokenizer.from_str(word_tokenizer.to_str())
    lookup = WordLookup(tokenizer)
    lookup.encode(TEXTS * 4)
    tokenizer.add_tokens(["good film"])
    assert lookup.encode(TEXTS * 4) == expected(tokenizer, TEXTS * 4)
