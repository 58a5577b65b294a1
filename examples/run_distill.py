"""Distil a fine-tuned text classifier into a BiLSTM.

python examples/run_distill.py                                      # a demo that needs no file and no network
python examples/run_distill.py --teacher MODEL --train_file train.csv --validation_file dev.csv --output_dir out/x
python examples/run_distill.py examples/configs/sst2.yaml --seed 1  # settings from a file, overridden by flags
accelerate launch examples/run_distill.py ...                       # several GPUs
"""

import dataclasses
import logging
from pathlib import Path

import numpy as np
from accelerate import PartialState
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset
from distill_arguments import RunArguments, StudentTrainingArguments, check_arguments, read_arguments
from transformers import AutoTokenizer, PreTrainedTokenizerFast, pipeline, set_seed

from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    CardFacts,
    DistillationTrainer,
    EmbeddingTable,
    HeuristicAugmenter,
    Report,
    TextClassifier,
    augment,
    check_agreement,
    compare,
    compute_metrics_for,
    encode,
    find_label_order,
    include_code,
    initialize_embeddings,
    label_names,
    label_with_teacher,
    last_checkpoint,
    load_file,
    load_metric,
    number_labels,
    one_line_errors,
    random_vectors,
    select_columns,
    train_word_tokenizer,
    trim_tokenizer,
    vectors_from_file,
    vectors_from_teacher,
)

logger = logging.getLogger("run_distill")

EMBEDDING_RATE = 0.15
"""Learning rate of embeddings that start from a teacher or a file, as a share of the rest's."""
CACHE = "_cache"  # not pushed to the Hub, like all that begins with an underscore


def main() -> None:
    """Distil a teacher, and say what was gained and lost."""
    run, training = read_arguments()
    output_dir = Path(str(training.output_dir))

    with one_line_errors():
        check_arguments(run)
        training.resume_from_checkpoint = last_checkpoint(training)
        metric = load_metric(run.metric)
        texts = load(run, training.seed)
        teacher = TextClassifier.from_pretrained(run.teacher) if run.teacher else None
        teacher, names = settle_labels(run, texts["train"], teacher)
        texts = DatasetDict({split: number_labels(rows, names) for split, rows in texts.items()})
        check_labels(texts, teacher, names)
        augmenter = make_augmenter(run, training.seed, teacher)

    with training.main_process_first():
        augmented = augment(without_logits(texts["train"]), augmenter, num_proc=run.num_proc)
    transfer_set = add_logits(augmented, teacher, output_dir, stored=texts["train"])
    held_out = {split: add_logits(texts[split], teacher, output_dir) for split in ("validation", "test")}

    tokenizer = make_tokenizer(run, transfer_set, teacher, augmenter.mask_token)
    table = make_embeddings(run, tokenizer, teacher, training.seed)
    config = student_config(run, tokenizer, table, names, teacher)
    if table.covered and training.embedding_learning_rate is None and training.optim != "adadelta":
        training.embedding_learning_rate = EMBEDDING_RATE * training.learning_rate
    trainer = train(config, table, tokenizer, {**held_out, "train": transfer_set}, run, training)
    models = {"teacher": teacher, "student": TextClassifier(trainer.model, tokenizer)}
    if run.baseline:
        models["baseline"] = train_baseline(config, tokenizer, {**held_out, "train": texts["train"]}, run, training)

    if run.include_code:
        include_code(trainer.model)
    trainer.save_model()
    if PartialState().is_main_process:
        models = {name: model for name, model in models.items() if model is not None}
        report = compare(models, held_out["test"], metric, task=run.task)
        report.save(output_dir)
        trainer.card_facts = card_facts(run, transfer_set, table, report)
        trainer.create_model_card()
        print(f"\n{report.to_table()}\n")
        show_predictions(output_dir, held_out["test"])
    if training.push_to_hub:
        trainer.push_to_hub()


