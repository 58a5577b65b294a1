"""A student that is fed other pieces than its teacher was, or that loses its tokenizer on the way to disk."""

import json
import random
import string
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

from hf_bilstm_distill.tokenization import train_word_tokenizer, trim_tokenizer, word_tokenizer_from_words

SENTENCES = [
    "a gorgeous , witty , seductive movie .",
    "the movie didn't work, and it's too long (by 20 minutes)!",
    "seldom has a film so closely matched the spirit of a man and his work",
    "unflinchingly bleak and desperate",
    "Allows us to hope that Nolan is poised to embark on a major career.",
    "It's slow -- very, very slow.",
    "although laced with humor and a few fanciful touches, the film is a refreshingly serious look at young women.",
    "Une comédie française naïve et charmante, déjà vue à Noël.",
    "Der Film ist überraschend gut, größer als erwartet.",
    "映画は とても 面白い です",
    "great 👍🏽 really great 😀 movie",
    "costs $3.50 at 10:30 a.m. in the U.S.\tand\nCanada",
    "a sometimes tedious film, tedious tediously tedium",
    "you won't like roger's direction unless you've seen his other films",
]
HALF = SENTENCES[::2]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def wordpiece_teacher() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[unused]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    ids = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ids)
    backend.decoder = decoders.WordPiece()
    backend.enable_truncation(8)
    backend.enable_padding(length=8)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def byte_level_teacher() -> PreTrainedTokenizerFast:
    """Like that of GPT-2: no padding token, and none for unknown bytes; the mask eats the space before it."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.ByteLevel()
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(vocab_size=500, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|end|>",
        unk_token="<|end|>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
    )


def metaspace_bpe_teacher() -> PreTrainedTokenizerFast:
    """Like that of Llama: sentencepiece's merges, and bytes for characters that it does not know."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    backend.train_from_iterator(
        [s for s in SENTENCES if s.isascii()],
        trainers.BpeTrainer(vocab_size=700, special_tokens=[*SPECIAL, *bytes_], show_progress=False),
    )
    definition = json.loads(backend.to_str())
    definition["added_tokens"] = [token for token in definition["added_tokens"] if token["content"] in SPECIAL]
    vocabulary = definition["model"]["vocab"]
    definition["model"]["merges"] = [  # sentencepiece's: every way to split a piece in two
        [piece[:cut], piece[cut:]]
        for piece in sorted(vocabulary, key=vocabulary.__getitem__)
        for cut in range(1, len(piece))
        if piece not in (*SPECIAL, *bytes_) and piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    return named_tokenizer(Tokenizer.from_str(json.dumps(definition)))


def suffix_bpe_teacher() -> PreTrainedTokenizerFast:
    """Like that of CLIP: the end of a word is marked."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, end_of_word_suffix="</w>", show_progress=False),
    )
    return named_tokenizer(backend)


def prefix_bpe_teacher() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=SPECIAL, continuing_subword_prefix="##", show_progress=False
        ),
    )
    return named_tokenizer(backend)


def unigram_teacher() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.train_from_iterator(
        SENTENCES,
        trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False),
    )
    return named_tokenizer(backend)


def word_level_teacher() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel(unk_token="<unk>"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.train_from_iterator(
        SENTENCES, trainers.WordLevelTrainer(vocab_size=100, special_tokens=SPECIAL, show_progress=False)
    )
    return named_tokenizer(backend)


def named_tokenizer(backend: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", bos_token="<s>"
    )


TEACHERS = {
    "wordpiece": wordpiece_teacher(),
    "byte_level": byte_level_teacher(),
    "metaspace_bpe": metaspace_bpe_teacher(),
    "suffix_bpe": suffix_bpe_teacher(),
    "prefix_bpe": prefix_bpe_teacher(),
    "unigram": unigram_teacher(),
    "word_level": word_level_teacher(),
}
each_teacher = pytest.mark.parametrize("teacher", TEACHERS.values(), ids=TEACHERS.keys())


def pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])


words = st.sampled_from(sorted({word for sentence in SENTENCES for word in sentence.split()}))
fragments = st.tuples(words, st.integers(0, 6), words).map(lambda parts: parts[0][: parts[1]] + parts[2])
masks = st.sampled_from(["<mask>", "[MASK]", "</s>", "[UNK]", "##a", "▁", "</w>", "<0x0A>"])
phrases = st.lists(words | fragments | masks | st.text(max_size=4), max_size=8).map(" ".join)


@each_teacher
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(phrases, min_size=1, max_size=6))
@example(texts=SENTENCES)
def test_texts_are_split_as_by_the_teacher(teacher: PreTrainedTokenizerFast, texts: list[str]) -> None:
    """The student reads other pieces than those whose logits it learns."""
    texts = [*texts, "the movie"]
    student = trim_tokenizer(teacher, texts)
    assert [pieces(student, text) for text in texts] == [pieces(teacher, text) for text in texts]


def test_a_word_that_wordpiece_gives_up_on_stays_unknown() -> None:
    """A word that is [UNK] for the teacher gets pieces in the student."""
    vocabulary = ["[UNK]", "[PAD]", "ab", "a", "c", "##bx", "##b"]
    backend = Tokenizer(models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    teacher = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")
    student = trim_tokenizer(teacher, ["abx a cbx"])
    assert pieces(student, "abx a cbx") == ["[UNK]", "a", "c", "##bx"]


def test_a_word_that_is_too_long_for_wordpiece_adds_nothing() -> None:
    """A web address of hundreds of characters, which is [UNK] anyway, fills the vocabulary."""
    student = trim_tokenizer(TEACHERS["wordpiece"], ["the movie", "man" * 100])
    assert set(student.get_vocab()) - set(student.all_special_tokens) == {"the", "movie"}
    assert pieces(student, "the " + "man" * 100) == ["the", "[UNK]"]


def test_the_cost_of_an_unknown_character_stays_in_unigram() -> None:
    """A rare piece of the teacher's, cut away, makes unknown characters cheaper and changes the split."""
    scores = {"<unk>": 0.0, "axy": -14.0, "bz": -14.0, "a": -1.0, "ybz": -2.0, "rare": -40.0}
    backend = Tokenizer(models.Unigram(list(scores.items()), unk_id=0))
    teacher = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    student = trim_tokenizer(teacher, ["axybz", "a", "ybz"])
    assert "rare" not in student.get_vocab()
    assert pieces(student, "axybz") == ["axy", "bz"]  # -28; a, unknown x and ybz have -3 and the unknown's cost


def test_only_the_merges_that_were_used_are_kept_in_bpe() -> None:
    """The student's vocabulary fills with pieces that no text contains."""
    vocabulary = ["[PAD]", "<unk>", *"abcd", "ab", "bc", "cd", "abc", "bcd", "abcd"]
    merges = [("a", "b"), ("b", "c"), ("c", "d"), ("ab", "c"), ("a", "bc"), ("b", "cd"), ("abc", "d"), ("ab", "cd")]
    backend = Tokenizer(models.BPE({t: i for i, t in enumerate(vocabulary)}, merges, unk_token="<unk>"))
    teacher = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="[PAD]")
    student = trim_tokenizer(teacher, ["abc"])  # (a b) c, then (ab c)
    assert student.convert_ids_to_tokens(range(len(student))) == ["[PAD]", "<unk>", "a", "b", "c", "ab", "abc"]
    assert json.loads(student.backend_tokenizer.to_str())["model"]["merges"] == [["a", "b"], ["ab", "c"]]


