"""The student's first embedding table: from a file of word vectors, from the teacher, or at random."""

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from tokenizers import models
from torch import Tensor
from torch.nn.functional import embedding_bag
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging

logger = logging.get_logger(__name__)

_BOUND = 0.25
"""Rows without a vector are uniform in (-0.25, 0.25), which is about the spread of word2vec's."""

# A file may claim or hold anything, so whatever is read at once has a bound.
_MAX_DIM = 10_000
_MAX_WORD_BYTES = 10_000
_MAX_LINE_BYTES = _MAX_WORD_BYTES + 32 * _MAX_DIM
_HEADER = re.compile(rb"\s*(\d{1,18})\s+(\d{1,18})\s*")
_NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """A first embedding table, and how much of it comes from its source.

    Attributes:
        vectors: `(vocab_size, embedding_dim)`, float32. The row of the padding token is zero.
        covered: How many tokens got a vector of the source, special tokens not counted.
        num_special_tokens: How many tokens of the vocabulary are special.
    """

    vectors: Tensor
    covered: int
    num_special_tokens: int

    @property
    def coverage(self) -> float:
        """The covered share of the vocabulary without its special tokens."""
        return self.covered / max(1, len(self.vectors) - self.num_special_tokens)


class _Row(NamedTuple):
    place: str
    word: str
    numbers: list[bytes] | bytes


def vectors_from_file(path: str | Path, tokenizer: PreTrainedTokenizerFast, *, seed: int = 0) -> EmbeddingTable:
    """Read the vectors of a vocabulary from a file in the format of GloVe, word2vec or fastText.

    A name that ends in `.bin` stands for word2vec's binary format, any other for text, with or without a header
    `rows dim`. A further `.gz` means that the file is compressed. The rows of other words are passed over: they take
    no memory, and their numbers are not looked at. Of two rows for one word the first counts. A token that is not in
    the file takes the vector of its lower-cased form.

    Args:
        path: The file.
        tokenizer: The student's tokenizer.
        seed: Draws the rows of special tokens and of tokens that are not in the file.

    Returns:
        The table, as wide as the vectors of the file.

    Source:
        Kim 2014 and Tang et al. 2019: uniform vectors for words that are not in the file.
    """
    # For each word of the file, the tokens that take its vector, and 1 if it is the token itself, 0 if lower-cased.
    takers: dict[str, list[tuple[int, int]]] = {}
    for token, index in _plain_tokens(tokenizer).items():
        takers.setdefault(token, []).append((index, 1))
        if token.lower() != token:
            takers.setdefault(token.lower(), []).append((index, 0))
    rows = _rows(Path(path))
    first = next(rows)
    vectors = _random_rows(tokenizer, len(_vector(first)), seed)
    found: dict[int, int] = {}
    for row in chain([first], rows):
        better = {index: exact for index, exact in takers.get(row.word, []) if exact > found.get(index, -1)}
        if better:
            vectors[list(better)] = torch.from_numpy(_vector(row))
            found |= better
    if not found:
        logger.warning("%s has none of the tokens. Check that it is in the language and case of the data.", path)
    return EmbeddingTable(vectors, len(found), _num_special_tokens(tokenizer))


def read_words(path: str | Path) -> Iterator[str]:
    """Iterate over the words of a file that `vectors_from_file` can read, in the file's order.

    Args:
        path: The file.

    Returns:
        The words. A broken file ends them with a ValueError.
    """
    return (row.word for row in _rows(Path(path)))


