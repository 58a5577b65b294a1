"""The arguments of `run_distill.py`: what to distil, on which texts, into what."""

import dataclasses
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from accelerate import PartialState
from demo import prepare_demo

from hf_bilstm_distill import DistillationTrainingArguments, parse_arguments


@dataclass
class RunArguments:
    """What to distil, on which texts, into what."""

    teacher: str | None = field(
        default=None, metadata={"help": "The fine-tuned classifier: a folder or an id on the Hub."}
    )
    teacher_dtype: Literal["float32", "bfloat16", "float16", "auto"] = field(
        default="float32",
        metadata={"help": "What the teacher computes in. auto: bfloat16 where the machine has instructions for it."},
    )
    label_cache: str | None = field(
        default=None,
        metadata={"help": "Folder for the teacher's logits, which other runs may share. Left out: in --output_dir."},
    )
    dataset_name: str | None = field(default=None, metadata={"help": "A data set on the Hub, such as nyu-mll/glue."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration, such as sst2."})
    validation_split: str = field(default="validation", metadata={"help": "Its validation split."})
    test_split: str = field(default="test", metadata={"help": "Its test split."})
    train_file: str | None = field(default=None, metadata={"help": "Texts to learn on: csv, tsv, jsonl or parquet."})
    validation_file: str | None = field(default=None, metadata={"help": "Texts to evaluate on after each epoch."})
    test_file: str | None = field(
        default=None, metadata={"help": "Texts for the report. Left out: the validation texts."}
    )
    unlabeled_file: str | None = field(
        default=None, metadata={"help": "More texts to learn on, without gold labels (or instead of --train_file)."}
    )
    text_column: str = field(default="text", metadata={"help": "Column with the text, or the first of two."})
    text_pair_column: str | None = field(
        default=None, metadata={"help": "Column with the second text, if texts come in pairs."}
    )
    label_column: str = field(
        default="label", metadata={"help": "Column with the gold label: a number or a name. It may be missing."}
    )
    labels: list[str] | None = field(
        default=None, metadata={"help": "Names of the labels 0, 1, ..., where there are numbers only."}
    )
    label_order: list[int] | None = field(
        default=None,
        metadata={"help": "For each label of the data, its position in the teacher's logits. Left out: by name."},
    )
    problem_type: str | None = field(
        default=None,
        metadata={
            "help": "One class a text, several, or a number. Left out: the teacher's.",
            "choices": ["single_label_classification", "multi_label_classification", "regression"],
        },
    )
    teacher_logits_column: str | None = field(
        default=None, metadata={"help": "Column with logits to learn from instead of (or before) the teacher's."}
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Learn on so many random texts only."})
    max_length: int = field(default=128, metadata={"help": "Longest training text in tokens."})
    n_iter: int = field(default=20, metadata={"help": "Augmented copies of each text. 0: none."})
    p_mask: float = field(default=0.1, metadata={"help": "Probability of masking a word of a copy."})
    p_pos: float = field(default=0.1, metadata={"help": "Probability of exchanging it for another with its tag."})
    p_ngram: float = field(default=0.25, metadata={"help": "Probability of keeping 1 to 5 words of a copy only."})
    tagger: str = field(default="lexicon", metadata={"help": "lexicon, textblob, nltk or spacy:MODEL."})
    tokenizer: str | None = field(
        default=None,
        metadata={"help": "teacher (its pieces that occur), word, or a folder. Left out: teacher if there is one."},
    )
    embeddings: str | None = field(
        default=None,
        metadata={"help": "teacher (its own, by PCA), random, or a file of word vectors. Left out: as the tokenizer."},
    )
    embedding_dim: int = field(
        default=300, metadata={"help": "Width of the embeddings, at most; a file and a teacher have their own widths."}
    )
    lstm_hidden_size: int = field(default=150, metadata={"help": "Width of the LSTM in each direction."})
    fc_size: int = field(default=200, metadata={"help": "Width of the fully connected layer."})
    dropout: float = field(default=0.1, metadata={"help": "Dropout after the fully connected layer."})
    multichannel: bool = field(default=False, metadata={"help": "Add a frozen copy of the embedding table."})
    baseline: bool = field(
        default=False, metadata={"help": "Also train the same student without a teacher, on the gold labels alone."}
    )
    metric: list[str] | None = field(
        default=None,
        metadata={
            "help": "accuracy, f1, matthews_correlation, pearsonr, spearmanr, others of evaluate.load. The first "
            "chooses the checkpoint. Left out: as suits."
        },
    )
    include_code: bool = field(
        default=True, metadata={"help": "Save the student's code beside it, for use with trust_remote_code=True."}
    )
    num_proc: int | None = field(default=None, metadata={"help": "Processes that augment and tokenize."})

    def __post_init__(self) -> None:
        if isinstance(self.metric, str):  # `metric: f1` in a file
            self.metric = [self.metric]

    @property
    def files(self) -> dict[str, str]:
        """The files by split."""
        files = {
            "train": self.train_file,
            "validation": self.validation_file,
            "test": self.test_file,
            "unlabeled": self.unlabeled_file,
        }
        return {split: file for split, file in files.items() if file is not None}

    @property
    def task(self) -> str:
        """What the report is about."""
        name = self.dataset_config_name or self.dataset_name or self.train_file or self.unlabeled_file or ""
        name = Path(name).parent.name if Path(name).stem == "train" else Path(name).stem
        return name.strip("_")

    @property
    def columns(self) -> dict[str, str | None]:
        """The user's column names by the standard ones."""
        return {
            "text": self.text_column,
            "text_pair": self.text_pair_column,
            "label": self.label_column,
            "teacher_logits": self.teacher_logits_column,
        }


def torch_dtype(name: str) -> torch.dtype:
    """Return what a name stands for: `auto` is bfloat16 where it is no slower than float32."""
    if name != "auto":
        return getattr(torch, name)
    if torch.cuda.is_available():
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch cannot tell
        has_bfloat16 = any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if has_bfloat16 else torch.float32


@dataclass
class StudentTrainingArguments(DistillationTrainingArguments):
    """Training arguments with defaults for a whole run."""

    output_dir: str | None = field(default="out/student", metadata={"help": "Where to save the student."})
    num_train_epochs: float = field(default=4, metadata={"help": "Passes over the transfer set."})
    warmup_steps: float = field(default=0.05, metadata={"help": "Steps, or the share of all, of rising learning rate."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, epoch, steps."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save a checkpoint: no, epoch, steps."})
    load_best_model_at_end: bool = field(
        default=True,
        metadata={
            "help": "Keep the checkpoint that is best on the validation texts, as the paper does, not the last one. "
            "Only where each evaluation saves one."
        },
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "How many checkpoints to keep."})
    logging_steps: float = field(default=100, metadata={"help": "Log every so many steps."})

    def __post_init__(self) -> None:
        strategies = {getattr(strategy, "value", strategy) for strategy in (self.save_strategy, self.eval_strategy)}
        if len(strategies) > 1 or "no" in strategies:
            self.load_best_model_at_end = False
        super().__post_init__()


def read_arguments() -> tuple[RunArguments, StudentTrainingArguments]:
    """Read the command line; without a teacher and texts of the user's, prepare the demo's."""
    classes = [RunArguments, StudentTrainingArguments]
    description = "Distil a fine-tuned text classifier into a BiLSTM. Without a teacher and texts it runs a demo."
    run, training = parse_arguments(classes, description)
    is_demo = not (run.teacher or run.files or run.dataset_name)
    if is_demo:
        settings = Path(__file__).with_name("configs") / "demo.yaml"
        run, training = parse_arguments(classes, description, [str(settings), *sys.argv[1:]])
    is_main = PartialState().is_main_process
    logging.basicConfig(format="%(message)s", level=logging.INFO if is_main else logging.ERROR)
    for noisy in ("httpx", "filelock", "fsspec"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    wanted, found = int(os.environ.get("WORLD_SIZE", "1")), PartialState().num_processes
    if wanted != found:
        sys.exit(f"The launcher started {wanted} processes, but each runs alone. On a CPU add --use_cpu true.")
    if is_demo:
        run = dataclasses.replace(run, **prepare_demo(Path(str(training.output_dir)) / "_demo", training.seed))
    return run, training


def check_arguments(run: RunArguments) -> None:
    """Stop if arguments contradict each other."""
    if not run.teacher and not run.teacher_logits_column:
        raise ValueError("There is nothing to learn from: give --teacher, or --teacher_logits_column.")
    if not run.teacher and run.n_iter > 0:
        raise ValueError(
            f"--n_iter {run.n_iter} makes copies that only a teacher can label. Give --teacher, or --n_iter 0."
        )
    if not run.teacher and "teacher" in (run.tokenizer, run.embeddings):
        raise ValueError("The teacher's tokenizer and embeddings need --teacher. Choose word and random, or a file.")
    if run.embeddings not in (None, "teacher", "random") and not Path(run.embeddings).is_file():
        raise FileNotFoundError(f"--embeddings must be teacher, random or a file of vectors, got {run.embeddings!r}.")
    if run.tokenizer not in (None, "teacher", "word") and not Path(run.tokenizer).is_dir():
        raise FileNotFoundError(f"--tokenizer must be teacher, word or a folder, got {run.tokenizer!r}.")
