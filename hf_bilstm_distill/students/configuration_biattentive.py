"""Configuration of the bi-attentive LSTM encoder."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class BiAttentiveConfig(PreTrainedConfig):
    """Configuration of a bi-attentive LSTM encoder of sentences and pairs (McCann et al. 2017).

    Both LSTMs have the 256 units of MKD (Liu et al. 2019). With its heads the encoder is a `MultiTaskConfig`.

    Args:
        vocab_size: Rows of the embedding table.
        embedding_dim: Width of the embedding table. The published student has a table as wide as BERT-base's.
        feed_forward_size: Width of the layer that each token goes through before the first LSTM.
        lstm_hidden_size: Width of both LSTMs in each direction.
        dropout: Probability of dropping a unit of the embeddings and of the encoder's result in training.
        pad_token_id: The padding token. Its vector stays zero.
        initializer_range: Half the width of the interval from which random embeddings are drawn.
    """

    model_type = "biattentive_distill"
    attribute_map = {"hidden_size": "lstm_hidden_size"}

    vocab_size: int = 30522
    embedding_dim: int = 768
    feed_forward_size: int = 256
    lstm_hidden_size: int = 256
    dropout: float | int = 0.1
    pad_token_id: int | None = 0
    initializer_range: float | int = 0.25
    tie_word_embeddings: bool = False

    def validate_sizes(self) -> None:
        """Stop at sizes that no encoder can have.

        Raises:
            ValueError: If a size is not positive, or the dropout not a probability below 1, or the padding token not
                in the vocabulary.
        """
        for name in ("vocab_size", "embedding_dim", "feed_forward_size", "lstm_hidden_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}.")
        if self.pad_token_id is None or not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(f"pad_token_id must be in 0..{self.vocab_size - 1}, got {self.pad_token_id}.")

    @property
    def pooled_size(self) -> int:
        """Width of the vector that the encoder gives: two sentences, four ways to pool, two directions."""
        return 2 * 4 * 2 * self.lstm_hidden_size
