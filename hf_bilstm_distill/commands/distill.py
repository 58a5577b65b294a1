"""Distil a fine-tuned text classifier into a BiLSTM: where the stages meet."""

import atexit
import dataclasses
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
from accelerate import PartialState
from datasets import Dataset, concatenate_datasets
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast, pipeline, set_seed
from transformers.utils import logging

from hf_bilstm_distill.augmentation import HeuristicAugmenter
from hf_bilstm_distill.cautions import warn_if_heavier
from hf_bilstm_distill.collation import encode
from hf_bilstm_distill.commands.command_line import last_checkpoint
from hf_bilstm_distill.commands.copies import add_copies, heuristic_augmenter, mask_token_of
from hf_bilstm_distill.commands.distill_arguments import (
    RunArguments,
    StudentTrainingArguments,
    check_arguments,
    read_arguments,
)
from hf_bilstm_distill.commands.distill_texts import load_splits
from hf_bilstm_distill.commands.errors import one_line_errors, one_line_if_disk_is_full
from hf_bilstm_distill.commands.gold_labels import is_labelled, settle_gold_labels
from hf_bilstm_distill.commands.models import load_teacher
from hf_bilstm_distill.commands.shared_arguments import AUGMENTATION
from hf_bilstm_distill.embeddings import (
    EmbeddingTable,
    initialize_embeddings,
    random_vectors,
    vectors_from_file,
    vectors_from_teacher,
)
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.labeling import label_with_teacher
from hf_bilstm_distill.metrics import compute_metrics_for, default_metrics, load_metrics
from hf_bilstm_distill.model_card import CardFacts
from hf_bilstm_distill.report import Report, distillation_report
from hf_bilstm_distill.sharing import check_push, include_code, push
from hf_bilstm_distill.students import BiLSTMConfig, BiLSTMForSequenceClassification
from hf_bilstm_distill.tfidf import TfidfClassifier, train_tfidf
from hf_bilstm_distill.tokenization import train_word_tokenizer, trim_tokenizer
from hf_bilstm_distill.trainer import DistillationTrainer
from hf_bilstm_distill.training_args import DistillationTrainingArguments
from hf_bilstm_distill.transfer_set import SINGLE_LABEL

logger = logging.get_logger(__name__)

EMBEDDING_RATE = 0.15
"""Learning rate of embeddings that start from a teacher or a file, as a share of the rest's."""
CACHE = "_cache"  # not pushed to the Hub, like all that begins with an underscore


@one_line_if_disk_is_full()
def main() -> None:
    """Distil a teacher, and say what was gained and lost."""
    run, training = read_arguments()
    atexit.register(PartialState().destroy_process_group)  # threads it leaves running can abort a process that ends
    output_dir = Path(str(training.output_dir))

    with one_line_errors():
        check_arguments(run)
        if training.push_to_hub and PartialState().is_main_process:
            check_not_pushed(run, output_dir)
            check_push(training)
        training.resume_from_checkpoint = last_checkpoint(training)
        teacher = load_teacher(run)
        texts, teacher, names, problem_type = settle_gold_labels(run, load_splits(run, training.seed), teacher)
        metrics = run.metric or default_metrics(problem_type)
        n_recombined = run.num_recombined(run.text_pair_column is not None)
        run, metric = dataclasses.replace(run, metric=metrics, n_recombined=n_recombined), load_metrics(metrics)
        augmenter = make_augmenter(run, training.seed, teacher)

    with training.main_process_first():
        augmented = add_copies(run, without_logits(texts["train"]), augmenter, teacher, run.num_proc)
    cache_dir = Path(run.label_cache or output_dir / CACHE)
    transfer_set = add_logits(augmented, teacher, cache_dir, stored=texts["train"])
    held_out = {split: add_logits(texts[split], teacher, cache_dir) for split in ("validation", "test")}

    tokenizer = make_tokenizer(run, transfer_set, teacher)
    table = make_embeddings(run, tokenizer, teacher, training.seed)
    config = student_config(run, tokenizer, table, names, problem_type)
    slow_down_embeddings(training, table)
    if teacher is not None:
        warn_if_heavier(BiLSTMForSequenceClassification(config), teacher.model)
    trainer = train(config, table, tokenizer, {**held_out, "train": transfer_set}, run, training)
    student = cast(PreTrainedModel, trainer.model)
    models: dict[str, Any] = {"teacher": teacher, "student": TextClassifier(student, tokenizer)}
    if run.baseline:
        models["baseline"] = train_baseline(config, tokenizer, {**held_out, "train": texts["train"]}, run, training)

    if run.include_code:
        include_code(student)
    trainer.save_model(_internal_call=True)  # the only push comes last, with report and card
    if PartialState().is_main_process:
        models = {name: model for name, model in models.items() if model is not None}
        if run.baseline and problem_type == SINGLE_LABEL:
            models |= tfidf_baseline(texts["train"], len(names))
        report = distillation_report(models, held_out["test"], metric, task=run.task, label_names=names)
        report.save(output_dir)
        trainer.card_facts = card_facts(run, transfer_set, held_out, table, report)
        trainer.create_model_card()
        print(f"\n{report.to_table()}\n")
        show_predictions(output_dir, held_out["test"])
    if training.push_to_hub:
        with one_line_errors():
            push(trainer)


