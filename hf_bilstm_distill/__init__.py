"""Distil a fine-tuned Hugging Face text classifier into a small, fast BiLSTM.

Importing this package makes its students known to `AutoConfig`, `AutoModel`, `AutoModelForSequenceClassification` and
`pipeline`. Where PyTorch or transformers is not installed there is `OnnxTextClassifier` alone, which needs neither.
"""

from importlib.util import find_spec as _find_spec

from hf_bilstm_distill.predictor import OnnxTextClassifier

if _find_spec("torch") and _find_spec("transformers"):
    from hf_bilstm_distill.augmentation import HeuristicAugmenter, RowAugmenter, augment, load_tagger
    from hf_bilstm_distill.collation import DistillationCollator, encode
    from hf_bilstm_distill.commands.command_line import last_checkpoint, parse_arguments
    from hf_bilstm_distill.commands.errors import one_line_errors
    from hf_bilstm_distill.embeddings import (
        EmbeddingTable,
        initialize_embeddings,
        random_vectors,
        read_words,
        vectors_from_file,
        vectors_from_teacher,
    )
    from hf_bilstm_distill.export import export_onnx
    from hf_bilstm_distill.inference import TextClassifier
    from hf_bilstm_distill.labeling import Teacher, label_with_teacher
    from hf_bilstm_distill.loading import load_file, load_texts, number_labels, select_columns
    from hf_bilstm_distill.losses import kl_on_logits, mse_on_logits
    from hf_bilstm_distill.metrics import (
        F1,
        Accuracy,
        MatthewsCorrelation,
        Pearson,
        Spearman,
        compute_metrics_for,
        default_metrics,
        load_metric,
        load_metrics,
    )
    from hf_bilstm_distill.model_card import CardFacts, render_card, save_card
    from hf_bilstm_distill.multitask_trainer import MultiTaskDistillationTrainer, finetune_per_task
    from hf_bilstm_distill.neighbor_exchange import NeighborAug, nearest_words
    from hf_bilstm_distill.nlpaug_augmenters import NlpaugTransform
    from hf_bilstm_distill.phrase_exchange import PhraseAug
    from hf_bilstm_distill.problem_types import find_problem_type, label_vectors, read_labels
    from hf_bilstm_distill.report import ModelReport, Report, distillation_report
    from hf_bilstm_distill.rule_augmenters import MaskAug, NgramAug, PosReplacementAug
    from hf_bilstm_distill.sharing import check_push, include_code, push
    from hf_bilstm_distill.students import (
        BiAttentiveConfig,
        BiAttentiveModel,
        BiLSTMConfig,
        BiLSTMForSequenceClassification,
        BiLSTMModel,
        MultiTaskConfig,
        MultiTaskForSequenceClassification,
    )
    from hf_bilstm_distill.teachers import (
        CallableTeacher,
        average_teachers,
        logits_from_probabilities,
        teacher_from_pipeline,
    )
    from hf_bilstm_distill.tfidf import TfidfClassifier, train_tfidf
    from hf_bilstm_distill.tokenization import train_word_tokenizer, trim_tokenizer, word_tokenizer_from_words
    from hf_bilstm_distill.trainer import DistillationTrainer
    from hf_bilstm_distill.training_args import DistillationTrainingArguments, MultiTaskTrainingArguments
    from hf_bilstm_distill.transfer_set import (
        LabelMismatchError,
        check_agreement,
        find_label_order,
        label_names,
        match_labels,
    )
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        raise ImportError(
            f"{name} needs PyTorch and transformers. Run `pip install hf-bilstm-distill`, or use OnnxTextClassifier, "
            "which needs neither."
        )


__version__ = "0.1.0"

__all__ = [
    "F1",
    "Accuracy",
    "BiAttentiveConfig",
    "BiAttentiveModel",
    "BiLSTMConfig",
    "BiLSTMForSequenceClassification",
    "BiLSTMModel",
    "CallableTeacher",
    "CardFacts",
    "DistillationCollator",
    "DistillationTrainer",
    "DistillationTrainingArguments",
    "EmbeddingTable",
    "HeuristicAugmenter",
    "LabelMismatchError",
    "MaskAug",
    "MatthewsCorrelation",
    "ModelReport",
    "MultiTaskConfig",
    "MultiTaskDistillationTrainer",
    "MultiTaskForSequenceClassification",
    "MultiTaskTrainingArguments",
    "NeighborAug",
    "NgramAug",
    "NlpaugTransform",
    "OnnxTextClassifier",
    "Pearson",
    "PhraseAug",
    "PosReplacementAug",
    "Report",
    "RowAugmenter",
    "Spearman",
    "Teacher",
    "TextClassifier",
    "TfidfClassifier",
    "augment",
    "average_teachers",
    "check_agreement",
    "check_push",
    "compute_metrics_for",
    "default_metrics",
    "distillation_report",
    "encode",
    "export_onnx",
    "find_label_order",
    "find_problem_type",
    "finetune_per_task",
    "include_code",
    "initialize_embeddings",
    "kl_on_logits",
    "label_names",
    "label_vectors",
    "label_with_teacher",
    "last_checkpoint",
    "load_file",
    "load_metric",
    "load_metrics",
    "load_tagger",
    "load_texts",
    "logits_from_probabilities",
    "match_labels",
    "mse_on_logits",
    "nearest_words",
    "number_labels",
    "one_line_errors",
    "parse_arguments",
    "push",
    "random_vectors",
    "read_labels",
    "read_words",
    "render_card",
    "save_card",
    "select_columns",
    "teacher_from_pipeline",
    "train_tfidf",
    "train_word_tokenizer",
    "trim_tokenizer",
    "vectors_from_file",
    "vectors_from_teacher",
    "word_tokenizer_from_words",
]