@each_teacher
def test_only_what_occurs_is_kept(teacher: PreTrainedTokenizerFast) -> None:
    """The embedding table is as large as the teacher's."""
    student = trim_tokenizer(teacher, HALF)
    occurring = {piece for text in HALF for piece in pieces(teacher, text)}
    assert occurring <= set(student.get_vocab()) <= set(teacher.get_vocab()) | {"[PAD]"}
    assert len(student) < len(teacher)
    if teacher in (TEACHERS["wordpiece"], TEACHERS["unigram"], TEACHERS["word_level"]):
        assert set(student.get_vocab()) == occurring | set(teacher.all_special_tokens)


@each_teacher
def test_ids_are_dense_and_the_padding_token_is_zero(teacher: PreTrainedTokenizerFast) -> None:
    """A token points past the embedding table, or padding is a word."""
    student = trim_tokenizer(teacher, HALF)
    assert sorted(student.get_vocab().values()) == list(range(len(student)))
    assert student.pad_token_id == 0
    special = set(student.all_special_tokens)
    assert special == {student.pad_token, *teacher.all_special_tokens}
    assert {student.convert_tokens_to_ids(token) for token in special} == set(range(len(special)))
    in_order = student.convert_ids_to_tokens(range(len(special), len(student)))
    assert in_order == sorted(in_order, key=teacher.get_vocab().__getitem__)


