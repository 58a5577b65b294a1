"""Distil the teachers of several tasks into one student (MKD): where the stages meet."""

import atexit
import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from accelerate import PartialState
from datasets import Dataset, DatasetDict, concatenate_datasets
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast, set_seed
from transformers.utils import logging

from hf_bilstm_distill.collation import encode
from hf_bilstm_distill.commands.command_line import last_checkpoint
from hf_bilstm_distill.commands.copies import add_copies
from hf_bilstm_distill.commands.distill import (
    CACHE,
    add_logits,
    check_not_pushed,
    make_augmenter,
    make_embeddings,
    make_tokenizer,
    slow_down_embeddings,
    without_logits,
)
from hf_bilstm_distill.commands.distill_arguments import RunArguments
from hf_bilstm_distill.commands.distill_texts import load_splits
from hf_bilstm_distill.commands.errors import one_line_errors, one_line_if_disk_is_full
from hf_bilstm_distill.commands.gold_labels import is_labelled, settle_gold_labels
from hf_bilstm_distill.commands.mkd_arguments import (
    MultiTaskRunArguments,
    MultiTaskStudentTrainingArguments,
    arguments_of_tasks,
    read_arguments,
)
from hf_bilstm_distill.commands.mkd_report import card_facts, save_summary, summary_table
from hf_bilstm_distill.commands.models import load_teacher
from hf_bilstm_distill.embeddings import EmbeddingTable, initialize_embeddings
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.metrics import compute_metrics_for, default_metrics, load_metrics
from hf_bilstm_distill.multitask_trainer import MultiTaskDistillationTrainer, finetune_per_task
from hf_bilstm_distill.report import Report, distillation_report
from hf_bilstm_distill.sharing import check_push, include_code, push
from hf_bilstm_distill.students import (
    BiAttentiveConfig,
    BiLSTMConfig,
    MultiTaskConfig,
    MultiTaskForSequenceClassification,
)
from hf_bilstm_distill.students.modeling_bilstm import BiLSTMPreTrainedModel

logger = logging.get_logger(__name__)


@dataclass
class Task:
    """A task: its arguments and texts, its teacher, and what its labels are."""

    run: RunArguments
    texts: DatasetDict
    """`train` is what the user gave; `transfer` its copies as well, with logits."""
    teacher: TextClassifier | None
    names: list[str]
    problem_type: str
    metrics: list[str]

    @property
    def labels(self) -> dict[str, Any]:
        """What a `MultiTaskConfig` knows of it."""
        id2label = dict(enumerate(self.names))
        return {"id2label": id2label, "problem_type": self.problem_type, "is_pair": bool(self.run.text_pair_column)}


@one_line_if_disk_is_full()
def main() -> None:
    """Distil the teachers, and say what was gained and lost in each task."""
    run, training = read_arguments()
    atexit.register(PartialState().destroy_process_group)  # threads it leaves running can abort a process that ends
    output_dir = Path(str(training.output_dir))

    with one_line_errors():
        arguments = arguments_of_tasks(run)
        if training.push_to_hub and PartialState().is_main_process:
            for own_run in arguments.values():
                check_not_pushed(own_run, output_dir)
            check_push(training)
        training.resume_from_checkpoint = last_checkpoint(training)
        tasks = {name: load_task(name, each, training.seed) for name, each in arguments.items()}
        kind = check_tokenizers(run, tasks)
    for name, task in tasks.items():
        logger.info(f"Making the transfer set of {name}.")
        task.texts = make_transfer_set(task, training, Path(run.label_cache or output_dir / CACHE) / name)

    tokenizer = student_tokenizer(run, tasks, kind)
    table = None if run.student == "transformer" else first_embeddings(run, tasks, tokenizer, training.seed)
    encoded = encode_tasks(tasks, tokenizer, run, training)
    trainer = train(run, tasks, table, tokenizer, encoded, training)
    if run.include_code:
        include_code(cast(PreTrainedModel, trainer.model))
    trainer.save_model(_internal_call=True)  # the only push comes last, with report and card
    students = {"student": copies_of(trainer, tasks, tokenizer, run)}
    if run.finetune:
        students["fine-tuned"] = finetune(run, trainer, tasks, encoded, training)
    if run.single_task_baselines:
        students |= train_single_tasks(run, tasks, table, tokenizer, encoded, training)
    if PartialState().is_main_process:
        reports = measure(tasks, students)
        save_summary(reports, output_dir)
        trainer.card_facts = card_facts(
            run,
            {name: task.run for name, task in tasks.items()},
            {name: task.texts["transfer"] for name, task in tasks.items()},
            table,
            reports,
            output_dir.name,
        )
        trainer.create_model_card()
        print(f"\n{summary_table(reports)}\n")
    if training.push_to_hub:
        with one_line_errors():
            push(trainer)


