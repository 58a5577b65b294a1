"""Real small things that tests share: texts, a WordPiece tokenizer, a two-layer BERT. Nothing here needs a network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from copy import deepcopy

import pytest
import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

disable_progress_bars()

_POSITIVE = ["a warm and funny film", "the acting is superb", "i loved the gentle story", "great songs , great cast"]
_NEGATIVE = ["a dull and slow film", "the acting is wooden", "i hated the silly story", "weak jokes , weak cast"]
_FRAMES = ["{}", "{} .", "honestly , {}", "{} , as my friends said", "we think that {}", "{} from start to end"]


@pytest.fixture(scope="session")
def texts() -> Dataset:
    """Forty-eight labelled sentences: 0 negative, 1 positive."""
    rows = [
        {"text": frame.format(core), "label": label}
        for frame in _FRAMES
        for label, cores in ((0, _NEGATIVE), (1, _POSITIVE))
        for core in cores
    ]
    return Dataset.from_list(rows)


@pytest.fixture(scope="session")
def teacher_tokenizer(texts: Dataset) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer as BERT's: [CLS] and [SEP], lower case, pieces with ##."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.train_from_iterator(
        [*texts["text"], "unrelated words that no text of the set has : zebra quartz"],
        trainers.WordPieceTrainer(vocab_size=200, special_tokens=special),
    )
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


@pytest.fixture(scope="session")
def teacher_model(teacher_tokenizer: PreTrainedTokenizerFast) -> BertForSequenceClassification:
    """A BERT of two small layers with random weights."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(teacher_tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,  # so that its logits differ clearly from text to text
        id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
    )
    return BertForSequenceClassification(config).eval()


@pytest.fixture(scope="session")
def teacher_dir(
    teacher_model: BertForSequenceClassification,
    teacher_tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The small BERT, saved with its tokenizer."""
    folder = str(tmp_path_factory.mktemp("teacher"))
    teacher_model.save_pretrained(folder)
    teacher_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def trained_teacher_dir(
    texts: Dataset,
    teacher_model: BertForSequenceClassification,
    teacher_tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The small BERT after it has learned the labels of the texts: with a margin, on any machine."""
    model = deepcopy(teacher_model)
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = teacher_tokenizer(list(texts["text"]), padding=True, return_tensors="pt")
    labels = torch.tensor(list(texts["label"]))
    for _ in range(60):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    folder = str(tmp_path_factory.mktemp("trained_teacher"))
    model.save_pretrained(folder)
    teacher_tokenizer.save_pretrained(folder)
    return folder
