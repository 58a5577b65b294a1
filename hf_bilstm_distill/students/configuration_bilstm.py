"""Configuration of the BiLSTM student."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class BiLSTMConfig(PreTrainedConfig):
    """Configuration of a single-layer BiLSTM text classifier (Tang et al. 2019, section 3.2).

    The defaults give the paper's small student on a single table of word vectors. With `embedding_dim=300` and
    `multichannel=True` the LSTM reads 600 numbers a token, and the parameters without the embedding tables are the
    paper's 0.96 M.

    Args:
        vocab_size: Rows of the embedding table.
        embedding_dim: Width of the embedding table.
        multichannel: Read each token from two tables that start equal, a trained and a frozen one, joined to
            `2 * embedding_dim` (Kim 2014).
        lstm_hidden_size: Width of the LSTM in each direction. The paper uses 150 and 300.
        pooling: What stands for a sentence: `last`, the last states of both directions (the paper's), or `max`, the
            highest value that each unit has at any of its tokens (Conneau et al. 2017). Both are `2 * lstm_hidden_size`
            wide.
        fc_size: Width of the fully connected layer. The paper uses 200 and 400.
        dropout: Probability of dropping a unit of the fully connected layer in training.
        embedding_dropout: Probability of dropping an entry of a token's vector in training. The paper has none.
        is_pair: Whether the student reads two sentences (siamese), as one sequence with `token_type_ids` 0 and 1.
        pad_token_id: The padding token. Its vector stays zero.
        initializer_range: Half the width of the interval from which random embeddings are drawn.
    """

    model_type = "bilstm_distill"
    attribute_map = {"hidden_size": "lstm_hidden_size"}

    vocab_size: int = 30522
    embedding_dim: int = 300
    multichannel: bool = False
    lstm_hidden_size: int = 150
    pooling: Literal["last", "max"] = "last"
    fc_size: int = 200
    dropout: float | int = 0.1
    embedding_dropout: float | int = 0.0
    is_pair: bool = False
    pad_token_id: int | None = 0
    initializer_range: float | int = 0.25
    num_hidden_layers: int = 1
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        # A checkpoint with only one of the two tables would serve labels under the wrong names.
        if self.id2label is not None and self.label2id is None:
            self.label2id = {str(label): int(index) for index, label in self.id2label.items()}

    def validate_sizes(self) -> None:
        """Stop at sizes that no student can have.

        Raises:
            ValueError: If a size is not positive, or the dropout not a probability below 1, or the padding token not
                in the vocabulary.
        """
        for name in ("vocab_size", "embedding_dim", "lstm_hidden_size", "fc_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("dropout", "embedding_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}.")
        if self.num_hidden_layers != 1:
            raise ValueError(f"The student has one LSTM layer, got num_hidden_layers={self.num_hidden_layers}.")
        if self.pad_token_id is None or not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(f"pad_token_id must be in 0..{self.vocab_size - 1}, got {self.pad_token_id}.")

    @property
    def pooled_size(self) -> int:
        """Width of the vector that the encoder gives: both directions, and for a pair four such parts."""
        return 2 * self.lstm_hidden_size * (4 if self.is_pair else 1)
