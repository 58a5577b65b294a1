"""Rules that don't compose with nlpaug's, or its surprises (lists, empty texts, broken masks) in a transfer set."""

import pickle
import random
from collections import Counter
from collections.abc import Callable
from math import isnan
from typing import Any

import nlpaug.augmenter.char as nac
import nlpaug.augmenter.word as naw
import nlpaug.flow as naf
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Value
from datasets.fingerprint import Hasher
from nlpaug import Augmenter
from nlpaug.util import Action, Method
from toy_tagger import by_first_letter

from hf_bilstm_distill.augmentation import augment
from hf_bilstm_distill.nlpaug_augmenters import NlpaugTransform
from hf_bilstm_distill.rule_augmenters import MaskAug, NgramAug, PosReplacementAug
from hf_bilstm_distill.transfer_set import AUGMENTED, LABEL, NO_LABEL, TEXT, TEXT_PAIR

MASK = "[MASK]"
FILMS = [
    "a gripping film about two old friends",
    "the dull story never finds its feet .",
    "great fun",
    "it 's not a bad idea , but the actors look tired",
    "",
    "she works hard and the audience does n't care",
]
LONG = " ".join(f"w{number}" for number in range(100))


class Scripted(Augmenter):
    """An augmenter of nlpaug that makes of a text whatever a test wants."""

    def __init__(self, change: Callable[[str], Any]) -> None:
        super().__init__("Scripted_Aug", Method.WORD, Action.SUBSTITUTE, aug_min=None, aug_max=None)
        self.change = change

    def augment(self, data: Any, n: int = 1, num_thread: int = 1) -> Any:
        return self.change(data)


def shuffled_by_python(text: str) -> str:
    return " ".join(random.sample(text.split(), len(text.split())))


def shuffled_by_numpy(text: str) -> str:
    return " ".join(np.random.permutation(text.split()))


def shuffled_by_torch(text: str) -> str:
    words = text.split()
    return " ".join(words[place] for place in torch.randperm(len(words)).tolist())


RULES: dict[str, Callable[[int], Augmenter]] = {
    "mask": lambda seed: MaskAug(0.5, seed=seed),
    "replacement": lambda seed: PosReplacementAug(FILMS, 0.5, seed=seed),
    "ngram": lambda seed: NgramAug(0.5, seed=seed),
}


def test_words_are_masked_at_the_rate_asked_for() -> None:
    """nlpaug's own count of ceil(p * words), by which each short text gets at least one mask."""
    masked = [text.split().count(MASK) for text in MaskAug(0.1).augment([LONG] * 400)]
    assert np.mean(masked) == pytest.approx(10, abs=4 * 3 / 20)
    assert np.var(masked) == pytest.approx(9, rel=0.35)
    assert set(MaskAug(0.0).augment([LONG] * 5)) == {LONG}
    assert MaskAug(1.0, mask_token="<mask>").augment("a dull film") == ["<mask> <mask> <mask>"]


def test_only_words_change() -> None:
    """Spaces lost or added, or two words grown together ("donix")."""
    assert MaskAug(1.0).augment(" A film,\t(see)  ") == [f" {MASK} {MASK}{MASK}\t{MASK}{MASK}{MASK}  "]
    assert PosReplacementAug(["nix"], 1.0, tagger=by_first_letter).augment("don't,") == ["do nix,"]


def test_replacements_are_words_of_the_same_kind_as_often_as_counted() -> None:
    """Rare words as frequent as common ones, or verbs in the place of nouns."""
    counted = ["fire fox fox fox wolf", MASK]
    augmenter = PosReplacementAug(counted, 1.0, tagger=by_first_letter)
    drawn = Counter(" ".join(augmenter.augment([f"flea {MASK} winter other"] * 400)).split())
    assert set(drawn) == {"fire", "fox", MASK, "wolf", "other"}
    assert drawn[MASK] == drawn["wolf"] == drawn["other"] == 400
    assert drawn["fox"] / 400 == pytest.approx(3 / 4, abs=4 * (3 / 16 / 400) ** 0.5)


