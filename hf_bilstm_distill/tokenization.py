"""The student's vocabularies: a teacher's tokenizer cut down to a corpus, or the words of a corpus or of a list."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from hf_bilstm_distill.transfer_set import check_strings

logger = logging.get_logger(__name__)

_PAD, _UNK = "[PAD]", "[UNK]"
_BATCH_SIZE = 1000
_DEFAULT_MAX_LENGTH = 512
_NO_MAX_LENGTH = 10**20
"""From here on, a `model_max_length` means that none was set (transformers writes 1e30)."""

# The words of GloVe and the Penn treebank, lower-cased. Every character that is not a space ends up in some word.
_WORD = "|".join(
    [
        r"\w+(?=n't\b)|n't\b",  # did n't, ca n't
        r"'(?:s|re|ve|ll|d|m)\b",  # it 's
        r"(?:[^\W\d_]\.){2,}",  # u.s., a.m.
        r"\d+(?:[.,:/]\d+)+",  # 1,000 and 3.5 and 10:30 and 1/2
        r"\w+(?:[-.]\w+)*",  # well-made
        r"\.{2,}|-{2,}|`{2}|'{2}",
        r"[^\w\s]",
    ]
)


def trim_tokenizer(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Cut a teacher's tokenizer down to the pieces that occur in `texts`, and to its special tokens.

    Each of `texts` is split exactly as the teacher splits it. A text that was not among them falls into smaller pieces
    that were kept, or into the unknown token. The padding token gets id 0, then come the other special tokens, then
    the pieces in the teacher's order; the order of `texts` does not matter.

    No special tokens are put around a text, because a BiLSTM needs none. A pair becomes one sequence whose
    `token_type_ids` are 0 and 1.

    Args:
        tokenizer: The teacher's tokenizer. It stays as it is. If it has no padding token, the new one gets `[PAD]`.
        texts: All texts of the transfer set, both sides of pairs.

    Returns:
        The student's tokenizer. Its `model_max_length` is the teacher's, or 512 where the teacher has none.

    Raises:
        TypeError: If the tokenizer is not a fast one, or if `texts` is one string, or holds what is no text.
        ValueError: If there is no piece in `texts`.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TypeError(
            f"{type(tokenizer).__name__} is not a fast tokenizer, so there is no tokenizer.json to trim. "
            "Load the teacher's tokenizer with AutoTokenizer, or use train_word_tokenizer."
        )
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())  # a copy, since truncation is a state of it
    backend.no_truncation()
    backend.no_padding()
    definition = json.loads(backend.to_str())
    model = definition["model"]
    seen = _seen_tokens(backend, texts)
    pad, unknown = tokenizer.pad_token or _PAD, _unknown_token(model, tokenizer)
    special = {pad, unknown, *tokenizer.all_special_tokens} - {""}
    if seen <= special:
        raise ValueError("There is no piece in texts. Pass all texts of the transfer set.")

    teacher_ids = backend.get_vocab()
    pieces = seen.intersection(_model_vocabulary(model)) - special
    first = sorted(special, key=lambda token: (token != pad, teacher_ids.get(token, len(teacher_ids)), token))
    _TRIM_MODEL[model["type"]](model, first, pieces, unknown)
    definition["added_tokens"] = _renumbered(definition["added_tokens"], _model_vocabulary(model), seen)
    definition["post_processor"] = None  # it names ids of the teacher

    named = tokenizer.special_tokens_map | {"pad_token": pad}
    if unknown:
        named.setdefault("unk_token", unknown)
    max_length = tokenizer.model_max_length
    trimmed = _student_tokenizer(
        Tokenizer.from_str(json.dumps(definition)),
        model_max_length=max_length if max_length < _NO_MAX_LENGTH else _DEFAULT_MAX_LENGTH,
        extra_special_tokens=[token for token in first if token not in named.values()],
        **named,
    )
    logger.info("Kept %d of the %d pieces of the teacher's tokenizer.", len(trimmed), len(teacher_ids))
    return trimmed


def train_word_tokenizer(
    texts: Iterable[str],
    *,
    min_frequency: int = 1,
    max_vocab_size: int | None = None,
    mask_token: str = "[MASK]",
) -> PreTrainedTokenizerFast:
    """Make a tokenizer whose vocabulary is the words of `texts`.

    Words are those of GloVe: lower-cased with their accents kept, and contractions in two (`did n't`, `it 's`). The
    ids are `[PAD]` 0, `[UNK]` 1, the mask token 2, then the words by falling frequency, equal ones by alphabet.

    Args:
        texts: A corpus, both sides of pairs. Mask tokens in it are not counted.
        min_frequency: A rarer word becomes `[UNK]`.
        max_vocab_size: At most so many words and special tokens together; None for no limit.
        mask_token: One token wherever it stands, though everything else is lower-cased.

    Returns:
        The student's tokenizer.

    Raises:
        TypeError: If `texts` is one string, or holds what is no text.
        ValueError: If no word is left.
    """
    tokenizer = _word_tokenizer([], mask_token)
    trainer = trainers.WordLevelTrainer(
        vocab_size=2**31 if max_vocab_size is None else max_vocab_size,
        min_frequency=min_frequency,
        special_tokens=[_PAD, _UNK, mask_token],
        show_progress=False,
    )
    num_special_tokens = len(tokenizer)
    # Training splits at words before it looks for special tokens, so it would count the letters within a mask token.
    unmasked = (text.replace(mask_token, " ") for batch in _batches(texts) for text in batch)
    tokenizer.backend_tokenizer.train_from_iterator(unmasked, trainer)
    if len(tokenizer) <= num_special_tokens:
        raise ValueError(
            f"No word of texts is left with min_frequency={min_frequency} and max_vocab_size={max_vocab_size} "
            f"({num_special_tokens} of them special tokens). Pass more texts, or change these two."
        )
    return tokenizer


def word_tokenizer_from_words(words: Iterable[str], *, mask_token: str = "[MASK]") -> PreTrainedTokenizerFast:
    """Make a tokenizer whose vocabulary is a list of words, such as those of a word-vector file.

    It splits texts as that of `train_word_tokenizer` does. Entries that no text can be split into, because they are
    not lower-case or hold a space, are left out: each would be an embedding that is never read.

    Args:
        words: The words, in the order of their ids. Of equal ones the first counts.
        mask_token: One token wherever it stands, though everything else is lower-cased.

    Returns:
        The student's tokenizer. The ids are `[PAD]` 0, `[UNK]` 1, the mask token 2, then the words.

    Raises:
        TypeError: If `words` is one string, or holds what is no text.
        ValueError: If no word is left.
    """
    splitter = _word_tokenizer([], mask_token).backend_tokenizer
    listed = list(dict.fromkeys(chain.from_iterable(_batches(words))))
    kept = [word for word in listed if _words(splitter, word) == [word]]
    if not kept:
        raise ValueError(f"No word is left of the {len(listed)} given. Pass lower-case words without spaces.")
    logger.info("Kept %d of %d words; no text can be split into the others.", len(kept), len(listed))
    return _word_tokenizer(kept, mask_token)


def _word_tokenizer(words: Iterable[str], mask_token: str) -> PreTrainedTokenizerFast:
    vocabulary = dict.fromkeys([_PAD, _UNK, mask_token, *words])
    ids = {word: index for index, word in enumerate(vocabulary)}
    backend = Tokenizer(models.WordLevel(ids, unk_token=_UNK))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("\u2019", "'"),  # the typographic apostrophe: it's
            normalizers.BertNormalizer(strip_accents=False, lowercase=True),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),  # no word has a space in it; this says so to `WordLookup`
            pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True),
        ]
    )
    return _student_tokenizer(
        backend, model_max_length=_DEFAULT_MAX_LENGTH, pad_token=_PAD, unk_token=_UNK, mask_token=mask_token
    )


def _student_tokenizer(backend: Tokenizer, **arguments: Any) -> PreTrainedTokenizerFast:
    backend.post_processor = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        padding_side="right",
        clean_up_tokenization_spaces=False,
        **arguments,
    )


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield texts a thousand at a time. Inside the tokenizer, the error on one that is no text would not say which."""
    if isinstance(texts, str):
        check_strings(texts)  # raises
    remaining, first_row = iter(texts), 0
    while batch := list(islice(remaining, _BATCH_SIZE)):
        check_strings(batch, first_row=first_row)
        yield batch
        first_row += len(batch)


