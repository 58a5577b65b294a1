"""Make the tasks and the teachers that a multi-task distillation runs on when it is given none."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset, DatasetDict

from hf_bilstm_distill.commands.demo import train_teacher
from hf_bilstm_distill.commands.demo_corpus import LABEL_NAMES, build_demo_corpus
from hf_bilstm_distill.tokenization import train_word_tokenizer

_CONTRASTS = {"but", "yet", "although", "though", "while", "despite", "spite"}


def prepare_demo_tasks(folder: Path, seed: int) -> dict[str, dict[str, Any]]:
    """Write the texts of three tasks, and fine-tune a small BERT for each from scratch.

    `opinion` is that of the demo corpus. `contrast` asks whether a sentence sets one opinion against another.
    `preference` is about pairs of opposite opinions: which of the two is the good one.

    Args:
        folder: Where to put texts and teachers.
        seed: Of the texts, the teachers' first weights and their training.

    Returns:
        The settings of the tasks.
    """
    corpus = build_demo_corpus(seed).filter(lambda row: row["label"] >= 0)
    tokenizer = train_word_tokenizer(corpus["teacher_train"]["text"])  # one for all: so may be the student's
    make: dict[str, tuple[list[str], Callable[[Dataset], Dataset]]] = {
        "opinion": (LABEL_NAMES, lambda rows: rows),
        "contrast": (["plain", "contrast"], _contrasts),
        "preference": (["first", "second"], lambda rows: _preferences(rows, seed)),
    }
    tasks: dict[str, dict[str, Any]] = {}
    for name, (names, make_rows) in make.items():
        texts = DatasetDict({split: make_rows(rows) for split, rows in corpus.items()})
        files = {split: str(folder / name / f"{split}.jsonl") for split in ("train", "validation", "test")}
        with PartialState().local_main_process_first():
            if PartialState().is_local_main_process:
                for split, file in files.items():
                    texts[split].to_json(file)
        teacher = str(folder / name / "teacher")
        texts["train"] = texts.pop("teacher_train")
        train_teacher(teacher, texts, tokenizer, names, seed)
        tasks[name] = {"teacher": teacher, **{f"{split}_file": file for split, file in files.items()}}
    tasks["preference"]["text_pair_column"] = "text_pair"
    return tasks


def _contrasts(rows: Dataset) -> Dataset:
    return rows.map(lambda row: {"label": int(not _CONTRASTS.isdisjoint(row["text"].split()))})


def _preferences(rows: Dataset, seed: int) -> Dataset:
    """Pair each good opinion with three bad ones, in either order."""
    rng = random.Random(seed)
    bad, good = ([row["text"] for row in rows if row["label"] == label] for label in (0, 1))
    pairs = []
    for one, other in [pair for start in range(3) for pair in zip(good, bad[start:], strict=False)]:
        label = rng.randrange(2)
        first, second = (other, one) if label else (one, other)
        pairs.append({"text": first, "text_pair": second, "label": label})
    return Dataset.from_list(pairs)