def load(run: RunArguments, seed: int) -> DatasetDict:
    """Load the texts: `train`, `validation` and `test`, the last two the same where there is one only."""
    if run.dataset_name:
        splits = load_dataset(run.dataset_name, run.dataset_config_name)
    else:
        splits = {split: load_file(file) for split, file in run.files.items()}
    texts = {}
    for split, rows in splits.items():
        optional = ["label", "teacher_logits"]
        if split == "train":  # a column that the user named must be there
            optional = ["label"] if run.label_column == "label" else []
        texts[split] = select_columns(rows, run.columns, run.files.get(split, split), optional=optional)
    if "unlabeled" in texts:
        unlabeled = texts["unlabeled"].select_columns([c for c in ("text", "text_pair") if run.columns[c]])
        texts["train"] = join(texts["train"], unlabeled) if "train" in texts else unlabeled
    if "train" not in texts:
        raise ValueError("There are no texts to learn on: give --train_file or --unlabeled_file.")
    if "test" in texts and "label" in texts["test"].column_names and set(texts["test"]["label"]) == {-1}:
        texts.pop("test")  # the hidden labels of GLUE
    held_out = [split for split in ("validation", "test") if split in texts]
    if not held_out:
        raise ValueError("There are no texts to measure on: give --validation_file or --test_file.")
    if run.baseline and "label" not in texts["train"].column_names:
        raise ValueError("--baseline true trains on gold labels, but the training texts have none. Leave it out.")
    if run.max_train_samples is not None and run.max_train_samples < len(texts["train"]):
        texts["train"] = texts["train"].shuffle(seed).select(range(run.max_train_samples)).flatten_indices()
    return DatasetDict(train=texts["train"], validation=texts[held_out[0]], test=texts[held_out[-1]])


def join(labelled: Dataset, unlabeled: Dataset) -> Dataset:
    """Append texts without labels; their other columns are empty."""
    for column, feature in labelled.features.items():
        if column not in unlabeled.column_names:
            unlabeled = unlabeled.add_column(column, [None] * len(unlabeled), feature=feature)
    return concatenate_datasets([labelled, unlabeled])


def settle_labels(
    run: RunArguments, train_texts: Dataset, teacher: TextClassifier | None
) -> tuple[TextClassifier | None, list[str]]:
    """Settle the names and the order of the labels; give the teacher with its logits in that order."""
    names = run.labels or label_names(train_texts)
    if teacher is None:
        width = len(train_texts["teacher_logits"][0]) if "teacher_logits" in train_texts.column_names else 0
        if width == 0:
            raise ValueError(f"The training texts have no column {run.teacher_logits_column!r} with logits.")
        return None, names or [f"LABEL_{number}" for number in range(width)]
    order = run.label_order or find_label_order(train_texts, teacher.id2label, names)
    teacher = teacher.with_label_order(order, names)
    return teacher, list(teacher.id2label.values())


def check_labels(texts: DatasetDict, teacher: TextClassifier | None, names: list[str]) -> None:
    """Compare the teacher's logits with the gold labels of some texts: exchanged labels show at once."""
    for split in ("validation", "train"):
        rows = texts[split]
        if len(names) < 2 or "label" not in rows.column_names:
            continue
        rows = rows.shuffle(seed=0).select(range(min(256, len(rows))))
        if teacher is not None:
            columns = [rows[column][:] for column in ("text", "text_pair") if column in rows.column_names]
            check_agreement(np.array(rows["label"][:]), teacher.logits(*columns), names)
        if "teacher_logits" in rows.column_names:
            check_agreement(np.array(rows["label"][:]), np.array(rows["teacher_logits"][:]), names)


def make_augmenter(run: RunArguments, seed: int, teacher: TextClassifier | None) -> HeuristicAugmenter:
    """Set up the augmentation; a masked word is what the teacher takes for one."""
    mask_token = (teacher.tokenizer.mask_token or teacher.tokenizer.unk_token) if teacher else None
    return HeuristicAugmenter(
        n_iter=run.n_iter,
        p_mask=run.p_mask,
        p_pos=run.p_pos,
        p_ngram=run.p_ngram,
        mask_token=mask_token or "[MASK]",
        tagger=run.tagger,
        seed=seed,
    )


def without_logits(rows: Dataset) -> Dataset:
    """Leave stored logits aside: they belong to the texts, not to their copies."""
    return rows.remove_columns("teacher_logits") if "teacher_logits" in rows.column_names else rows


def add_logits(
    rows: Dataset, teacher: TextClassifier | None, output_dir: Path, stored: Dataset | None = None
) -> Dataset:
    """Add the logits to learn from: those that are stored, and the teacher's for all other texts."""
    stored = rows if stored is None else stored
    if "teacher_logits" not in stored.column_names:
        return label_with_teacher(rows, teacher, cache_dir=output_dir / CACHE) if teacher else rows
    if "augmented" not in rows.column_names:
        return stored
    originals = stored.add_column("augmented", [False] * len(stored))
    copies = rows.filter(lambda is_copy: is_copy, input_columns="augmented")
    if len(copies) == 0:
        return originals
    copies = label_with_teacher(copies, teacher, cache_dir=output_dir / CACHE)
    return concatenate_datasets([originals.cast(copies.select_columns(originals.column_names).features), copies])


