"""Signs of what runs without an error and is probably a mistake: each is counted, and told with the way out."""

import os
from collections.abc import Iterable, Sequence

import pyarrow.compute as pc
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from hf_bilstm_distill.transfer_set import TEXT, text_columns

logger = logging.get_logger(__name__)

_CUT_SHARE = 0.01
_UNKNOWN_SHARE = 0.2  # a teacher without a mask token has about 0.1 in augmented copies
_PHRASE_SHARE = 0.05
_WORDS_OF_A_PHRASE = 4  # shorter ones stand in many texts by chance
_UNUSED_ROWS = 0.04  # of an embedding table: some are rounded up


def warn_of_cut_texts(num_cut: int, num_texts: int, max_length: int) -> None:
    """Tell how many texts were cut at the longest length, as a warning from one in a hundred on.

    Args:
        num_cut: Texts that were cut.
        num_texts: All texts.
        max_length: The longest length in tokens.
    """
    if num_cut:
        tell = logger.warning if num_cut >= _CUT_SHARE * num_texts else logger.info
        tell(
            f"{num_cut} of {num_texts} texts ({num_cut / num_texts:.1%}) are longer than {max_length} tokens: the rest "
            "of them is not read. Raise max_length to read more."
        )


def warn_of_unknown_tokens(encoded: Dataset, tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn if a vocabulary misses much of a set: a fifth of the tokens or more are the unknown one.

    Args:
        encoded: A set with the column `input_ids`.
        tokenizer: What made it.
    """
    if tokenizer.unk_token_id is None:
        return
    tokens = pc.list_flatten(encoded.with_format("arrow")["input_ids"][:])
    num_unknown = pc.sum(pc.equal(tokens, tokenizer.unk_token_id)).as_py() or 0
    if num_unknown >= _UNKNOWN_SHARE * max(1, len(tokens)):
        logger.warning(
            f"{num_unknown} of {len(tokens)} tokens ({num_unknown / len(tokens):.1%}) are {tokenizer.unk_token}: the "
            f"vocabulary of {len(tokenizer)} tokens misses much of these texts. Is it of their language? Make one of "
            "the texts themselves (trim_tokenizer, train_word_tokenizer)."
        )


def warn_of_foreign_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Warn if a tokenizer does not look like the model's own: it would read every text wrongly, without an error.

    Args:
        tokenizer: The tokenizer.
        model: The model.
    """
    num_tokens, num_rows = len(tokenizer), model.get_input_embeddings().get_parameter("weight").shape[0]
    pads = (tokenizer.pad_token_id, getattr(model.config, "pad_token_id", None))
    is_other_padding = None not in pads and pads[0] != pads[1]
    if is_other_padding or not (1 - _UNUSED_ROWS) * num_rows <= num_tokens <= num_rows:
        logger.warning(
            f"The tokenizer has {num_tokens} tokens and pads with {pads[0]}, but the model has {num_rows} embeddings "
            f"and pads with {pads[1]}. If it is not the model's own, all logits are wrong: load both from one place."
        )


def warn_if_heavier(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Warn if a student has as many parameters as its teacher, or more.

    Args:
        student: The student.
        teacher: The teacher.
    """
    ours, theirs = student.num_parameters(), teacher.num_parameters()
    if ours >= theirs:
        table = student.get_input_embeddings().get_parameter("weight").numel()
        logger.warning(
            f"The student has {ours:,} parameters, its teacher {theirs:,}: nothing gets smaller. {table:,} of the "
            "student's are its embedding table; a smaller vocabulary or embedding_dim makes it light."
        )


def check_world_size(num_processes: int) -> None:
    """Stop if a launcher started more processes than know of each other.

    Args:
        num_processes: How many know of each other.

    Raises:
        RuntimeError: If the launcher started more.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if num_processes < launched:
        raise RuntimeError(
            f"The launcher started {launched} processes, but they don't know of each other, and each would do all of "
            "the work. On a CPU let the script begin with accelerate.PartialState(cpu=True), or pass use_cpu=True to "
            "the training arguments."
        )


def check_symmetry(tokenizer: PreTrainedTokenizerBase) -> None:
    """Stop unless a sentence has the same tokens alone, as the first and as the second of a pair.

    Args:
        tokenizer: The tokenizer.

    Raises:
        ValueError: If it has not: a sentence would have no vector of its own.
    """
    alone = tokenizer(["a"])["input_ids"][0]
    pair = tokenizer(["a"], ["a"], return_token_type_ids=True)
    tokens = list(zip(pair["input_ids"][0], pair["token_type_ids"][0], strict=True))
    if any([token for token, place in tokens if place == sentence] != alone for sentence in (0, 1)):
        raise ValueError(
            f"The tokenizer gives a sentence other tokens alone ({tokenizer.convert_ids_to_tokens(alone)}) than in a "
            f"pair ({tokenizer.convert_ids_to_tokens(pair['input_ids'][0])}, token types "
            f"{pair['token_type_ids'][0]}), so that it has no vector of its own. Train the student with a tokenizer of "
            "trim_tokenizer or train_word_tokenizer."
        )


def warn_of_leaks(training: Dataset, held_out: Dataset, name: str) -> None:
    """Warn if texts to measure on are among those to learn from, or are parts of them.

    Args:
        training: What the student learns from, without its augmented copies.
        held_out: What it is measured on.
        name: What to call that.
    """
    num_repeated = count_repeated(training, held_out)
    if num_repeated:
        logger.warning(
            f"{num_repeated} of {len(held_out)} rows ({num_repeated / len(held_out):.1%}) of {name} are training texts "
            "as well: the student is measured on what it has learned by heart. Take them out of one of the two."
        )
    if len(text_columns(held_out)) > 1:
        return
    num_parts = count_parts(training[TEXT][:], held_out[TEXT][:])
    if num_parts >= _PHRASE_SHARE * len(held_out):
        logger.warning(
            f"{num_parts} of {len(held_out)} rows ({num_parts / len(held_out):.1%}) of {name} stand within a training "
            "text: these seem to be phrases of the same sentences, split at random. Split by sentence, or take the "
            "data's own split."
        )


def count_repeated(training: Dataset, held_out: Dataset) -> int:
    """Count the rows that are training texts as well, up to case and white space.

    Args:
        training: Texts or pairs.
        held_out: The same.

    Returns:
        How many rows of `held_out`.
    """
    known = set(_normalized_rows(training))
    return sum(row in known for row in _normalized_rows(held_out))


def count_parts(training: Iterable[str], held_out: Sequence[str]) -> int:
    """Count the texts of four words or more that stand within a longer training text.

    Args:
        training: The training texts.
        held_out: The texts to look for.

    Returns:
        How many texts of `held_out`.
    """
    phrases: dict[tuple[str, ...], list[int]] = {}
    words_of = [tuple(text.casefold().split()) for text in held_out]
    for row, words in enumerate(words_of):
        if len(words) >= _WORDS_OF_A_PHRASE:
            phrases.setdefault(words[:_WORDS_OF_A_PHRASE], []).append(row)
    found: set[int] = set()
    for text in training:
        words = tuple(text.casefold().split())
        for start in range(len(words) - _WORDS_OF_A_PHRASE + 1):
            candidates = phrases.get(words[start : start + _WORDS_OF_A_PHRASE], ())
            found |= {row for row in candidates if _stands_at(words_of[row], words, start)}
    return len(found)


def _normalized_rows(dataset: Dataset) -> list[tuple[str, ...]]:
    columns = [[" ".join(text.casefold().split()) for text in dataset[column][:]] for column in text_columns(dataset)]
    return list(zip(*columns, strict=True))


def _stands_at(phrase: tuple[str, ...], words: tuple[str, ...], start: int) -> bool:
    return len(phrase) < len(words) and words[start : start + len(phrase)] == phrase