def vectors_from_teacher(
    teacher_model: PreTrainedModel,
    teacher_tokenizer: PreTrainedTokenizerBase,
    tokenizer: PreTrainedTokenizerFast,
    embedding_dim: int,
    *,
    seed: int = 0,
) -> EmbeddingTable:
    """Take the teacher's input embeddings, reduced to the student's width by their principal components.

    A piece takes the row of the same piece, and a word of a word-level student the mean row of the pieces that the
    teacher splits it into. The rows are centred, reduced, and scaled by one number to the standard deviation of
    uniform entries in (-0.25, 0.25), a scale that an LSTM trains well from.

    Args:
        teacher_model: The teacher.
        teacher_tokenizer: Its tokenizer.
        tokenizer: The student's tokenizer.
        embedding_dim: The width of the student's embeddings, at most that of the teacher's.
        seed: Draws the rows of tokens that the teacher does not know.

    Returns:
        The table.

    Raises:
        ValueError: If the student's embeddings are to be wider than the teacher's, if tokenizer and model of the
            teacher do not belong together, or if the teacher knows none of the tokens.
    """
    weight = input_embeddings(teacher_model)
    num_rows, width = weight.shape
    if not 1 <= embedding_dim <= width:
        raise ValueError(
            f"embedding_dim must be between 1 and the width of the teacher's embeddings, got {embedding_dim} and "
            f"{width}. Lower it, or start from random_vectors."
        )
    pieces = _teacher_pieces(teacher_tokenizer, tokenizer)
    last = max(chain.from_iterable(pieces), default=None)
    if last is None:
        raise ValueError(
            f"The teacher knows none of the {len(pieces)} tokens. Trim its own tokenizer for the student, or start "
            "from random_vectors."
        )
    if last >= num_rows:
        raise ValueError(
            f"The teacher's tokenizer has the id {last}, but its model has {num_rows} embeddings. Load "
            "both from one place."
        )
    is_known = torch.tensor([bool(ids) for ids in pieces])
    rows = mean_rows(weight, pieces)[is_known]
    vectors = _random_rows(tokenizer, embedding_dim, seed)
    vectors[is_known] = _reduced(rows, embedding_dim)
    covered = sum(bool(pieces[index]) for index in _plain_tokens(tokenizer).values())
    return EmbeddingTable(vectors, covered, _num_special_tokens(tokenizer))


def input_embeddings(model: PreTrainedModel) -> Tensor:
    """Return a model's input embeddings.

    Args:
        model: The model. It is left as it is.

    Returns:
        `(vocab_size, width)`, float32, on the CPU.
    """
    return model.get_input_embeddings().get_parameter("weight").detach().to("cpu", torch.float32)


def mean_rows(weight: Tensor, pieces: Sequence[Sequence[int]]) -> Tensor:
    """Return the mean of some rows of a table for each of several words.

    Args:
        weight: The table, `(vocab_size, width)`.
        pieces: For each word the ids of its pieces. The mean of none is zero.

    Returns:
        `(words, width)`.
    """
    starts = torch.tensor([0, *accumulate(map(len, pieces))][:-1], dtype=torch.long)
    return embedding_bag(torch.tensor([*chain.from_iterable(pieces)], dtype=torch.long), weight, starts, mode="mean")


def random_vectors(tokenizer: PreTrainedTokenizerFast, embedding_dim: int, *, seed: int = 0) -> EmbeddingTable:
    """Draw a table from the uniform distribution in (-0.25, 0.25).

    Args:
        tokenizer: The student's tokenizer.
        embedding_dim: The width of the student's embeddings.
        seed: Draws the table.

    Returns:
        The table; no token of it is covered.

    Raises:
        ValueError: If `embedding_dim` is not positive.
    """
    if embedding_dim < 1:
        raise ValueError(f"embedding_dim must be at least 1, got {embedding_dim}.")
    return EmbeddingTable(_random_rows(tokenizer, embedding_dim, seed), 0, _num_special_tokens(tokenizer))


def initialize_embeddings(model: PreTrainedModel, table: EmbeddingTable) -> None:
    """Copy a table into the student's embeddings, and into the frozen second ones of a multichannel student.

    Args:
        model: The student. It is changed in place.
        table: The first embedding table.

    Raises:
        ValueError: If the student's embeddings have another shape. Nothing is copied then.
    """
    frozen = getattr(model.base_model, "embed_tokens_static", None)
    tables = [module for module in (model.get_input_embeddings(), frozen) if module is not None]
    weights = [cast(torch.Tensor, module.weight) for module in tables]  # a parameter; in the frozen table a buffer
    for weight in weights:
        if weight.shape != table.vectors.shape:
            raise ValueError(
                f"The student's embeddings have the shape {tuple(weight.shape)}, the table has "
                f"{tuple(table.vectors.shape)}. Set vocab_size and embedding_dim of its config to the latter."
            )
    with torch.no_grad():
        for weight in weights:
            weight.copy_(table.vectors)
    logger.info("%d tokens (%.1f %%) start from a vector of the source.", table.covered, 100 * table.coverage)