@each_teacher
def test_named_special_tokens_are_the_teachers(teacher: PreTrainedTokenizerFast) -> None:
    """Masked words of the augmentation are split at the bracket, or are words to the student."""
    student = trim_tokenizer(teacher, HALF)
    assert student.special_tokens_map == teacher.special_tokens_map | {"pad_token": teacher.pad_token or "[PAD]"}
    assert student.mask_token_id in student(f"the {teacher.mask_token} movie")["input_ids"]
    assert student.unk_token_id is not None


@each_teacher
def test_order_of_texts_does_not_matter(teacher: PreTrainedTokenizerFast) -> None:
    """The same data gives another vocabulary, so a checkpoint does not fit."""
    shuffled = random.Random(1).sample(HALF, len(HALF))
    student, again = trim_tokenizer(teacher, iter(HALF)), trim_tokenizer(teacher, shuffled * 2)
    assert student.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()


def test_the_teachers_tokenizer_stays_as_it_is() -> None:
    """Labelling after trimming gives other logits than before."""
    teacher = wordpiece_teacher()
    before = teacher.backend_tokenizer.to_str()
    trim_tokenizer(teacher, SENTENCES)
    assert teacher.backend_tokenizer.to_str() == before
    assert '"max_length":8' in before.replace(" ", "")


def test_long_texts_are_kept_whole_when_the_teacher_truncates() -> None:
    """Words past the teacher's saved truncation are missing from the vocabulary."""
    student = trim_tokenizer(wordpiece_teacher(), SENTENCES)
    assert student.backend_tokenizer.truncation is None
    assert student.backend_tokenizer.padding is None
    assert len(student(SENTENCES[6])["input_ids"]) > 8
    assert student.unk_token_id not in student(SENTENCES[6])["input_ids"]


@each_teacher
def test_pairs_padding_and_truncation(teacher: PreTrainedTokenizerFast) -> None:
    """A pair reaches the siamese student as one sentence, or with special tokens that it has no use for."""
    student = trim_tokenizer(teacher, SENTENCES)
    first, second = (student(text)["input_ids"] for text in ("a movie", "the film"))
    pair = student("a movie", "the film")
    assert pair["input_ids"] == first + second
    assert pair["token_type_ids"] == [0] * len(first) + [1] * len(second)
    batch = student(["a movie", "the film a movie " * 9], padding=True, truncation=True, max_length=len(first) + 1)
    assert batch["input_ids"][0] == [*first, 0]
    assert batch["attention_mask"][0] == [1] * len(first) + [0]
    assert len(batch["input_ids"][1]) == len(first) + 1


def test_a_new_text_loses_no_character_in_byte_level_bpe() -> None:
    """A word in a script that the transfer set lacks vanishes from the text."""
    teacher = TEACHERS["byte_level"]
    student = trim_tokenizer(teacher, ["a movie"])
    text = "žluťoučký 映画"
    assert student.decode(student(text)["input_ids"]) == text


def test_added_words_are_kept_if_they_occur() -> None:
    """A word that the user added to the teacher's vocabulary falls into pieces, or takes space for nothing."""
    teacher = wordpiece_teacher()
    teacher.add_tokens(["movie-goer", "never-seen"])
    student = trim_tokenizer(teacher, ["a movie-goer 's work"])
    assert pieces(student, "a movie-goer") == ["a", "movie-goer"]
    assert "never-seen" not in student.get_vocab()
    assert student.convert_tokens_to_ids("movie-goer") == len(student) - 1


def test_extra_special_tokens_stay_special() -> None:
    """A marker such as [ENTITY] is lost in trimming."""
    teacher = wordpiece_teacher()
    teacher.add_special_tokens({"extra_special_tokens": ["[ENTITY]"]})
    student = trim_tokenizer(teacher, ["the movie"])
    assert "[ENTITY]" in student.all_special_tokens
    assert pieces(student, "the [ENTITY] movie") == ["the", "[ENTITY]", "movie"]


