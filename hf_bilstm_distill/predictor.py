"""Classify texts with an exported student: onnxruntime, tokenizers and numpy, nothing else.

This file stands alone: `export_onnx` copies it into the folder that it writes.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self, cast

_INSTALL = (
    'Install what it needs: `pip install onnxruntime tokenizers numpy`, or `pip install "hf-bilstm-distill[onnx]"`.'
)

try:
    import numpy as np
    from tokenizers import Tokenizer
except ImportError as error:
    raise ImportError(f"OnnxTextClassifier cannot run: {error}. {_INSTALL}") from error

_FORMAT = 1
_FILES = [_MODEL, _TOKENIZER, _CONFIG] = ["model.onnx", "tokenizer.json", "config.json"]
_INPUTS = ("input_ids", "token_type_ids")

_ROWS_PER_BATCH = 16  # more leave the cache of a core
_ROWS_PER_ENCODING = 256  # encodings are large, and only their ids are kept
_ROWS_IN_MEMORY = 4096  # sorted by length together
_SECONDS_BEFORE_PROGRESS = 3
_FEWEST_TEXTS = 16  # of fewer, to look words up takes as long as to tokenize
_MOST_WORDS = 2**17
_WORDS_PER_ENCODING = 64

Sentences = str | tuple[str, str]
Result = dict[str, Any] | list[dict[str, Any]]
"""`{"label": ..., "score": ...}`, or a list of such labels, the best one first."""


class WordLookup:
    """Tokenizes many texts by looking their words up: what the tokenizer gives, in a part of the time.

    That holds where the tokenizer never looks beyond a space and puts no special tokens around a text, as that of most
    students does; others tokenize as ever. Words of one token are remembered, others tokenized once a call.

    Args:
        tokenizer: The tokenizer. It must not pad.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {"": []}

    @cached_property
    def _whole(self) -> Tokenizer | None:
        """The tokenizer without truncation, if it never looks beyond a space."""
        definition = self._tokenizer.to_str()
        if not _never_looks_beyond_a_space(json.loads(definition)):
            return None
        whole = Tokenizer.from_str(definition)
        whole.no_truncation()
        return whole

    def encode(self, sentences: Sequence[Sentences]) -> list[tuple[list[int], list[int]]]:
        """Tokenize texts or pairs.

        Args:
            sentences: Texts, or pairs of texts.

        Returns:
            For each its token ids, and their type ids: 1 in the second sentence of a pair, 0 elsewhere.
        """
        whole = self._whole if len(sentences) >= _FEWEST_TEXTS else None
        if whole is None or whole.get_vocab_size() != self._tokenizer.get_vocab_size():  # tokens were added since
            return self._by_tokenizer(sentences)
        return self._by_words(sentences, whole)

    def _by_tokenizer(self, sentences: Sequence[Sentences]) -> list[tuple[list[int], list[int]]]:
        rows: list[tuple[list[int], list[int]]] = []
        for start in range(0, len(sentences), _ROWS_PER_ENCODING):
            encodings = self._tokenizer.encode_batch_fast(sentences[start : start + _ROWS_PER_ENCODING])
            rows += [(encoding.ids, encoding.type_ids) for encoding in encodings]
        return rows

    def _by_words(self, sentences: Sequence[Sentences], whole: Tokenizer) -> list[tuple[list[int], list[int]]]:
        are_pairs = not isinstance(sentences[0], str)
        texts = cast(Iterable[str], chain.from_iterable(sentences) if are_pairs else sentences)
        words = [text.split(" ") for text in texts]
        new = [word for word in set(chain.from_iterable(words)) if word not in self._known]
        ids_of = self._known | self._learn(new, whole)
        ids = [list(chain.from_iterable(map(ids_of.__getitem__, row))) for row in words]
        rows = [(each, [0] * len(each)) for each in ids]
        if are_pairs:
            both = zip(ids[::2], ids[1::2], strict=True)
            rows = [(first + second, [0] * len(first) + [1] * len(second)) for first, second in both]
        if truncation := self._tokenizer.truncation:
            too_long = [row for row, (tokens, _) in enumerate(rows) if len(tokens) > truncation["max_length"]]
            for row, cut in zip(too_long, self._by_tokenizer([sentences[row] for row in too_long]), strict=True):
                rows[row] = cut
        return rows

    def _learn(self, new: list[str], whole: Tokenizer) -> dict[str, list[int]]:
        learned: dict[str, list[int]] = {word: [] for word in new}
        parts = [new[start : start + _WORDS_PER_ENCODING] for start in range(0, len(new), _WORDS_PER_ENCODING)]
        for part, encoding in zip(parts, whole.encode_batch([" ".join(part) for part in parts]), strict=True):
            places = iter(part)  # one by one, words would take three times as long
            end = -1
            for token, (start, _) in zip(encoding.ids, encoding.offsets, strict=True):
                while start >= end:
                    word = next(places)
                    end += 1 + len(word)
                learned[word].append(token)
        unknown = [whole.token_to_id(whole.model.unk_token)]
        if len(self._known) < _MOST_WORDS:
            self._known |= {word: ids for word, ids in learned.items() if len(ids) == 1 and ids != unknown}
        return learned


