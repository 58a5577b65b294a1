"""Run a sequence-classification model over texts: teachers and students alike."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from safetensors.torch import save as serialize
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers import PreTrainedTokenizerFast as FastTokenizer
from transformers.utils import logging

from hf_bilstm_distill.cautions import check_symmetry, warn_of_foreign_tokenizer
from hf_bilstm_distill.files import name_damaged_file
from hf_bilstm_distill.folding import Encoded, FoldedBiLSTM, FoldedStudent
from hf_bilstm_distill.metrics import predictions_of
from hf_bilstm_distill.onednn import linear_layers_in_onednn
from hf_bilstm_distill.predictor import WordLookup
from hf_bilstm_distill.students import BiLSTMForSequenceClassification
from hf_bilstm_distill.transfer_set import REGRESSION, SINGLE_LABEL, check_label_order, check_strings

logger = logging.get_logger(__name__)

_TEXTS_AT_ONCE = 16_384  # tokens of so many texts are in memory at a time
_LARGEST_TABLE = 2**30
_FEWEST_TEXTS = 16  # of fewer, the calls of a step cost more than its products, and `nn.LSTM` makes one call
# With padding. On a CPU larger batches leave the cache, and leave more padding; on a GPU smaller ones waste calls.
_TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 16_384}
_TOKENS_TO_LAY_OUT = 2048  # of fewer, oneDNN saves less than its own layout of the weights costs
_MAX_LENGTH = 512
_PAIRS_AT_ONCE = 1024  # vectors of more leave the cache of a core


class TextClassifier:
    """A sequence-classification model with its tokenizer: texts in, logits or labels with scores out.

    Texts are cut into batches of similar length and come back in their own order. Many texts of a BiLSTM student on a
    CPU go through a table that holds its input projection (see `FoldedBiLSTM`): the same logits, several times as fast.

    Args:
        model: Any sequence-classification model. It is put into evaluation mode.
        tokenizer: The tokenizer that belongs to it.
        max_length: Longest sequence in tokens; the rest is cut off. None takes the tokenizer's `model_max_length`, at
            most 512.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, *, max_length: int | None = None) -> None:
        warn_of_foreign_tokenizer(tokenizer, model)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.max_length = max_length or min(tokenizer.model_max_length, _MAX_LENGTH)
        self._labels = [str(name) for _, name in sorted(cast(Any, model.config).id2label.items())]
        self._order = list(range(len(self._labels)))
        self._folded: FoldedStudent | None = None
        self._words: WordLookup | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device | None = None,
        trust_remote_code: bool = False,
    ) -> Self:
        """Load a classifier from a folder or from the Hub.

        Args:
            name_or_path: A folder, or an id on the Hub.
            dtype: What to compute in. transformers itself would take the type of the checkpoint, half precision too.
            device: Where to compute. None takes a GPU if there is one.
            trust_remote_code: Whether to run Python code that lies beside the weights, with all the rights you have.

        Returns:
            The classifier.

        Raises:
            FileNotFoundError: If nothing can be loaded from there.
            ValueError: If the checkpoint has no trained classification head.
        """
        name = str(name_or_path)
        try:
            config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
        except (OSError, ValueError) as error:
            where = "the folder" if Path(name).is_dir() else "no such folder, and the Hub does not give it:"
            reason = " ".join(str(error).split())
            raise FileNotFoundError(f"Cannot load a classifier from {name!r} ({where} {reason})") from error
        heads = config.architectures or []
        if not any("ForSequenceClassification" in head for head in heads):
            raise ValueError(
                f"{name!r} is a checkpoint of {heads}, without a trained classification head. Fine-tune it first "
                "(examples/finetune_teacher.py)."
            )
        code = {"trust_remote_code": trust_remote_code}
        with name_damaged_file(name):
            model = AutoModelForSequenceClassification.from_pretrained(name, dtype=dtype, **code)
            device = device or ("cuda" if torch.cuda.is_available() else "cpu")
            return cls(cast(PreTrainedModel, model.to(device)), AutoTokenizer.from_pretrained(name, **code))

    def with_label_order(self, label_order: Sequence[int], names: Sequence[str] | None = None) -> Self:
        """Return the same classifier with its labels in another order.

        Args:
            label_order: For each label to give, its position in the logits that this classifier gives now (see
                `find_label_order`).
            names: New names for them, in the new order. None keeps their names.

        Returns:
            A classifier that shares this one's model.

        Raises:
            LabelMismatchError: If `label_order` does not hold each position once.
        """
        check_label_order(label_order, self.num_labels)
        other = copy.copy(self)
        other._labels = list(names or [self._labels[position] for position in label_order])
        other._order = [self._order[position] for position in label_order]
        return other

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the labels by their position in the logits."""
        return dict(enumerate(self._labels))

    @property
    def num_labels(self) -> int:
        """How many logits a text gets."""
        return len(self._labels)

    @property
    def problem_type(self) -> str:
        """The problem type of the configuration; as in `pipeline`, one label a text if it names none."""
        return cast(Any, self.model.config).problem_type or SINGLE_LABEL

    @property
    def parameters(self) -> int:
        """Numbers in the model, those of a frozen embedding table too."""
        return sum(tensor.numel() for tensor in self.model.state_dict().values())

    @property
    def parameters_without_embeddings(self) -> int:
        """Numbers in the model but for its table (or tables) of token embeddings."""
        table = cast(torch.nn.Embedding, self.model.get_input_embeddings()).weight
        frozen = getattr(self.model.base_model, "embed_tokens_static", None)
        return self.parameters - table.numel() - (frozen.weight.numel() if frozen is not None else 0)

    @property
    def size_bytes(self) -> int:
        """Bytes of the weights in the type that they are loaded in."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.model.state_dict().values())

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
        """Give the logits of texts, or of pairs of texts.

        Args:
            texts: The texts, or the first sentences.
            text_pairs: The second sentences.

        Returns:
            `(rows, num_labels)`, float32, in the order of the texts.
        """
        columns = [texts] if text_pairs is None else [texts, text_pairs]
        for column in columns:
            check_strings(column)
        logits = np.empty((len(texts), self.num_labels), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            rows = slice(start, start + _TEXTS_AT_ONCE)
            encoded = self._tokenize([list(column[rows]) for column in columns])
            logits[rows] = self._logits(encoded)[:, self._order].float().cpu().numpy()
        return logits

    def _tokenize(self, columns: list[list[str]]) -> Encoded:
        if isinstance(self.model, BiLSTMForSequenceClassification) and type(self.tokenizer) is FastTokenizer:
            return self._tokenize_fast(columns)
        options: dict[str, Any] = {"truncation": True, "max_length": self.max_length}
        options["return_attention_mask"] = False  # no padding yet
        options["return_token_type_ids"] = getattr(self.model.config, "is_pair", None)  # a siamese student needs them
        encoded = self.tokenizer(*columns, **options)
        return cast(Encoded, encoded.data)

    def _tokenize_fast(self, columns: list[list[str]]) -> Encoded:
        """Make the same tokens as the tokenizer, without what its wrapping takes: a third of the time."""
        backend = self.tokenizer.backend_tokenizer
        backend.no_padding()
        backend.enable_truncation(self.max_length, direction=self.tokenizer.truncation_side)
        backend.encode_special_tokens = self.tokenizer.split_special_tokens
        self._words = self._words or WordLookup(backend)
        rows = self._words.encode(columns[0] if len(columns) == 1 else list(zip(*columns, strict=True)))
        names = ("input_ids", "token_type_ids")[: 1 + self.model.config.is_pair]
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}

    @torch.inference_mode()
    def _logits(self, encoded: Encoded) -> Tensor:
        folded = self._fold(encoded)
        if folded is not None:
            return folded.logits(encoded)
        return self._in_batches(encoded, len(self._order), lambda inputs: self.model(**inputs).logits)

    def _in_batches(self, encoded: Encoded, width: int, run: Callable[[Any], Tensor]) -> Tensor:
        lengths = np.array([len(ids) for ids in encoded["input_ids"]])
        outputs = torch.empty(len(lengths), width, dtype=self.model.dtype, device=self.model.device)
        tokens_per_batch = _TOKENS_PER_BATCH.get(self.model.device.type, 4096)
        with linear_layers_in_onednn(self.model) if lengths.sum() >= _TOKENS_TO_LAY_OUT else nullcontext():
            for rows in batches_of_similar_length(lengths, tokens_per_batch):
                batch = {name: [values[row] for row in rows] for name, values in encoded.items()}
                longest = max(1, int(lengths[rows].max()))  # many models cannot read a batch of empty texts alone
                inputs = self.tokenizer.pad(batch, "max_length", longest, return_tensors="pt").to(self.model.device)
                outputs[torch.from_numpy(rows)] = run(inputs)
        return outputs

    def _fold(self, encoded: Encoded) -> FoldedStudent | None:
        """Return the student with a folded table, if it is one and that pays.

        To fold costs as much as to encode each token of the vocabulary once.
        """
        student = self.model
        if not isinstance(student, BiLSTMForSequenceClassification) or student.device.type != "cpu":
            return None
        if len(encoded["input_ids"]) < _FEWEST_TEXTS:
            return None
        if self._folded is not None and self._folded.is_current:
            return self._folded
        if sum(map(len, encoded["input_ids"])) < student.config.vocab_size:
            return None
        size = FoldedBiLSTM.table_bytes(student.bilstm)
        if size > _LARGEST_TABLE:
            logger.warning_once(
                f"The folded table of this student would take {size / 2**20:,.0f} MiB, more than the "
                f"{_LARGEST_TABLE / 2**20:,.0f} MiB allowed: texts go through the plain LSTM, which is slower. A "
                "smaller vocabulary (trim_tokenizer) makes a smaller table."
            )
            return None
        self._folded = FoldedStudent(student)
        return self._folded

    def predict(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Give the label of each text, and the scores of all labels.

        Args:
            texts: The texts, or the first sentences.
            text_pairs: The second sentences.

        Returns:
            Labels, and scores as `pipeline` gives them, `(rows, num_labels)`. Where a text has one label, its position,
            `(rows,)`, and probabilities; one label alone has a probability of its own. Where it can have several, 1 at
            each that it has and 0 elsewhere, `(rows, num_labels)`, and independent probabilities. In regression 0,
            `(rows,)`, and the number itself as the score.
        """
        return self._decide(self.logits(texts, text_pairs))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Give the vectors of sentences, from which `classify_pairs` classifies pairs of them.

        A sentence's vector does not depend on what it is paired with, nor on whether it comes first or second.

        Args:
            texts: The sentences. Each is cut at `max_length`, where `logits` cuts a pair at `max_length` together.

        Returns:
            `(rows, 2 * lstm_hidden_size)`, float32, in the order of the texts.

        Raises:
            ValueError: If this is no siamese student, or its tokenizer treats the second sentence of a pair in another
                way than the first.
        """
        student = self._siamese()
        check_symmetry(self.tokenizer)
        check_strings(texts)
        vectors = np.empty((len(texts), 2 * student.config.lstm_hidden_size), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            rows = slice(start, start + _TEXTS_AT_ONCE)
            vectors[rows] = self._vectors(self._tokenize([list(texts[rows])])).float().cpu().numpy()
        return vectors

    @torch.inference_mode()
    def _vectors(self, encoded: Encoded) -> Tensor:
        folded = self._fold(encoded)
        if folded is not None:
            return folded.encode(encoded)
        encoder = self._siamese().bilstm
        width = 2 * encoder.config.lstm_hidden_size
        return self._in_batches(
            encoded, width, lambda inputs: encoder.encode(inputs["input_ids"], inputs["attention_mask"])[1]
        )

    @torch.inference_mode()
    def classify_pairs(self, vectors_a: np.ndarray, vectors_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the labels and scores of pairs from the vectors of their sentences: what `predict` gives for the texts.

        Only the last layers run, on a part of the pairs at a time: vectors in a file (`np.load(..., mmap_mode="r")`)
        are never in memory as a whole.

        Args:
            vectors_a: What `encode` gave for the first sentences, `(rows, 2 * lstm_hidden_size)`, or one vector that is
                paired with each of the others.
            vectors_b: The same for the second sentences.

        Returns:
            As `predict`.

        Raises:
            ValueError: If this is no siamese student, or the vectors are not its own, or not as many first as second
                ones.
        """
        student = self._siamese()
        width = 2 * student.config.lstm_hidden_size
        columns = [_rows_of_vectors(vectors, width) for vectors in (vectors_a, vectors_b)]
        num_a, num_b = map(len, columns)
        if num_a != num_b and 1 not in (num_a, num_b):
            raise ValueError(
                f"There are {num_a} first vectors and {num_b} second ones. Pass as many of both, or a single one of "
                "either."
            )
        logits = np.empty((num_b if num_a == 1 else num_a, self.num_labels), dtype=np.float32)
        for start in range(0, len(logits), _PAIRS_AT_ONCE):
            rows = slice(start, start + _PAIRS_AT_ONCE)
            of_rows = [np.array(each if len(each) == 1 else each[rows], dtype=np.float32) for each in columns]
            h1, h2 = (torch.from_numpy(each).to(student.device, student.dtype) for each in of_rows)
            logits[rows] = student.classify_pairs(h1, h2)[:, self._order].float().cpu().numpy()
        return self._decide(logits)

    def _siamese(self) -> BiLSTMForSequenceClassification:
        if isinstance(self.model, BiLSTMForSequenceClassification) and self.model.config.is_pair:
            return self.model
        raise ValueError(
            f"Only a siamese student has vectors of sentences to pair, and this {type(self.model).__name__} is none "
            "(is_pair is not True in its configuration). Use logits() or predict(), or distil a student of pairs."
        )

    def _decide(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores = self._scores(torch.from_numpy(logits)).numpy()
        if self.problem_type == REGRESSION:
            return np.zeros(len(logits), dtype=np.int64), scores
        return predictions_of(logits, self.problem_type), scores

    def _scores(self, logits: Tensor) -> Tensor:
        if self.problem_type == REGRESSION:
            return logits
        is_independent = self.problem_type != SINGLE_LABEL or self.num_labels == 1
        return logits.sigmoid() if is_independent else logits.softmax(dim=-1)

    def fingerprint(self) -> str:
        """Tell this classifier from any that could give other logits: its weights, tokenizer and settings.

        Returns:
            A hash in hexadecimal.
        """
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(serialize({"": tensor.contiguous().cpu()}))
        # Neither where the model lies nor which version of transformers is installed changes its logits.
        irrelevant = ("_name_or_path", "transformers_version")
        config = {name: value for name, value in self.model.config.to_dict().items() if name not in irrelevant}
        digest.update(json.dumps(config, sort_keys=True, default=str).encode())
        digest.update(_tokenizer_text(self.tokenizer).encode())
        digest.update(repr((self.max_length, self._order)).encode())
        return digest.hexdigest()


def batches_of_similar_length(lengths: np.ndarray, tokens_per_batch: int) -> Iterator[np.ndarray]:
    """Cut rows into batches, the longest rows first, so that padding is rare and no batch is too large.

    Args:
        lengths: Tokens of each row, `(rows,)`.
        tokens_per_batch: How many tokens, padding included, a batch may have. A longer row makes a batch of its own.

    Yields:
        Positions of the rows of a batch.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, tokens_per_batch // max(1, int(lengths[order[start]])))
        yield order[start : start + rows]
        start += rows


def _rows_of_vectors(vectors: np.ndarray, width: int) -> np.ndarray:
    rows = vectors[None] if vectors.ndim == 1 else vectors
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(
            f"Vectors of this student have the shape (rows, {width}), got {vectors.shape}. Make them with encode()."
        )
    return rows


def _tokenizer_text(tokenizer: Tokenizer) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return repr(sorted(tokenizer.get_vocab().items()))
    # How the last call truncated and padded stays in the backend: a classifier that was used would be another one.
    return json.dumps(json.loads(backend.to_str()) | {"truncation": None, "padding": None}, sort_keys=True)
