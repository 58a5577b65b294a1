"""The rules of augmentation over whole batches of texts: draws in arrays, copies put together from bytes.

The bytes of a batch lie one after the other, cut into pieces: gap, word, gap, word, ..., gap for each text. What is
drawn for a copy is a few of its words, and others to put there. All that stands between them is copied in one stretch.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_bilstm_distill.augmentation.deduplication import are_first, hash_texts
from hf_bilstm_distill.augmentation.draws import are_below, draw, first_key, integers_below
from hf_bilstm_distill.augmentation.word_pools import WordPools

_MAX_NGRAM = 5
_BLOCK = 2**19  # pieces of all copies that are worked on at once, which bounds the memory

# What the numbers of a copy are drawn for: whether it is cut, to which length, where; then two for each word.
_CUT, _LENGTH, _START, _FIRST_WORD = range(4)

# Whether the texts of a row are changed by its copies, in turn: of a pair the first, the second, both.
_TURNS = {1: np.array([[True]]), 2: np.array([[True, False], [False, True], [True, True]])}


@dataclass(frozen=True)
class Rules:
    """How many copies are made of a row, and what may happen to their words: see `HeuristicAugmenter`."""

    n_iter: int
    seed: int
    p_mask: float
    p_pos: float
    p_ngram: float
    mask_token: str
    pools: WordPools | None


class Copies(NamedTuple):
    """The rows of a batch, each followed by its copies."""

    rows: np.ndarray
    """Of which row of the batch each is."""
    is_copy: np.ndarray
    texts: list[pa.Array]
    """One array for each text of a row."""
    hashes: np.ndarray


class _Sentences(NamedTuple):
    """The texts of a batch, cut into pieces and laid out one after the other."""

    pieces: pa.Array
    piece_bytes: np.ndarray  # where each piece begins, and the last one ends
    first_pieces: np.ndarray  # of each text, and the end
    num_words: np.ndarray  # of each text
    # Of each word:
    row: np.ndarray
    position: np.ndarray
    piece: np.ndarray
    pool: np.ndarray  # -1 if nothing may take its place


class _Changes(NamedTuple):
    """What is drawn for the copies of a batch; copy 0 is the row itself."""

    copy: np.ndarray
    word: np.ndarray
    new: pa.Array
    # Of each copy and row, the words that are kept.
    begin: np.ndarray
    end: np.ndarray


def make_copies(texts: list[tuple[pa.Array, pa.Array | None]], row_numbers: np.ndarray, rules: Rules) -> Copies:
    """Make copies of the rows of a batch. Those that equal their row or one another are left out.

    Args:
        texts: For each text of a row an array of its pieces, lists of strings as `split_words` gives them, and one of
            the tags of its words, or None if no words are replaced.
        row_numbers: The numbers of the rows in their set, which the draws depend on.
        rules: What is done to them.

    Returns:
        The rows and their copies.
    """
    num_pieces = sum(len(pieces.flatten()) for pieces, _ in texts)
    block_size = 1 + len(row_numbers) * _BLOCK // (num_pieces * (rules.n_iter + 1))
    blocks = []
    for start in range(0, len(row_numbers), block_size):
        block = slice(start, start + block_size)
        of_block = [(pieces[block], tags if tags is None else tags[block]) for pieces, tags in texts]
        copies = _make_copies_of_block(of_block, row_numbers[block], rules)
        blocks.append(copies._replace(rows=copies.rows + start))
    rows, is_copy, columns, hashes = zip(*blocks, strict=True)
    return Copies(
        np.concatenate(rows),
        np.concatenate(is_copy),
        [pa.concat_arrays(column) for column in zip(*columns, strict=True)],
        np.concatenate(hashes),
    )


def _make_copies_of_block(
    texts: list[tuple[pa.Array, pa.Array | None]], row_numbers: np.ndarray, rules: Rules
) -> Copies:
    turns = np.zeros((rules.n_iter + 1, len(texts)), dtype=bool)
    turns[1:] = np.resize(_TURNS[len(texts)], (rules.n_iter, len(texts)))
    copy_keys = draw(draw(first_key(rules.seed), row_numbers), np.arange(rules.n_iter + 1)[:, None])
    layouts, all_changes = [], []
    is_changed = np.zeros(copy_keys.shape, dtype=bool)
    is_changed[0] = True
    for place, (pieces, tags) in enumerate(texts):
        sentences = _lay_out(pieces, tags, rules)
        changes = _draw_changes(sentences, draw(copy_keys, np.array([place])), turns[:, [place]], rules)
        is_changed[changes.copy, sentences.row[changes.word]] = True
        is_changed |= changes.end - changes.begin < sentences.num_words
        layouts.append(sentences)
        all_changes.append(changes)
    copies, rows = np.nonzero(is_changed)
    columns = [_put_together(*drawn, copies, rows) for drawn in zip(layouts, all_changes, strict=True)]
    hashes = hash_texts(columns)
    is_changed[copies, rows] = are_first(draw(hashes, rows))
    number = np.full(is_changed.shape, -1)
    number[copies, rows] = np.arange(len(copies))
    rows, copies = np.nonzero(is_changed.T)
    kept = number[copies, rows]
    return Copies(rows, copies > 0, [column.take(pa.array(kept)) for column in columns], hashes[kept])


def word_places(pieces: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where the words of some texts stand.

    Args:
        pieces: Lists of strings as `split_words` gives them.

    Returns:
        Of each word of each text, the number of its text, its position in it, and its place among all pieces.
    """
    first_pieces = pieces.offsets.to_numpy().astype(np.int64)
    first_pieces -= first_pieces[0]
    num_words = np.diff(first_pieces) // 2
    row = np.repeat(np.arange(len(pieces)), num_words)
    position = np.arange(len(row)) - (np.cumsum(num_words) - num_words)[row]
    return row, position, first_pieces[row] + 2 * position + 1


