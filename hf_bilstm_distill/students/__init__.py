"""The students. Importing this package registers them with the Auto classes of transformers."""

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from .configuration_bilstm import BiLSTMConfig
from .modeling_bilstm import BiLSTMForSequenceClassification, BiLSTMModel

AutoConfig.register(BiLSTMConfig.model_type, BiLSTMConfig, exist_ok=True)
AutoModel.register(BiLSTMConfig, BiLSTMModel, exist_ok=True)
AutoModelForSequenceClassification.register(BiLSTMConfig, BiLSTMForSequenceClassification, exist_ok=True)

__all__ = ["BiLSTMConfig", "BiLSTMForSequenceClassification", "BiLSTMModel"]