def test_the_maximal_length_is_the_teachers_or_sane() -> None:
    """A teacher without a maximal length makes the student accept a text of any length."""
    assert trim_tokenizer(TEACHERS["wordpiece"], HALF).model_max_length == 64
    assert trim_tokenizer(TEACHERS["unigram"], HALF).model_max_length == 512


def test_a_unigram_without_an_unknown_token_gets_one() -> None:
    """A character that the transfer set lacks stops the student with an error."""
    backend = Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0), ("c", -3.0)]))
    student = trim_tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend), ["ab"])
    assert pieces(student, "acb") == ["a", "[UNK]", "b"]
    assert student.unk_token == "[UNK]"
    assert len(student) == 4


@pytest.mark.parametrize(
    ("tokenizer", "texts", "error", "message"),
    [
        pytest.param(ByT5Tokenizer(), ["a"], TypeError, "ByT5Tokenizer is not a fast tokenizer", id="slow"),
        pytest.param(TEACHERS["unigram"], "a movie", TypeError, "one string 'a movie'", id="one_string"),
        pytest.param(TEACHERS["unigram"], [], ValueError, "no piece in texts", id="no_texts"),
        pytest.param(TEACHERS["unigram"], ["<mask>", ""], ValueError, "no piece in texts", id="empty_texts"),
    ],
)
def test_what_cannot_be_trimmed_is_refused(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], error: type[Exception], message: str
) -> None:
    """A mistake shows up as a useless vocabulary, hours later."""
    with pytest.raises(error, match=message):
        trim_tokenizer(tokenizer, texts)


def test_a_fresh_process_loads_the_same_tokenizers(tmp_path) -> None:
    """The tokenizer that a user loads beside the student splits texts otherwise than in training."""
    students = {name: trim_tokenizer(teacher, HALF) for name, teacher in TEACHERS.items()}
    students["words"] = train_word_tokenizer(HALF)
    texts = [*SENTENCES, "the <mask> movie", "the [MASK] movie", ""]
    expected = {}
    for name, student in students.items():
        student.save_pretrained(tmp_path / name)
        expected[name] = [dict(student(texts)), dict(student(texts[0], texts[1])), len(student)]
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    program = """
import json, pathlib, sys
from transformers import AutoTokenizer
folder = pathlib.Path(sys.argv[1])
texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
tokenizers = {path.name: AutoTokenizer.from_pretrained(path) for path in folder.iterdir() if path.is_dir()}
print(json.dumps({
    name: [dict(tokenizer(texts)), dict(tokenizer(texts[0], texts[1])), len(tokenizer)]
    for name, tokenizer in tokenizers.items()
}))
"""
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == expected


def test_saving_twice_changes_nothing(tmp_path) -> None:
    """A tokenizer drifts each time that it is loaded and saved."""
    student = trim_tokenizer(TEACHERS["byte_level"], HALF)
    student.save_pretrained(tmp_path / "first")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "first")
    loaded.save_pretrained(tmp_path / "second")
    first, second = (
        json.loads((tmp_path / name / "tokenizer.json").read_text("utf-8")) for name in ("first", "second")
    )
    assert first == second
    assert loaded.padding_side == "right"
    assert loaded.clean_up_tokenization_spaces is False
    assert loaded.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]


# --- words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I didn't, can't; it's.", "i did n't , ca n't ; it 's ."),
        (
            "They're sure he'd say you've won, I'm told: we'll",
            "they 're sure he 'd say you 've won , i 'm told : we 'll",
        ),
        ("did n't it 's do n't", "did n't it 's do n't"),
        ("it\u2019s isn\u2019t", "it 's is n't"),
        ("Café NAÏVE Größe", "café naïve größe"),
        ("a well-made U.S. film at 10:30 a.m.", "a well-made u.s. film at 10:30 a.m."),
        ("1,000 or 3.5.", "1,000 or 3.5 ."),
        ("so... slow -- ``very''", "so ... slow -- `` very ''"),
        ("a [MASK] film,[MASK]!", "a [MASK] film , [MASK] !"),
        ("(R&B)", "( r & b )"),
    ],
    ids=lambda text: text[:12],
)
def test_words_are_those_of_glove(text: str, expected: str) -> None:
    """Contractions, abbreviations or masked words find no vector."""
    assert pieces(train_word_tokenizer([text]), text) == expected.split()


