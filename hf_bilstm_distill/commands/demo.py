"""Make the texts and the teacher that a distillation runs on when it is given none."""

from pathlib import Path

from accelerate import PartialState
from datasets import DatasetDict
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, set_seed

from hf_bilstm_distill.commands.demo_corpus import LABEL_NAMES, build_demo_corpus
from hf_bilstm_distill.commands.finetune_teacher import TeacherTrainingArguments, finetune
from hf_bilstm_distill.tokenization import train_word_tokenizer


def prepare_demo(folder: Path, seed: int) -> dict[str, str]:
    """Write the demo's texts, and fine-tune a small BERT on some of them from scratch.

    Args:
        folder: Where to put both.
        seed: Of the texts, the teacher's first weights and its training.

    Returns:
        The arguments of a distillation that name them.
    """
    corpus = build_demo_corpus(seed)
    files = {split: str(folder / f"{split}.jsonl") for split in ("train", "validation", "test")}
    with PartialState().local_main_process_first():
        if PartialState().is_local_main_process:
            for split, file in files.items():
                corpus[split].to_json(file)
    teacher_texts = corpus.filter(lambda row: row["label"] >= 0)
    teacher_texts["train"] = teacher_texts.pop("teacher_train")
    teacher_dir = str(folder / "teacher")
    train_teacher(teacher_dir, teacher_texts, train_word_tokenizer(teacher_texts["train"]["text"]), LABEL_NAMES, seed)
    return {"teacher": teacher_dir, **{f"{split}_file": file for split, file in files.items()}}


def train_teacher(
    folder: str, texts: DatasetDict, tokenizer: PreTrainedTokenizerFast, names: list[str], seed: int
) -> None:
    """Fine-tune a small BERT from scratch, and save it."""
    set_seed(seed)
    finetune(
        BertForSequenceClassification(_config(tokenizer, names)),
        tokenizer,
        texts,
        TeacherTrainingArguments(
            output_dir=folder,
            learning_rate=7e-4,
            num_train_epochs=6,
            per_device_train_batch_size=64,
            save_strategy="no",
            seed=seed,
        ),
    )


def _config(tokenizer: PreTrainedTokenizerFast, names: list[str]) -> BertConfig:
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,  # a few thousand sentences of a small grammar: it would only learn more slowly
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
    )