def load_task(name: str, run: RunArguments, seed: int) -> Task:
    """Load the texts and the teacher of a task, and settle what its labels mean."""
    logger.info(f"Loading the task {name}.")
    try:
        teacher = load_teacher(run)
        if teacher is not None and hasattr(teacher.model.config, "get_task"):  # one teacher for several tasks
            teacher = TextClassifier(cast(Any, teacher.model).single_task(name), teacher.tokenizer)
        texts, teacher, names, problem_type = settle_gold_labels(run, load_splits(run, seed), teacher)
    except (ValueError, OSError) as error:
        raise ValueError(f"Task {name!r}: {error}") from error
    return Task(run, texts, teacher, names, problem_type, run.metric or default_metrics(problem_type))


def check_tokenizers(run: MultiTaskRunArguments, tasks: Mapping[str, Task]) -> str:
    """Say whose tokenizer the student gets; stop if it shall be the teachers', and they have not all the same."""
    if run.student == "transformer":
        return "transformer"
    teachers = {name: task.teacher for name, task in tasks.items() if task.teacher is not None}
    kind = run.tokenizer or ("teacher" if len(teachers) == len(tasks) else "word")
    if kind == "teacher":
        (first, teacher), *others = teachers.items()
        for name, other in others:
            if cast(Any, other).tokenizer.get_vocab() != cast(Any, teacher).tokenizer.get_vocab():
                raise ValueError(
                    f"The teachers of {first!r} and {name!r} have different vocabularies, so the student cannot have "
                    "that of its teachers. Give --tokenizer word."
                )
    return kind


def make_transfer_set(task: Task, training: MultiTaskStudentTrainingArguments, cache_dir: Path) -> DatasetDict:
    """Augment the texts to learn from, and let the teacher label all texts."""
    augmenter = make_augmenter(task.run, training.seed, task.teacher)
    with training.main_process_first():
        originals = without_logits(task.texts["train"])
        augmented = add_copies(task.run, originals, augmenter, task.teacher, task.run.num_proc)
    texts = DatasetDict({split: add_logits(rows, task.teacher, cache_dir) for split, rows in task.texts.items()})
    texts["transfer"] = add_logits(augmented, task.teacher, cache_dir, stored=task.texts["train"])
    return texts


def student_tokenizer(
    run: MultiTaskRunArguments, tasks: Mapping[str, Task], kind: str
) -> PreTrainedTokenizerFast | PreTrainedTokenizerBase:
    """Make the student's tokenizer of the texts of all tasks; a Transformer keeps its own."""
    if kind == "transformer":
        return cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(layers_of(run, tasks)))
    columns = [
        task.texts["transfer"].select_columns(column).rename_column(column, "text")
        if column != "text"
        else task.texts["transfer"].select_columns(column)
        for task in tasks.values()
        for column in ("text", "text_pair")
        if column in task.texts["transfer"].column_names
    ]
    first = next(iter(tasks.values()))
    own_run = dataclasses.replace(first.run, tokenizer=kind)
    return make_tokenizer(own_run, concatenate_datasets(columns), first.teacher)


def layers_of(run: MultiTaskRunArguments, tasks: Mapping[str, Task]) -> str:
    """Name the model whose first layers a Transformer student takes."""
    found = run.student_model or next((task.run.teacher for task in tasks.values() if task.run.teacher), None)
    if found is None:
        raise ValueError("--student transformer takes the layers of a model: give --student_model.")
    return found


