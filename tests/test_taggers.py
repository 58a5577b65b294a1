"""Wrong tags put verbs where nouns belong; a tagger that cannot be had must say how to get it."""

import functools
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_bilstm_distill.augmentation import taggers
from hf_bilstm_distill.augmentation.taggers import load_tagger, tag_words

# Tagged by hand.
SENTENCES = {
    "the old man gave his friends a beautiful gift .": "DT JJ NN VBD PRP$ NNS DT JJ NN .",
    "she has never seen such a wonderfully silly film .": "PRP VBZ RB VBN JJ DT RB JJ NN .",
    "they will probably not work in the city .": "PRP MD RB RB VB IN DT NN .",
    "it 's a movie that never bores me , is n't it ?": "PRP VBZ DT NN WDT RB VBZ PRP , VBZ RB PRP .",
    "the actor 's best work": "DT NN POS JJS NN",
    "two boring stories about nothing": "CD JJ NNS IN NN",
    "there are more interesting ways to die": "EX VBP RBR JJ NNS TO VB",
    "an overlong , 90-minute mess -- and this hurts": "DT JJ , JJ NN : CC DT VBZ",
}

# Words that are names with a capital only, and a text that has no case to use.
CASED = [
    (["I", "saw", "Rose", "and", "Will"], ["PRP", "VBD", "NNP", "CC", "NNP"]),
    (["a", "rose", "and", "a", "will"], ["DT", "NN", "CC", "DT", "NN"]),
    (["A", "ROSE", "AND", "A", "WILL"], ["DT", "NN", "CC", "DT", "NN"]),
]
LEARNED = [*CASED[:2], (["ROSE", "AND", "WILL"], ["NNP", "CC", "NNP"])]


@pytest.fixture
def _nothing_loaded() -> Iterator[None]:
    taggers._load.cache_clear()
    yield
    taggers._load.cache_clear()


@pytest.mark.parametrize("sentence", SENTENCES)
def test_lexicon_agrees_with_tags_given_by_hand(sentence: str) -> None:
    """Replacements of another kind than the word they replace."""
    words = sentence.split()
    assert " ".join(tag_words(load_tagger("lexicon"), words)) == SENTENCES[sentence]


@pytest.mark.parametrize(
    ("context", "tag"),
    [
        ("to *work*", "VB"),
        ("the *work*", "NN"),
        ("they *work*", "VBP"),
        ("it *works*", "VBZ"),
        ("great *works*", "NNS"),
        ("the old *play*", "NN"),
        ("must *play*", "VB"),
        ("did n't *like*", "VB"),
        ("films *like* this", "IN"),
        ("*her* story", "PRP$"),
        ("with *her* .", "PRP"),
        ("a *pretty* face", "JJ"),
        ("a *pretty* good face", "RB"),
        ("he *walked* home", "VBD"),
        ("was *walked* home", "VBN"),
    ],
)
def test_neighbours_settle_ambiguous_words(context: str, tag: str) -> None:
    """Nouns among the replacements of verbs, because many English words are both."""
    words = context.split()
    position = next(number for number, word in enumerate(words) if word.startswith("*"))
    assert tag_words(load_tagger("lexicon"), [word.strip("*") for word in words])[position] == tag


@pytest.mark.parametrize(
    ("word", "tag"),
    [
        ("zorpingly", "RB"),
        ("zorpation", "NN"),
        ("zorpous", "JJ"),
        ("zorping", "VBG"),
        ("zorp", "NN"),
        ("zorp-like", "JJ"),
        ("1,234.5", "CD"),
        ("19th", "JJ"),
        ("funniest", "JJS"),
        ("nicer", "JJR"),
        ("\U0001f600", "SYM"),
        ("…", ":"),
        ("don\u2019", "NN"),
        ("n\u2019t", "RB"),
    ],
)
def test_words_that_are_not_listed_are_known_by_their_form(word: str, tag: str) -> None:
    """All rare words tagged alike."""
    assert tag_words(load_tagger("lexicon"), [word]) == [tag]


def test_capitals_make_names_within_a_sentence_only() -> None:
    """Names replaced by common nouns, or every sentence beginning with a name."""
    tagger = load_tagger("lexicon")
    assert tag_words(tagger, ["Films", "by", "Ang", "Lee", "bore", "me"]) == ["NNS", "IN", "NNP", "NNP", "VBP", "PRP"]
    assert tag_words(tagger, ["THE", "BEST", "FILM"]) == ["DT", "JJS", "NN"]


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8) | st.sampled_from(["to", "work", "'s", "that", "more", "[MASK]"])))
def test_lexicon_gives_each_word_one_tag(words: list[str]) -> None:
    """A crash on odd words, or tags that slip against their words."""
    tags = tag_words(load_tagger("lexicon"), words)
    assert len(tags) == len(words)
    assert all(tag and "|" not in tag and "?" not in tag for tag in tags)


def test_function_is_its_own_tagger() -> None:
    """A user's own tagger is wrapped or refused."""

    def shout(words: list[str]) -> list[str]:
        return [word.upper() for word in words]

    assert load_tagger(shout) is shout
    assert tag_words(load_tagger(shout), ["a", "b"]) == ["A", "B"]


