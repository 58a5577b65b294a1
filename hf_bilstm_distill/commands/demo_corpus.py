"""A small corpus of opinions in English, written by a grammar: what a distillation runs on when it is given no data.

The label of a sentence follows from how it is put together ("the plot is dull , but the acting is far from wooden"),
so counting its words is not enough. A fifth of all pairs of an aspect and an opinion word ("soup", "bland"), and
negations in contrasts with "while" and "despite", are kept for `test`: whoever does well there has learned the rules.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from datasets import Dataset, DatasetDict

LABEL_NAMES = ["negative", "positive"]
NEGATIVE, POSITIVE, NO_LABEL = 0, 1, -100

NUM_TEACHER_TRAIN = 8000
NUM_TRAIN_LABELLED = 800
NUM_TRAIN_UNLABELLED = 4000
NUM_VALIDATION = 400
NUM_TEST_PAIRS, NUM_TEST_COMPOSITIONS = 850, 150  # set apart by pairs alone; by pairs and composition

# What people rate: where it stands, its kind, its name.
DOMAINS = {
    "in this film": {"story": "plot script story ending premise opening", "acting": "acting cast villain hero"},
    "in this novel": {"story": "plot story ending prologue premise dialogue", "acting": "narrator heroine hero"},
    "at this restaurant": {"food": "soup steak pizza pasta salad dessert", "staff": "waiter waitress service chef"},
    "on this phone": {"device": "screen camera keyboard battery speaker microphone charger display"},
    "at this hotel": {"room": "room bathroom lobby bedroom balcony", "staff": "receptionist porter manager service"},
    "in this app": {"program": "interface editor search menu layout dashboard installer calendar"},
}

# Opinion words, negative and positive; in each list, the most frequent ones first.
STRONG = (
    "terrible awful horrible dreadful appalling pathetic hopeless atrocious lousy abysmal dire ghastly",
    "great excellent amazing wonderful superb brilliant fantastic terrific outstanding splendid marvellous fabulous",
)
# Adjectives that stand after "very" and "more", for all kinds and for one kind.
MILD = (
    "bad disappointing unpleasant unimpressive underwhelming uninspiring unappealing inadequate",
    "good nice impressive pleasant decent appealing delightful remarkable",
)
MILD_BY_KIND = (
    {
        "story": "dull boring predictable confusing tedious pointless shallow silly contrived clumsy repetitive",
        "acting": "wooden unconvincing irritating lifeless forced bland exaggerated forgettable",
        "food": "bland greasy tasteless salty soggy stale overcooked watery flavourless",
        "staff": "rude unhelpful annoying careless arrogant impatient grumpy incompetent inattentive",
        "device": "unreliable flimsy faulty useless outdated fragile sluggish impractical",
        "room": "dirty noisy uncomfortable shabby cramped gloomy smelly depressing",
        "program": "buggy confusing complicated unstable clunky cluttered sluggish inconsistent",
    },
    {
        "story": "gripping moving clever original witty touching thoughtful suspenseful imaginative engaging profound",
        "acting": "convincing charming natural lively believable heartfelt subtle memorable",
        "food": "tasty delicious juicy tender flavourful wholesome aromatic appetising",
        "staff": "friendly helpful polite attentive patient professional competent courteous welcoming",
        "device": "reliable sturdy responsive practical durable powerful modern solid",
        "room": "comfortable cosy spacious quiet elegant stylish tidy inviting",
        "program": "intuitive stable simple helpful flexible tidy efficient polished",
    },
)
NOUNS = (
    "disappointment mess disaster nightmare joke nuisance catastrophe embarrassment",
    "delight joy treat pleasure gem marvel treasure wonder",
)
VERBS = ("hate dislike despise loathe detest deplore", "love like enjoy adore admire appreciate")
COMPARATIVES = {"bad": "worse", "good": "better", "nice": "nicer"}

# Wordings that mean the same wherever they stand.
SLOTS = {
    "be": ["is", "was"],
    "be_not": ["is not", "is n't", "was not", "was n't"],
    "do_not": ["i did n't", "i did not", "we did n't", "you will not"],
    "very": ["very", "really", "extremely", "quite", "rather", "fairly", "pretty", "somewhat"],
    "fully": ["absolutely", "simply", "truly", "just"],
    "not_very": ["not very", "not really", "n't particularly", "n't all that", "n't exactly", "never"],
    "far_from": ["far from", "anything but", "hardly", "by no means"],
    "expected": ["i expected", "we thought", "people say", "the reviews say", "my friends say"],
}
ADVERBIALS = ["honestly", "frankly", "overall", "to be fair", "to be honest", "on the whole", "if you ask me"]

Rule = Callable[["Writer", int], str]  # returns words of the given polarity
Share = tuple[int, Sequence[Rule], Sequence[Rule]]


@dataclass
class Writer:
    """What the rules share while one sentence is written: its domain, and which words they may use."""

    rng: random.Random
    unseen: bool
    place: str
    clause_rules: Sequence[Rule]
    used_aspects: list[str] = field(default_factory=list)

    def clause(self, polarity: int) -> str:
        """Write one clause of several."""
        return self.rng.choice(self.clause_rules)(self, polarity)

    def write(self, polarity: int, wordings: dict[str, list[str]]) -> str:
        """Choose one of the wordings under a table, and fill it with opinion words of that polarity from the table."""
        table, wording = self.rng.choice([(table, wording) for table in wordings for wording in wordings[table]])
        aspect, (word, *others) = self._opinion(table, polarity, count=2 if "{other}" in wording else 1)
        if len(self.used_aspects) == 1 and self.rng.random() < 0.3:
            aspect += f" {self.place}"
        return wording.format(
            aspect=aspect,
            word=word,
            other="".join(others),
            a_word=f"{'an' if word[0] in 'aeiou' else 'a'} {word}",
            more=COMPARATIVES.get(word, f"more {word}"),
            past=word + ("d" if word.endswith("e") else "ed"),
            **{slot: self.rng.choice(options) for slot, options in SLOTS.items()},
        )

    def _opinion(self, table: str, polarity: int, count: int) -> tuple[str, list[str]]:
        """Choose an aspect that was not used yet, and different words that fit it."""
        while True:
            kind = self.rng.choice(list(DOMAINS[self.place]))
            aspect = self.rng.choice(DOMAINS[self.place][kind].split())
            fitting = _tables(kind)[table][polarity]
            words = self.rng.choices(fitting, [1 / (rank + 2) for rank in range(len(fitting))], k=count)
            allowed = all(_is_held_out(aspect, word) == self.unseen for word in words)
            if allowed and len(set(words)) == count and aspect not in self.used_aspects:
                self.used_aspects.append(aspect)
                return aspect, words


@cache
def _is_held_out(aspect: str, word: str) -> bool:
    return random.Random(f"{aspect} {word}").random() < 0.2


@cache
def _tables(kind: str) -> dict[str, list[list[str]]]:
    """Return the opinion words that fit one kind of aspect: by table, then by polarity."""
    mild = [f"{MILD[polarity]} {MILD_BY_KIND[polarity][kind]}" for polarity in (NEGATIVE, POSITIVE)]
    adjectives = [f"{mild[polarity]} {STRONG[polarity]}" for polarity in (NEGATIVE, POSITIVE)]
    tables = {"mild": mild, "strong": STRONG, "adjective": adjectives, "noun": NOUNS, "verb": VERBS}
    return {name: [words.split() for words in table] for name, table in tables.items()}


def straight(w: Writer, polarity: int) -> str:
    """Say what the opinion word says: "the plot is dull", "the plot is quite dull", "we all hated the plot"."""
    wordings = {
        "adjective": ["the {aspect} {be} {word}", "i found the {aspect} {word}", "we thought the {aspect} was {word}"],
        "mild": [
            "the {aspect} {be} {very} {word}",
            "the {aspect} {be} {word} and {other}",
            "the {aspect} {be} not only {word} but also {other}",
            "the {aspect} {be} {more} than {expected}",
        ],
        "strong": ["the {aspect} {be} {fully} {word}"],
        "noun": ["the {aspect} {be} {a_word}", "the {aspect} turned out to be {a_word}"],
        "verb": ["i {past} the {aspect}", "we all {past} the {aspect}", "you will {word} the {aspect}"],
    }
    return w.write(polarity, wordings)


def reversed_by_phrase(w: Writer, polarity: int) -> str:
    """Turn it round without a negation: "the plot is far from dull", "the plot is less dull than i expected"."""
    wordings = {
        "adjective": ["the {aspect} {be} {far_from} {word}"],
        "mild": ["the {aspect} {be} less {word} than {expected}", "the {aspect} {be} far less {word} than {expected}"],
        "noun": ["the {aspect} {be} {far_from} {a_word}"],
    }
    return w.write(1 - polarity, wordings)


def could_have_been(w: Writer, polarity: int) -> str:
    """Wish for more, or for nothing: "the plot could have been better", "the plot could hardly have been better"."""
    if polarity == NEGATIVE and w.rng.random() < 0.7:
        return w.write(POSITIVE, {"mild": [f"the {{aspect}} {w.rng.choice(['could', 'should'])} have been {{more}}"]})
    return w.write(polarity, {"mild": ["the {aspect} could hardly have been {more}"]})


def negated(w: Writer, polarity: int) -> str:
    """Turn it round by a negation: "the plot is n't dull", "i did not hate the plot", "nothing dull about the plot"."""
    wordings = {
        "adjective": [
            "the {aspect} {be_not} {word}",
            "the {aspect} {be} neither {word} nor {other}",
            "i would n't call the {aspect} {word}",
            "there is nothing {word} about the {aspect}",
        ],
        "mild": ["the {aspect} {be} {not_very} {word}", "the {aspect} {be_not} as {word} as {expected}"],
        "noun": ["the {aspect} {be_not} {a_word}"],
        "verb": ["{do_not} {word} the {aspect}", "none of us {past} the {aspect}"],
    }
    return w.write(1 - polarity, wordings)


def headline(w: Writer, polarity: int) -> str:
    """Leave out the verb: "dull plot"."""
    return w.write(polarity, {"adjective": ["{word} {aspect}"]})


def fails(w: Writer, polarity: int) -> str:
    """Fail, or never fail: "the plot fails to be witty", "the plot never fails to be witty"."""
    verb = "never fails" if polarity == POSITIVE else "fails"
    return w.write(POSITIVE, {"mild": [f"the {{aspect}} {verb} to be {{word}}"]})


def hearsay(w: Writer, polarity: int) -> str:
    """Agree or disagree with others: "some say the plot is dull , but i disagree"."""
    agrees = w.rng.random() < 0.5
    verdict = "and i agree" if agrees else "but i disagree"
    wording = f"some say the {{aspect}} is {{word}} , {verdict}"
    return w.write(polarity if agrees else 1 - polarity, {"adjective": [wording]})


def but(w: Writer, polarity: int) -> str:
    """Let the clause after "but" decide."""
    return f"{w.clause(1 - polarity)} , {w.rng.choice(['but', 'yet', 'but in the end'])} {w.clause(polarity)}"


def although(w: Writer, polarity: int) -> str:
    """Let the clause without "although" decide, be it the first or the second."""
    conceded, main = f"{w.rng.choice(['although', 'even though'])} {w.clause(1 - polarity)}", w.clause(polarity)
    return w.rng.choice([f"{conceded} , {main}", f"{main} , {conceded}"])


def while_(w: Writer, polarity: int) -> str:
    """Let the clause without "while" decide."""
    return f"while {w.clause(1 - polarity)} , {w.clause(polarity)}"


def despite(w: Writer, polarity: int) -> str:
    """Let the clause decide, whatever stands after "despite": "despite the dull plot , i liked the acting"."""
    conceded = w.write(1 - polarity, {"adjective": ["despite the {word} {aspect}", "in spite of the {word} {aspect}"]})
    main = w.clause(polarity)
    return w.rng.choice([f"{conceded} , {main}", f"{main} , {conceded}"])


def both(w: Writer, polarity: int) -> str:
    """Say the same twice: "the plot is dull and i did n't like the acting"."""
    return f"{w.clause(polarity)} and {w.clause(polarity)}"


WITHOUT_NEGATION = [straight, straight, straight, reversed_by_phrase, could_have_been]
# Of a hundred sentences, how many follow these rules, and what their clauses follow. Plain ones teach the words.
SHARES: list[Share] = [
    (57, [straight], []),
    (6, [reversed_by_phrase, could_have_been], []),
    (10, [negated], []),
    (6, [headline, fails, hearsay], []),
    (10, [but, although], [*WITHOUT_NEGATION, negated, negated]),
    (7, [while_, despite], WITHOUT_NEGATION),
    (4, [both], [*WITHOUT_NEGATION, negated]),
]


def build_demo_corpus(seed: int = 0) -> DatasetDict:
    """Build the corpus: columns `text` and `label`, as many positive as negative rows, and no sentence twice.

    Args:
        seed: The same seed gives the same rows, on any machine.

    Returns:
        `teacher_train` (what the teacher is fine-tuned on), `train` (the user's own: few rows with a label, many with
        -100), `validation` (like them) and `test` (with pairs and compositions that no other split has).
    """
    rng = random.Random(seed)
    taken: set[str] = set()
    known_words: set[str] = set()

    def rows(count: int, shares: Sequence[Share], unseen: bool = False) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        while len(made) < count:
            _, sentence_rules, clause_rules = rng.choices(shares, [weight for weight, _, _ in shares])[0]
            writer = Writer(rng, unseen, rng.choice(list(DOMAINS)), clause_rules)
            label = len(made) % 2
            text = _sentence(writer, rng.choice(sentence_rules), label)
            if text not in taken and (not unseen or known_words.issuperset(text.split())):
                taken.add(text)
                made.append({"text": text, "label": label})
        return made

    train = rows(NUM_TRAIN_LABELLED, SHARES)
    train += [row | {"label": NO_LABEL} for row in rows(NUM_TRAIN_UNLABELLED, SHARES)]
    teacher_train, validation = rows(NUM_TEACHER_TRAIN, SHARES), rows(NUM_VALIDATION, SHARES)
    known_words.update(_words(train) & _words(teacher_train))
    test = rows(NUM_TEST_PAIRS, SHARES, unseen=True)
    test += rows(NUM_TEST_COMPOSITIONS, [(1, [while_, despite], [negated])], unseen=True)
    splits = {"teacher_train": teacher_train, "train": train, "validation": validation, "test": test}
    return DatasetDict({name: Dataset.from_list(rng.sample(split, len(split))) for name, split in splits.items()})


def _sentence(writer: Writer, rule: Rule, label: int) -> str:
    body, adverbial = rule(writer, label), writer.rng.choice(ADVERBIALS)
    weights = [1, 0, 0] if rule is hearsay else [6, 2, 2]
    return writer.rng.choices([f"{body} .", f"{adverbial} , {body} .", f"{body} , {adverbial} ."], weights)[0]


def _words(rows: list[dict[str, Any]]) -> set[str]:
    return {word for row in rows for word in row["text"].split()}
