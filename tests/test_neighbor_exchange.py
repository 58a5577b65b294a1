"""Words exchanged for others that are not near them, too often, or never."""

import copy
import pickle
from collections import Counter

import pytest
import torch
from datasets import Dataset
from nlpaug.flow import Sequential
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hf_bilstm_distill.augmentation import augment
from hf_bilstm_distill.neighbor_exchange import NeighborAug, nearest_words
from hf_bilstm_distill.nlpaug_augmenters import NlpaugTransform
from hf_bilstm_distill.rule_augmenters import MaskAug
from hf_bilstm_distill.transfer_set import TEXT, TEXT_PAIR

NEIGHBORS = {"dull": {"slow": 0.8, "grim": 0.4}, "film": {"story": 0.5}}


def teacher_with(
    directions: dict[str, list[float]], tokenizer: PreTrainedTokenizerFast
) -> BertForSequenceClassification:
    """A teacher whose embeddings are zero, but for those of some tokens and for their opposites."""
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    model = BertForSequenceClassification(config)
    weight = torch.zeros(len(tokenizer), 8)
    for token, direction in directions.items():
        weight[tokenizer.get_vocab()[token], : len(direction)] = torch.tensor(direction)
    model.get_input_embeddings().weight.data = weight
    return model


def test_near_words_are_found(teacher_tokenizer: PreTrainedTokenizerFast) -> None:
    """Any words, the word itself, or pieces of words: what comes out is no text."""
    directions = {
        **{"dull": [1.0, 0.0], "slow": [0.9, 0.3], "story": [0.5, 0.8], "film": [-1.0, 0.0]},
        **{"acting": [0.0, 0.0, 1.0], "[MASK]": [1.0, 0.0], "songs": [-1.0, -1.0, -1.0]},
    }
    found = nearest_words(["a dull film"], teacher_with(directions, teacher_tokenizer), teacher_tokenizer)
    assert list(found["dull"]) == ["slow", "story"]
    assert 0.9 < found["dull"]["slow"] <= 1
    assert 0.3 < found["dull"]["story"] < 0.8
    assert "a" not in found  # too short to have a meaning


def test_neighbours_may_be_words_that_no_text_has(teacher_tokenizer: PreTrainedTokenizerFast) -> None:
    """The student would know the words of its texts alone."""
    directions = {"dull": [1.0, 0.0], "zebra": [1.0, 0.1], "film": [-1.0, 0.0]}
    teacher = teacher_with(directions, teacher_tokenizer)
    assert "zebra" in nearest_words(["a dull film"], teacher, teacher_tokenizer)["dull"]


def test_words_in_pieces_stand_where_their_pieces_do(teacher_tokenizer: PreTrainedTokenizerFast) -> None:
    """Rare words, which are the ones in pieces, would be left as they are; or beginnings taken for words."""
    word = "filmdull"
    pieces = teacher_tokenizer.tokenize(word)
    assert len(pieces) > 1
    directions = {piece: [1.0, 0.0] for piece in pieces} | {"slow": [1.0, 0.1], "story": [-1.0, 0.0]}
    found = nearest_words([word], teacher_with(directions, teacher_tokenizer), teacher_tokenizer)
    assert "slow" in found[word]
    assert all(each.isalpha() for each in found[word])


