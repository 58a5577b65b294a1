"""A student that starts from the wrong vectors, or a vector file that takes the machine down."""

import copy
import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from hf_bilstm_distill.embeddings import (
    EmbeddingTable,
    initialize_embeddings,
    random_vectors,
    read_words,
    vectors_from_file,
    vectors_from_teacher,
)

SPECIAL = ["[PAD]", "[UNK]", "[MASK]"]


def word_tokenizer(*words: str) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*SPECIAL, *words])}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]")


def row(table: EmbeddingTable, tokenizer: PreTrainedTokenizerFast, word: str) -> list[float]:
    return table.vectors[tokenizer.convert_tokens_to_ids(word)].tolist()


def binary(*rows: tuple[str, list[float]], header: str | None = None, newline: bool = False) -> bytes:
    content = (header or f"{len(rows)} {len(rows[0][1])}").encode() + b"\n"
    for word, numbers in rows:
        content += word.encode() + b" " + struct.pack(f"<{len(numbers)}f", *numbers) + b"\n" * newline
    return content


TEXT = "the 0.5 -1 2e-1\nfilm 1 2 3\nunused 7 8 9\n"
ROWS = [("the", [0.5, -1.0, 0.2]), ("film", [1.0, 2.0, 3.0]), ("unused", [7.0, 8.0, 9.0])]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("glove.txt", TEXT.encode(), id="glove"),
        pytest.param("cc.vec", b"3 3\n" + TEXT.replace("\n", " \n").encode(), id="header_and_trailing_space"),
        pytest.param("tabs.txt", TEXT.replace(" ", "\t").encode(), id="tabs"),
        pytest.param("crlf.txt", TEXT.replace("\n", "\r\n").encode(), id="crlf"),
        pytest.param("crlf_header.vec", b"3 3\r\n" + TEXT.replace("\n", "\r\n").encode(), id="crlf_and_header"),
        pytest.param("bom.txt", b"\xef\xbb\xbf" + TEXT.encode(), id="byte_order_mark"),
        pytest.param("bom.vec", b"\xef\xbb\xbf3 3\n" + TEXT.encode(), id="byte_order_mark_and_header"),
        pytest.param("last.txt", TEXT.rstrip().encode(), id="no_last_newline"),
        pytest.param("blank.txt", TEXT.encode() + b"\n\n", id="blank_lines_at_the_end"),
        pytest.param("cut.vec", b"2000000 3\n" + TEXT.encode(), id="head_of_a_larger_file"),
        pytest.param("glove.txt.gz", gzip.compress(TEXT.encode()), id="compressed"),
        pytest.param("news.bin", binary(*ROWS), id="binary"),
        pytest.param("news.bin", binary(*ROWS, newline=True), id="binary_with_newlines"),
        pytest.param("news.bin.gz", gzip.compress(binary(*ROWS)), id="compressed_binary"),
    ],
)
def test_all_formats_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    """A file as published gives an error, or vectors that are shifted by one."""
    path = tmp_path / name
    path.write_bytes(content)
    tokenizer = word_tokenizer("film", "missing", "the")
    table = vectors_from_file(path, tokenizer)
    assert table.vectors.dtype == torch.float32
    assert table.vectors.shape == (6, 3)
    assert row(table, tokenizer, "the") == pytest.approx([0.5, -1.0, 0.2])
    assert row(table, tokenizer, "film") == [1.0, 2.0, 3.0]
    assert row(table, tokenizer, "[PAD]") == [0.0, 0.0, 0.0]
    for word in ("missing", "[UNK]", "[MASK]"):
        assert 0 < max(map(abs, row(table, tokenizer, word))) < 0.25
    assert table.covered == 2
    assert table.coverage == pytest.approx(2 / 3)
    assert list(read_words(path)) == ["the", "film", "unused"]