def make_tokenizer(
    run: RunArguments, transfer_set: Dataset, teacher: TextClassifier | None, mask_token: str
) -> PreTrainedTokenizerFast:
    """Make the student's tokenizer."""
    kind = run.tokenizer or ("teacher" if teacher else "word")
    texts = [
        text
        for column in ("text", "text_pair")
        if column in transfer_set.column_names
        for text in transfer_set[column][:]
    ]
    if kind == "teacher":
        return trim_tokenizer(teacher.tokenizer, texts)
    return train_word_tokenizer(texts, mask_token=mask_token) if kind == "word" else AutoTokenizer.from_pretrained(kind)


def make_embeddings(
    run: RunArguments, tokenizer: PreTrainedTokenizerFast, teacher: TextClassifier | None, seed: int
) -> EmbeddingTable:
    """Make the student's first embedding table."""
    kind = run.embeddings or ("teacher" if teacher else "random")
    if kind == "random":
        return random_vectors(tokenizer, run.embedding_dim, seed=seed)
    if kind == "teacher":
        width = teacher.model.get_input_embeddings().weight.shape[1]
        return vectors_from_teacher(
            teacher.model, teacher.tokenizer, tokenizer, min(run.embedding_dim, width), seed=seed
        )
    return vectors_from_file(kind, tokenizer, seed=seed)


def student_config(
    run: RunArguments,
    tokenizer: PreTrainedTokenizerFast,
    table: EmbeddingTable,
    names: list[str],
    teacher: TextClassifier | None,
) -> BiLSTMConfig:
    """Describe the student."""
    return BiLSTMConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        embedding_dim=table.vectors.shape[1],
        lstm_hidden_size=run.lstm_hidden_size,
        fc_size=run.fc_size,
        dropout=run.dropout,
        multichannel=run.multichannel,
        is_pair=run.text_pair_column is not None,
        problem_type=teacher.model.config.problem_type if teacher else None,
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
    set_seed(training.seed)
    student = BiLSTMForSequenceClassification(config)
    initialize_embeddings(student, table)
    with training.main_process_first():
        encoded = {
            split: encode(texts[split], tokenizer, max_length=run.max_length, num_proc=run.num_proc)
            for split in ("train", "validation")
        }
    if training.load_best_model_at_end:
        is_labelled = "labels" in encoded["validation"].column_names
        training.metric_for_best_model = run.metric if is_labelled else "agreement_with_teacher"
        training.greater_is_better = True
    trainer = DistillationTrainer(
        student,
        training,
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        processing_class=tokenizer,
        compute_metrics=compute_metrics_for(load_metric(run.metric)),
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
    texts = {**texts, "train": texts["train"].filter(lambda label: label not in (None, -100), input_columns="label")}
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
    return TextClassifier(train(config, table, tokenizer, texts, run, training).model, tokenizer)


def card_facts(run: RunArguments, transfer_set: Dataset, table: EmbeddingTable, report: Report) -> CardFacts:
    """Collect what the model card tells beyond what the trainer knows."""
    num_copies = int(np.sum(transfer_set["augmented"][:]))
    student = next(model for model in report.models if model.name == "student")
    return CardFacts(
        model_name=run.task,
        teacher=run.teacher,
        is_pair=run.text_pair_column is not None,
        datasets=[run.dataset_name or run.files.get("train") or run.files["unlabeled"]],
        metrics=student.metrics,
        evaluation_dataset=run.dataset_name or run.files.get("test") or run.files.get("validation"),
        evaluation_split="test" if "test" in run.files else "validation",
        report=report.to_markdown(),
        num_originals=len(transfer_set) - num_copies,
        num_copies=num_copies,
        augmentation={name: getattr(run, name) for name in ("n_iter", "p_mask", "p_pos", "p_ngram", "tagger")},
        tokenizer=run.tokenizer or ("teacher" if run.teacher else "word"),
        embeddings=run.embeddings or ("teacher" if run.teacher else "random"),
        embedding_coverage=table.coverage,
    )


def show_predictions(output_dir: Path, texts: Dataset) -> None:
    """Load the saved student as a user would, and classify two texts."""
    classifier = pipeline("text-classification", model=str(output_dir), device="cpu")
    columns = [column for column in ("text", "text_pair") if column in texts.column_names]
    for row in texts.select_columns(columns).select(range(min(2, len(texts)))):
        prediction = classifier(row if len(columns) == 2 else row["text"])
        prediction = prediction[0] if isinstance(prediction, list) else prediction
        print(f"{prediction['label']} ({prediction['score']:.3f}): {' | '.join(row.values())}")


if __name__ == "__main__":
    main()
