"""Compare ways to augment texts: `augment`, the same rules in a plain Python loop, and nlpaug's RandomWordAug.

python benchmarks/augmentation.py --texts train.jsonl
python benchmarks/augmentation.py --texts train.jsonl --full

Texts go in and texts come out; splitting, tagging, counting and dropping duplicates are part of it. One process, one
thread. nlpaug neither tags nor drops duplicates; it is measured as it comes, and with words split at spaces, which is
its fastest way. `full` takes all texts.
"""

import argparse
import functools
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import nlpaug.augmenter.word as naw
from datasets import Dataset, disable_progress_bars, load_from_disk

from hf_bilstm_distill.augmentation.sets import HeuristicAugmenter, augment
from hf_bilstm_distill.augmentation.taggers import load_tagger, tag_words
from hf_bilstm_distill.augmentation.words import split_words

P_MASK, P_POS, P_NGRAM, MASK = 0.1, 0.1, 0.25, "[MASK]"
MEBIBYTE = 2**20


def main() -> None:
    """Augment the same texts in every way, in turn, and print the medians."""
    options = parse_arguments()
    disable_progress_bars()
    texts = read_texts(options.texts)
    texts = texts if options.full else texts[: options.rows]
    counted = Counter(word for text in texts for word in text.split())
    facts: dict[str, Any] = {
        "texts": str(options.texts),
        "rows": len(texts),
        "words_per_row": round(counted.total() / len(texts), 1),
        "n_iter": options.n_iter,
        "repeats": options.repeats,
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        "python": platform.python_version(),
    }
    # Before all else, while the peak is still that of the imports and of this.
    facts["peak_mib_before"] = peak_mebibytes()
    facts |= augment_twice(texts, options.n_iter)
    facts["peak_mib_after"] = peak_mebibytes()

    rate = {"aug_p": P_MASK + P_POS}
    at_spaces: dict[str, Any] = {"tokenizer": str.split, "reverse_tokenizer": " ".join}
    nlpaug_ways = {
        "nlpaug, as it comes": naw.RandomWordAug(action="substitute", target_words=list(counted), **rate),
        "nlpaug, substitute": naw.RandomWordAug(action="substitute", target_words=list(counted), **rate, **at_spaces),
        "nlpaug, swap": naw.RandomWordAug(action="swap", **rate, **at_spaces),
    }
    num_copies = options.n_iter * len(texts)
    ways: dict[str, tuple[int, Callable[[], float]]] = {
        "augment": (num_copies, lambda: seconds_of_augment(texts, options.n_iter)),
        "plain loop": (num_copies, lambda: seconds_of(lambda: plain_loop(texts, options.n_iter))),
    }
    for name, augmenter in nlpaug_ways.items():
        ways[name] = len(texts), functools.partial(seconds_of_nlpaug, augmenter, texts)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, (num_made, measure) in ways.items():
            rates[name].append(num_made / measure())
    facts["copies_per_second"] = {name: round(statistics.median(values)) for name, values in rates.items()}
    facts["ratio"] = {
        name: round(facts["copies_per_second"]["augment"] / rate, 1)
        for name, rate in facts["copies_per_second"].items()
    }
    print_table(facts)
    print(json.dumps(facts))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help='JSON lines with a "text", or one text a line')
    parser.add_argument("--rows", type=int, default=20_000, help="how many rows to augment, from the first on")
    parser.add_argument("--full", action="store_true", help="augment all rows")
    parser.add_argument("--n_iter", type=int, default=20, help="how many copies of a row; nlpaug makes one")
    parser.add_argument("--repeats", type=int, default=3, help="how often to measure each way, in turn")
    return parser.parse_args()