def test_counts_come_from_lists_and_sets_alike() -> None:
    """Pairs whose second texts are not counted, or another output for a list."""
    pairs = Dataset.from_dict({TEXT: ["fox"], TEXT_PAIR: ["fire"]})
    from_set = PosReplacementAug(pairs, 1.0, tagger=by_first_letter)
    from_list = PosReplacementAug(["fox", "fire"], 1.0, tagger=by_first_letter)
    assert from_set.augment("flea", n=20) == from_list.augment("flea", n=20)
    assert set(from_set.augment("flea", n=20)) == {"fox", "fire"}


def test_ngrams_of_each_length_and_start() -> None:
    """Only long n-grams, or only those at the start of a text."""
    ngrams = [text.split() for text in NgramAug(1.0).augment([LONG] * 1000)]
    assert {len(ngram) for ngram in ngrams} == {1, 2, 3, 4, 5}
    assert all(" ".join(ngram) in LONG for ngram in ngrams)
    assert len({ngram[0] for ngram in ngrams}) > 90
    assert NgramAug(1.0).augment("great", n=3) == ["great"] * 3
    assert np.mean([text != LONG for text in NgramAug().augment([LONG] * 1000)]) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("rule", RULES)
def test_same_seed_same_output(rule: str) -> None:
    """Runs that cannot be repeated, or two augmenters that disturb one another."""
    alone = RULES[rule](3).augment(FILMS * 5)
    one, other, reseeded = RULES[rule](3), RULES[rule](3), RULES[rule](4)
    in_turn = [(one.augment(text)[0], reseeded.augment(text)[0], other.augment(text)[0]) for text in FILMS * 5]
    assert [first for first, _, _ in in_turn] == [third for _, _, third in in_turn] == alone
    assert [second for _, second, _ in in_turn] != alone
    one.restart()
    assert one.augment(FILMS * 5) == alone


@pytest.mark.parametrize("rule", RULES)
def test_texts_in_texts_out(rule: str) -> None:
    """A row lost because its text is empty, a list cut to one, copies that are all the same."""
    augmenter = RULES[rule](0)
    assert len(augmenter.augment(FILMS)) == len(FILMS)
    assert augmenter.augment(["", "great fun", " "])[::2] == ["", " "]
    assert augmenter.augment("") == [""]
    assert augmenter.augment([]) == []
    assert len(set(augmenter.augment(FILMS[0], n=20))) > 3
    assert augmenter.augment(FILMS[0], n=20, num_thread=4) != augmenter.augment(FILMS[0], n=20)
    assert len(augmenter.augment(FILMS[0], n=20)) == 20


@pytest.mark.parametrize("rule", RULES)
def test_global_generators_are_left_alone(rule: str) -> None:
    """Augmentation that changes what the rest of a program draws, or depends on it."""
    random.seed(0)
    np.random.seed(0)
    states = random.getstate(), repr(np.random.get_state())
    first = RULES[rule](0).augment(FILMS)
    assert (random.getstate(), repr(np.random.get_state())) == states
    random.random()
    np.random.random()
    assert RULES[rule](0).augment(FILMS) == first


def test_rules_of_one_flow_draw_apart() -> None:
    """Replacements that fall on the very words that are masked, so that none is ever seen."""
    flow = naf.Sequential([MaskAug(0.3), PosReplacementAug(["wow"], 0.3, tagger=by_first_letter)])
    words = " ".join(flow.augment(LONG)[0] for _ in range(100)).split()
    assert words.count(MASK) / 10_000 == pytest.approx(0.3, abs=0.02)
    assert words.count("wow") / 10_000 == pytest.approx(0.3 * 0.7, abs=0.02)


