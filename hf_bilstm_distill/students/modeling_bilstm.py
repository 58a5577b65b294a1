"""The BiLSTM student: an encoder of one sentence or of a siamese pair, and a classifier on top of it."""

import os
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.dynamic_module_utils import custom_object_save
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from .configuration_bilstm import BiLSTMConfig
from .recurrence import Projection, Recurrence


class FrozenEmbedding(nn.Module):
    """An embedding table that is never trained.

    Its vectors are a buffer, because `from_pretrained` makes every floating-point parameter trainable again.
    """

    weight: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(num_embeddings, embedding_dim))

    def forward(self, input_ids: Tensor) -> Tensor:
        """Look up the vectors of tokens.

        Args:
            input_ids: Token ids of any shape.

        Returns:
            Their vectors, `(*input_ids.shape, embedding_dim)`.
        """
        return nn.functional.embedding(input_ids, self.weight)


def compare_sentences(h1: Tensor, h2: Tensor) -> Tensor:
    """Compare the vectors of two sentences.

    Args:
        h1: Vectors of the first sentences, `(batch, size)`.
        h2: Vectors of the second sentences, `(batch, size)`.

    Returns:
        `[h1, h2, h1 * h2, |h1 - h2|]`, `(batch, 4 * size)`.

    Source:
        Mou et al. 2016; Tang et al. 2019, section 3.2.
    """
    return torch.cat([h1, h2, h1 * h2, (h1 - h2).abs()], dim=-1)


