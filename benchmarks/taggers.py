"""Compare the part-of-speech taggers: how many words a second, how often right, how often alike.

python benchmarks/taggers.py --texts sentences.jsonl --nltk_data FOLDER --spacy en_core_web_sm
python benchmarks/taggers.py --gold en_ewt-ud-test.conllu

With `--gold` the words are those of a treebank and its tags are the truth (Penn tags: the column XPOS). Without, there
is no truth: the taggers are compared with one another.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

from hf_bilstm_distill.augmentation.taggers import Tagger, load_tagger, tag_words
from hf_bilstm_distill.augmentation.words import split_words

KINDS = {"NN": "noun", "VB": "verb", "JJ": "adjective", "RB": "adverb"}
CONTENT = set(KINDS.values())
GOLD = "gold"


def main() -> None:
    """Tag the same sentences with every tagger that is installed."""
    options = parse_arguments()
    gold = read_treebank(options.gold, options.rows) if options.gold else None
    sentences = [words for words, _ in gold] if gold else read_sentences(options.texts, options.rows)
    if options.lower:
        sentences = [[word.lower() for word in words] for words in sentences]
    taggers = available_taggers(options.nltk_data, options.spacy)
    speeds = measure_speeds(taggers, sentences, options.repeats)

    tags = {name: [tag for words in sentences for tag in tag_words(taggers[name], words)] for name in taggers}
    if gold:
        tags = {GOLD: [tag for _, tags_of_sentence in gold for tag in tags_of_sentence]} | tags
    words = [word for sentence in sentences for word in sentence]
    pairs = [(GOLD, name) for name in taggers] if gold else combinations(taggers, 2)
    agreements = [agreement(one, other, tags[one], tags[other], words) for one, other in pairs]
    print_table(speeds, agreements, "share of right" if gold else "share of equals")
    reference = GOLD if gold else "nltk"
    if options.confusions and reference in tags:
        print_confusions(tags["lexicon"], tags[reference], reference, words)
    facts = {
        "texts": str(options.gold or options.texts),
        "lower": options.lower,
        "sentences": len(sentences),
        "words": len(words),
        "repeats": options.repeats,
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        "python": platform.python_version(),
    }
    print(json.dumps(facts | {"words_per_second": speeds, "agreement": agreements}))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--texts", type=Path, help='JSON lines with a "text", or one sentence a line')
    source.add_argument("--gold", type=Path, help="CoNLL-U file with Penn tags, as UD English-EWT is")
    parser.add_argument("--nltk_data", help="folder with the data of NLTK's tagger, if it is not where NLTK looks")
    parser.add_argument("--spacy", help="name of a spaCy model to compare as well")
    parser.add_argument("--rows", type=int, default=2000, help="how many rows to tag, from the first on")
    parser.add_argument("--repeats", type=int, default=3, help="how often to measure each tagger, in turn")
    parser.add_argument("--lower", action="store_true", help="take away the case first")
    parser.add_argument("--confusions", action="store_true", help="print where lexicon errs most, or differs from nltk")
    return parser.parse_args()


def read_sentences(path: Path, rows: int) -> list[list[str]]:
    """Return the words of the first texts of a file."""
    with path.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] if path.suffix == ".jsonl" else line.strip() for line in lines]
    return [split_words(text)[1::2] for text in texts[:rows]]


def read_treebank(path: Path, rows: int) -> list[tuple[list[str], list[str]]]:
    """Return the words and the Penn tags of the first sentences of a CoNLL-U file."""
    sentences = []
    for block in path.read_text(encoding="utf-8").strip().split("\n\n")[:rows]:
        lines = [line.split("\t") for line in block.splitlines() if not line.startswith("#")]
        # "3-4" is a text of two words that follow, "5.1" a word that is not in the text.
        tagged = [(columns[1], columns[4]) for columns in lines if columns[0].isdigit()]
        sentences.append(([word for word, _ in tagged], [tag for _, tag in tagged]))
    return sentences


def available_taggers(nltk_data: str | None, spacy_model: str | None) -> dict[str, Tagger]:
    """Return the taggers by name, without those whose package or data is missing."""
    if nltk_data:
        import nltk

        nltk.data.path.append(nltk_data)
    taggers = {}
    for name in ["lexicon", "textblob", "nltk", *([f"spacy:{spacy_model}"] if spacy_model else [])]:
        try:
            taggers[name] = load_tagger(name)
        except (ImportError, LookupError, OSError) as error:
            print(f"Left out: {error}")
    return taggers


def measure_speeds(taggers: dict[str, Tagger], sentences: list[list[str]], repeats: int) -> dict[str, int]:
    """Return the words a second of each tagger: the median of some rounds, in each of which all take their turn."""
    seconds: dict[str, list[float]] = {name: [] for name in taggers}
    for tagger in taggers.values():
        tag_words(tagger, ["warm", "up"])
    for _ in range(repeats):
        for name, tagger in taggers.items():
            start = time.perf_counter()
            for words in sentences:
                tag_words(tagger, words)
            seconds[name].append(time.perf_counter() - start)
    num_words = sum(map(len, sentences))
    return {name: round(num_words / statistics.median(times)) for name, times in seconds.items()}


def agreement(one: str, other: str, tags: list[str], other_tags: list[str], words: list[str]) -> dict[str, Any]:
    """Return how often two give the same tag, and see the same kind: in all words, and where one sees a content word.

    Marks are left out: their tags have other names in other treebanks.
    """
    pairs = [pair for *pair, word in zip(tags, other_tags, words, strict=True) if any(map(str.isalnum, word))]
    kinds = [(kind_of(tag), kind_of(other_tag)) for tag, other_tag in pairs]
    return {
        "taggers": [one, other],
        "tags": share_of_equals(pairs),
        "kinds": share_of_equals(kinds),
        "content_words": share_of_equals([pair for pair in kinds if CONTENT.intersection(pair)]),
    }


def kind_of(tag: str) -> str:
    """Return noun, verb, adjective, adverb or other."""
    return KINDS.get(tag[:2], "other")


def share_of_equals(pairs: list[Any]) -> float:
    """Return how many pairs hold the same twice, of all."""
    return round(sum(one == other for one, other in pairs) / max(1, len(pairs)), 4)


def print_table(speeds: dict[str, int], agreements: list[dict[str, Any]], what: str) -> None:
    """Print speeds, then agreements."""
    print(f"{'tagger':<34}{'words a second':>16}")
    for name, speed in speeds.items():
        print(f"{name:<34}{speed:>16,}")
    print(f"\n{what:<34}{'Penn tags':>12}{'kinds':>12}{'content':>12}")
    for row in agreements:
        names = " and ".join(row["taggers"])
        print(f"{names:<34}{row['tags']:>12.3f}{row['kinds']:>12.3f}{row['content_words']:>12.3f}")


def print_confusions(tags: list[str], reference_tags: list[str], reference: str, words: list[str]) -> None:
    """Print what to mend in the lexicon, by how often it happens."""
    counts = Counter(
        (word.lower(), kind_of(reference_tag), kind_of(tag))
        for word, reference_tag, tag in zip(words, reference_tags, tags, strict=True)
        if kind_of(tag) != kind_of(reference_tag)
    )
    print(f"\nword, {reference}, lexicon, times")
    for (word, reference_kind, kind), count in counts.most_common(60):
        print(f"{word:<20}{reference_kind:<12}{kind:<12}{count:>6}")


if __name__ == "__main__":
    main()
