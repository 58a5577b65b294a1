"""Feed the reader of word vectors with broken files: it must read each, or refuse it with a ValueError that says where.

python benchmarks/fuzz_vectors.py --minutes 10

A file is a sound one in one of the formats, changed at a few places: bytes turned, doubled, left out or exchanged for
numbers, names and marks that mean something to a reader. Printed as JSON: the files tried, how many were read and
refused, and the failures (another error, a table with NaN, more than 64 MiB taken), each of which is kept as a file.
"""

import argparse
import gzip
import json
import logging
import random
import struct
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import torch

from hf_bilstm_distill import read_words, vectors_from_file, word_tokenizer_from_words

WORDS = ["film", "the", "é", "映画", "a.m.", "-1", "nan", "x" * 300]
SNIPPETS = [
    *(b" ", b"\n", b"\r\n", b"\t", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc2\xa0", b"\xe2\x80\xa8", b"\x1f\x8b"),
    *(b"nan", b"-inf", b"1e999", b"1e-999", b"0x1p3", b"1_000", b"--1", b"+.5e", b"\xd9\xa3", b"1" * 400, b"#", b'"'),
    *(b"1000000000000 3\n", b"3 0\n", b"0 3\n", b"-1 3\n", b"2 10001\n", b"999999999999999999999 9\n", b"film 1 2 3\n"),
]
MOST_MEMORY = 64 * 2**20


def sound_file(random_: random.Random) -> tuple[str, bytes]:
    """Return a name and the content of a file that can be read."""
    dim, words = random_.randint(1, 6), random_.choices(WORDS, k=random_.randint(1, 8))
    rows = [(word, [random_.uniform(-2, 2) for _ in range(dim)]) for word in words]
    header = f"{len(rows)} {dim}\n".encode()
    if random_.random() < 0.4:
        content = header + b"".join(word.encode() + b" " + struct.pack(f"<{dim}f", *row) for word, row in rows)
        name = "vectors.bin"
    else:
        lines = "".join(f"{word} {' '.join(f'{number:.4f}' for number in row)}\n" for word, row in rows)
        content = header * random_.randint(0, 1) + lines.encode()
        name = "vectors.txt"
    return name, content


def mutated(content: bytes, random_: random.Random) -> bytes:
    """Return the content, changed at up to eight places."""
    changed = bytearray(content)
    for _ in range(random_.randint(0, 8)):
        start = random_.randint(0, len(changed))
        stop = min(len(changed), start + random_.choice([0, 1, 2, 8, 64]))
        kind = random_.randrange(4)
        if kind == 0:
            changed[start:stop] = random_.choice(SNIPPETS)
        elif kind == 1:
            changed[start:stop] = random_.randbytes(random_.randint(0, 4))
        elif kind == 2:
            changed[start:stop] = bytes(changed[start:stop]) * random_.randint(0, 3)
        else:
            changed[start:stop] = bytes(changed[stop : stop + 4]) + bytes(changed[start:stop])
    return bytes(changed)


def attempt(path: Path, tokenizer: object) -> str:
    """Read a file; say how that went: read, refused, or what went wrong."""
    tracemalloc.reset_peak()
    outcomes = set()
    for read in (lambda: list(read_words(path)), lambda: vectors_from_file(path, tokenizer).vectors):
        try:
            result = read()
        except ValueError as error:
            if str(path) not in str(error):
                return f"refused without the place: {error}"
            outcomes.add("refused")
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        else:
            outcomes.add("read")
            if isinstance(result, torch.Tensor) and not result.isfinite().all():
                return "the table holds NaN or infinity"
    if tracemalloc.get_traced_memory()[1] > MOST_MEMORY:
        return f"took {tracemalloc.get_traced_memory()[1]:,} bytes"
    return "refused" if "refused" in outcomes else "read"


def main() -> None:
    """Try files until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=Path, default=Path("out/fuzz"), help="Where files that fail are kept.")
    options = parser.parse_args()
    logging.getLogger("hf_bilstm_distill").setLevel(logging.ERROR)
    tokenizer = word_tokenizer_from_words(["film", "the", "é", "-", "x"])
    random_ = random.Random(options.seed)
    counts, failures = {"read": 0, "refused": 0}, []
    begin = time.monotonic()
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() - begin < 60 * options.minutes:
            name, content = sound_file(random_)
            content = mutated(content, random_)
            if random_.random() < 0.1:
                name, content = f"{name}.gz", mutated(gzip.compress(content, 1, mtime=0), random_)
            path = Path(folder) / name
            path.write_bytes(content)
            outcome = attempt(path, tokenizer)
            if outcome in counts:
                counts[outcome] += 1
                continue
            options.failures.mkdir(parents=True, exist_ok=True)
            kept = options.failures / f"{len(failures)}-{name}"
            kept.write_bytes(content)
            failures.append({"file": str(kept), "what": outcome})
    tried = sum(counts.values()) + len(failures)
    print(
        json.dumps({"seed": options.seed, "minutes": options.minutes, "tried": tried, **counts, "failures": failures})
    )
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
