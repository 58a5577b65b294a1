"""The demo corpus teaches composition: right labels, a test set of things never seen, the same rows for everybody."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import DatasetDict, Value
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from hf_bilstm_distill.commands import demo_corpus

SEEN_SPLITS = ("teacher_train", "train", "validation")

CONCESSIONS = ("although", "even though", "while", "despite", "in spite of")
NEGATIONS = re.compile(r"\b(not(?! only)|n't|never|nothing|neither|none)\b")
REVERSALS = re.compile(r"far from|anything but|by no means|hardly|\bless\b|\bfails\b|(could|should) have been")
NO_REVERSALS = re.compile(r"could hardly have been|never fails")

HAND_LABELLED = {
    "the plot is dull .": 0,
    "i found the soup tasty .": 1,
    "bad camera .": 0,
    "great service , to be fair .": 1,
    "the lobby was absolutely horrible .": 0,
    "overall , the menu is quite intuitive .": 1,
    "the cast is not only wooden but also bland .": 0,
    "the waiter was polite and helpful .": 1,
    "the pizza was worse than people say .": 0,
    "the screen is more durable than i expected .": 1,
    "the ending turned out to be a mess .": 0,
    "you will love the balcony .": 1,
    "we all hated the dessert , frankly .": 0,
    "the plot is far from dull .": 1,
    "the hero is anything but a delight .": 0,
    "the steak was less bland than we thought .": 1,
    "the speaker is far less reliable than the reviews say .": 0,
    "the lounge could have been better .": 0,
    "the chef could hardly have been more friendly .": 1,
    "the chef could hardly have been more rude .": 0,
    "the interface is n't particularly stable .": 0,
    "honestly , the story was never boring .": 1,
    "the battery is not as good as i expected .": 0,
    "the room is neither dirty nor noisy .": 1,
    "there is nothing moving about the plot in this film .": 0,
    "i did n't like the porter at this hotel .": 0,
    "none of us disliked the salad .": 1,
    "i would n't call the keyboard flimsy .": 1,
    "the editor is n't a disaster .": 1,
    "the script fails to be witty .": 0,
    "the script never fails to be witty .": 1,
    "some say the bathroom is gloomy , and i agree .": 0,
    "some say the bathroom is gloomy , but i disagree .": 1,
    "the plot is dull , but the acting is superb .": 1,
    "the acting is superb , yet i did n't enjoy the plot , if you ask me .": 0,
    "although the acting is superb , the plot is not clever .": 0,
    "the plot is n't clever , even though we thought the acting was superb .": 0,
    "on the whole , while the acting is not wooden , none of us liked the plot .": 0,
    "despite the dull plot , the acting is by no means wooden .": 1,
    "i would n't call the acting convincing , in spite of the clever plot .": 0,
    "the soup was not bland and i liked the waiter .": 1,
}


@pytest.fixture(scope="module")
def corpus() -> DatasetDict:
    return demo_corpus.build_demo_corpus()


@pytest.fixture(scope="module")
def polarities() -> dict[str, int]:
    """Each form of each opinion word, with its polarity."""
    tables = [demo_corpus.STRONG, demo_corpus.MILD, demo_corpus.NOUNS, demo_corpus.VERBS]
    tables += zip(demo_corpus.MILD_BY_KIND[0].values(), demo_corpus.MILD_BY_KIND[1].values(), strict=True)
    polarities = {word: polarity for table in tables for polarity in (0, 1) for word in table[polarity].split()}
    past = {f"{verb}ed".replace("eed", "ed"): polarities[verb] for verbs in demo_corpus.VERBS for verb in verbs.split()}
    return polarities | past | {"worse": 0, "better": 1, "nicer": 1}


@pytest.fixture(scope="module")
def aspects() -> set[str]:
    return {aspect for kinds in demo_corpus.DOMAINS.values() for names in kinds.values() for aspect in names.split()}


def read_clause(clause: str, polarities: dict[str, int]) -> int:
    """Read what a clause says: its last opinion word, turned round or not."""
    polarity = [polarities[word] for word in clause.split() if word in polarities][-1]
    turned = bool(NEGATIONS.search(clause) or REVERSALS.search(clause)) and not NO_REVERSALS.search(clause)
    return polarity ^ turned


def opinionated(text: str, polarities: dict[str, int]) -> list[str]:
    """Split a sentence at its commas, and leave out what has no opinion word."""
    parts = text.removesuffix(" .").split(" , ")
    return [part for part in parts if any(word in polarities for word in part.split())]


def read_label(text: str, polarities: dict[str, int]) -> int:
    """Read a sentence as a grammar book would: the last part decides that is not conceded."""
    main = [part for part in opinionated(text, polarities) if not part.startswith(CONCESSIONS)][-1]
    return read_clause(main.split(" and ")[-1], polarities) ^ (", but i disagree" in text)


def pairs_of(text: str, aspects: set[str], polarities: dict[str, int]) -> set[tuple[str, str]]:
    """Find the pairs of an aspect and an opinion word that stand in one clause."""
    pairs, aspect = set(), ""
    for clause in re.split(" , | and ", text):
        words = clause.split()
        aspect = next((word for word in words if word in aspects), aspect)
        pairs |= {(aspect, word) for word in words if word in polarities}
    return pairs


@pytest.mark.parametrize(("text", "label"), HAND_LABELLED.items())
def test_reader_agrees_with_a_person(text: str, label: int, polarities: dict[str, int]) -> None:
    """The judge of the next test would call a good film bad."""
    assert read_label(text, polarities) == label


@pytest.mark.parametrize("split", ["teacher_train", "train", "validation", "test"])
def test_labels_follow_from_composition(split: str, corpus: DatasetDict, polarities: dict[str, int]) -> None:
    """The teacher would be taught that "not good" is praise."""
    wrong = [
        (row["text"], row["label"])
        for row in corpus[split]
        if row["label"] != -100 and read_label(row["text"], polarities) != row["label"]
    ]
    assert wrong == []


def test_clauses_of_contrasts_disagree(corpus: DatasetDict, polarities: dict[str, int]) -> None:
    """No person would write "despite the superb plot , i loved the acting"."""
    contrasts = [opinionated(text, polarities) for split in corpus.values() for text in split["text"]]
    contrasts = [parts for parts in contrasts if len(parts) == 2]
    assert len(contrasts) > 2000
    for first, second in contrasts:
        assert read_clause(first, polarities) != read_clause(second, polarities), (first, second)


def test_structures_occur(corpus: DatasetDict) -> None:
    """A rule of the grammar would never be used, so that nobody could learn it."""
    structures = {
        *CONCESSIONS, "but", "yet", "not only", "neither", "nothing", "none of us", "would n't call", "not as",
        "never fails", "fails", "far from", "anything but", "by no means", "hardly", "less", "should have been",
        "could hardly have been", "better than", "some say", "i disagree", "very", "absolutely", "turned out to be",
    }  # fmt: skip
    for split in ("teacher_train", "train"):
        texts = corpus[split]["text"][:]
        counts = {structure: sum(f" {structure} " in f" {text} " for text in texts) for structure in structures}
        assert min(counts.values()) >= 10, counts


def test_columns_sizes_and_names(corpus: DatasetDict) -> None:
    """The example would not find the columns it reads, or would have no rows without a label to distil on."""
    assert demo_corpus.LABEL_NAMES == ["negative", "positive"]
    assert set(corpus) == {"teacher_train", "train", "validation", "test"}
    for split in corpus.values():
        assert split.features == {"text": Value("string"), "label": Value("int64")}
    labels = corpus["train"]["label"][:]
    assert 300 <= len(labels) - labels.count(-100) <= 1000
    assert labels.count(-100) >= 2000
    assert labels[:100].count(-100) < 100, "the labelled rows must not all stand at the end"
    assert all(-100 not in corpus[name]["label"][:] for name in ("teacher_train", "validation", "test"))
    assert len(corpus["test"]) == 1000


def test_labels_are_balanced(corpus: DatasetDict) -> None:
    """Answering "positive" always would look better than chance."""
    for split in corpus.values():
        labels = split["label"][:]
        assert labels.count(0) == labels.count(1) > 0


def test_no_sentence_stands_twice(corpus: DatasetDict) -> None:
    """A test sentence would have been seen in training."""
    texts = [text for split in corpus.values() for text in split["text"][:]]
    assert len(texts) == len(set(texts))


def test_sentences_are_short_and_lower_cased(corpus: DatasetDict) -> None:
    """Sampling of n-grams would have nothing to sample from, or training would be slow."""
    texts = [text for split in corpus.values() for text in split["text"][:]]
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) == 3
    assert 25 <= max(lengths) <= 32
    assert all(text == text.lower() == " ".join(text.split()) for text in texts)


def test_pairs_of_test_are_unseen(corpus: DatasetDict, aspects: set[str], polarities: dict[str, int]) -> None:
    """The test set would measure what was learned by heart."""
    seen = {
        pair for name in SEEN_SPLITS for text in corpus[name]["text"] for pair in pairs_of(text, aspects, polarities)
    }
    for text in corpus["test"]["text"]:
        pairs = pairs_of(text, aspects, polarities)
        assert pairs
        assert not pairs & seen, text


def test_some_compositions_of_test_are_unseen(corpus: DatasetDict) -> None:
    """The test set would hold no composition that is new to the model."""
    conceding = re.compile(r"\b(while|despite|in spite of)\b")

    def count(split: str, *patterns: re.Pattern[str]) -> int:
        return sum(all(pattern.search(text) for pattern in patterns) for text in corpus[split]["text"])

    assert count("test", conceding, NEGATIONS) >= 150
    for split in SEEN_SPLITS:
        assert count(split, conceding, NEGATIONS) == 0
        assert count(split, conceding) > 10, "each part alone must be seen"
        assert count(split, re.compile(r"although| , but | , yet "), NEGATIONS) > 10


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_words_of_test_are_seen(seed: int) -> None:
    """The student would stumble over words it has no vector for, not over composition."""
    corpus = demo_corpus.build_demo_corpus(seed)
    words = {name: {word for text in split["text"] for word in text.split()} for name, split in corpus.items()}
    assert words["test"] <= words["train"]
    assert words["test"] <= words["teacher_train"]


def test_counting_words_is_not_enough(corpus: DatasetDict) -> None:
    """The demo would show nothing: a linear model of words would do as well as the teacher."""
    test = corpus["test"]
    labelled = corpus["train"].filter(lambda row: row["label"] != -100)
    for train, limit in ((labelled, 0.75), (corpus["teacher_train"], 0.85)):
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
        model = LogisticRegression(max_iter=1000).fit(vectorizer.fit_transform(train["text"][:]), train["label"][:])
        accuracy = model.score(vectorizer.transform(test["text"][:]), test["label"][:])
        assert 0.55 < accuracy < limit


def test_same_seed_gives_same_rows_in_any_process(corpus: DatasetDict) -> None:
    """Two people would not get the same numbers."""
    code = "from demo_corpus import build_demo_corpus; print(ascii(build_demo_corpus()['test'].to_list()))"
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(demo_corpus.__file__).parent)}
        command = [sys.executable, "-c", code]
        output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        assert output.strip() == ascii(corpus["test"].to_list())  # made last, so it depends on all other rows
    assert demo_corpus.build_demo_corpus(seed=1)["test"].to_list() != corpus["test"].to_list()
