"""The arguments of a multi-task distillation: which tasks, with which teachers, into what."""

import dataclasses
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from accelerate import PartialState

from hf_bilstm_distill.commands.command_line import log_to_stderr, parse_arguments
from hf_bilstm_distill.commands.distill_arguments import RunArguments, StudentTrainingArguments, check_arguments
from hf_bilstm_distill.commands.mkd_demo import prepare_demo_tasks
from hf_bilstm_distill.commands.shared_arguments import AugmentationArguments, SharingArguments
from hf_bilstm_distill.training_args import MultiTaskTrainingArguments

# What is of one student cannot differ from task to task.
_OF_THE_STUDENT = {
    *("tokenizer", "embeddings", "embedding_dim", "lstm_hidden_size", "pooling", "fc_size", "dropout"),
    *("embedding_dropout", "multichannel"),
    *("baseline", "include_code", "license", "language", "max_length", "num_proc", "label_cache"),
}
TASK_SETTINGS = sorted({each.name for each in dataclasses.fields(RunArguments)} - _OF_THE_STUDENT)


@dataclass
class MultiTaskRunArguments(SharingArguments, AugmentationArguments):
    """Which tasks to distil, with which teachers, into what."""

    tasks: dict[str, Any] | None = field(
        default=None,
        metadata={
            "help": "In the YAML file: for each task its name and settings: teacher, the arguments of `distill` that "
            "name its texts and labels, and any of the settings below that differ for it."
        },
    )
    n_iter: int = field(default=10, metadata={"help": "Augmented copies of each text. MKD takes 40 for small sets."})
    n_recombined: int | None = field(
        default=0, metadata={"help": "Copies of each text in which phrases come from other texts."}
    )
    p_pos: float = field(default=0.0, metadata={"help": "Probability of exchanging it for another with its tag."})
    p_ngram: float = field(default=0.0, metadata={"help": "Probability of keeping 1 to 5 words of a copy only."})
    augmentation_seed: int | None = field(
        default=None,
        metadata={"help": "Seed of the copies. Left out: --seed. With the same, runs can share a --label_cache."},
    )
    teacher_dtype: Literal["float32", "bfloat16", "float16", "auto"] = field(
        default="float32",
        metadata={"help": "What the teachers compute in. auto: bfloat16 where the machine has instructions for it."},
    )
    label_cache: str | None = field(
        default=None,
        metadata={"help": "Folder for the teachers' logits, which other runs may share. Left out: in --output_dir."},
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Learn on so many random texts of each task only."}
    )
    student: Literal["biattentive", "bilstm", "transformer"] = field(
        default="biattentive",
        metadata={"help": "What all tasks share: two LSTMs with bi-attention, one LSTM, or a teacher's first layers."},
    )
    student_model: str | None = field(
        default=None,
        metadata={"help": "For --student transformer: whose layers to take. Left out: those of the first teacher."},
    )
    num_hidden_layers: int = field(default=3, metadata={"help": "For --student transformer: how many layers."})
    tokenizer: str | None = field(
        default=None,
        metadata={
            "help": "teacher (its pieces that occur), word, or a folder. Left out: teacher. A transformer has its own."
        },
    )
    embeddings: str | None = field(
        default=None,
        metadata={
            "help": "teacher (the first one's, by PCA), random, or a file of word vectors. Left out: as the tokenizer."
        },
    )
    embedding_dim: int = field(
        default=300, metadata={"help": "Width of the embeddings, at most; a file and a teacher have their own widths."}
    )
    lstm_hidden_size: int = field(default=256, metadata={"help": "Width of the LSTMs in each direction."})
    fc_size: int = field(default=512, metadata={"help": "Width of the fully connected layer of each task."})
    dropout: float = field(default=0.1, metadata={"help": "Dropout in the encoder and in the layers of the tasks."})
    max_length: int = field(default=128, metadata={"help": "Longest training text in tokens."})
    finetune: bool = field(
        default=False, metadata={"help": "Second stage: train a copy of the student on each task alone."}
    )
    finetune_epochs: float = field(default=2, metadata={"help": "Its passes over the transfer set of the task."})
    finetune_learning_rate: float = field(default=5e-5, metadata={"help": "Its peak learning rate."})
    single_task_baselines: bool = field(
        default=False,
        metadata={"help": "Also train the same student on each task alone: distilled, and on gold labels alone."},
    )
    num_proc: int | None = field(default=None, metadata={"help": "Processes that augment and tokenize."})


@dataclass(repr=False)
class MultiTaskStudentTrainingArguments(StudentTrainingArguments, MultiTaskTrainingArguments):
    """Training arguments with defaults for a whole run."""

    output_dir: str | None = field(default="out/mkd", metadata={"help": "Where to save the student."})
    learning_rate: float | None = field(  # type: ignore[assignment]
        default=5e-4, metadata={"help": "Peak learning rate."}
    )
    ddp_find_unused_parameters: bool | None = field(default=True, metadata={"help": "A step uses one of the heads."})


def read_arguments() -> tuple[MultiTaskRunArguments, MultiTaskStudentTrainingArguments]:
    """Read the command line; without tasks of the user's, prepare the demo's."""
    classes = [MultiTaskRunArguments, MultiTaskStudentTrainingArguments]
    description = "Distil the teachers of several tasks into one student. Without tasks it runs a demo."
    run, training = parse_arguments(classes, description)
    is_demo = run.tasks is None
    if is_demo:
        run, training = parse_arguments(classes, description, [str(demo_settings()), *sys.argv[1:]])
    log_to_stderr()
    wanted, found = int(os.environ.get("WORLD_SIZE", "1")), PartialState().num_processes
    if wanted != found:
        sys.exit(f"The launcher started {wanted} processes, but each runs alone. On a CPU add --use_cpu true.")
    if is_demo:
        tasks = prepare_demo_tasks(Path(str(training.output_dir)) / "_demo", training.seed)
        run = dataclasses.replace(run, tasks=tasks)
    return run, training


def demo_settings() -> Path:
    """The settings of the demo."""
    return Path(__file__).with_name("mkd_demo.yaml")


def arguments_of_tasks(run: MultiTaskRunArguments) -> dict[str, RunArguments]:
    """Give the arguments of a distillation of each task: its own, and those that all share."""
    own_names = {each.name for each in dataclasses.fields(RunArguments)}
    shared = {name: value for name, value in vars(run).items() if name in own_names}
    arguments = {}
    for name, settings in (run.tasks or {}).items():
        if not isinstance(settings, dict):
            raise ValueError(f"The task {name!r} needs settings, such as `teacher: ...`, got {settings!r}.")
        unknown = sorted(settings.keys() - set(TASK_SETTINGS))
        if unknown:
            raise ValueError(f"The task {name!r} has unknown settings {unknown}. Choose from {TASK_SETTINGS}.")
        arguments[name] = RunArguments(**{**shared, **settings})
        try:
            check_arguments(arguments[name])
        except (ValueError, OSError) as error:
            raise type(error)(f"Task {name!r}: {error}") from error
    if not arguments:
        raise ValueError("There is no task: name one or more under `tasks:` in the YAML file.")
    return arguments
