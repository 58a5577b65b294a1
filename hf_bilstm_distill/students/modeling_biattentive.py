"""The bi-attentive LSTM encoder: two sentences read each other, a single one reads itself."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import can_return_tuple

from .configuration_biattentive import BiAttentiveConfig
from .modeling_bilstm import BiLSTMPreTrainedModel


class Sentences(NamedTuple):
    """The sentences of a batch: the first (or only) one of each row, then the second ones of the pairs."""

    is_token: Tensor
    """Where the tokens of each sentence stand in its row, `(sentences, length)`."""
    row: Tensor
    """The row of each sentence, `(sentences,)`."""
    partner: Tensor
    """The sentence that each one reads: the other one of its pair, or itself, `(sentences,)`."""


def find_sentences(is_token: Tensor, token_type_ids: Tensor | None) -> Sentences:
    """Find the sentences of each row.

    Args:
        is_token: Whether there is a token, `(batch, length)`.
        token_type_ids: 0 at first sentences, 1 at second ones, `(batch, length)`. None: there are no pairs.

    Returns:
        The sentences. A row is a pair if it has tokens of both; else all its tokens are one sentence.
    """
    batch = len(is_token)
    rows = torch.arange(batch, device=is_token.device)
    if token_type_ids is None:
        return Sentences(is_token, rows, rows)
    first, second = is_token & (token_type_ids == 0), is_token & (token_type_ids == 1)
    is_pair = first.any(dim=1) & second.any(dim=1)
    pairs = rows[is_pair]
    masks = torch.cat([torch.where(is_pair[:, None], first, is_token), second[pairs]])
    of_first = rows.clone()
    of_first[pairs] = batch + torch.arange(len(pairs), device=rows.device)
    return Sentences(masks, torch.cat([rows, pairs]), torch.cat([of_first, pairs]))


def attend(states: Tensor, partner_states: Tensor, is_read: Tensor) -> Tensor:
    """Give each token the mean of the partner's tokens, weighted by how well they match it.

    Args:
        states: `(sentences, length, size)`.
        partner_states: `(sentences, length, size)`.
        is_read: Whether the partner has a token there, `(sentences, length)`.

    Returns:
        `(sentences, length, size)`.

    Source:
        McCann et al. 2017, the bi-attention of the biattentive classification network.
    """
    scores = states @ partner_states.transpose(1, 2)
    weights = scores.masked_fill(~is_read[:, None, :], -torch.inf).softmax(dim=-1)
    return weights.to(partner_states.dtype) @ partner_states  # autocast computes a softmax in float32


class BiAttentiveModel(BiLSTMPreTrainedModel):
    """Encode a sentence, or a pair whose sentences attend to each other.

    Each token goes through a feed-forward layer with ReLU and a BiLSTM, and looks at the tokens of the other sentence;
    a single sentence attends to itself. A second BiLSTM reads `[X; X - C; X * C]`, where C is what a token of X saw. Of
    its states the maximum, the minimum, the mean and a self-attentive mean are kept.

    What a row gives depends on its own tokens alone: not on the side or amount of padding, nor on the other rows.

    Source:
        McCann et al. 2017, the biattentive classification network, without its maxout layers; Liu et al. 2019 (MKD)
        for its use as a student.
    """

    config_class = BiAttentiveConfig
    base_model_prefix = "encoder"

    def __init__(self, config: BiAttentiveConfig) -> None:
        super().__init__(config)
        width = 2 * config.lstm_hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_dim, config.pad_token_id)
        self.feed_forward = nn.Linear(config.embedding_dim, config.feed_forward_size)
        self.lstm = nn.LSTM(config.feed_forward_size, config.lstm_hidden_size, batch_first=True, bidirectional=True)
        self.integrator = nn.LSTM(3 * width, config.lstm_hidden_size, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(width, 1, bias=False)  # a softmax does not see what is added to all
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> BaseModelOutputWithPooling:
        """Encode sentences, pairs of sentences, or some of each.

        Args:
            input_ids: `(batch, length)`.
            attention_mask: 1 at tokens, 0 at padding, `(batch, length)`. Left out: every position is a token.
            token_type_ids: 0 at the first sentence of a pair and 1 at the second, `(batch, length)`. A row that has
                tokens of one of the two only, or all rows if it is left out, is a single sentence.

        Returns:
            `last_hidden_state`, the states of the second BiLSTM, `(batch, length, 2 * hidden)`, zero at padding; and
            `pooler_output`, for each of both sentences the maximum, minimum, mean and self-attentive mean of its
            states, `(batch, 16 * hidden)`. A single sentence stands there twice. A row without tokens is read as one
            padding token.
        """
        is_token = torch.ones_like(input_ids).bool() if attention_mask is None else attention_mask.bool()
        sentences = find_sentences(is_token, token_type_ids)
        num_tokens = sentences.is_token.sum(dim=1)
        lengths = num_tokens.clamp(min=1)
        place = torch.arange(int(lengths.max()), device=input_ids.device)
        is_filled, is_read = place < num_tokens[:, None], place < lengths[:, None]
        ids = input_ids.new_full(is_filled.shape, self.config.pad_token_id)
        ids[is_filled] = input_ids[sentences.row][sentences.is_token]

        embedded = self.dropout(self.embed_tokens(ids))
        states = _read(self.lstm, torch.relu(self.feed_forward(embedded)), lengths)
        seen = attend(states, states[sentences.partner], is_read[sentences.partner])
        states = _read(self.integrator, torch.cat([states, states - seen, states * seen], dim=-1), lengths)
        pooled = self.dropout(self._pool(states, is_read))

        batch, length = input_ids.shape
        row, column = sentences.row[:, None].expand_as(sentences.is_token), torch.arange(length, device=place.device)
        where = row[sentences.is_token], column.expand_as(sentences.is_token)[sentences.is_token]
        by_token = states.new_zeros(batch, length, states.shape[-1]).index_put(where, states[is_filled])
        other = sentences.partner[:batch]
        return BaseModelOutputWithPooling(
            last_hidden_state=by_token, pooler_output=torch.cat([pooled[:batch], pooled[other]], dim=-1)
        )

    def _pool(self, states: Tensor, is_read: Tensor) -> Tensor:
        is_padding = ~is_read[..., None]
        highest = states.masked_fill(is_padding, -torch.inf).amax(dim=1)
        lowest = states.masked_fill(is_padding, torch.inf).amin(dim=1)
        mean = states.sum(dim=1) / is_read.sum(dim=1, keepdim=True)  # states of padding are zero
        weights = self.attention(states).masked_fill(is_padding, -torch.inf).softmax(dim=1)
        return torch.cat([highest, lowest, mean, (weights * states).sum(dim=1)], dim=-1)


def _read(lstm: nn.LSTM, vectors: Tensor, lengths: Tensor) -> Tensor:
    """Return the states of a BiLSTM, zero at padding, `(sentences, length, 2 * hidden)`."""
    if vectors.is_cuda:
        lstm.flatten_parameters()  # weights loaded one by one do not lie in one piece
    packed = pack_padded_sequence(vectors, lengths.cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(lstm(packed)[0], batch_first=True)[0]