def _lay_out(pieces: pa.Array, tags: pa.Array | None, rules: Rules) -> _Sentences:
    flat = pieces.flatten()
    row, position, piece = word_places(pieces)
    num_words = np.bincount(row, minlength=len(pieces))
    first_pieces = np.concatenate([[0], np.cumsum(2 * num_words + 1)])
    pool = np.full(len(row), -1)
    if rules.pools and tags is not None:
        is_mask = pc.equal(flat, rules.mask_token).to_numpy(zero_copy_only=False)[piece]
        pool = np.where(is_mask, -1, rules.pools.find(tags.flatten()))
    return _Sentences(flat, _byte_offsets(flat), first_pieces, num_words, row, position, piece, pool)


def _draw_changes(sentences: _Sentences, keys: np.ndarray, is_in_turn: np.ndarray, rules: Rules) -> _Changes:
    """Draw what is changed in each copy of each text.

    Args:
        sentences: The texts.
        keys: `(copies, texts)`.
        is_in_turn: Whether a copy changes these texts, `(copies, 1)`.
        rules: What may happen.

    Returns:
        The changes, in the order of copies, then of words.
    """
    draws = draw(keys[:, sentences.row], 2 * sentences.position + _FIRST_WORD)
    copy, word = np.nonzero(are_below(draws, min(1.0, rules.p_mask + rules.p_pos)) & is_in_turn)
    is_masked = are_below(draws[copy, word], rules.p_mask)
    can_change = is_masked | (sentences.pool[word] >= 0)
    copy, word, is_masked = copy[can_change], word[can_change], is_masked[can_change]
    new = pa.array([rules.mask_token]).take(pa.array(np.zeros(len(word), dtype=np.int64)))
    if rules.pools:
        other, of_copy = word[~is_masked], copy[~is_masked]
        other_keys = keys[of_copy, sentences.row[other]]
        words = rules.pools.draw_words(
            sentences.pool[other], draw(other_keys, 2 * sentences.position[other] + _FIRST_WORD + 1)
        )
        new = pc.replace_with_mask(new, pa.array(~is_masked), words)

    is_cut = are_below(draw(keys, np.array([_CUT])), rules.p_ngram) & is_in_turn
    length = 1 + integers_below(draw(keys, np.array([_LENGTH])), _MAX_NGRAM)
    is_cut &= length < sentences.num_words
    start = integers_below(draw(keys, np.array([_START])), sentences.num_words - length + 1)
    begin = np.where(is_cut, start, 0)
    end = np.where(is_cut, start + length, sentences.num_words)
    return _Changes(copy, word, new, begin, end)


