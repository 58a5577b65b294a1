"""The arguments of a distillation: what to distil, on which texts, into what."""

import dataclasses
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from accelerate import PartialState

from hf_bilstm_distill.commands.command_line import log_to_stderr, parse_arguments
from hf_bilstm_distill.commands.demo import prepare_demo
from hf_bilstm_distill.commands.shared_arguments import (
    AugmentationArguments,
    LabelArguments,
    SharingArguments,
    TeacherChoice,
)
from hf_bilstm_distill.training_args import DistillationTrainingArguments


@dataclass
class SourceArguments(TeacherChoice):
    """What to distil, and on which texts."""

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


@dataclass
class RunArguments(SharingArguments, AugmentationArguments, LabelArguments, SourceArguments):
    """What to distil, on which texts, into what."""

    teacher_logits_column: str | None = field(
        default=None, metadata={"help": "Column with logits to learn from instead of (or before) the teacher's."}
    )
    augmentation_seed: int | None = field(
        default=None,
        metadata={"help": "Seed of the copies. Left out: --seed. With the same, runs can share a --label_cache."},
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Learn on so many random texts only."})
    max_length: int = field(default=128, metadata={"help": "Longest training text in tokens."})
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
    lstm_hidden_size: int = field(
        default=150, metadata={"help": "Width of the LSTM in each direction; 300 is a little better, and slower."}
    )
    pooling: Literal["last", "max"] = field(default="max", metadata={"help": "Which states stand for a text."})
    fc_size: int = field(default=200, metadata={"help": "Width of the fully connected layer."})
    dropout: float = field(default=0.1, metadata={"help": "Dropout after that layer."})
    embedding_dropout: float = field(default=0.25, metadata={"help": "Dropout of the embeddings."})
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
    num_proc: int | None = field(default=None, metadata={"help": "Processes that augment and tokenize."})

    def __post_init__(self) -> None:
        if isinstance(self.metric, str):  # `metric: f1` in a file
            self.metric = [self.metric]
        if isinstance(self.language, str):
            self.language = [self.language]

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
        return {**super().columns, "teacher_logits": self.teacher_logits_column}


@dataclass(repr=False)
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
            "help": "Keep the checkpoint that is best on the validation texts, as the paper does, if each evaluation "
            "saves one."
        },
    )
    metric_for_best_model: str | None = field(
        default=None,
        metadata={
            "help": "Best in what: eval_loss, a metric. Left out: the first of --metric, or likeness to the teacher."
        },
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "How many checkpoints to keep."})
    logging_steps: float = field(default=100, metadata={"help": "Log every so many steps."})

    def __post_init__(self) -> None:
        strategies = {getattr(strategy, "value", strategy) for strategy in (self.save_strategy, self.eval_strategy)}
        if len(strategies) > 1 or "no" in strategies:
            self.load_best_model_at_end = False
        chosen = self.metric_for_best_model, self.greater_is_better
        super().__post_init__()
        if chosen[0] is None:  # transformers takes the loss then; which metric it shall be shows with the texts
            self.metric_for_best_model, self.greater_is_better = chosen


def read_arguments() -> tuple[RunArguments, StudentTrainingArguments]:
    """Read the command line; without a teacher and texts of the user's, prepare the demo's."""
    classes = [RunArguments, StudentTrainingArguments]
    description = "Distil a fine-tuned text classifier into a BiLSTM. Without a teacher and texts it runs a demo."
    run, training = parse_arguments(classes, description)
    is_demo = not (run.teacher or run.files or run.dataset_name)
    if is_demo:
        settings = Path(__file__).with_name("demo.yaml")
        run, training = parse_arguments(classes, description, [str(settings), *sys.argv[1:]])
    log_to_stderr()
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
    n_recombined = run.n_recombined or 0
    if n_recombined < 0:
        raise ValueError(f"--n_recombined must be a number of copies, 0 or more, got {n_recombined}.")
    if not 0 <= run.p_neighbor <= 1:
        raise ValueError(f"--p_neighbor must lie between 0 and 1, got {run.p_neighbor}.")
    for name, copies in (("n_iter", run.n_iter), ("n_recombined", n_recombined)):
        if not run.teacher and copies > 0:
            raise ValueError(
                f"--{name} {copies} makes copies that only a teacher can label. Give --teacher, or --{name} 0."
            )
    if not run.teacher and "teacher" in (run.tokenizer, run.embeddings):
        raise ValueError("The teacher's tokenizer and embeddings need --teacher. Choose word and random, or a file.")
    if run.embeddings not in (None, "teacher", "random") and not Path(run.embeddings).is_file():
        raise FileNotFoundError(f"--embeddings must be teacher, random or a file of vectors, got {run.embeddings!r}.")
    if run.tokenizer not in (None, "teacher", "word") and not Path(run.tokenizer).is_dir():
        raise FileNotFoundError(f"--tokenizer must be teacher, word or a folder, got {run.tokenizer!r}.")