def test_tagger_that_loses_a_word_is_stopped() -> None:
    """Tags of one word applied to the next, silently."""

    def forgetful(words: list[str]) -> list[str]:
        return words[1:]

    with pytest.raises(ValueError, match=r"'forgetful' gave 1 tags for the 2 words \['a', 'b'\]"):
        tag_words(forgetful, ["a", "b"])


@pytest.mark.parametrize("name", ["lexikon", "", "spacy", "spacy:", "NLTK"])
def test_unknown_name_lists_the_names(name: str) -> None:
    """A typing error that gives no hint."""
    with pytest.raises(ValueError, match=rf'no tagger {name!r}.*"lexicon", "nltk", "textblob", "spacy:MODEL"'):
        load_tagger(name)


def test_tagger_of_another_type_is_refused() -> None:
    """A mistaken argument that fails much later."""
    with pytest.raises(TypeError, match="got 7"):
        load_tagger(7)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_nothing_loaded")
@pytest.mark.parametrize(
    ("name", "modules", "way_out"),
    [
        ("nltk", ["nltk", "nltk.tag"], r"pip install \"hf-bilstm-distill\[pos\]\""),
        ("textblob", ["textblob", "textblob.en"], r"pip install \"hf-bilstm-distill\[pos\]\""),
        ("spacy:en_core_web_sm", ["spacy"], "pip install spacy.*download en_core_web_sm"),
    ],
)
def test_missing_package_names_the_line_that_installs_it(
    name: str, modules: list[str], way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare ModuleNotFoundError."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)  # Python's own way to say that a module is not there
    with pytest.raises(ImportError, match=way_out):
        load_tagger(name)


@pytest.mark.usefixtures("_nothing_loaded")
@pytest.mark.skipif(not importlib.util.find_spec("nltk"), reason="needs the extra 'pos'")
def test_missing_data_of_nltk_names_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """NLTK's own page of search paths."""
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(LookupError, match=r"nltk\.downloader averaged_perceptron_tagger_eng.*NLTK_DATA.*'lexicon'"):
        load_tagger("nltk")


@pytest.mark.usefixtures("_nothing_loaded")
@pytest.mark.skipif(not importlib.util.find_spec("nltk"), reason="needs the extra 'pos'")
def test_nltk_tags_the_words_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data in the place NLTK looks for it that are not found, or capitals lost on the way to the tagger."""
    import nltk
    from nltk.tag import PerceptronTagger

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    (tmp_path / "taggers").mkdir()
    perceptron = PerceptronTagger(load=False)
    perceptron.train([list(zip(*tagged, strict=True)) for tagged in LEARNED])
    perceptron.save_to_json("eng", str(tmp_path / "taggers" / "averaged_perceptron_tagger_eng"))
    tagger = load_tagger("nltk")
    assert [tag_words(tagger, words) for words, _ in CASED] == [tags for _, tags in CASED]
    assert tag_words(tagger, []) == []


@pytest.mark.usefixtures("_nothing_loaded")
@pytest.mark.skipif(not importlib.util.find_spec("spacy"), reason="needs spaCy")
def test_spacy_tags_the_words_it_is_given(tmp_path: Path) -> None:
    """Another split of the words than ours, capitals lost, or a model without a tagger that calls all words alike."""
    import spacy

    pipeline = spacy.blank("en")
    pipeline.to_disk(tmp_path / "empty")
    pipeline.add_pipe("tagger")
    make = functools.partial(spacy.tokens.Doc, pipeline.vocab)
    examples = [spacy.training.Example(make(words=words), make(words=words, tags=tags)) for words, tags in LEARNED]
    optimizer = pipeline.initialize(lambda: examples)
    for _ in range(60):
        pipeline.update(examples, sgd=optimizer)
    pipeline.to_disk(tmp_path / "model")
    tagger = load_tagger(f"spacy:{tmp_path / 'model'}")
    assert [tag_words(tagger, words) for words, _ in CASED] == [tags for _, tags in CASED]
    assert tag_words(tagger, ["do", "n't", "a b", "[MASK]"]) != ["", "", "", ""]
    with pytest.raises(ValueError, match="has no tagger"):
        load_tagger(f"spacy:{tmp_path / 'empty'}")
    with pytest.raises(OSError, match="python -m spacy download no_such_model"):
        load_tagger("spacy:no_such_model")


@pytest.mark.skipif(not importlib.util.find_spec("textblob"), reason="needs the extra 'pos'")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # textblob leaves its lexicon file open
def test_textblob_tags_the_words_it_is_given() -> None:
    """Another split of the words than ours, so that tags slip."""
    tagger = load_tagger("textblob")
    tags = tag_words(tagger, ["the", "old", "dog", "does", "n't", "bark", "[MASK]"])
    assert tags[:5] == ["DT", "JJ", "NN", "VBZ", "RB"]
    assert len(tags) == 7
    assert tag_words(tagger, ["Films", "by", "Ang", "Lee"])[2:] == ["NNP", "NNP"]
    assert tag_words(tagger, ["THE", "FILM", "BORES", "ME"]) == tag_words(tagger, ["the", "film", "bores", "me"])