def test_pieces_with_a_space_are_words_of_a_byte_level_teacher() -> None:
    """Ends of words (ing) would be taken for words, as they are without a space."""
    words = ["Ġfilm", "Ġstory", "ing"]
    letters = sorted(set("".join(words)))
    vocabulary = ["<unk>", *letters, *words]
    merges = [("Ġ", "f"), ("Ġf", "i"), ("Ġfi", "l"), ("Ġfil", "m")]
    merges += [("Ġ", "s"), ("Ġs", "t"), ("Ġst", "o"), ("Ġsto", "r"), ("Ġstor", "y"), ("i", "n"), ("in", "g")]
    vocabulary += [left + right for left, right in merges if left + right not in vocabulary]
    backend = Tokenizer(models.BPE({piece: number for number, piece in enumerate(vocabulary)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    directions = {"Ġfilm": [1.0, 0.0], "Ġstory": [1.0, 0.1], "ing": [1.0, 0.0], "n": [-1.0, 0.0]}
    found = nearest_words(["film"], teacher_with(directions, tokenizer), tokenizer)
    assert list(found["film"]) == ["story"]


def test_words_are_exchanged_at_the_rate_asked_for_and_near_ones_more_often() -> None:
    """Texts that lose all they said, or far neighbours as often as near ones."""
    copies = NeighborAug(NEIGHBORS, aug_p=0.3, seed=1).augment("the dull film", n=4000)
    words = [Counter(words) for words in zip(*(text.split() for text in copies), strict=True)]
    assert words[0] == {"the": 4000}
    assert words[1]["dull"] / 4000 == pytest.approx(0.7, abs=0.03)
    assert words[2] == {"film": pytest.approx(2800, abs=120), "story": pytest.approx(1200, abs=120)}
    assert words[1]["slow"] / words[1]["grim"] == pytest.approx(8, rel=0.3)  # by the third power of the cosine


def test_masks_stay_and_seeds_tell(teacher_tokenizer: PreTrainedTokenizerFast) -> None:
    """A masked word that is a word again, or copies that no one can make once more."""
    neighbors = {"[MASK]": {"film": 1.0}, **NEIGHBORS}
    augmenter = NeighborAug(neighbors, aug_p=1.0)
    assert augmenter.augment("the [MASK] film") == ["the [MASK] story"]
    assert augmenter.augment("") == [""]
    text = "dull film " * 20
    again, other = NeighborAug(NEIGHBORS, 0.5, seed=3), NeighborAug(NEIGHBORS, 0.5, seed=4)
    first = NeighborAug(NEIGHBORS, 0.5, seed=3).augment(text, n=3)
    assert again.augment(text, n=3) == first != other.augment(text, n=3)
    assert pickle.loads(pickle.dumps(copy.copy(again))).augment(text) == NeighborAug(NEIGHBORS, 0.5, seed=3).augment(
        text
    )


def test_flows_and_pairs() -> None:
    """It could not follow another rule, or changed both texts of a pair at once only."""
    flow = Sequential([MaskAug(0.2), NeighborAug(NEIGHBORS, 1.0)])
    pairs = Dataset.from_dict({TEXT: ["a dull film"], TEXT_PAIR: ["the film"]})
    rows = augment(pairs, NlpaugTransform(flow, n_iter=30))
    texts = {(row[TEXT], row[TEXT_PAIR]) for row in rows}
    assert ("a dull film", "the story") in texts
    assert any("[MASK]" in first and "story" in first for first, _ in texts)


def test_texts_of_other_words_stay(teacher_tokenizer: PreTrainedTokenizerFast) -> None:
    """A teacher without neighbours, or texts without words, end in an error."""
    blank = teacher_with({}, teacher_tokenizer)
    assert nearest_words(["a dull film"], blank, teacher_tokenizer) == {}
    assert nearest_words(["!!! 12 ..."], blank, teacher_tokenizer) == {}
    assert NeighborAug({}, aug_p=1.0).augment("a dull film") == ["a dull film"]


def test_bad_arguments(
    teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast
) -> None:
    """Mistakes that surface later, as something else."""
    with pytest.raises(ValueError, match="aug_p of NeighborAug must lie between 0 and 1, got 2"):
        NeighborAug(NEIGHBORS, aug_p=2)
    with pytest.raises(TypeError, match=r"got one text, 'a film'\. Put it in a list"):
        nearest_words("a film", teacher_model, teacher_tokenizer)
    with pytest.raises(ValueError, match="no rows"):
        nearest_words([], teacher_model, teacher_tokenizer)
