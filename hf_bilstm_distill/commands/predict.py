"""Classify lines from a file or a pipe into JSON lines: `hf-bilstm-distill predict`.

For an exported student it needs neither PyTorch nor transformers.
"""

import argparse
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from hf_bilstm_distill.commands.errors import OneLineParser, one_line_errors
from hf_bilstm_distill.commands.exported import is_exported
from hf_bilstm_distill.predictor import OnnxTextClassifier

_LINES_AT_ONCE = 4096

Row = tuple[str, ...]
"""A text, or a pair of texts."""
Classify = Callable[[Sequence[Row]], list[Any]]


def main() -> None:
    """Write a line of JSON for each line of the input, in its order."""
    options = _read_options()
    with one_line_errors():
        if options.file != "-" and not Path(options.file).exists():
            raise FileNotFoundError(f"There is no file {options.file}.")
        classify, is_pair = _load(options)
        with _open(options.file) as stream, _progress(stream) as bar:
            rows = _rows(stream, options.file, is_pair, bar)
            try:
                while part := list(islice(rows, options.lines_at_once)):
                    sys.stdout.writelines(json.dumps(answer) + "\n" for answer in classify(part))
                    sys.stdout.flush()
            except BrokenPipeError:  # who reads it has enough; Python would complain once more when it ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _read_options() -> argparse.Namespace:
    parser = OneLineParser(
        description='Classify lines into JSON lines: {"label": ..., "score": ...}. Each line is a text; of a model of '
        "pairs, two texts with a tab between them. An empty line is an empty text."
    )
    parser.add_argument("model", metavar="MODEL", help="a student, an exported one or any classifier: folder or Hub id")
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="texts in UTF-8; left out or -: the pipe")
    parser.add_argument(
        "--top_k", type=_positive, default=1, metavar="N", help="give a list of the N best labels; default: the best"
    )
    parser.add_argument(
        "--pairs", action="store_true", help="lines are pairs; a student knows by itself whether it reads them"
    )
    parser.add_argument(
        "--lines_at_once",
        type=_positive,
        default=_LINES_AT_ONCE,
        metavar="N",
        help="lines to read before they are classified; default: %(default)s. 1 answers each line of a slow pipe at "
        "once",
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, got {text!r}")
    return int(text)


def _load(options: argparse.Namespace) -> tuple[Classify, bool]:
    """Return what classifies rows, and whether these are pairs."""
    top_k = options.top_k
    if is_exported(options.model) or not (find_spec("torch") and find_spec("transformers")):
        exported = OnnxTextClassifier.from_pretrained(options.model)
        is_pair = exported.is_pair or options.pairs
        return lambda rows: exported.predict([row if is_pair else row[0] for row in rows], top_k=top_k), is_pair

    from transformers.utils import logging

    from hf_bilstm_distill.inference import TextClassifier

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    classifier = TextClassifier.from_pretrained(options.model)
    names = classifier.id2label

    def classify(rows: Sequence[Row]) -> list[Any]:
        scores = classifier.predict(*map(list, zip(*rows, strict=True)))[1]
        order = (-scores).argsort(axis=1, kind="stable")[:, :top_k]
        ranked = [
            [{"label": names[place], "score": float(row[place])} for place in places]
            for row, places in zip(scores, order.tolist(), strict=True)
        ]
        return [best for (best,) in ranked] if top_k == 1 else ranked

    return classify, options.pairs or getattr(classifier.model.config, "is_pair", False)


@contextmanager
def _open(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
    else:
        with Path(file).open("rb") as stream:
            yield stream


def _progress(stream: BinaryIO) -> Any:
    """Return a bar on stderr, if that is a terminal: over the bytes of a file, or the bytes so far of a pipe."""
    status = os.fstat(stream.fileno())
    total = status.st_size if stat.S_ISREG(status.st_mode) else None
    return tqdm(total=total, unit="B", unit_scale=True, disable=None)


def _rows(stream: BinaryIO, name: str, is_pair: bool, bar: Any) -> Iterator[Row]:
    where = "The input" if name == "-" else name
    for number, line in enumerate(stream, start=1):
        bar.update(len(line))
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{where} is not UTF-8 in line {number} (byte {error.object[error.start]:#x}). Convert it first: "
                "`iconv -f latin1 -t utf-8`."
            ) from error
        row = tuple(text.split("\t")) if is_pair and text else (text,) * (1 + is_pair)
        if len(row) != 1 + is_pair:
            raise ValueError(f"{where} has {len(row) - 1} tabs in line {number}. A pair is two texts with one between.")
        yield row