def test_rules_compose_with_those_of_nlpaug() -> None:
    """A flow that stops with an error, changes nothing or returns texts in pieces."""
    swap = naw.RandomWordAug(action="swap", tokenizer=str.split, reverse_tokenizer=" ".join)
    steps = [MaskAug(0.3), naf.Sometimes([PosReplacementAug(FILMS, 0.5), swap], aug_p=0.5), NgramAug(0.5)]
    for flow in (naf.Sequential(steps), naf.Sometimes(steps, aug_p=0.5), naf.Sequential([swap, *steps[:1]])):
        made = [flow.augment(FILMS[3])[0] for _ in range(50)]
        assert len(set(map(str, made))) > 20
    assert len(naf.Sequential([MaskAug(1.0)]).augment(FILMS[:3], n=3)) == 3
    after_nothing = naf.Sequential([MaskAug(0.0), naf.Sometimes([swap], aug_p=0.0), MaskAug(1.0)])
    assert f"{MASK} {MASK}" in str(after_nothing.augment("a film"))  # nlpaug hands on, and returns, a list in a list


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MaskAug(1.5), ValueError, r"aug_p of MaskAug must lie between 0 and 1, got 1\.5"),
        (lambda: NgramAug(-0.1), ValueError, "aug_p of NgramAug must lie between"),
        (lambda: MaskAug(mask_token="a mask"), ValueError, "must be one word"),
        (lambda: PosReplacementAug(FILMS, tagger="lexikon"), ValueError, "no tagger 'lexikon'"),
        (lambda: PosReplacementAug("a film"), TypeError, "got one text, 'a film'. Put it in a list"),
        (lambda: PosReplacementAug([]), ValueError, "no rows"),
        (lambda: MaskAug().augment(None), TypeError, "MaskAug takes a text or a list of texts, got None"),
        (lambda: NgramAug().augment(["a", None]), TypeError, r"NgramAug takes .*got \['a', None\]"),
        (lambda: NlpaugTransform(str.lower), TypeError, "must be an augmenter or a flow of nlpaug"),
        (lambda: NlpaugTransform([MaskAug()]), TypeError, r"nlpaug\.flow\.Sequential"),
        (lambda: NlpaugTransform(MaskAug(), n_iter=-1), ValueError, "0 or more, got -1"),
        (lambda: NlpaugTransform(MaskAug(), mask_token=""), ValueError, "must be one word"),
    ],
)
def test_mistakes_are_named(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    """An error from the depths of nlpaug, or none."""
    with pytest.raises(error, match=message):
        make()


def test_rows_are_followed_by_copies_without_labels() -> None:
    """Gold labels on texts that nobody labelled, or columns that slip against the texts."""
    batch = {TEXT: ["a film", "fun"], LABEL: [1, 0], "id": ["x", "y"]}
    assert NlpaugTransform(MaskAug(1.0), n_iter=3)(batch, [0, 1]) == {
        TEXT: ["a film", f"{MASK} {MASK}", "fun", MASK],
        LABEL: [1, NO_LABEL, 0, NO_LABEL],
        "id": ["x", "x", "y", "y"],
        AUGMENTED: [False, True, False, True],
    }


def test_float_and_list_labels_become_nan() -> None:
    """A score of -100 that a regression learns."""
    transform = NlpaugTransform(MaskAug(1.0), n_iter=1)
    assert isnan(transform({TEXT: ["a"], LABEL: [0.5]}, [0])[LABEL][1])
    assert all(map(isnan, transform({TEXT: ["a"], LABEL: [[1.0, 0.0]]}, [0])[LABEL][1]))


def test_texts_of_a_pair_take_turns() -> None:
    """Pairs of which only one text is ever changed."""
    rows = NlpaugTransform(MaskAug(1.0), n_iter=3)({TEXT: ["a"], TEXT_PAIR: ["b"]}, [0])
    assert list(zip(rows[TEXT], rows[TEXT_PAIR], strict=True)) == [("a", "b"), (MASK, "b"), ("a", MASK), (MASK, MASK)]


def test_whole_sets_go_through_augment() -> None:
    """Duplicates kept, or a class label that cannot say "none"."""
    dataset = Dataset.from_dict({TEXT: [*FILMS, FILMS[0]], LABEL: [0, 1, 1, 0, 0, 1, 0]})
    dataset = dataset.cast_column(LABEL, ClassLabel(names=["bad", "good"]))
    rows = augment(dataset, NlpaugTransform(naf.Sequential([MaskAug(0.3), NgramAug()]), n_iter=5))
    copies = rows.filter(lambda is_copy: is_copy, input_columns=AUGMENTED)
    assert rows.features[LABEL] == Value("int64")
    assert set(copies[LABEL]) == {NO_LABEL}
    assert len(copies) == len(set(copies[TEXT])) > 15
    assert not set(copies[TEXT]) & set(FILMS)


@pytest.mark.parametrize(
    "augmenter",
    [
        Scripted(shuffled_by_python),
        Scripted(shuffled_by_numpy),
        Scripted(shuffled_by_torch),
        naf.Sometimes([naw.RandomWordAug(), MaskAug(0.3), NgramAug(0.5)], aug_p=0.5),
        naf.Sequential([PosReplacementAug(FILMS, 0.4), nac.KeyboardAug()]),
    ],
    ids=["python", "numpy", "torch", "sometimes", "sequential"],
)
def test_rows_depend_on_their_number_alone(augmenter: Augmenter) -> None:
    """Another transfer set for each number of processes, each batch size and each run."""
    dataset = Dataset.from_dict({TEXT: FILMS, "id": list(range(len(FILMS)))})
    transform = NlpaugTransform(augmenter, n_iter=4)

    def rows(transform: NlpaugTransform, batch_size: int, num_proc: int | None = None) -> list[dict[str, Any]]:
        random.seed()
        np.random.seed()
        torch.seed()
        columns = dataset.column_names
        settings = {"batched": True, "with_indices": True, "remove_columns": columns, "load_from_cache_file": False}
        return dataset.map(transform, batch_size=batch_size, num_proc=num_proc, **settings).to_list()

    made = rows(transform, 100)
    assert len(made) > 2 * len(FILMS)
    assert rows(transform, 1) == rows(transform, 4, num_proc=2) == made
    assert rows(NlpaugTransform(augmenter, n_iter=4, seed=1), 100) != made


def test_copies_of_equal_rows_differ() -> None:
    """Each row augmented from the same draws."""
    rows = NlpaugTransform(Scripted(shuffled_by_python), n_iter=1)({TEXT: [LONG] * 3}, [0, 1, 2])
    assert len(set(rows[TEXT])) == 4


@pytest.mark.parametrize("change", [shuffled_by_python, lambda text: 1 / 0], ids=["works", "fails"])
def test_generators_are_put_back(change: Callable[[str], str]) -> None:
    """Dropout masks and shuffles that change because a set was augmented in between, even in vain."""

    def state() -> tuple[Any, ...]:
        return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()

    before = state()
    try:
        NlpaugTransform(Scripted(change))({TEXT: FILMS}, list(range(len(FILMS))))
    except RuntimeError:
        assert change is not shuffled_by_python
    assert state() == before


def test_used_augmenters_are_found_in_the_cache() -> None:
    """A set augmented anew in each run, for hours, because a counter has moved on."""
    mask = MaskAug(0.5)
    flow = naf.Sequential([mask, PosReplacementAug(FILMS), naw.RandomWordAug(), nac.KeyboardAug()])
    transform = NlpaugTransform(flow)
    fingerprint = Hasher.hash(transform)
    mask.augment(FILMS)
    transform({TEXT: FILMS}, list(range(len(FILMS))))
    assert Hasher.hash(transform) == Hasher.hash(NlpaugTransform(flow)) == fingerprint
    assert Hasher.hash(NlpaugTransform(flow, seed=1)) != fingerprint
    assert pickle.loads(pickle.dumps(mask)).augment(FILMS) == MaskAug(0.5).augment(FILMS)


def test_the_users_augmenter_stays_as_it_is() -> None:
    """An augmenter that behaves otherwise after a transform was made of it."""
    word, mask = naw.RandomWordAug(), MaskAug(0.5)
    tokenizer = word.tokenizer
    NlpaugTransform(naf.Sequential([mask, word]))({TEXT: FILMS}, list(range(len(FILMS))))
    assert word.stopwords is None
    assert word.tokenizer is tokenizer
    assert mask.augment(FILMS) == MaskAug(0.5).augment(FILMS)


@pytest.mark.parametrize("mask", [MASK, "<mask>"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: naw.RandomWordAug(action="swap"),
        lambda: naw.RandomWordAug(action="delete", aug_p=0.5),
        lambda: naw.RandomWordAug(action="substitute", aug_p=0.5),
        lambda: naw.RandomWordAug(action="crop"),
        lambda: naw.SplitAug(aug_p=0.9),
        lambda: nac.KeyboardAug(aug_word_p=0.9, include_special_char=False),
        lambda: nac.RandomCharAug(action="swap", aug_word_p=0.9),
        lambda: nac.OcrAug(aug_word_p=0.9),
        lambda: naw.ReservedAug(reserved_tokens=[["film", "movie"]]),
    ],
    ids=["swap", "delete", "substitute", "crop", "split", "keyboard", "characters", "ocr", "reserved"],
)
def test_masks_stay_whole(make: Callable[[], Augmenter], mask: str) -> None:
    """Masks in pieces ("[ MASK ]"), which the teacher reads as three odd words."""
    text = f"{mask} loves the {mask} film ( of 2002 ) {mask} ."
    flow = naf.Sequential([MaskAug(0.3, mask_token=mask), make()])
    rows = NlpaugTransform(flow, n_iter=50, mask_token=mask)({TEXT: [text]}, [0])[TEXT]
    assert len(rows) > 5
    for row in rows:
        others = row.replace(mask, "")
        assert not any(mark in others.lower() for mark in "[]<>")
        assert "mask" not in others.lower()
    assert sum(mask in row for row in rows) > len(rows) / 2


@pytest.mark.parametrize("nothing", [None, "", [], [None], [[]], [""]], ids=repr)
def test_augmenter_that_makes_nothing_loses_no_row(nothing: Any) -> None:
    """Rows that vanish, or copies without text."""
    rows = NlpaugTransform(Scripted(lambda text: nothing), n_iter=2)({TEXT: ["a film", "fun"]}, [0, 1])
    assert rows == {TEXT: ["a film", "fun"], AUGMENTED: [False, False]}


def test_empty_texts_stay() -> None:
    """Empty texts handed to augmenters that drop them or fail on them."""
    flow = naf.Sequential([naw.RandomWordAug(), Scripted(lambda text: text[0] + "!")])
    rows = NlpaugTransform(flow, n_iter=2)({TEXT: ["", " ", "a film"]}, [0, 1, 2])
    assert rows[TEXT][:2] == ["", " "]
    assert rows[AUGMENTED][:3] == [False, False, False]


def test_results_in_lists_are_taken_out() -> None:
    """Lists in the column of texts, as nlpaug's flows in flows return them."""
    rows = NlpaugTransform(Scripted(lambda text: [[text + "!"]]), n_iter=1)({TEXT: ["fun"]}, [0])
    assert rows[TEXT] == ["fun", "fun!"]


def test_steps_of_sometimes_happen_as_often_as_it_says() -> None:
    """nlpaug's own repetition until something happens, which turns 0.3 into 0.76."""
    flow = naf.Sequential([naf.Sometimes([MaskAug(1.0)], aug_p=0.3)])
    rows = NlpaugTransform(flow, n_iter=1)({TEXT: ["fun"] * 2000}, list(range(2000)))
    assert rows[TEXT].count(MASK) / 2000 == pytest.approx(0.3, abs=0.045)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: 1 / 0, "Scripted_Aug failed on row 17, 'a dull film': ZeroDivisionError: division by zero"),
        (lambda text: 5, "row 17, 'a dull film': TypeError: Scripted_Aug made 5 of it, which is no text"),
        (lambda text: ["fun", 7][text == "a dull film"], "row 17, 'a dull film'.* made 7 of it"),
    ],
    ids=["raises", "number", "one-row"],
)
def test_failures_name_the_row(change: Callable[[str], Any], message: str) -> None:
    """An hour's work lost to one row of a million, and no word on which."""
    with pytest.raises(RuntimeError, match=message):
        NlpaugTransform(Scripted(change))({TEXT: ["a dull film"], "id": [1]}, [17])


@pytest.mark.parametrize("column", ["teacher_logits", AUGMENTED])
def test_columns_that_copies_cannot_have_are_refused(column: str) -> None:
    """A teacher's logits repeated beside texts that it never saw."""
    with pytest.raises(ValueError, match=f"has a column '{column}'.*remove the column"):
        NlpaugTransform(MaskAug())({TEXT: ["a"], column: [True]}, [0])


def test_streams_give_the_same_rows() -> None:
    """Other copies for an IterableDataset than for a Dataset."""
    dataset = Dataset.from_dict({TEXT: FILMS})
    transform = NlpaugTransform(naf.Sequential([MaskAug(0.3), naw.RandomWordAug()]), n_iter=3)
    stream = dataset.to_iterable_dataset(num_shards=2)
    rows = stream.map(transform, batched=True, batch_size=4, with_indices=True, remove_columns=[TEXT])
    assert list(rows) == dataset.map(transform, batched=True, with_indices=True, remove_columns=[TEXT]).to_list()


def test_rows_without_text_are_named() -> None:
    """An error about NoneType somewhere in nlpaug."""
    with pytest.raises(RuntimeError, match="row 1, None"):
        NlpaugTransform(MaskAug())({TEXT: ["a", None]}, [0, 1])