def _words(backend: Tokenizer, text: str) -> list[str]:
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))]


def _seen_tokens(backend: Tokenizer, texts: Iterable[str]) -> set[str]:
    """Return the tokens that the teacher splits `texts` into, and those that decide that a word is unknown."""
    model = backend.model
    unknown_id = backend.token_to_id(model.unk_token) if isinstance(model, models.WordPiece) else None
    seen_ids: set[int] = set()
    seen_before_unknown: set[str] = set()
    for batch in _batches(texts):
        batch_ids = [encoding.ids for encoding in backend.encode_batch_fast(batch, add_special_tokens=False)]
        seen_ids.update(chain.from_iterable(batch_ids))
        if unknown_id is not None and unknown_id in seen_ids:
            for text, ids in zip(batch, batch_ids, strict=True):
                if unknown_id in ids:
                    seen_before_unknown.update(_pieces_before_unknown(backend, text))
    return {token for token, index in backend.get_vocab().items() if index in seen_ids} | seen_before_unknown


def _pieces_before_unknown(backend: Tokenizer, text: str) -> Iterator[str]:
    """Yield the pieces that WordPiece finds in an unknown word before it gets stuck.

    It takes the longest piece each time. Without these, it would go on with shorter ones and might come through.
    """
    model = backend.model
    encoding = backend.encode(text, add_special_tokens=False)
    for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
        word = backend.normalizer.normalize_str(text[start:end]) if backend.normalizer else text[start:end]
        if token != model.unk_token or len(word) > model.max_input_chars_per_word:
            continue
        prefix = ""
        while word:
            lengths = range(len(word), 0, -1)
            longest = next((n for n in lengths if model.token_to_id(prefix + word[:n]) is not None), None)
            if longest is None:
                break
            yield prefix + word[:longest]
            prefix, word = model.continuing_subword_prefix, word[longest:]