def test_words_with_spaces_and_odd_characters(tmp_path: Path) -> None:
    """A published file such as GloVe 840B, which has the word ". . .", is refused or read wrongly."""
    path = tmp_path / "vectors.txt"
    words = [", ", ". . .", "at name@domain.com", "a\u00a0b", "\u2028", "é", "1", "2", "-0.5", "nan", "inf", "\u0085"]
    path.write_bytes(
        "".join(f"{word.strip(' ')} {n}.5 1\n" for n, word in enumerate(words)).encode() + b"\xff\xfe 1 1\n"
    )
    tokenizer = word_tokenizer(". . .", "é", "1", "-0.5", "a\u00a0b", "\u2028", "\u0085")
    table = vectors_from_file(path, tokenizer)
    assert list(read_words(path))[:-1] == [",", *words[1:]]
    firsts = [row(table, tokenizer, word)[0] for word in (". . .", "é", "1", "-0.5", "a\u00a0b", "\u2028", "\u0085")]
    assert firsts == [1.5, 5.5, 6.5, 8.5, 3.5, 4.5, 11.5]
    assert table.coverage == 1


def test_the_first_of_two_rows_counts(tmp_path: Path) -> None:
    """A repeated word (GloVe and word2vec files have some) takes the vector of the rarer spelling."""
    (tmp_path / "vectors.txt").write_text("the 1 1\nthe 2 2\n")
    tokenizer = word_tokenizer("the")
    table = vectors_from_file(tmp_path / "vectors.txt", tokenizer)
    assert row(table, tokenizer, "the") == [1.0, 1.0]
    assert table.covered == 1


@pytest.mark.parametrize("content", ["paris 1 1\nParis 2 2\nrome 3 3\n", "rome 3 3\nParis 2 2\nparis 1 1\n"])
def test_a_cased_token_prefers_its_own_vector_to_the_lower_cased(tmp_path: Path, content: str) -> None:
    """Cased tokens stay random beside a lower-cased file, or lose the vector of their own."""
    (tmp_path / "vectors.txt").write_text(content)
    tokenizer = word_tokenizer("Paris", "Rome", "rome")
    table = vectors_from_file(tmp_path / "vectors.txt", tokenizer)
    assert [row(table, tokenizer, word)[0] for word in ("Paris", "Rome", "rome")] == [2.0, 3.0, 3.0]
    assert table.covered == 3


def test_special_tokens_take_no_vector_of_a_word(tmp_path: Path) -> None:
    """Padding has a vector, or coverage exceeds one."""
    (tmp_path / "vectors.txt").write_text("[PAD] 9 9\n[UNK] 9 9\n[MASK] 9 9\nthe 1 1\n")
    table = vectors_from_file(tmp_path / "vectors.txt", word_tokenizer("the"))
    assert (table.vectors == 9).sum() == 0
    assert table.coverage == 1