def first_embeddings(
    run: MultiTaskRunArguments, tasks: Mapping[str, Task], tokenizer: Any, seed: int, *, random: bool = False
) -> EmbeddingTable:
    """Make the student's first embedding table: the teacher's is that of the first task."""
    name, first = next(iter(tasks.items()))
    own_run = dataclasses.replace(first.run, embeddings="random") if random else first.run
    if first.teacher is not None and own_run.embeddings in (None, "teacher"):
        logger.info(f"The student starts from the embeddings of the teacher of {name}, the first task.")
    return make_embeddings(own_run, tokenizer, first.teacher, seed)


def make_student(
    run: MultiTaskRunArguments, tasks: Mapping[str, Task], table: EmbeddingTable | None, tokenizer: Any, seed: int
) -> MultiTaskForSequenceClassification:
    """Make a student for some tasks."""
    set_seed(seed)
    labels = {name: task.labels for name, task in tasks.items()}
    if table is None:
        return MultiTaskForSequenceClassification.from_teacher(layers_of(run, tasks), labels, run.num_hidden_layers)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "embedding_dim": table.vectors.shape[1],
        "lstm_hidden_size": run.lstm_hidden_size,
        "dropout": run.dropout,
    }
    encoder = (
        BiLSTMConfig(**sizes)
        if run.student == "bilstm"
        else BiAttentiveConfig(**sizes, feed_forward_size=run.lstm_hidden_size)
    )
    config = MultiTaskConfig(encoder=encoder, tasks=labels, fc_size=run.fc_size, dropout=run.dropout)
    student = MultiTaskForSequenceClassification(config)
    initialize_embeddings(student, table)
    return student


def encode_tasks(
    tasks: Mapping[str, Task], tokenizer: Any, run: MultiTaskRunArguments, training: MultiTaskStudentTrainingArguments
) -> dict[str, dict[str, Dataset]]:
    """Tokenize the texts of all tasks: `transfer` and `validation`, each by task."""
    encoded: dict[str, dict[str, Dataset]] = {"transfer": {}, "validation": {}}
    with training.main_process_first():
        for name, task in tasks.items():
            logger.info(f"Tokenizing the texts of {name}.")
            for split, own in encoded.items():
                own[name] = encode(task.texts[split], tokenizer, max_length=run.max_length, num_proc=run.num_proc)
    return encoded