def test_word_ids_go_by_frequency_then_by_alphabet() -> None:
    """Ids change from run to run."""
    tokenizer = train_word_tokenizer(["b c a", "B c", "[MASK] mask [MASK] b"])
    assert tokenizer.get_vocab() == {"[PAD]": 0, "[UNK]": 1, "[MASK]": 2, "b": 3, "c": 4, "a": 5, "mask": 6}
    assert tokenizer("b zebra [MASK] [mask]")["input_ids"] == [3, 1, 2, 1, 6, 1]


def test_rare_words_are_left_out() -> None:
    """The vocabulary is larger than asked for."""
    texts = ["one two three", "one two", "one"]
    assert list(train_word_tokenizer(texts, min_frequency=2).get_vocab()) != []
    assert set(train_word_tokenizer(texts, min_frequency=2).get_vocab()) == {"[PAD]", "[UNK]", "[MASK]", "one", "two"}
    assert set(train_word_tokenizer(texts, max_vocab_size=4).get_vocab()) == {"[PAD]", "[UNK]", "[MASK]", "one"}


readable = st.text(alphabet=string.printable.replace("[", "") + "éÜßñ“”\u2019—…€日本👍🏽", max_size=60)


@settings(max_examples=200, deadline=None)
@given(text=readable)
def test_no_character_of_a_text_is_lost(text: str) -> None:
    """A symbol that carries the sentiment never reaches the student."""
    tokenizer = train_word_tokenizer([text, "a"])
    kept = "".join(text.replace("\u2019", "'").lower().split()).replace("\x0b", "").replace("\x0c", "")
    assert "".join(pieces(tokenizer, text)) == kept


def test_another_mask_token() -> None:
    """The mask of a teacher that does not write [MASK] is torn apart."""
    for tokenizer in (
        train_word_tokenizer(["a <Mask> b"], mask_token="<Mask>"),
        word_tokenizer_from_words(["a"], mask_token="<Mask>"),
    ):
        assert tokenizer.mask_token_id == 2
        assert tokenizer("a <Mask>")["input_ids"] == [3, 2]


def test_a_vocabulary_of_given_words() -> None:
    """Ids differ from the order of the word-vector file, or rows are kept that no text can reach."""
    words = ["the", ",", "Paris", "did", "n't", ". . .", "the", "u.s.", "[UNK]", "New_York", "café", ""]
    tokenizer = word_tokenizer_from_words(iter(words))
    listed = ["[PAD]", "[UNK]", "[MASK]", "the", ",", "did", "n't", "u.s.", "café"]
    assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == listed
    assert pieces(tokenizer, "The U.S. didn't, Paris") == ["the", "u.s.", "did", "n't", ",", "[UNK]"]
    pair = tokenizer("the café", "did")
    assert (pair["input_ids"], pair["token_type_ids"]) == ([3, 8, 5], [0, 0, 1])


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        pytest.param(lambda: train_word_tokenizer("a movie"), TypeError, "one string 'a movie'", id="one_text"),
        pytest.param(lambda: train_word_tokenizer(["", "[MASK]"]), ValueError, "No word of texts", id="no_word"),
        pytest.param(lambda: train_word_tokenizer(["a b"], min_frequency=2), ValueError, "min_frequency=2", id="rare"),
        pytest.param(
            lambda: train_word_tokenizer(["a b"], max_vocab_size=3), ValueError, "max_vocab_size=3", id="small"
        ),
        pytest.param(lambda: word_tokenizer_from_words("movie"), TypeError, "one string 'movie'", id="one_word"),
        pytest.param(lambda: word_tokenizer_from_words(["New York"]), ValueError, "of the 1 given", id="no_word_left"),
    ],
)
def test_a_vocabulary_without_words_is_refused(build, error: type[Exception], message: str) -> None:
    """A student is trained on a vocabulary in which every word is unknown."""
    with pytest.raises(error, match=message):
        build()