def _never_looks_beyond_a_space(definition: Mapping[str, Any]) -> bool:
    """Whether the tokens of a text are those of its words, one after the other."""
    normalizer, splitter = definition["normalizer"] or {"normalizers": []}, definition["pre_tokenizer"] or {}
    steps = normalizer.get("normalizers", [normalizer])
    replaced = [step["pattern"].get("String", " ") for step in steps if step["type"] == "Replace"]
    return (
        {step["type"] for step in steps} <= {"Replace", "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD"}
        and not any(" " in pattern for pattern in replaced)
        and splitter.get("pretokenizers", [splitter])[0].get("type") in {"BertPreTokenizer", "WhitespaceSplit"}
        and definition["model"]["type"] in {"WordPiece", "WordLevel"}
        and (definition["post_processor"] or {}).get("special_tokens") == {}
        and not any(" " in token["content"] for token in definition["added_tokens"])
    )


class OnnxTextClassifier:
    """A student that `export_onnx` wrote, with its tokenizer: texts in, labels with scores out.

    It answers as `pipeline("text-classification")` does, except that it cuts texts at the student's `max_length`. Any
    number of threads may use one classifier.

    Args:
        model: The graph: the path of a file, or its bytes.
        tokenizer: The tokenizer. It must cut texts by itself, and not pad them.
        config: What the folder's `config.json` holds.
        num_threads: How many cores classify many texts. None takes all that this process may use. A single text gets
            one thread in any case, since more make it slower. The tokenizer has threads of its own, which the
            environment variable `TOKENIZERS_PARALLELISM=false` switches off.

    Raises:
        ImportError: If onnxruntime is not installed.
        ValueError: If `num_threads` is not positive.
    """

    def __init__(
        self, model: str | bytes, tokenizer: Tokenizer, config: Mapping[str, Any], *, num_threads: int | None = None
    ) -> None:
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, got {num_threads}. None takes all cores.")
        self.labels: list[str] = config["labels"]
        self.problem_type: str | None = config["problem_type"]
        self.is_pair: bool = config["is_pair"]
        self.num_threads = num_threads or _available_cores()
        self._tokenizer = tokenizer
        self._words = WordLookup(tokenizer)
        self._session = _open_session(model)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | None = None,
        num_threads: int | None = None,
    ) -> Self:
        """Load an exported student from a folder or from the Hub.

        Args:
            name_or_path: The folder, or an id on the Hub.
            revision: A branch, tag or commit on the Hub. None takes its main branch.
            token: The token for a private model. None takes the one that is logged in.
            num_threads: How many cores classify many texts. None takes all that this process may use.

        Returns:
            The classifier.

        Raises:
            FileNotFoundError: If nothing can be loaded from there.
            ImportError: If onnxruntime is not installed.
            ValueError: If the folder holds something else than an exported student, one of another version, or a
                damaged file; if `num_threads` is not positive; or if `token` cannot be one.
        """
        folder = _find_folder(name_or_path, revision, token)
        for name in _FILES:
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{str(name_or_path)!r} holds no exported student: it has no {name}. Write one with "
                    "export_onnx(model, tokenizer, folder)."
                )
        try:
            config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{folder / _CONFIG} is damaged: {error}. Export the student again.") from error
        if config.get("export_format") != _FORMAT:
            raise ValueError(
                f"{str(name_or_path)!r} holds no student that this version reads: export_format is "
                f"{config.get('export_format')!r} in its {_CONFIG}, not {_FORMAT}. Export it again with export_onnx."
            )
        for name, digest in config.get("sha256", {}).items():  # older exports have none
            if name in _FILES and hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{folder / name} is damaged: it is not what was exported. Export the student again.")
        tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        return cls(str(folder / _MODEL), tokenizer, config, num_threads=num_threads)

    def predict(self, inputs: Any, *, top_k: int | None = 1) -> Any:
        """Give the labels of one text or pair, or of many.

        Args:
            inputs: A text; a pair, `{"text": ..., "text_pair": ...}`; or any iterable of texts or of pairs, where a
                pair may be `(first, second)` as well.
            top_k: How many labels to give, the best ones first. None gives all.

        Returns:
            For an iterable a list in its order, with `{"label": ..., "score": ...}` for each input, or a list of such
            labels where `top_k` is not 1. For a single pair what it would get in a list. For a single text, as in
            `pipeline`, always a list of labels.

        Raises:
            TypeError: If an input is not text.
            ValueError: If a student of single texts gets a pair, or one of pairs a single text; or if `top_k` is not
                positive.
        """
        _check_top_k(top_k)
        if not isinstance(inputs, str | Mapping):
            return list(_with_progress(self.stream(inputs, top_k=top_k), inputs))
        (result,) = self._results(self._run(self._encode([self._sentences(inputs)])), top_k)
        return [result] if isinstance(inputs, str) and top_k == 1 else result

    __call__ = predict

    def stream(self, inputs: Iterable[Any], *, top_k: int | None = 1) -> Iterator[Result]:
        """Give the labels of many texts or pairs one by one, and never hold more than a few thousand of them.

        Args:
            inputs: Any iterable of texts or of pairs, generators too.
            top_k: How many labels to give, the best ones first. None gives all.

        Yields:
            For each input `{"label": ..., "score": ...}`, or a list of such labels where `top_k` is not 1.

        Raises:
            TypeError: If an input is not text, or if `inputs` is a single one.
            ValueError: If a student of single texts gets a pair, or one of pairs a single text; or if `top_k` is not
                positive.
        """
        _check_top_k(top_k)
        for logits in self._logits(inputs):
            yield from self._results(logits, top_k)

    def logits(self, inputs: Iterable[Any]) -> np.ndarray:
        """Give the logits of many texts or pairs.

        Args:
            inputs: Any iterable of texts or of pairs.

        Returns:
            `(rows, num_labels)`, float32, in the order of the inputs.

        Raises:
            TypeError: If an input is not text, or if `inputs` is a single one.
            ValueError: If a student of single texts gets a pair, or one of pairs a single text.
        """
        return np.concatenate([np.empty((0, len(self.labels)), dtype=np.float32), *self._logits(inputs)])

    def _logits(self, inputs: Iterable[Any]) -> Iterator[np.ndarray]:
        """Yield the logits of a few thousand inputs at a time."""
        if isinstance(inputs, str | Mapping):
            raise TypeError(f"Expected several inputs, got the single {_short(inputs)}. Put it into a list.")
        remaining = iter(inputs)
        with ThreadPoolExecutor(self.num_threads) as pool:
            while part := [self._sentences(item) for item in islice(remaining, _ROWS_IN_MEMORY)]:
                rows = self._encode(part)
                order = np.argsort([-row.shape[1] for row in rows], kind="stable")
                batches = [order[start : start + _ROWS_PER_BATCH] for start in range(0, len(order), _ROWS_PER_BATCH)]
                of_batches = [[rows[place] for place in batch] for batch in batches]
                run = map if self.num_threads == 1 or len(batches) == 1 else pool.map
                logits = np.empty((len(rows), len(self.labels)), dtype=np.float32)
                for batch, of_batch in zip(batches, run(self._run, of_batches), strict=True):
                    logits[batch] = of_batch
                yield logits

    def _sentences(self, item: Any) -> Sentences:
        if isinstance(item, Mapping):
            texts = [item[name] for name in ("text", "text_pair") if item.get(name) is not None]
        else:
            texts = [item] if isinstance(item, str) or not isinstance(item, Iterable) else list(item)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError(f"Expected text, got {_short(item)}. Drop it, or make it a string.")
        if len(texts) != 1 + self.is_pair:
            wanted = "pairs, [(first, second), ...]" if self.is_pair else "single texts, [text, ...]"
            raise ValueError(f"This student reads {wanted}, got {_short(item)}. Give it what it was trained on.")
        return (texts[0], texts[1]) if self.is_pair else texts[0]

    def _encode(self, sentences: list[Sentences]) -> list[np.ndarray]:
        inputs = 1 + self.is_pair  # a student of single texts reads no type ids
        return [np.array(row[:inputs], dtype=np.int32) for row in self._words.encode(sentences)]  # (inputs, length)

    def _run(self, rows: list[np.ndarray]) -> np.ndarray:
        lengths = np.array([row.shape[1] for row in rows])
        is_token = np.arange(lengths.max()) < lengths[:, None]  # (batch, length)
        feed = {"attention_mask": is_token.astype(np.int64)}
        for name, values in zip(_INPUTS, np.concatenate(rows, axis=1), strict=False):
            feed[name] = np.zeros(is_token.shape, dtype=np.int64)  # the graph does not look at padding
            feed[name][is_token] = values
        return cast(np.ndarray, self._session.run(None, feed)[0])

    def _scores(self, logits: np.ndarray) -> np.ndarray:
        """Do what `pipeline` does with logits."""
        if self.problem_type == "regression":
            return logits
        if self.problem_type == "multi_label_classification" or len(self.labels) == 1:
            return cast(np.ndarray, np.exp(-np.logaddexp(0, -logits)))
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return cast(np.ndarray, odds / odds.sum(axis=1, keepdims=True))

    def _results(self, logits: np.ndarray, top_k: int | None) -> list[Result]:
        scores = self._scores(logits)
        if top_k == 1:
            best = zip(scores.argmax(axis=1).tolist(), scores.max(axis=1).tolist(), strict=True)
            return [{"label": self.labels[place], "score": score} for place, score in best]
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        ranked = zip(order.tolist(), np.take_along_axis(scores, order, axis=1).tolist(), strict=True)
        return [
            [{"label": self.labels[place], "score": score} for place, score in zip(*row, strict=True)] for row in ranked
        ]