def train(
    run: MultiTaskRunArguments,
    tasks: Mapping[str, Task],
    table: EmbeddingTable | None,
    tokenizer: Any,
    encoded: Mapping[str, Mapping[str, Dataset]],
    training: MultiTaskStudentTrainingArguments,
) -> MultiTaskDistillationTrainer:
    """Train a student for these tasks from its first embeddings."""
    training = copy.copy(training)
    if training.load_best_model_at_end and training.metric_for_best_model is None:
        training.metric_for_best_model, training.greater_is_better = "mean", True
    if table is not None:
        slow_down_embeddings(training, table)
    trainer = MultiTaskDistillationTrainer(
        make_student(run, tasks, table, tokenizer, training.seed),
        training,
        train_dataset={name: encoded["transfer"][name] for name in tasks},
        eval_dataset={name: encoded["validation"][name] for name in tasks},
        compute_metrics=metrics_of(tasks),
        processing_class=tokenizer,
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    return trainer


def metrics_of(tasks: Mapping[str, Task]) -> dict[str, Any]:
    """Say what to measure in each task."""
    return {name: compute_metrics_for(load_metrics(task.metrics)) for name, task in tasks.items()}


def copies_of(
    trainer: MultiTaskDistillationTrainer, tasks: Mapping[str, Task], tokenizer: Any, run: MultiTaskRunArguments
) -> dict[str, TextClassifier]:
    """Take a student apart: for each task the model that a user of this task alone would have."""
    student = cast(MultiTaskForSequenceClassification, trainer.model)
    return {name: TextClassifier(student.single_task(name), tokenizer, max_length=run.max_length) for name in tasks}


def finetune(
    run: MultiTaskRunArguments,
    trainer: MultiTaskDistillationTrainer,
    tasks: Mapping[str, Task],
    encoded: Mapping[str, Mapping[str, Dataset]],
    training: MultiTaskStudentTrainingArguments,
) -> dict[str, TextClassifier]:
    """Train a copy of the student on each task alone, and save it in a folder of the task's name."""
    logger.info("Second stage: a copy of the student for each task.")
    output_dir, training = Path(str(training.output_dir)), copy.copy(training)
    training.output_dir = str(output_dir / "_finetuned")  # with checkpoints, which are not pushed
    training.learning_rate, training.num_train_epochs = run.finetune_learning_rate, run.finetune_epochs
    training.load_best_model_at_end = training.push_to_hub = False
    found = finetune_per_task(
        cast(MultiTaskForSequenceClassification, trainer.model),
        training,
        train_dataset=encoded["transfer"],
        eval_dataset=encoded["validation"],
        compute_metrics=metrics_of(tasks),
        processing_class=trainer.processing_class,
    )
    for name, each in found.items():
        if run.include_code and isinstance(each.model, BiLSTMPreTrainedModel):
            include_code(each.model)
        each.save_model(str(output_dir / name))
    return {
        name: TextClassifier(cast(Any, each.model), cast(Any, each.processing_class), max_length=run.max_length)
        for name, each in found.items()
    }


def train_single_tasks(
    run: MultiTaskRunArguments,
    tasks: Mapping[str, Task],
    table: EmbeddingTable | None,
    tokenizer: Any,
    encoded: Mapping[str, Mapping[str, Dataset]],
    training: MultiTaskStudentTrainingArguments,
) -> dict[str, dict[str, TextClassifier]]:
    """Train the same student on each task alone: distilled, and on gold labels alone without the teacher's vectors.

    Both take as many steps: of gold labels there are fewer rows, through which the student goes more often.
    """
    students: dict[str, dict[str, TextClassifier]] = {"single-task": {}, "gold labels": {}}
    for name, task in tasks.items():
        logger.info(f"Training the same student on {name} alone.")
        alone = {name: task}
        own = apart(training, f"_single/{name}")
        distilled = train(run, alone, table, tokenizer, encoded, own)
        students["single-task"] |= copies_of(distilled, alone, tokenizer, run)
        labelled = task.texts["train"]
        if "label" in labelled.column_names:
            labelled = labelled.filter(is_labelled, input_columns="label")
        if "label" not in labelled.column_names or len(labelled) == 0:
            continue
        logger.info(f"Training it on the gold labels of {name}, without a teacher.")
        plain = run.embeddings in (None, "teacher") and table is not None
        start = first_embeddings(run, alone, tokenizer, training.seed, random=True) if plain else table
        rows = encode(labelled, tokenizer, max_length=run.max_length)
        num_epochs = training.num_train_epochs * len(encoded["transfer"][name]) / len(rows)
        own = apart(training, f"_gold/{name}", alpha=1.0, num_train_epochs=num_epochs)
        baseline = train(run, alone, start, tokenizer, {**encoded, "transfer": {name: rows}}, own)
        students["gold labels"] |= copies_of(baseline, alone, tokenizer, run)
    return students


def apart(
    training: MultiTaskStudentTrainingArguments, folder: str, **changed: Any
) -> MultiTaskStudentTrainingArguments:
    """Give the arguments of a run beside the main one."""
    own = copy.copy(training)
    own.output_dir, own.push_to_hub = str(Path(str(training.output_dir)) / folder), False
    own.resume_from_checkpoint = training.resume_from_checkpoint and "last"
    own.resume_from_checkpoint = last_checkpoint(own)
    for name, value in changed.items():
        setattr(own, name, value)
    return own


def measure(tasks: Mapping[str, Task], students: Mapping[str, Mapping[str, TextClassifier]]) -> dict[str, Report]:
    """Compare, in each task, its teacher with all that was trained."""
    reports = {}
    for name, task in tasks.items():
        logger.info(f"Measuring all models on {name}.")
        models = {kind: of_task[name] for kind, of_task in students.items() if name in of_task}
        if task.teacher is not None:
            models = {"teacher": task.teacher, **models}
        reports[name] = distillation_report(
            models, task.texts["test"], load_metrics(task.metrics), task=name, label_names=task.names
        )
    return reports