def read_texts(path: Path) -> list[str]:
    """Return the texts of a file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] if path.suffix == ".jsonl" else line.strip() for line in lines]


def augment_twice(texts: list[str], n_iter: int) -> dict[str, Any]:
    """Return what comes out of `augment`, and how long it takes when it finds its rows in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = on_disk(texts, folder)
        rows = augment(dataset, HeuristicAugmenter(n_iter=n_iter))
        second = seconds_of(lambda: augment(dataset, HeuristicAugmenter(n_iter=n_iter)))
        return {
            "rows_kept": len(rows),
            "duplicates": (n_iter + 1) * len(texts) - len(rows),
            "second_call_seconds": round(second, 2),
        }


def seconds_of_augment(texts: list[str], n_iter: int) -> float:
    """Return how long it takes from texts on disk to texts in memory, where nothing is in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = on_disk(texts, folder)
        return seconds_of(lambda: augment(dataset, HeuristicAugmenter(n_iter=n_iter))["text"][:])


def on_disk(texts: list[str], folder: str) -> Dataset:
    """Return a set whose cache is in a folder of its own."""
    Dataset.from_dict({"text": texts}).save_to_disk(folder)
    return load_from_disk(folder)


def seconds_of_nlpaug(augmenter: naw.RandomWordAug, texts: list[str]) -> float:
    """Return how long it takes to make one copy of each text."""
    return seconds_of(lambda: [augmenter.augment(text) for text in texts])


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def plain_loop(texts: list[str], n_iter: int) -> list[str]:
    """Return texts, each followed by its copies, by the rules of `HeuristicAugmenter`, word for word."""
    tagger = load_tagger("lexicon")
    sentences = []
    counts: dict[str, Counter[str]] = {}
    for text in texts:
        pieces = split_words(text)
        tags = tag_words(tagger, pieces[1::2])
        sentences.append((pieces, tags))
        for tag, word in zip(tags, pieces[1::2], strict=True):
            counts.setdefault(tag, Counter())[word] += 1
    pools: dict[str, tuple[list[str], list[int]]] = {}
    for tag, of_tag in counts.items():
        pools[tag] = list(of_tag), []
        for count in of_tag.values():
            pools[tag][1].append(count + (pools[tag][1][-1] if pools[tag][1] else 0))

    seen = set(texts)
    rows = []
    for row, (text, (pieces, tags)) in enumerate(zip(texts, sentences, strict=True)):
        rows.append(text)
        rng = Random(row)
        for _ in range(n_iter):
            copy = changed(pieces, tags, pools, rng)
            if copy not in seen:
                seen.add(copy)
                rows.append(copy)
    return rows


def changed(pieces: list[str], tags: list[str], pools: dict[str, tuple[list[str], list[int]]], rng: Random) -> str:
    """Return one copy of a text."""
    pieces = pieces.copy()
    for number, tag in enumerate(tags):
        x = rng.random()
        if x < P_MASK:
            pieces[2 * number + 1] = MASK
        elif x < P_MASK + P_POS and pieces[2 * number + 1] != MASK:
            words, cumulative = pools[tag]
            pieces[2 * number + 1] = words[bisect_right(cumulative, rng.random() * cumulative[-1])]
    if rng.random() < P_NGRAM:
        length = 1 + int(rng.random() * 5)
        if length < len(tags):
            start = int(rng.random() * (len(tags) - length + 1))
            pieces = pieces[2 * start + 1 : 2 * (start + length)]
    return "".join(pieces)


def peak_mebibytes() -> int:
    """Return the most memory that this process has used so far."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // MEBIBYTE


def print_table(facts: dict[str, Any]) -> None:
    """Print rates, then what came out."""
    print(f"{'way':<20}{'copies a second':>18}{'augment is faster':>20}")
    for name, rate in facts["copies_per_second"].items():
        print(f"{name:<20}{rate:>18,}{facts['ratio'][name]:>19}x")
    print(
        f"\n{facts['rows']:,} rows, {facts['n_iter']} copies each: {facts['rows_kept']:,} rows kept, "
        f"{facts['duplicates']:,} duplicates dropped; the second call took {facts['second_call_seconds']} s; peak "
        f"memory {facts['peak_mib_before']} MiB before, {facts['peak_mib_after']} MiB after."
    )


if __name__ == "__main__":
    main()
