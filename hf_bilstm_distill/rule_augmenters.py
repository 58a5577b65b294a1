"""The rules of augmentation as augmenters of nlpaug, one by one."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from nlpaug import Augmenter
from nlpaug.util import Action, Method

from hf_bilstm_distill.augmentation.taggers import Tagger, load_tagger, tag_words
from hf_bilstm_distill.augmentation.words import split_words
from hf_bilstm_distill.transfer_set import TEXT, check_texts, text_columns

_MAX_NGRAM = 5


def all_texts(texts: Sequence[str] | Dataset) -> list[str]:
    """Return the texts that a rule learns from.

    Args:
        texts: A list, or a set with a column `text` (and perhaps `text_pair`).

    Returns:
        All its texts, first ones before second ones.

    Raises:
        TypeError: If it is a single text.
        ValueError: If there are no texts, or one is none.
    """
    if isinstance(texts, str):
        raise TypeError(f"texts must be a list of texts or a Dataset, got one text, {texts!r}. Put it in a list.")
    dataset = texts if isinstance(texts, Dataset) else Dataset.from_dict({TEXT: list(texts)})
    check_texts(dataset, "texts")
    return [text for column in text_columns(dataset) for text in dataset.with_format(None)[column]]


class RuleAug(Augmenter):
    """An augmenter of nlpaug that draws for each text anew, from its seed and from how many texts it was given before.

    Subclasses say in `_change` what becomes of the pieces of a text, which `split_words` made.
    """

    def __init__(self, aug_p: float, mask_token: str, seed: int) -> None:
        name = type(self).__name__
        if not 0 <= aug_p <= 1:
            raise ValueError(f"aug_p of {name} must lie between 0 and 1, got {aug_p}.")
        if len(mask_token.split()) != 1:
            raise ValueError(f"mask_token must be one word without spaces, got {mask_token!r}. Take the teacher's.")
        super().__init__(name, Method.WORD, Action.SUBSTITUTE, aug_min=None, aug_max=None, aug_p=aug_p)
        self.mask_token = mask_token
        self.seed = seed
        self._num_done = 0

    def augment(self, data: str | list[Any], n: int = 1, num_thread: int = 1) -> list[Any]:
        """Return changed texts: of one text `n`, of a list of texts one each.

        Args:
            data: A text, or a list of texts.
            n: How many to make of a single text. They may be equal.
            num_thread: Not used: threads would draw in another order each time, and are slower.

        Returns:
            As many texts. An empty one stays as it is.

        Raises:
            TypeError: If there is something else than text.
        """
        if isinstance(data, str):
            return [self._changed(data) for _ in range(n)]
        if isinstance(data, list) and all(isinstance(text, str) for text in data):
            return [self._changed(text) for text in data]
        if isinstance(data, list) and all(isinstance(part, list) for part in data):
            # Within a flow, a list in a list is what `Sometimes` hands on when it has drawn nothing.
            return [self.augment(part) for part in data]
        raise TypeError(f"{self.name} takes a text or a list of texts, got {data!r}.")

    def restart(self, num_done: int = 0) -> None:
        """Draw as a new augmenter of this seed does.

        Args:
            num_done: How many texts to count as done.
        """
        self._num_done = num_done

    @classmethod
    def is_duplicate(cls, dataset: list[Any], data: Any) -> bool:
        """Return whether `data` is among the texts of `dataset`. Flows ask this."""
        return data in dataset

    def _changed(self, text: str) -> str:
        # With the name of the rule: drawing alike, one rule would replace the very words that another has masked.
        rng = random.Random(f"{self.name}-{self.seed}-{self._num_done}")
        self._num_done += 1
        return "".join(self._change(split_words(text, self.mask_token), rng))

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        # How much was drawn must not show in the fingerprint of a set, or none would be found in the cache again.
        return self.__dict__ | {"_num_done": 0}


class MaskAug(RuleAug):
    """Masks words, each with the same probability, independently of the others.

    Args:
        aug_p: Probability that a word is masked.
        mask_token: The teacher's mask token.
        seed: Same seed, same output. Give two `MaskAug` of one flow different ones.

    Source:
        Tang et al. 2019, data augmentation for distillation.

    Example:
        >>> MaskAug(aug_p=1.0).augment("a gripping film")
        ['[MASK] [MASK] [MASK]']
    """

    def __init__(self, aug_p: float = 0.1, *, mask_token: str = "[MASK]", seed: int = 0) -> None:
        super().__init__(aug_p, mask_token, seed)

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        for place in range(1, len(pieces), 2):
            if rng.random() < self.aug_p:
                put_word(self.mask_token, pieces, place)
        return pieces


class PosReplacementAug(RuleAug):
    """Replaces words by words of the same part of speech, drawn as often as they were counted.

    Args:
        texts: The texts whose words are counted: a list, or a set with a column `text` (and perhaps `text_pair`).
        aug_p: Probability that a word is replaced, perhaps by itself.
        tagger: A name that `load_tagger` knows, or a function from words to tags.
        mask_token: The teacher's mask token. It is never replaced.
        seed: Same seed, same output.

    Source:
        Tang et al. 2019, data augmentation for distillation.

    Example:
        >>> PosReplacementAug(["a film", "the film"], aug_p=1.0).augment("this story")[0].split()[1]
        'film'
    """

    def __init__(
        self,
        texts: Sequence[str] | Dataset,
        aug_p: float = 0.1,
        *,
        tagger: str | Tagger = "lexicon",
        mask_token: str = "[MASK]",
        seed: int = 0,
    ) -> None:
        super().__init__(aug_p, mask_token, seed)
        self.tagger = tagger
        counts: Counter[tuple[str, str]] = Counter()
        for text in all_texts(texts):
            words = split_words(text, mask_token)[1::2]
            counts.update(zip(tag_words(load_tagger(tagger), words), words, strict=True))
        self._pools: dict[str, tuple[list[str], list[int]]] = {}
        # Sorted, so that the order of the texts shows neither in the draws nor in the fingerprint.
        for (tag, word), count in sorted(counts.items()):
            if word != mask_token:
                words, cumulative = self._pools.setdefault(tag, ([], []))
                words.append(word)
                cumulative.append(count + (cumulative[-1] if cumulative else 0))

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        words = pieces[1::2]
        for number, tag in enumerate(tag_words(load_tagger(self.tagger), words)):
            if rng.random() < self.aug_p and tag in self._pools and words[number] != self.mask_token:
                candidates, cumulative = self._pools[tag]
                put_word(rng.choices(candidates, cum_weights=cumulative)[0], pieces, 2 * number + 1)
        return pieces


class NgramAug(RuleAug):
    """Keeps an n-gram of a text, n from 1 to 5 alike, each start alike. Shorter texts stay whole.

    Args:
        aug_p: Probability that a text is cut.
        mask_token: The teacher's mask token, which counts as one word.
        seed: Same seed, same output.

    Source:
        Tang et al. 2019, data augmentation for distillation.

    Example:
        >>> len(NgramAug(aug_p=1.0).augment("a film that has much more than five words")[0].split()) <= 5
        True
    """

    def __init__(self, aug_p: float = 0.25, *, mask_token: str = "[MASK]", seed: int = 0) -> None:
        super().__init__(aug_p, mask_token, seed)

    def _change(self, pieces: list[str], rng: random.Random) -> list[str]:
        if rng.random() < self.aug_p:
            length, num_words = rng.randint(1, _MAX_NGRAM), len(pieces) // 2
            if length < num_words:
                start = rng.randrange(num_words - length + 1)
                return pieces[2 * start + 1 : 2 * (start + length)]
        return pieces


def put_word(word: str, pieces: list[str], place: int) -> None:
    """Put a word in the place of another, with a space where it would grow together with its neighbour (do|n't).

    Args:
        word: The new word.
        pieces: What `split_words` gave; changed in place.
        place: Where the old word stands among them.
    """
    pieces[place] = word
    for gap in (place - 1, place + 1):
        if not pieces[gap] and 0 < gap < len(pieces) - 1 and (pieces[gap - 1][-1] + pieces[gap + 1][0]).isalnum():
            pieces[gap] = " "