def check_not_pushed(run: RunArguments, output_dir: Path) -> None:
    """Stop if texts or logits lie in the folder that will be pushed."""
    for path in [*run.files.values(), *([run.label_cache] if run.label_cache else [])]:
        if Path(path).resolve().is_relative_to(output_dir.resolve()):
            raise ValueError(f"{path} lies in {output_dir}, which is pushed to the Hub. Name another --output_dir.")


def slow_down_embeddings(training: DistillationTrainingArguments, table: EmbeddingTable) -> None:
    """Give embeddings that start from a teacher or a file a rate of their own, unless the user chose one."""
    if table.covered and training.embedding_learning_rate is None and training.optim != "adadelta":
        training.embedding_learning_rate = EMBEDDING_RATE * cast(float, training.learning_rate)


def make_augmenter(run: RunArguments, seed: int, teacher: TextClassifier | None) -> HeuristicAugmenter:
    """Set up the augmentation."""
    seed = seed if run.augmentation_seed is None else run.augmentation_seed
    return heuristic_augmenter(run, mask_token_of(teacher), seed)


def without_logits(rows: Dataset) -> Dataset:
    """Leave stored logits aside: they belong to the texts, not to their copies."""
    return rows.remove_columns("teacher_logits") if "teacher_logits" in rows.column_names else rows


def add_logits(
    rows: Dataset, teacher: TextClassifier | None, cache_dir: Path, stored: Dataset | None = None
) -> Dataset:
    """Add the logits to learn from: those that are stored, and the teacher's for all other texts."""
    stored = rows if stored is None else stored
    if "teacher_logits" not in stored.column_names:
        return label_with_teacher(rows, teacher, cache_dir=cache_dir) if teacher else rows
    if "augmented" not in rows.column_names:
        return stored
    originals = stored.add_column("augmented", [False] * len(stored))
    copies = rows.filter(lambda is_copy: is_copy, input_columns="augmented")
    if len(copies) == 0 or teacher is None:
        return originals
    copies = label_with_teacher(copies, teacher, cache_dir=cache_dir)
    return concatenate_datasets([originals.cast(copies.select_columns(originals.column_names).features), copies])


def make_tokenizer(run: RunArguments, transfer_set: Dataset, teacher: TextClassifier | None) -> PreTrainedTokenizerFast:
    """Make the student's tokenizer."""
    kind = run.tokenizer or ("teacher" if teacher else "word")
    texts = [
        text
        for column in ("text", "text_pair")
        if column in transfer_set.column_names
        for text in transfer_set[column][:]
    ]
    if kind == "teacher":
        return trim_tokenizer(cast(Any, teacher).tokenizer, texts)
    if kind == "word":
        return train_word_tokenizer(texts, mask_token=mask_token_of(teacher))
    return cast(PreTrainedTokenizerFast, AutoTokenizer.from_pretrained(kind, trust_remote_code=False))


def make_embeddings(
    run: RunArguments, tokenizer: PreTrainedTokenizerFast, teacher: TextClassifier | None, seed: int
) -> EmbeddingTable:
    """Make the student's first embedding table."""
    kind = run.embeddings or ("teacher" if teacher else "random")
    if kind == "random":
        return random_vectors(tokenizer, run.embedding_dim, seed=seed)
    if kind == "teacher":
        teacher = cast(TextClassifier, teacher)
        width = cast(Any, teacher.model).get_input_embeddings().weight.shape[1]
        return vectors_from_teacher(
            teacher.model, teacher.tokenizer, tokenizer, min(run.embedding_dim, width), seed=seed
        )
    return vectors_from_file(kind, tokenizer, seed=seed)


def student_config(
    run: RunArguments,
    tokenizer: PreTrainedTokenizerFast,
    table: EmbeddingTable,
    names: list[str],
    problem_type: str,
) -> BiLSTMConfig:
    """Describe the student."""
    return BiLSTMConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        embedding_dim=table.vectors.shape[1],
        lstm_hidden_size=run.lstm_hidden_size,
        pooling=run.pooling,
        fc_size=run.fc_size,
        dropout=run.dropout,
        embedding_dropout=run.embedding_dropout,
        multichannel=run.multichannel,
        is_pair=run.text_pair_column is not None,
        problem_type=cast(Any, problem_type),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
    )


