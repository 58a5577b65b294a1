"""Compare the part-of-speech taggers: how often they agree on the kind of a word, and how many words they tag a second.

python benchmarks/taggers.py --texts sentences.jsonl --nltk_data FOLDER
"""

import argparse
import json
import platform
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

from hf_bilstm_distill.augmentation import split_words
from hf_bilstm_distill.taggers import Tagger, load_tagger, tag_words

KINDS = {"NN": "noun", "VB": "verb", "JJ": "adjective", "RB": "adverb"}
CONTENT = set(KINDS.values())


def main() -> None:
    """Tag the same sentences with every tagger that is installed."""
    options = parse_arguments()
    sentences = read_sentences(options.texts, options.rows)
    num_words = sum(map(len, sentences))
    kinds, speeds = {}, {}
    for name, tagger in available_taggers(options.nltk_data).items():
        tag_words(tagger, ["warm", "up"])
        start = time.perf_counter()
        tags = [tag_words(tagger, words) for words in sentences]
        speeds[name] = round(num_words / (time.perf_counter() - start))
        kinds[name] = [KINDS.get(tag[:2], "other") for sentence in tags for tag in sentence]

    words = [word for sentence in sentences for word in sentence]
    agreements = [agreement(one, other, kinds[one], kinds[other], words) for one, other in combinations(kinds, 2)]
    print_table(speeds, agreements)
    if options.confusions and "nltk" in kinds:
        print_confusions(kinds["lexicon"], kinds["nltk"], words)
    facts = {
        "texts": str(options.texts),
        "sentences": len(sentences),
        "words": num_words,
        "python": platform.python_version(),
    }
    print(json.dumps(facts | {"words_per_second": speeds, "agreement": agreements}))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help='JSON lines with a "text", or one sentence a line')
    parser.add_argument("--nltk_data", help="folder with the data of NLTK's tagger, if it is not where NLTK looks")
    parser.add_argument("--rows", type=int, default=2000, help="how many rows to tag, from the first on")
    parser.add_argument(
        "--confusions", action="store_true", help="print the words on which lexicon and nltk differ most"
    )
    return parser.parse_args()


def read_sentences(path: Path, rows: int) -> list[list[str]]:
    """Return the words of the first texts of a file."""
    with path.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] if path.suffix == ".jsonl" else line.strip() for line in lines]
    return [split_words(text)[1::2] for text in texts[:rows]]


def available_taggers(nltk_data: str | None) -> dict[str, Tagger]:
    """Return the taggers by name, without those whose package or data is missing."""
    taggers = {"lexicon": load_tagger("lexicon")}
    for name in ("nltk", "textblob"):
        try:
            if name == "nltk" and nltk_data:
                import nltk

                nltk.data.path.append(nltk_data)
            taggers[name] = load_tagger(name)
        except (ImportError, LookupError) as error:
            print(f"Left out: {error}")
    return taggers


def agreement(one: str, other: str, kinds: list[str], other_kinds: list[str], words: list[str]) -> dict[str, Any]:
    """Return how often two see the same kind: in all words, without marks, and where one sees a content word."""
    pairs = list(zip(kinds, other_kinds, strict=True))
    without_marks = [pair for pair, word in zip(pairs, words, strict=True) if any(map(str.isalnum, word))]
    content = [pair for pair in pairs if CONTENT.intersection(pair)]
    return {
        "taggers": [one, other],
        "all_words": share_of_equals(pairs),
        "without_marks": share_of_equals(without_marks),
        "content_words": share_of_equals(content),
    }


def share_of_equals(pairs: list[tuple[str, str]]) -> float:
    """Return how many pairs hold the same twice, of all."""
    return round(sum(one == other for one, other in pairs) / max(1, len(pairs)), 4)


def print_table(speeds: dict[str, int], agreements: list[dict[str, Any]]) -> None:
    """Print speeds, then agreements."""
    print(f"{'tagger':<12}{'words a second':>16}")
    for name, speed in speeds.items():
        print(f"{name:<12}{speed:>16,}")
    print(f"\n{'same kind of word':<22}{'all words':>12}{'no marks':>12}{'content':>12}")
    for row in agreements:
        names = " and ".join(row["taggers"])
        print(f"{names:<22}{row['all_words']:>12.3f}{row['without_marks']:>12.3f}{row['content_words']:>12.3f}")


def print_confusions(kinds: list[str], reference: list[str], words: list[str]) -> None:
    """Print what to mend in the lexicon, by how often it happens."""
    counts = Counter(
        (word.lower(), reference_kind, kind)
        for word, reference_kind, kind in zip(words, reference, kinds, strict=True)
        if kind != reference_kind
    )
    print("\nword, nltk, lexicon, times")
    for (word, reference_kind, kind), count in counts.most_common(60):
        print(f"{word:<20}{reference_kind:<12}{kind:<12}{count:>6}")


if __name__ == "__main__":
    main()
