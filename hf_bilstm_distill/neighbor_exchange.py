"""Words exchanged for their neighbours in a teacher's embeddings: an augmenter of nlpaug."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

from datasets import Dataset
from datasets.utils import tqdm
from torch.nn.functional import normalize
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_bilstm_distill.augmentation.words import split_words
from hf_bilstm_distill.embeddings import input_embeddings, mean_rows
from hf_bilstm_distill.rule_augmenters import RuleAug, all_texts, put_word

_NUM_NEIGHBORS = 12
_MIN_COSINE = 0.3
_MAX_WORDS = 20_000
_MIN_LETTERS = 3
_CHUNK = 1024

Neighbors = Mapping[str, Mapping[str, float]]
"""For each word its neighbours, and how near they are: the cosine."""


class NeighborAug(RuleAug):
    """Exchanges words for their neighbours in a teacher's embeddings, near ones more often.

    A neighbour is mostly a word of the same kind, though not always of the same meaning (good: great, bad), so the
    teacher has to label what comes out. Many are words that no training text has. A student that never saw them would
    have to guess what they mean.

    Args:
        neighbors: What `nearest_words` found.
        aug_p: Probability that a word that has neighbours is exchanged.
        mask_token: The teacher's mask token. It is never exchanged.
        seed: Same seed, same output.

    Raises:
        ValueError: If `aug_p` lies outside [0, 1].

    Example:
        >>> NeighborAug({"gripping": {"thrilling": 0.6}}, aug_p=1.0).augment("a gripping film")
        ['a thrilling film']
    """

    def __init__(self, neighbors: Neighbors, aug_p: float = 0.15, *, mask_token: str = "[MASK]", seed: int = 0) -> None:
        super().__init__(aug_p, mask_token, seed)
        self._neighbors = {
            word: (list(near), list(accumulate(cosine**3 for cosine in near.values())))
            for word, near in neighbors.items()
            if near and word != mask_token
        }

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        for place in range(1, len(pieces), 2):
            if rng.random() < self.aug_p and pieces[place] in self._neighbors:
                words, cumulative = self._neighbors[pieces[place]]
                put_word(rng.choices(words, cum_weights=cumulative)[0], pieces, place)
        return pieces


def nearest_words(
    texts: Sequence[str] | Dataset, teacher_model: PreTrainedModel, teacher_tokenizer: PreTrainedTokenizerBase
) -> dict[str, dict[str, float]]:
    """Find the words of a teacher's vocabulary that stand nearest to those of some texts, in its input embeddings.

    A word stands where the mean of its pieces does, seen from the mean of all embeddings. Its neighbours are at most
    12 words that are one piece each, with a cosine above 0.3. The 20,000 most frequent words of three letters or more
    are looked up.

    Args:
        texts: A list, or a set with a column `text` (and perhaps `text_pair`).
        teacher_model: The teacher.
        teacher_tokenizer: Its tokenizer.

    Returns:
        For each word that has any its neighbours, nearest first, and their cosines.

    Raises:
        TypeError: If it is a single text.
        ValueError: If there are no texts, or one is none.
    """
    weight = input_embeddings(teacher_model)
    weight = weight - weight.mean(dim=0)
    vocabulary = _whole_words(teacher_tokenizer)
    candidates = list(vocabulary)
    if not candidates:
        return {}
    vectors = normalize(weight[list(vocabulary.values())])
    pieces = _frequent_words(texts, teacher_tokenizer)
    words = list(pieces)
    found: dict[str, dict[str, float]] = {}
    for start in tqdm(range(0, len(words), _CHUNK), desc="Looking for neighbours", unit=" thousand words"):
        of_chunk = words[start : start + _CHUNK]
        cosines = normalize(mean_rows(weight, [pieces[word] for word in of_chunk])) @ vectors.T
        nearest = cosines.topk(min(_NUM_NEIGHBORS + 1, len(candidates)))  # one more, for the word itself
        for word, values, indices in zip(of_chunk, nearest.values.tolist(), nearest.indices.tolist(), strict=True):
            near = {candidates[index]: round(value, 3) for value, index in zip(values, indices, strict=True)}
            near = {other: value for other, value in near.items() if value > _MIN_COSINE and other != word}
            if near:
                found[word] = dict(list(near.items())[:_NUM_NEIGHBORS])
    return found


def _frequent_words(texts: Sequence[str] | Dataset, tokenizer: PreTrainedTokenizerBase) -> dict[str, list[int]]:
    """Return the most frequent words without unknown pieces, with the ids of their pieces."""
    counts = Counter(
        word
        for text in all_texts(texts)
        for word in split_words(text)[1::2]
        if word.isalpha() and len(word) >= _MIN_LETTERS
    )
    words = sorted(counts, key=lambda word: (-counts[word], word))[:_MAX_WORDS]
    return {word: ids for word, ids in _pieces(words, tokenizer).items() if tokenizer.unk_token_id not in ids}


def _whole_words(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Return the words of a vocabulary that are one piece as they stand within a text, with their ids."""
    strings = {tokenizer.convert_tokens_to_string([token]).strip() for token in tokenizer.get_vocab()}
    words = sorted(word for word in strings if word.isalpha() and len(word) > 1)
    unknown = [tokenizer.unk_token_id]
    return {word: ids[0] for word, ids in _pieces(words, tokenizer).items() if len(ids) == 1 and ids != unknown}


def _pieces(words: list[str], tokenizer: PreTrainedTokenizerBase) -> dict[str, list[int]]:
    """Return the ids of the pieces of some words."""
    # With a space, as they stand within a text: byte-level pieces hold the space before a word.
    ids = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"] if words else []
    return dict(zip(words, ids, strict=True))