def train(
    config: BiLSTMConfig,
    table: EmbeddingTable,
    tokenizer: PreTrainedTokenizerFast,
    texts: dict[str, Dataset],
    run: RunArguments,
    training: StudentTrainingArguments,
) -> DistillationTrainer:
    """Train a student from its first embeddings."""
    metrics = cast(list[str], run.metric)
    set_seed(training.seed)
    student = BiLSTMForSequenceClassification(config)
    initialize_embeddings(student, table)
    with training.main_process_first():
        encoded = {
            split: encode(texts[split], tokenizer, max_length=run.max_length, num_proc=run.num_proc)
            for split in ("train", "validation")
        }
    if training.load_best_model_at_end and training.metric_for_best_model is None:
        has_gold = "labels" in encoded["validation"].column_names
        likeness = "correlation_with_teacher" if config.problem_type == "regression" else "agreement_with_teacher"
        training.metric_for_best_model = metrics[0] if has_gold else likeness
        training.greater_is_better = True
    trainer = DistillationTrainer(
        student,
        training,
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        processing_class=tokenizer,
        compute_metrics=compute_metrics_for(load_metrics(metrics)),
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    return trainer


def train_baseline(
    config: BiLSTMConfig,
    tokenizer: PreTrainedTokenizerFast,
    texts: dict[str, Dataset],
    run: RunArguments,
    training: StudentTrainingArguments,
) -> TextClassifier:
    """Train the same student without its teacher: gold labels alone, and no embeddings of the teacher's."""
    logger.info("Training the baseline: the same student on gold labels alone.")
    texts = {**texts, "train": texts["train"].filter(is_labelled, input_columns="label")}
    from_file = run.embeddings not in (None, "teacher", "random")
    table = make_embeddings(
        run if from_file else dataclasses.replace(run, embeddings="random"), tokenizer, None, training.seed
    )
    config = BiLSTMConfig(**{**config.to_dict(), "embedding_dim": table.vectors.shape[1]})
    training = dataclasses.replace(
        training,
        alpha=1.0,
        output_dir=str(Path(str(training.output_dir)) / "_baseline"),
        resume_from_checkpoint=training.resume_from_checkpoint and "last",
        embedding_learning_rate=training.embedding_learning_rate if table.covered else None,
        push_to_hub=False,
    )
    training.resume_from_checkpoint = last_checkpoint(training)
    trainer = train(config, table, tokenizer, texts, run, training)
    return TextClassifier(cast(PreTrainedModel, trainer.model), tokenizer)


def tfidf_baseline(texts: Dataset, num_labels: int) -> dict[str, TfidfClassifier]:
    """Train the classifier that the student must beat, if scikit-learn is there."""
    if find_spec("sklearn"):
        return {"tf-idf": train_tfidf(texts, num_labels=num_labels)}
    logger.warning('The report has no TF-IDF: that needs scikit-learn. Run `pip install "hf-bilstm-distill[report]"`.')
    return {}


def card_facts(
    run: RunArguments, transfer_set: Dataset, held_out: dict[str, Dataset], table: EmbeddingTable, report: Report
) -> CardFacts:
    """Collect what the model card tells beyond what the trainer knows."""
    num_copies = int(np.sum(transfer_set["augmented"][:]))
    student = next(model for model in report.models if model.name == "student")
    return CardFacts(
        model_name=run.task,
        teacher=run.teacher,
        language=run.language,
        license=run.license,
        is_pair=run.text_pair_column is not None,
        datasets=[run.dataset_name or run.files.get("train") or run.files["unlabeled"]],
        metrics=cast(dict[str, float], student.metrics),
        evaluation_dataset=run.dataset_name or run.files.get("test") or run.files.get("validation"),
        evaluation_split=measured_split(run, held_out),
        report=report.to_markdown(),
        disagreements=student.disagreements,
        lengths=student.lengths,
        unknown_tokens=student.unknown_tokens,
        num_originals=len(transfer_set) - num_copies,
        num_copies=num_copies,
        augmentation={name: getattr(run, name) for name in AUGMENTATION},
        tokenizer=run.tokenizer or ("teacher" if run.teacher else "word"),
        embeddings=run.embeddings or ("teacher" if run.teacher else "random"),
        embedding_coverage=table.coverage,
    )


def measured_split(run: RunArguments, held_out: dict[str, Dataset]) -> str:
    """Name the split that the report is about."""
    if not run.dataset_name:
        return "test" if "test" in run.files else "validation"
    is_validation = held_out["test"]["text"][:] == held_out["validation"]["text"][:]  # there is none, or it is hidden
    return run.validation_split if is_validation else run.test_split


def show_predictions(output_dir: Path, texts: Dataset) -> None:
    """Load the saved student as a user would, and classify two texts."""
    classifier = pipeline("text-classification", model=str(output_dir), device="cpu")
    columns = [column for column in ("text", "text_pair") if column in texts.column_names]
    for row in texts.select_columns(columns).select(range(min(2, len(texts)))):
        answer: Any = classifier(row if len(columns) == 2 else row["text"])
        prediction = answer[0] if isinstance(answer, list) else answer
        print(f"{prediction['label']} ({prediction['score']:.3f}): {' | '.join(row.values())}")