class BiLSTMPreTrainedModel(PreTrainedModel):
    """What all students share: configuration, initialisation, saving."""

    config_class: type[PreTrainedConfig] = BiLSTMConfig
    base_model_prefix = "bilstm"
    _no_split_modules: list[str] = []
    # The loss is a mean over the rows of the batch it sees; see `DistillationTrainer` for accumulated batches.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if name.startswith("weight_ih"):
                    init.xavier_uniform_(parameter)
                elif name.startswith("weight_hh"):
                    init.orthogonal_(parameter)
                else:
                    init.zeros_(parameter)
        elif isinstance(module, nn.Embedding):
            init.uniform_(module.weight, -self.config.initializer_range, self.config.initializer_range)
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.Linear):
            init.kaiming_uniform_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, FrozenEmbedding):  # its turn comes after that of the trained table
            trained = cast(nn.Embedding, self.get_input_embeddings())
            init.copy_(module.weight, trained.weight)  # Kim 2014: both start equal

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Save as transformers does; with the code of a student that `include_code` marked, else naming none.

        Args:
            save_directory: The folder.
            *args: As transformers takes them.
            **kwargs: As transformers takes them.
        """
        named = getattr(self.config, "auto_map", None)
        if "_auto_class" in vars(self) and kwargs.get("is_main_process", True):
            os.makedirs(save_directory, exist_ok=True)
            custom_object_save(self, save_directory, config=cast(Any, self.config))
        elif named and self._auto_class is None:  # loaded from a folder with code; `repository--file` stays true
            self.config.auto_map = {name: place for name, place in named.items() if "--" in place}
        super().save_pretrained(save_directory, *args, **kwargs)


class BiLSTMModel(BiLSTMPreTrainedModel):
    """Encode a sentence by the states of a BiLSTM, the last or the highest, or a pair by comparing two such vectors.

    What a row gives depends on its own tokens alone: not on the side or amount of padding, nor on the other rows.

    Source:
        Tang et al. 2019, section 3.2; Mou et al. 2016 for the comparison of two sentences; Conneau et al. 2017 for the
        highest states.
    """

    _keys_to_ignore_on_load_unexpected = [r"^hidden\.", r"^classifier\."]

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_dim, config.pad_token_id)
        if config.multichannel:
            self.embed_tokens_static = FrozenEmbedding(config.vocab_size, config.embedding_dim)
        channels = 2 if config.multichannel else 1
        self.lstm = nn.LSTM(
            channels * config.embedding_dim, config.lstm_hidden_size, batch_first=True, bidirectional=True
        )
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the trained embedding table."""
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the trained embedding table.

        Args:
            value: The new table.
        """
        self.embed_tokens = cast(nn.Embedding, value)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """Change the number of rows of the embedding table, and of its frozen twin.

        Args:
            new_num_tokens: Rows to have afterwards. None leaves the table as it is.
            pad_to_multiple_of: Round the number of rows up to a multiple of this.
            mean_resizing: Draw new rows around the mean of the old ones.

        Returns:
            The trained table.
        """
        table = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        if self.config.multichannel:
            frozen = table.weight.detach().clone()
            kept = min(len(frozen), len(self.embed_tokens_static.weight))
            frozen[:kept] = self.embed_tokens_static.weight[:kept]
            self.embed_tokens_static.weight = frozen
        return table

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode one sentence a row.

        Args:
            input_ids: `(batch, length)`.
            attention_mask: 1 at the tokens to read, 0 elsewhere, in any place, `(batch, length)`.

        Returns:
            The states of each token read, zero at the others, `(batch, length, 2 * hidden)`; and what stands for the
            sentence, `(batch, 2 * hidden)`: the last states of both directions, or the highest of all. A row without
            tokens is read as one padding token.
        """
        is_token = attention_mask.bool()
        if input_ids.shape[1] == 0:
            input_ids = input_ids.new_zeros(len(input_ids), 1)
            is_token = torch.zeros_like(input_ids, dtype=torch.bool)
        input_ids = input_ids.masked_fill(~is_token, self.config.pad_token_id)
        is_read = is_token.clone()
        is_read[:, 0] |= ~is_token.any(dim=1)

        # Sentences side by side, the longest first, and step after step: all first tokens, all second ones, and so on.
        lengths = is_read.sum(dim=1)
        step = is_read.cumsum(dim=1).sub(1).clamp(min=0)
        num_alive = torch.bincount(step[is_read])
        start = num_alive.cumsum(dim=0) - num_alive
        rank = lengths.argsort(descending=True, stable=True).argsort()
        forward = start[step] + rank[:, None]
        backward = start[lengths[:, None] - 1 - step] + rank[:, None]
        last = start[lengths - 1] + rank

        # Where a step has few sentences, its calls cost more than its products.
        pays = input_ids.device.type == "cpu" and int(lengths.sum()) >= 16 * len(num_alive)
        run = self._run_by_steps if pays else self._run_by_kernel
        states = run(input_ids[is_read], forward[is_read], backward[is_read], num_alive.tolist())
        by_token = torch.cat([states[0][forward], states[1][backward]], dim=-1)
        if self.config.pooling == "max":
            pooled = by_token.masked_fill(~is_read[..., None], -1).amax(dim=1)  # a state is above -1
        else:
            pooled = torch.cat([states[0][last], states[1][last]], dim=-1)
        return (by_token * is_token[..., None])[:, : attention_mask.shape[1]], pooled

    def _embed(self, input_ids: Tensor) -> Tensor:
        embedded: Tensor = self.embed_tokens(input_ids)
        if self.config.multichannel:
            embedded = torch.cat([embedded, self.embed_tokens_static(input_ids)], dim=-1)
        return nn.functional.dropout(embedded, self.config.embedding_dropout, self.training)

    def _run_by_steps(self, tokens: Tensor, forward: Tensor, backward: Tensor, num_alive: list[int]) -> Tensor:
        """Give the states of both directions, in the order in which each reads, `(2, tokens, hidden)`.

        What the input gives the gates is computed once for each distinct token. All in all this takes about half the
        time of `nn.LSTM` on a CPU.
        """
        from_input, from_state, bias_1, bias_2 = (
            torch.stack(pair) for pair in zip(*self.lstm.all_weights, strict=True)
        )
        bias = bias_1 + 1 * bias_2  # a mere sum gives both one gradient in memory, and clipping scales it twice
        distinct, place = tokens.unique(return_inverse=True)
        distinct = nn.functional.pad(distinct, (0, -len(distinct) % 128), value=self.config.pad_token_id)  # few shapes
        if torch.is_autocast_enabled(tokens.device.type):
            gates = nn.functional.linear(self._embed(distinct), from_input.flatten(end_dim=1))
        else:
            gates = cast(Tensor, Projection.apply(self._embed(distinct), from_input.flatten(end_dim=1)))
        gates = (gates + bias.flatten()).view(2 * len(distinct), -1)
        row = torch.empty(2, len(tokens), dtype=torch.long)
        row[0, forward] = 2 * place
        row[1, backward] = 2 * place + 1
        recurrent = from_state.transpose(1, 2).to(gates.dtype)  # half precision under autocast
        if gates.dtype.itemsize < 4:
            gates = gates.float()
        gates = gates.index_select(0, row.view(-1)).view(2, len(tokens), -1)
        return cast(Tensor, Recurrence.apply(gates, recurrent, num_alive)).to(from_state.dtype)

    def _run_by_kernel(self, tokens: Tensor, forward: Tensor, backward: Tensor, num_alive: list[int]) -> Tensor:
        """Do the same as `_run_by_steps` by `nn.LSTM`, the fastest on a GPU."""
        if tokens.is_cuda:
            self.lstm.flatten_parameters()  # weights loaded one by one do not lie in one piece
        in_order = forward.argsort()
        states = self.lstm(PackedSequence(self._embed(tokens[in_order]), torch.tensor(num_alive)))[0].data
        ahead, back = states.chunk(2, dim=-1)  # both at the places of the forward direction
        return torch.stack([ahead, back[forward[backward.argsort()]]])

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> BaseModelOutputWithPooling:
        """Encode sentences, or pairs of sentences.

        Args:
            input_ids: `(batch, length)`.
            attention_mask: 1 at tokens, 0 at padding, `(batch, length)`. Left out: every position is a token.
            token_type_ids: For a siamese student, 0 at the first sentence and 1 at the second, `(batch, length)`.
                Left out: there is only a first sentence. Other students do not look at them.

        Returns:
            `last_hidden_state`, `(batch, length, 2 * hidden)`, zero at padding; and `pooler_output`: for a sentence
            h, its last or highest states, `(batch, 2 * hidden)`, for a pair `[h1, h2, h1 * h2, |h1 - h2|]`,
            `(batch, 8 * hidden)`.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if not self.config.is_pair:
            states, pooled = self.encode(input_ids, attention_mask)
            return BaseModelOutputWithPooling(last_hidden_state=states, pooler_output=pooled)

        is_second = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        masks = torch.cat([attention_mask * (is_second == 0), attention_mask * (is_second == 1)])
        states, pooled = self.encode(input_ids.repeat(2, 1), masks)  # both sentences in one pass
        states_1, states_2 = states.chunk(2)
        h1, h2 = pooled.chunk(2)
        return BaseModelOutputWithPooling(
            last_hidden_state=states_1 + states_2, pooler_output=compare_sentences(h1, h2)
        )


class BiLSTMForSequenceClassification(BiLSTMPreTrainedModel):
    """Classify sentences or pairs: the BiLSTM encoder, a fully connected layer with ReLU, a linear layer.

    Source:
        Tang et al. 2019, section 3.2.
    """

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__(config)
        self.num_labels = cast(int, config.num_labels)
        self.bilstm = BiLSTMModel(config)
        self.hidden = nn.Linear(config.pooled_size, config.fc_size)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.fc_size, self.num_labels)
        self.post_init()

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """Change the number of rows of the embedding table, and of its frozen twin.

        Args:
            new_num_tokens: Rows to have afterwards. None leaves the table as it is.
            pad_to_multiple_of: Round the number of rows up to a multiple of this.
            mean_resizing: Draw new rows around the mean of the old ones.

        Returns:
            The trained table.
        """
        return self.bilstm.resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)

    def classify(self, pooled: Tensor) -> Tensor:
        """Give the logits of sentences or pairs that are encoded.

        Args:
            pooled: `pooler_output` of the encoder, `(batch, pooled size)`.

        Returns:
            `(batch, num_labels)`.
        """
        return self._classify_hidden(self.hidden(pooled))

    def classify_pairs(self, h1: Tensor, h2: Tensor) -> Tensor:
        """Give the logits of pairs from the vectors of their sentences, as `forward` would give them.

        One sentence against many costs less than as many pairs: a part of the fully connected layer reads the first
        sentence alone, a part the second, and the part that reads their product is linear in each.

        Args:
            h1: Vectors of the first sentences, `(batch, 2 * hidden)`, or of one for all, `(1, 2 * hidden)`: the second
                result of the encoder's `encode`.
            h2: Vectors of the second sentences, in the same way.

        Returns:
            `(batch, num_labels)`.

        Raises:
            ValueError: If the student is not siamese.
        """
        if not self.config.is_pair:
            raise ValueError("is_pair is False: this student reads single texts, and has no layers for pairs.")
        if len(h1) > 1 and len(h2) > 1:
            return self.classify(compare_sentences(h1, h2))
        one, many = (h1, h2) if len(h1) == 1 else (h2, h1)
        of_first, of_second, of_product, of_difference = self.hidden.weight.chunk(4, dim=1)
        of_one, of_many = (of_first, of_second) if len(h1) == 1 else (of_second, of_first)
        hidden = nn.functional.linear(many, of_many + one * of_product)
        hidden = hidden + nn.functional.linear((many - one).abs(), of_difference)
        return self._classify_hidden(hidden + nn.functional.linear(one, of_one, self.hidden.bias))

    def _classify_hidden(self, hidden: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(self.dropout(torch.relu(hidden))))

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Give the logits of sentences or pairs, and the loss on gold labels where there are any.

        Args:
            input_ids: `(batch, length)`.
            attention_mask: 1 at tokens, 0 at padding, `(batch, length)`. Left out: every position is a token.
            token_type_ids: For a siamese student, 0 at the first sentence and 1 at the second, `(batch, length)`.
            labels: Class numbers `(batch,)`, or floats `(batch, num_labels)` for several labels a row, or floats
                `(batch,)` for regression. The loss on logits of a teacher is `DistillationTrainer`'s.

        Returns:
            `logits`, `(batch, num_labels)`, and `loss` if there are labels.
        """
        pooled = self.bilstm(input_ids, attention_mask, token_type_ids, return_dict=True).pooler_output
        logits = self.classify(pooled)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits)