def _model_vocabulary(model: dict[str, Any]) -> dict[str, int]:
    if model["type"] == "Unigram":
        return {token: index for index, (token, _) in enumerate(model["vocab"])}
    vocabulary: dict[str, int] = model["vocab"]
    return vocabulary


def _unknown_token(model: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the token for what the vocabulary lacks, or "" for a BPE that has none."""
    if model["type"] == "Unigram" and model["unk_id"] is None:
        return str(tokenizer.unk_token or _UNK)
    if model["type"] == "Unigram":
        return str(model["vocab"][model["unk_id"]][0])
    return model["unk_token"] or ""


def _renumbered(added_tokens: list[dict[str, Any]], vocabulary: dict[str, int], seen: set[str]) -> list[dict[str, Any]]:
    """Return the added tokens that are needed, with their new ids: after the model's own, in the teacher's order."""
    needed = [token for token in added_tokens if token["content"] in vocabulary or token["content"] in seen]
    outside = [token["content"] for token in needed if token["content"] not in vocabulary]
    ids = vocabulary | {content: len(vocabulary) + place for place, content in enumerate(outside)}
    return sorted(({**token, "id": ids[token["content"]]} for token in needed), key=lambda token: token["id"])


def _trim_words(model: dict[str, Any], special: list[str], pieces: set[str], unknown: str) -> None:
    old = model["vocab"]
    model["vocab"] = {token: index for index, token in enumerate([*special, *sorted(pieces, key=old.__getitem__)])}


def _trim_bpe(model: dict[str, Any], special: list[str], pieces: set[str], unknown: str) -> None:
    prefix, suffix = model["continuing_subword_prefix"] or "", model["end_of_word_suffix"] or ""
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    kept, kept_ranks = pieces.copy(), set[int]()
    for piece in pieces:
        symbols, used = _steps_of_bpe(piece, ranks, prefix, suffix)
        kept |= symbols
        kept_ranks |= used
    if not unknown:  # a character that is not in the vocabulary would vanish from the text, so keep the alphabet
        kept |= {token for token in model["vocab"] if len(token) == 1}
    model["merges"] = [model["merges"][rank] for rank in sorted(kept_ranks)]
    _trim_words(model, special, kept.difference(special), unknown)


def _steps_of_bpe(piece: str, ranks: dict[tuple[str, ...], int], prefix: str, suffix: str) -> tuple[set[str], set[int]]:
    """Return the pieces that lead from the characters of `piece` to it, and the ranks of the merges."""
    characters = piece.removeprefix(prefix).removesuffix(suffix)
    symbols = [prefix + character for character in characters]
    if symbols:
        symbols[0] = symbols[0] if piece.startswith(prefix) else characters[0]
        symbols[-1] += suffix if piece.endswith(suffix) else ""
    passed, used = set(symbols), set()
    while len(symbols) > 1:
        rank, place = min((ranks.get(pair, len(ranks)), place) for place, pair in enumerate(pairwise(symbols)))
        if rank == len(ranks):  # no merges lead to it: a byte (`<0x0A>`), or a whole word that is looked up as it is
            return set(), set()
        symbols[place : place + 2] = [symbols[place] + symbols[place + 1][len(prefix) :]]
        passed.add(symbols[place])
        used.add(rank)
    return passed, used


def _trim_unigram(model: dict[str, Any], special: list[str], pieces: set[str], unknown: str) -> None:
    old = _model_vocabulary(model)
    scores = dict(model["vocab"])
    # An unknown character costs 10 more than the least likely entry. Its own score is never read, so this keeps that
    # cost, and with it the split of texts with unknown characters, what it was.
    scores[unknown] = min(scores.values())
    tokens = [*special, *sorted(pieces, key=old.__getitem__)]
    model["vocab"] = [[token, scores.get(token, 0.0)] for token in tokens]
    model["unk_id"] = tokens.index(unknown)


_TRIM_MODEL = {"BPE": _trim_bpe, "Unigram": _trim_unigram, "WordLevel": _trim_words, "WordPiece": _trim_words}