def _check_top_k(top_k: int | None) -> None:
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}. None gives all labels.")


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_session(model: str | bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"OnnxTextClassifier cannot run: {error}. {_INSTALL}") from error
    options = onnxruntime.SessionOptions()
    # Several batches at a time, each on its own core, are faster than one batch on several cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _find_folder(name_or_path: str | os.PathLike[str], revision: str | None, token: str | None) -> Path:
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    if isinstance(token, str) and not (token.isascii() and token.isprintable() and " " not in token):
        # Errors of HTTP headers would show it.
        raise ValueError(f"token ({len(token)} characters) holds spaces or signs that no token has. Copy it again.")
    from huggingface_hub import snapshot_download  # tokenizers needs it, so it is there

    try:
        return Path(snapshot_download(str(name_or_path), revision=revision, token=token, allow_patterns=_FILES))
    except Exception as error:  # a broken connection has another class in each version of huggingface_hub
        reason = str(error).strip().partition("\n")[0]
        raise FileNotFoundError(
            f"Cannot load a classifier from {str(name_or_path)!r}: no such folder, and the Hub does not give it "
            f"({reason}). Name a folder that export_onnx wrote, or the id of one on the Hub."
        ) from error


def _with_progress(results: Iterator[Result], inputs: Iterable[Any]) -> Iterable[Result]:
    total = len(inputs) if isinstance(inputs, Sized) else None
    if total is not None and total <= _ROWS_IN_MEMORY:
        return results
    try:
        from tqdm.auto import tqdm  # tokenizers needs it, so it is there unless somebody left it out
    except ImportError:
        return results
    return cast(Iterable[Result], tqdm(results, total=total, unit=" texts", delay=_SECONDS_BEFORE_PROGRESS))


def _short(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 80 else f"{text[:77]}..."


if __name__ == "__main__":
    classifier = OnnxTextClassifier.from_pretrained(Path(__file__).parent)
    given = [tuple(sys.argv[1:])] if classifier.is_pair else sys.argv[1:]
    for answer in classifier.stream(given, top_k=None):
        sys.stdout.write(json.dumps(answer) + "\n")