LONG = 2_000_000
HOSTILE = {
    "empty": ("v.txt", b"", r"v\.txt is empty: expected lines"),
    "blank": ("v.txt", b"\n \n", r"v\.txt is empty: expected lines"),
    "only_a_header": ("v.vec", b"3 2\n", r"v\.vec is empty: expected lines"),
    "short_row": ("v.txt", b"the 1 2 3\nfilm 1 2\n", r"line 2: expected a word and 3 numbers, got 3 fields"),
    "short_row_after_header": ("v.vec", b"1 3\nthe 1 2\n", r"line 2: expected a word and 3 numbers, got 3 fields"),
    "long_row": ("v.txt", b"the 1 2\nfilm 1 2 3\n", r"line 2: expected a word and 2 numbers, got 4 fields"),
    "two_rows_in_a_line": ("v.txt", b"the 1 2\nfilm 1 2 the 3 4\n", r"line 2: expected a word and 2 numbers"),
    "no_word": ("v.txt", b"the 1 2\n 1 2\n", r"line 2: expected a word and 2 numbers, got 2 fields"),
    "no_number": ("v.txt", b"the 1 2\nfilm 1 x\n", r"line 2: expected numbers after the word 'film'"),
    "prose": ("v.txt", b"Call me Ishmael . Some years ago\n", r"line 1: expected numbers after the word 'Call'"),
    "one_field": ("v.txt", b"the\nfilm\n", r"line 1: expected vectors of 1 to 10000 numbers, got 0"),
    "nan": ("v.txt", b"the 1 2\nfilm 1 nan\n", r"line 2: expected finite numbers, but the word 'film'"),
    "infinity": ("v.txt", b"the 1 2\nfilm 1 -inf\n", r"line 2: expected finite numbers"),
    "beyond_float32": ("v.txt", b"the 1 2\nfilm 1 1e300\n", r"line 2: expected finite numbers"),
    "utf16": ("v.txt", "the 1 2\n".encode("utf-16"), r"line 1: expected"),
    "pickle": ("v.txt", b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n(S'x'\ntR.", r"line 1: expected"),
    "dim_of_zero": ("v.vec", b"5 0\nthe\n", r"line 1: expected vectors of 1 to 10000 numbers, got 0"),
    "dim_of_a_billion": ("v.vec", b"5 1000000000\nthe 1\n", r"line 1: expected vectors of 1 to 10000 .*got 1000000000"),
    "endless_line": ("v.txt", b"the 1 2\n" + b"film " * LONG, r"line 2: expected a word and its numbers, got over"),
    "endless_number": (
        "v.txt",
        b"the 1 2\nfilm 1 " + b"1" * LONG,
        r"line 2: expected a word and its numbers, got over",
    ),
    "endless_header": ("v.txt", b"1" * LONG, r"line 1: expected a word and its numbers, got over"),
    "huge_header_number": ("v.vec", b"1" * 5000 + b" 2\nthe 1 2\n", r"line 2: expected a word and 1 numbers"),
    "no_gzip": ("v.txt.gz", b"the 1 2\n", r"v\.txt\.gz is a broken gzip file"),
    "cut_gzip": ("v.txt.gz", gzip.compress(b"the 1 2\n" * 9)[:-9], r"v\.txt\.gz is a broken gzip file"),
    "torn_gzip": ("v.txt.gz", gzip.compress(b"the 1 2\n" * 9)[:12] + b"x" * 20, r"v\.txt\.gz is a broken gzip file"),
    "empty_binary": ("v.bin", b"", r"v\.bin, header: expected `rows dim`"),
    "binary_without_rows": ("v.bin", b"0 2\n", r"v\.bin is empty: expected rows"),
    "model_of_fasttext": ("v.bin", struct.pack("<iiii", 793712314, 12, 100, 5), r"header: expected .*\.vec file"),
    "binary_dim_of_a_billion": ("v.bin", b"5 1000000000\nthe ", r"header: expected vectors of 1 to 10000"),
    "binary_cut_in_a_vector": ("v.bin", binary(*ROWS)[:-1], r"row 3: the file ends here, .* 3 rows of 3 numbers"),
    "binary_cut_in_a_word": (
        "v.bin",
        binary(*ROWS)[:-14],
        r"row 3: expected a word with a space after it, got the end",
    ),
    "binary_cut_after_a_row": ("v.bin", binary(ROWS[0], header="2 3"), r"row 2: expected a word .* got the end"),
    "binary_with_10_to_the_12_rows": ("v.bin", binary(ROWS[0], header="1000000000000 3"), r"row 2: expected a word"),
    "binary_with_more_rows": ("v.bin", binary(*ROWS, header="2 3"), r"row 2: expected this row to be the last"),
    "binary_endless_word": ("v.bin", b"2 2\n" + b"x" * LONG, r"row 1: expected a word .* got over 10000 bytes"),
    "binary_nan": ("v.bin", binary(("the", [1.0, float("nan")])), r"row 1: expected finite numbers"),
    "binary_infinity": ("v.bin", binary(ROWS[0], ("film", [1.0, 2.0, float("inf")])), r"row 2: expected finite"),
}


@pytest.mark.parametrize(("name", "content", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_broken_file_is_refused_with_its_place(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """A broken or hostile file gives garbage vectors, takes all memory, or an error that does not say where."""
    path = tmp_path / name
    path.write_bytes(content)
    tokenizer = word_tokenizer("the", "film")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as refused:
            vectors_from_file(path, tokenizer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(path) in str(refused.value)
    assert len(str(refused.value)) < 500
    assert peak < 2_000_000


def test_the_words_of_a_text_that_is_no_vector_file_are_refused(tmp_path: Path) -> None:
    """A novel, named by mistake, becomes the vocabulary."""
    (tmp_path / "novel.txt").write_text("Call me Ishmael . Some years ago\n")
    with pytest.raises(ValueError, match="line 1: expected numbers after the word 'Call'"):
        list(read_words(tmp_path / "novel.txt"))


def test_a_text_header_of_10_to_the_12_rows_takes_no_memory(tmp_path: Path) -> None:
    """A header is believed, and the process is killed."""
    (tmp_path / "v.vec").write_text("1000000000000 3\nthe 1 2 3\n")
    tracemalloc.start()
    table = vectors_from_file(tmp_path / "v.vec", word_tokenizer("the"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.covered == 1
    assert peak < 2_000_000


def test_words_outside_the_vocabulary_take_no_memory(tmp_path: Path) -> None:
    """A file of gigabytes is held in memory for a vocabulary of a few thousand words."""
    numbers = " ".join(["0.12345"] * 100)
    (tmp_path / "v.txt").write_text("".join(f"word{n} {numbers}\n" for n in range(5000)) + f"the {numbers}\n")
    tracemalloc.start()
    table = vectors_from_file(tmp_path / "v.txt", word_tokenizer("the"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.covered == 1
    assert peak < 1_000_000  # the file has 4,000,000


@settings(max_examples=50, deadline=None)
@given(
    rows=st.dictionaries(
        st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8).filter(
            lambda word: word not in SPECIAL
        ),
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
        min_size=1,
    )
)
def test_text_and_binary_give_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: dict) -> None:
    """Numbers change, or words of other scripts are lost, between file and table."""
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "v.txt").write_bytes("".join(f"{w} {' '.join(map(repr, v))}\n" for w, v in rows.items()).encode())
    (folder / "v.bin").write_bytes(binary(*rows.items()))
    tokenizer = word_tokenizer(*rows)
    expected = torch.tensor(list(rows.values()), dtype=torch.float32)
    for name in ("v.txt", "v.bin"):
        assert list(read_words(folder / name)) == list(rows)
        assert torch.equal(vectors_from_file(folder / name, tokenizer).vectors[3:], expected)


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=80)
    | st.lists(
        st.sampled_from(
            [
                b"the",
                b"film",
                b" ",
                b"\n",
                b"1",
                b"-.5",
                b"nan",
                b"1e99",
                b"2 2\n",
                b"film 1\n",
                b"the nan\n",
                b"\x00",
                b"\xef\xbb\xbf",
            ]
        )
    ).map(b"".join),
    name=st.sampled_from(["v.txt", "v.bin", "v.txt.gz", "v.bin.gz"]),
)
def test_any_bytes_are_read_or_refused_with_their_place(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    """A broken file stops a run with an error of numpy's, or puts NaN into the student."""
    path = tmp_path_factory.mktemp("vectors") / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    refusal = None
    try:
        vectors = vectors_from_file(path, word_tokenizer("the", "film")).vectors
    except ValueError as error:
        refusal = str(error)
    assert str(path) in refusal if refusal else vectors.isfinite().all()


def test_the_seed_alone_decides_the_random_rows(tmp_path: Path) -> None:
    """Two runs with one seed start from different tables, or all seeds from one."""
    (tmp_path / "v.txt").write_text("the 1 2\n")
    tokenizer = word_tokenizer("the", "film")
    torch.manual_seed(1)
    first = vectors_from_file(tmp_path / "v.txt", tokenizer)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(vectors_from_file(tmp_path / "v.txt", tokenizer).vectors, first.vectors)
    assert not torch.equal(vectors_from_file(tmp_path / "v.txt", tokenizer, seed=1).vectors, first.vectors)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_random_vectors_are_uniform() -> None:
    """The table has another spread than the paper's, or padding is a word."""
    tokenizer = word_tokenizer(*(f"word{n}" for n in range(2000)))
    table = random_vectors(tokenizer, 50, seed=3)
    assert (table.covered, table.coverage) == (0, 0)
    assert table.vectors[tokenizer.pad_token_id].abs().max() == 0
    entries = np.sort(table.vectors[1:].numpy().ravel())
    assert np.abs(entries - np.linspace(-0.25, 0.25, len(entries))).max() < 0.01
    assert torch.equal(random_vectors(tokenizer, 50, seed=3).vectors, table.vectors)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        random_vectors(tokenizer, 0)


# --- from the teacher

CORPUS = ["the movie was great", "a terrible , terrible film", "greatness of the films", "moving pictures"] * 3
WIDTH = 16


@pytest.fixture(scope="module")
def teacher_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<pad>", "[CLS]", "<unk>", "<mask>"]
    backend.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=60, special_tokens=special, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", cls_token="[CLS]", unk_token="<unk>", mask_token="<mask>"
    )


@pytest.fixture(scope="module")
def teacher(teacher_tokenizer: PreTrainedTokenizerFast) -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(teacher_tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    model = BertModel(config)
    scales = torch.linspace(0.2, 3, WIDTH)  # so that the components differ in variance
    model.get_input_embeddings().weight.data = torch.randn(len(teacher_tokenizer), WIDTH) * scales + 1
    return model


def distances(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows[:, None] - rows[None], axis=-1)


def trimmed(teacher_tokenizer: PreTrainedTokenizerFast) -> tuple[PreTrainedTokenizerFast, list[int]]:
    """Return a student's tokenizer with every other piece in another order, and the teacher's ids of its ids."""
    pieces = [piece for piece in sorted(teacher_tokenizer.get_vocab(), reverse=True) if piece[0] not in "<["][::2]
    vocabulary = ["<pad>", "<unk>", "<mask>", *pieces]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", mask_token="<mask>"
    )
    return tokenizer, [teacher_tokenizer.get_vocab()[piece] for piece in vocabulary]


def test_full_width_keeps_the_teachers_geometry(teacher, teacher_tokenizer) -> None:
    """Pieces take the rows of other pieces, or the reduction bends the space."""
    tokenizer, teacher_ids = trimmed(teacher_tokenizer)
    table = vectors_from_teacher(teacher, teacher_tokenizer, tokenizer, WIDTH)
    ours = distances(table.vectors.numpy()[1:])
    theirs = distances(teacher.get_input_embeddings().weight.detach().numpy()[teacher_ids[1:]])
    off_diagonal = ~np.eye(len(ours), dtype=bool)
    ratios = ours[off_diagonal] / theirs[off_diagonal]
    assert ratios.max() - ratios.min() < 1e-4 * ratios.mean()
    assert table.coverage == 1
    assert table.covered == len(tokenizer) - 3


def test_components_hold_the_most_variance(teacher, teacher_tokenizer) -> None:
    """The reduction keeps the wrong directions, so the student starts from noise."""
    tokenizer, teacher_ids = trimmed(teacher_tokenizer)
    table = vectors_from_teacher(teacher, teacher_tokenizer, tokenizer, 5)
    rows = teacher.get_input_embeddings().weight.detach().numpy()[teacher_ids[1:]].astype(np.float64)
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(rows.T)))[::-1]
    variances = table.vectors.numpy()[1:].astype(np.float64).var(axis=0)
    assert variances / variances.sum() == pytest.approx(eigenvalues[:5] / eigenvalues[:5].sum(), rel=1e-4)
    correlations = np.corrcoef(table.vectors.numpy()[1:].T)
    assert np.abs(correlations - np.eye(5)).max() < 1e-5


@pytest.mark.parametrize("embedding_dim", [1, 5, WIDTH])
def test_scale_is_that_of_uniform_vectors(teacher, teacher_tokenizer, embedding_dim: int) -> None:
    """The LSTM saturates, or hardly moves, at the teacher's own scale."""
    tokenizer, _ = trimmed(teacher_tokenizer)
    table = vectors_from_teacher(teacher, teacher_tokenizer, tokenizer, embedding_dim)
    assert table.vectors.dtype == torch.float32
    assert table.vectors[0].abs().max() == 0
    assert float(table.vectors[1:].std(correction=0)) == pytest.approx(0.25 / 3**0.5, rel=1e-5)
    assert table.vectors[1:].mean(dim=0).abs().max() < 1e-6


def test_a_word_takes_the_mean_of_its_pieces(teacher, teacher_tokenizer) -> None:
    """Words that the teacher splits start from noise, or from the first piece alone."""
    tokenizer = word_tokenizer("movie", "greats", "terribles", "film", "\u6620", "pictures", "a", "the", "of", "was")
    table = vectors_from_teacher(teacher, teacher_tokenizer, tokenizer, WIDTH, seed=5)
    weight = teacher.get_input_embeddings().weight.detach().numpy()
    theirs, ours = [], []
    for word in ("movie", "greats", "terribles", "film", "pictures", "a", "the", "of", "was"):
        pieces = teacher_tokenizer(word, add_special_tokens=False)["input_ids"]
        theirs.append(weight[pieces].mean(axis=0))
        ours.append(row(table, tokenizer, word))
    assert max(len(teacher_tokenizer.tokenize(word)) for word in ("greats", "terribles")) > 1
    special = [teacher_tokenizer.unk_token_id, teacher_tokenizer.mask_token_id]
    theirs, ours = np.array([*theirs, *weight[special]]), np.array([*ours, *table.vectors[1:3].tolist()])
    off_diagonal = ~np.eye(len(ours), dtype=bool)
    ratios = distances(ours)[off_diagonal] / distances(theirs)[off_diagonal]
    assert ratios.max() - ratios.min() < 1e-4 * ratios.mean()
    assert table.covered == 9  # the teacher does not know the character
    assert row(table, tokenizer, "\u6620") == row(random_vectors(tokenizer, WIDTH, seed=5), tokenizer, "\u6620")


def test_a_word_takes_the_piece_with_a_space_of_a_byte_level_teacher() -> None:
    """A word takes the rare piece that stands for it at the start of a text, or inside of another word."""
    vocabulary = ["<pad>", "m", "o", "Ġ", "mo", "Ġmo"]
    merges = [("m", "o"), ("Ġ", "mo")]
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    teacher_tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")
    config = BertConfig(vocab_size=6, hidden_size=2, num_hidden_layers=1, num_attention_heads=1, intermediate_size=2)
    model = BertModel(config)
    rows = torch.tensor([[9.0, 9.0], [1.0, 0.0], [3.0, 0.0], [7.0, 7.0], [5.0, 5.0], [0.0, 4.0]])
    model.get_input_embeddings().weight.data = rows
    tokenizer = word_tokenizer("mo", "m", "o")
    table = vectors_from_teacher(model, teacher_tokenizer, tokenizer, 2)
    # "m" and "o" have a space piece before them in both forms but not in the plain one, which is shorter.
    theirs, ours = distances(rows.numpy()[[5, 1, 2]]), distances(table.vectors.numpy()[3:])
    assert ours / ours.max() == pytest.approx(theirs / theirs.max(), abs=1e-5)


def test_components_point_the_same_way_on_every_machine(teacher, teacher_tokenizer) -> None:
    """Another linear-algebra library mirrors the table, so a run cannot be repeated elsewhere."""
    tokenizer, teacher_ids = trimmed(teacher_tokenizer)
    table = vectors_from_teacher(teacher, teacher_tokenizer, tokenizer, WIDTH)
    rows = teacher.get_input_embeddings().weight.detach().numpy()[teacher_ids[1:]].astype(np.float64)
    directions = np.linalg.lstsq(rows - rows.mean(axis=0), table.vectors.numpy()[1:], rcond=None)[0]
    assert (directions.max(axis=0) > -directions.min(axis=0)).all()


def test_the_teachers_table_is_the_same_each_time(teacher, teacher_tokenizer) -> None:
    """A resumed run starts from a mirrored table."""
    tokenizer, _ = trimmed(teacher_tokenizer)
    first, again = (vectors_from_teacher(teacher, teacher_tokenizer, tokenizer, 5) for _ in range(2))
    assert torch.equal(first.vectors, again.vectors)
    from_half = vectors_from_teacher(copy.deepcopy(teacher).bfloat16(), teacher_tokenizer, tokenizer, 5)
    assert from_half.vectors.dtype == torch.float32
    assert (from_half.vectors - first.vectors).abs().max() < 0.02  # a mirrored component would be far off
    assert teacher.get_input_embeddings().weight.requires_grad


def test_what_a_teacher_cannot_give_is_refused(teacher, teacher_tokenizer) -> None:
    """A mistake shows up as an error inside torch, or as a table of noise."""
    tokenizer, _ = trimmed(teacher_tokenizer)
    with pytest.raises(ValueError, match="width of the teacher's embeddings, got 17 and 16"):
        vectors_from_teacher(teacher, teacher_tokenizer, tokenizer, 17)
    with pytest.raises(ValueError, match="got 0 and 16"):
        vectors_from_teacher(teacher, teacher_tokenizer, tokenizer, 0)
    larger = word_tokenizer("the", *(f"word{n}" for n in range(100)))
    with pytest.raises(ValueError, match=f"has the id 10[0-9], but its model has {len(teacher_tokenizer)} embeddings"):
        vectors_from_teacher(teacher, larger, larger, 5)
    strange = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordPiece({"?": 0}, unk_token="?")))
    with pytest.raises(ValueError, match="knows none of the 1 tokens"):
        vectors_from_teacher(teacher, teacher_tokenizer, strange, 5)


# --- into the student


class MultichannelConfig(PreTrainedConfig):
    model_type = "multichannel_test"


class MultichannelModel(PreTrainedModel):
    config_class = MultichannelConfig
    base_model_prefix = "encoder"

    def __init__(self, config: MultichannelConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(5, 3, padding_idx=0)
        self.embed_tokens_static = nn.Embedding(5, 3, padding_idx=0)
        self.embed_tokens_static.weight.requires_grad_(False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embed_tokens


class MultichannelClassifier(PreTrainedModel):
    config_class = MultichannelConfig
    base_model_prefix = "encoder"

    def __init__(self, config: MultichannelConfig) -> None:
        super().__init__(config)
        self.encoder = MultichannelModel(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.embed_tokens


def test_both_tables_of_a_multichannel_student_are_set() -> None:
    """The frozen channel stays random, so it adds noise for ever."""
    model = MultichannelClassifier(MultichannelConfig())
    table = random_vectors(word_tokenizer("a", "b"), 3)
    initialize_embeddings(model, table)
    assert torch.equal(model.encoder.embed_tokens.weight, table.vectors)
    assert torch.equal(model.encoder.embed_tokens_static.weight, table.vectors)
    assert model.encoder.embed_tokens.weight.requires_grad
    assert not model.encoder.embed_tokens_static.weight.requires_grad
    with torch.no_grad():
        model.encoder.embed_tokens.weight += 1
    assert torch.equal(model.encoder.embed_tokens_static.weight, table.vectors)


def test_a_table_of_another_shape_is_refused(teacher) -> None:
    """A tokenizer that is not the student's fills its embeddings with rows of other words."""
    table = random_vectors(word_tokenizer("a"), WIDTH)
    before = teacher.get_input_embeddings().weight.detach().clone()
    with pytest.raises(ValueError, match=rf"shape \({len(before)}, 16\), the table has \(4, 16\)"):
        initialize_embeddings(teacher, table)
    assert torch.equal(teacher.get_input_embeddings().weight, before)