def _put_together(sentences: _Sentences, changes: _Changes, copies: np.ndarray, rows: np.ndarray) -> pa.Array:
    """Return the texts of some copies of some rows.

    Args:
        sentences: The texts of the rows.
        changes: What is drawn for their copies.
        copies: The copies to put together, in ascending order.
        rows: Their rows, in ascending order for each copy.

    Returns:
        As many texts.
    """
    begin, end = changes.begin[copies, rows], changes.end[copies, rows]
    is_cut = end - begin < sentences.num_words[rows]
    first = sentences.first_pieces[rows]
    first, last = (
        np.where(is_cut, first + 2 * begin + 1, first),
        np.where(is_cut, first + 2 * end, sentences.first_pieces[rows + 1]),
    )
    number = np.full(changes.begin.shape, -1)
    number[copies, rows] = np.arange(len(copies))
    of = number[changes.copy, sentences.row[changes.word]]
    piece = sentences.piece[changes.word]
    is_kept = (of >= 0) & (piece >= first[of]) & (piece < last[of])
    of, piece, new = of[is_kept], piece[is_kept], changes.new.filter(pa.array(is_kept))
    new = _keep_apart(sentences, new, piece, of, first[of], last[of])

    # A copy with k changes is 2k + 1 stretches of bytes: of the text, of the first new word, of the text, ...
    num_changes = np.bincount(of, minlength=len(copies))
    last_stretch = 2 * np.cumsum(num_changes) + np.arange(len(copies))
    new_stretch = 2 * np.arange(len(of)) + of + 1
    text_bytes, new_bytes = _bytes(sentences.pieces), _bytes(new)
    new_begins = _byte_offsets(new) + len(text_bytes)
    begins, ends = np.empty((2, 2 * len(of) + len(copies)), dtype=np.int64)
    begins[last_stretch - 2 * num_changes] = sentences.piece_bytes[first]
    ends[last_stretch] = sentences.piece_bytes[last]
    ends[new_stretch - 1] = sentences.piece_bytes[piece]
    begins[new_stretch], ends[new_stretch] = new_begins[:-1], new_begins[1:]
    begins[new_stretch + 1] = sentences.piece_bytes[piece + 1]
    return _join(np.concatenate([text_bytes, new_bytes]), begins, ends, last_stretch)


def _keep_apart(
    sentences: _Sentences, new: pa.Array, piece: np.ndarray, of: np.ndarray, first: np.ndarray, last: np.ndarray
) -> pa.Array:
    """Return the new words, with a space where one would grow together with its neighbour (do|n't)."""
    has_gap = np.diff(sentences.piece_bytes) > 0
    follows = np.zeros(len(of) + 1, dtype=bool)  # whether the word before is a new one too
    follows[1:-1] = (np.diff(of) == 0) & (np.diff(piece) == 2)
    after_other, before_other = piece - 2 >= first, (piece + 2 < last) & ~follows[1:]
    touches_left = np.flatnonzero(after_other & ~has_gap[piece - 1])
    touches_right = np.flatnonzero(before_other & ~has_gap[np.minimum(piece + 1, len(has_gap) - 1)])
    if not len(touches_left) and not len(touches_right):
        return new
    words = pa.concat_arrays([sentences.pieces, new])
    number = np.arange(len(of)) + len(sentences.pieces)
    left = np.where(follows[:-1], number - 1, piece - 2)
    is_apart = np.zeros((2, len(of)), dtype=bool)
    is_apart[0, touches_left] = _grow_together(words, left[touches_left], number[touches_left])
    is_apart[1, touches_right] = _grow_together(words, number[touches_right], piece[touches_right] + 2)
    has_space = is_apart.any(axis=0)
    before, after = (pc.if_else(pa.array(side), " ", "") for side in is_apart[:, has_space])
    spaced = pc.binary_join_element_wise(before, new.filter(pa.array(has_space)), after, "")
    return pc.replace_with_mask(new, pa.array(has_space), spaced)


def _grow_together(words: pa.Array, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    ends = pc.utf8_slice_codeunits(words.take(pa.array(left)), -1)
    begins = pc.utf8_slice_codeunits(words.take(pa.array(right)), 0, 1)
    return pc.and_(pc.utf8_is_alnum(ends), pc.utf8_is_alnum(begins)).to_numpy(zero_copy_only=False)


def _join(source: np.ndarray, begins: np.ndarray, ends: np.ndarray, last_stretch: np.ndarray) -> pa.Array:
    """Return texts made of stretches of bytes, one after the other."""
    sizes = ends - begins
    stops = np.cumsum(sizes)
    places = np.repeat(begins - stops + sizes, sizes)
    places += np.arange(len(places))
    offsets = np.concatenate([[0], stops[last_stretch]]).astype(np.int32)
    return pa.StringArray.from_buffers(len(last_stretch), pa.py_buffer(offsets), pa.py_buffer(source[places]))


def _byte_offsets(strings: pa.Array) -> np.ndarray:
    """Return where each string begins, and the last one ends, among the bytes of them all."""
    offsets = np.zeros(len(strings) + 1, dtype=np.int64)
    np.cumsum(pc.binary_length(strings).to_numpy(), out=offsets[1:])
    return offsets


def _bytes(strings: pa.Array) -> np.ndarray:
    """Return the bytes of all strings, without copying them."""
    _, offsets, data = strings.buffers()
    if data is None or not len(strings):
        return np.empty(0, dtype=np.uint8)
    begin, end = np.frombuffer(offsets, dtype=np.int32)[[strings.offset, strings.offset + len(strings)]]
    return np.frombuffer(data, dtype=np.uint8)[begin:end]
