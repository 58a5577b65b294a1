"""The students. Importing this package registers them with the Auto classes of transformers."""

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from .configuration_biattentive import BiAttentiveConfig
from .configuration_bilstm import BiLSTMConfig
from .configuration_multitask import MultiTaskConfig
from .modeling_biattentive import BiAttentiveModel
from .modeling_bilstm import BiLSTMForSequenceClassification, BiLSTMModel
from .modeling_multitask import MultiTaskForSequenceClassification, MultiTaskModel

for _config in (BiLSTMConfig, BiAttentiveConfig, MultiTaskConfig):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
AutoModel.register(BiLSTMConfig, BiLSTMModel, exist_ok=True)
AutoModel.register(BiAttentiveConfig, BiAttentiveModel, exist_ok=True)
AutoModel.register(MultiTaskConfig, MultiTaskModel, exist_ok=True)
AutoModelForSequenceClassification.register(BiLSTMConfig, BiLSTMForSequenceClassification, exist_ok=True)
AutoModelForSequenceClassification.register(MultiTaskConfig, MultiTaskForSequenceClassification, exist_ok=True)

__all__ = [
    "BiAttentiveConfig",
    "BiAttentiveModel",
    "BiLSTMConfig",
    "BiLSTMForSequenceClassification",
    "BiLSTMModel",
    "MultiTaskConfig",
    "MultiTaskForSequenceClassification",
    "MultiTaskModel",
]
