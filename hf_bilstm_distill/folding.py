"""The BiLSTM with its input projection folded into the embedding table: the same vectors, several times as fast."""

from collections.abc import Mapping
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from hf_bilstm_distill.students import BiLSTMForSequenceClassification, BiLSTMModel
from hf_bilstm_distill.students.modeling_bilstm import compare_sentences
from hf_bilstm_distill.students.recurrence import product

Encoded = Mapping[str, list[list[int]]]
"""What a tokenizer makes of texts: `input_ids`, `token_type_ids`, each a list of numbers a text."""

_ROWS_PER_BATCH = 256  # more leave the cache of a core, fewer waste calls


class FoldedBiLSTM:
    """Encodes many sentences with the weights of a `BiLSTMModel`, on a CPU.

    In inference the vector of a token is a constant, so what the LSTM makes of it before it looks at its state,
    `W_ih x + b`, is one too. A table holds it for each token of the vocabulary and both directions; what is left of a
    step is one small product with the state. Batches are sorted by length, and a step works on the rows that are not
    yet at their end.

    All gates go through one sigmoid, tanh too, since tanh(x) = 2 sigmoid(2x) - 1. So the table's and the weights' parts
    for the candidate are doubled here, the cell is kept doubled and the state halved.

    Args:
        encoder: Its weights are copied as they are now. In half precision the product with the state is computed in
            it; the table and the cell stay in float32.
    """

    @torch.inference_mode()
    def __init__(self, encoder: BiLSTMModel) -> None:
        self.hidden_size = encoder.config.lstm_hidden_size
        self.pooling = encoder.config.pooling
        self.vocab_size = encoder.config.vocab_size
        vectors = encoder.embed_tokens.weight.float()
        if encoder.config.multichannel:
            vectors = torch.cat([vectors, encoder.embed_tokens_static.weight.float()], dim=1)
        candidate = slice(2 * self.hidden_size, 3 * self.hidden_size)
        tables, recurrent = [], []
        for from_input, from_state, bias_1, bias_2 in encoder.lstm.all_weights:
            table = torch.addmm((bias_1 + bias_2).float(), vectors, from_input.float().T)
            table[:, candidate] *= 2
            weights = 2 * from_state.float()
            weights[candidate] *= 2
            tables.append(table)
            recurrent.append(weights.T)
        self._table = torch.cat(tables)
        self._recurrent = torch.stack(recurrent).to(encoder.dtype)

    @staticmethod
    def table_bytes(encoder: BiLSTMModel) -> int:
        """Say how large the table would be.

        Args:
            encoder: The encoder to fold.

        Returns:
            Bytes.
        """
        return 4 * encoder.config.vocab_size * 8 * encoder.config.lstm_hidden_size

    @torch.inference_mode()
    def encode(self, input_ids: np.ndarray, lengths: np.ndarray) -> Tensor:
        """Encode sentences, each by its last or its highest states, as the encoder's configuration says.

        Args:
            input_ids: The tokens of all sentences, one after the other, `(tokens,)`.
            lengths: How many of them belong to each sentence, 1 or more, `(sentences,)`.

        Returns:
            `(sentences, 2 * hidden)`, float32: what `BiLSTMModel.encode` gives.
        """
        vectors = torch.empty(len(lengths), 2 * self.hidden_size)
        first = np.cumsum(lengths) - lengths
        order = np.argsort(-lengths, kind="stable")
        for start in range(0, len(order), _ROWS_PER_BATCH):
            rows = order[start : start + _ROWS_PER_BATCH]
            vectors[torch.from_numpy(rows)] = self._encode_batch(input_ids, first[rows], lengths[rows])
        return vectors

    def _encode_batch(self, input_ids: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> Tensor:
        """Encode sentences that stand at `first` and are sorted by length, the longest first."""
        last = first + lengths - 1
        num_alive = np.searchsorted(-lengths, -np.arange(lengths[0]))
        half_state = torch.zeros(2, len(lengths), self.hidden_size)
        double_cell = torch.zeros_like(half_state)
        highest = torch.full_like(half_state, -1) if self.pooling == "max" else half_state
        recurrent = self._recurrent
        is_same = False
        for step, rows in enumerate(num_alive.tolist()):
            tokens = np.stack([input_ids[first[:rows] + step], input_ids[last[:rows] - step] + self.vocab_size])
            gates = self._table.index_select(0, torch.from_numpy(tokens.ravel())).view(2, rows, -1)
            if step > 0:
                # In most vocabularies all texts begin and end with the same token, and then are in the same state.
                state = half_state[:, : 1 if step == 1 and is_same else rows]
                for direction in (0, 1):
                    gates[direction] += product(state[direction], recurrent[direction])
            is_same = step == 0 and bool((tokens == tokens[:, :1]).all())
            write, keep, candidate, show = gates.sigmoid_().chunk(4, dim=-1)
            cell = double_cell[:, :rows]
            cell.mul_(keep).addcmul_(write, candidate.sub_(0.5), value=4)
            torch.mul(show, cell.sigmoid().sub_(0.5), out=half_state[:, :rows])
            if highest is not half_state:
                torch.maximum(highest[:, :rows], half_state[:, :rows], out=highest[:, :rows])
        return 2 * torch.cat([highest[0], highest[1]], dim=1)


class FoldedStudent:
    """A student whose encoder is folded.

    Args:
        student: It is shared, not copied, but for the encoder's weights.
    """

    def __init__(self, student: BiLSTMForSequenceClassification) -> None:
        self.student = student
        self.encoder = FoldedBiLSTM(student.bilstm)
        self._folded_from = self._weights()

    @property
    def is_current(self) -> bool:
        """Whether the student's encoder still has the weights that were folded."""
        return self._folded_from == self._weights()

    def _weights(self) -> list[tuple[int, int]]:
        # A tensor counts the times that it was changed in place; the storage tells of one put in its stead.
        return [(tensor.data_ptr(), tensor._version) for tensor in self.student.bilstm.state_dict().values()]

    @torch.inference_mode()
    def logits(self, encoded: Encoded) -> Tensor:
        """Give the logits of texts or pairs.

        Args:
            encoded: Their tokens, as the student's tokenizer gives them.

        Returns:
            `(texts, num_labels)`, in the student's type.
        """
        if not self.student.config.is_pair:
            return self.student.classify(self.encode(encoded))
        h1, h2 = (self.encode(encoded, sentence) for sentence in (0, 1))
        return self.student.classify(compare_sentences(h1, h2))

    @torch.inference_mode()
    def encode(self, encoded: Encoded, sentence: int | None = None) -> Tensor:
        """Give the vectors of texts, or of the first or second sentences of pairs.

        Args:
            encoded: The tokens of texts or pairs, as the student's tokenizer gives them.
            sentence: 0 or 1, for the first or second sentence of each pair. None takes all tokens of a text.

        Returns:
            `(texts, 2 * hidden)`, in the student's type.
        """
        lengths = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)
        input_ids = _joined(encoded["input_ids"])
        if sentence is not None:
            row = np.repeat(np.arange(len(lengths)), lengths)
            mine = _joined(encoded["token_type_ids"]) == sentence
            input_ids, lengths = input_ids[mine], np.bincount(row[mine], minlength=len(lengths))
        vectors = self.encoder.encode(*_with_padding(input_ids, lengths, self.student.config.pad_token_id))
        return vectors.to(self.student.dtype)


def _joined(values: list[list[int]]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(values), dtype=np.int64)


def _with_padding(input_ids: np.ndarray, lengths: np.ndarray, pad_token_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Give sentences without tokens a padding token, as the student does."""
    is_empty = lengths == 0
    places = np.cumsum(lengths)[is_empty]
    return np.insert(input_ids, places, pad_token_id), np.where(is_empty, 1, lengths)