def _plain_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    special = set(tokenizer.all_special_tokens)
    return {token: index for token, index in tokenizer.get_vocab().items() if token not in special}


def _num_special_tokens(tokenizer: PreTrainedTokenizerFast) -> int:
    return len(tokenizer) - len(_plain_tokens(tokenizer))


def _random_rows(tokenizer: PreTrainedTokenizerFast, embedding_dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.empty(len(tokenizer), embedding_dim).uniform_(-_BOUND, _BOUND, generator=generator)
    if tokenizer.pad_token_id is not None:
        rows[tokenizer.pad_token_id] = 0
    return rows


def _teacher_pieces(teacher_tokenizer: PreTrainedTokenizerBase, tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Return for each of the student's ids the teacher's ids that it stands for; none for the padding token."""
    teacher_ids = teacher_tokenizer.get_vocab()
    pieces: list[list[int]] = [[] for _ in range(len(tokenizer))]
    tokens = _plain_tokens(tokenizer)
    splits: Iterable[list[int]] = ([teacher_ids[token]] if token in teacher_ids else [] for token in tokens)
    if tokens and isinstance(tokenizer.backend_tokenizer.model, models.WordLevel):
        splits = _split(teacher_tokenizer, list(tokens))
    for index, ids in zip(tokens.values(), splits, strict=True):
        pieces[index] = ids
    own_ids = tokenizer.get_vocab()
    roles = {token: role for role, token in tokenizer.special_tokens_map.items()}
    for token in tokenizer.all_special_tokens:
        same = teacher_tokenizer.special_tokens_map.get(roles.get(token, ""), token)
        if same in teacher_ids and token != tokenizer.pad_token:
            pieces[own_ids[token]] = [teacher_ids[same]]
    return pieces


def _split(teacher_tokenizer: PreTrainedTokenizerBase, words: list[str]) -> Iterator[list[int]]:
    """Yield the ids of the pieces of each word as it stands within a text, without unknown ones."""
    # Byte-level pieces hold the space before a word, while some tokenizers put one there themselves. So try both.
    spaced, plain = (
        teacher_tokenizer([space + word for word in words], add_special_tokens=False)["input_ids"]
        for space in (" ", "")
    )
    for pair in zip(spaced, plain, strict=True):
        yield [index for index in min(pair, key=len) if index != teacher_tokenizer.unk_token_id]


def _reduced(rows: Tensor, embedding_dim: int) -> Tensor:
    """Return the first principal components of `rows`, scaled."""
    centred = rows.double()
    centred -= centred.mean(dim=0)
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors  # by rising variance
    directions = directions.flip(1)[:, :embedding_dim]
    # A direction is as good as its opposite. Make the largest entry positive, so that all machines choose the same.
    directions = directions * directions.gather(0, directions.abs().argmax(dim=0, keepdim=True)).sign()
    components = centred @ directions
    scale = _BOUND / 3**0.5 / components.std(correction=0).clamp(min=1e-12)
    return (components * scale).float()


def _rows(path: Path) -> Iterator[_Row]:
    """Read a file of word vectors row by row: at least one, and the numbers of the first are sound."""
    compressed = path.suffix == ".gz"
    is_binary = (path.with_suffix("") if compressed else path).suffix == ".bin"
    with gzip.open(path) if compressed else path.open("rb") as file:
        rows = _binary_rows(file, path) if is_binary else _text_rows(file, path)
        try:
            first = next(rows)
            _vector(first)
            yield first
            yield from rows
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is a broken gzip file: {error}. Fetch it again.") from error


def _vector(row: _Row) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused below
            if isinstance(row.numbers, bytes):
                vector = np.frombuffer(row.numbers, dtype="<f4").astype(np.float32)
            else:
                vector = np.array(row.numbers, dtype=np.float32)
    except ValueError as error:
        raise ValueError(f"{row.place}: expected numbers after the word {row.word[:40]!r}, but {error}.") from error
    if not np.isfinite(vector).all():
        raise ValueError(f"{row.place}: expected finite numbers, but the word {row.word[:40]!r} has NaN or infinity.")
    return vector


def _check_dim(dim: int, place: str) -> int:
    if not 1 <= dim <= _MAX_DIM:
        raise ValueError(f"{place}: expected vectors of 1 to {_MAX_DIM} numbers, got {dim}. Is this a vector file?")
    return dim


def _text_rows(file: io.BufferedIOBase, path: Path) -> Iterator[_Row]:
    claimed = dim = None
    count = 0
    for number, line in enumerate(_lines(file, path), start=1):
        place = f"{path}, line {number}"
        if number == 1 and (header := _HEADER.fullmatch(line)):
            claimed, dim = int(header[1]), _check_dim(int(header[2]), place)
        elif line.strip():
            dim = dim or _check_dim(len(line.split()) - 1, place)
            count += 1
            yield _text_row(line, dim, place)
    if not count:
        raise ValueError(f"{path} is empty: expected lines of a word and its numbers.")
    if claimed is not None and claimed != count:
        logger.warning("%s has %d rows, but its first line says %d. Is it whole?", path, count, claimed)


def _lines(file: io.BufferedIOBase, path: Path) -> Iterator[bytes]:
    line = file.readline(_MAX_LINE_BYTES + 1).removeprefix(_BYTE_ORDER_MARK)
    number = 1
    while line:
        if len(line) > _MAX_LINE_BYTES:
            raise ValueError(
                f"{path}, line {number}: expected a word and its numbers, got over {_MAX_LINE_BYTES} bytes."
            )
        yield line
        line = file.readline(_MAX_LINE_BYTES + 1)
        number += 1


def _text_row(line: bytes, dim: int, place: str) -> _Row:
    fields = line.rsplit(None, dim)
    # A word may hold spaces (GloVe has ". . ."), but numbers in it are those of a row that is too long.
    if len(fields) <= dim or any(_NUMBER.fullmatch(field) for field in fields[0].split()[1:]):
        raise ValueError(f"{place}: expected a word and {dim} numbers, got {len(line.split())} fields.")
    return _Row(place, fields[0].strip().decode("utf-8", "replace"), fields[1:])


def _binary_rows(file: io.BufferedIOBase, path: Path) -> Iterator[_Row]:
    header = _HEADER.fullmatch(file.readline(64))
    if not header:
        raise ValueError(
            f"{path}, header: expected `rows dim` as in word2vec's binary files. If it is a model of fastText, pass "
            "its .vec file."
        )
    count, dim = int(header[1]), _check_dim(int(header[2]), f"{path}, header")
    if not count:
        raise ValueError(f"{path} is empty: expected rows of a word and its numbers.")
    for number in range(1, count + 1):
        place = f"{path}, row {number}"
        word = _binary_word(file, place)
        numbers = file.read(4 * dim)
        if len(numbers) < 4 * dim:
            raise ValueError(f"{place}: the file ends here, but its header says {count} rows of {dim} numbers.")
        yield _Row(place, word, numbers)
    if file.read(2).strip():
        raise ValueError(
            f"{path}, row {count}: expected this row to be the last, as the header says, but more follows."
        )


def _binary_word(file: io.BufferedIOBase, place: str) -> str:
    word = bytearray()
    while (byte := file.read(1)) != b" ":
        word += byte
        if not byte or len(word) > _MAX_WORD_BYTES:
            got = "the end of the file" if not byte else f"over {_MAX_WORD_BYTES} bytes"
            raise ValueError(f"{place}: expected a word with a space after it, got {got}.")
    return word.lstrip(b"\n").decode("utf-8", "replace")  # word2vec ends a row with a newline, others do not
