"""Distil a fine-tuned text classifier into a BiLSTM.

python examples/run_distill.py                                      # a demo that needs no file and no network
python examples/run_distill.py --teacher MODEL --train_file train.csv --validation_file dev.csv --output_dir out/x
python examples/run_distill.py examples/configs/sst2.yaml --seed 1  # settings from a file, overridden by flags
accelerate launch examples/run_distill.py ...                       # several GPUs
"""

import dataclasses
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from accelerate import PartialState
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset
from demo import prepare_demo
from transformers import AutoTokenizer, PreTrainedTokenizerFast, pipeline, set_seed

from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    CardFacts,
    DistillationTrainer,
    DistillationTrainingArguments,
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
    load_metric,
    load_texts,
    number_labels,
    one_line_errors,
    parse_arguments,
    random_vectors,
    select_columns,
    train_word_tokenizer,
    trim_tokenizer,
    vectors_from_file,
    vectors_from_teacher,
)

logger = logging.getLogger("run_distill")

CACHE = "_cache"  # not pushed to the Hub, like all that begins with an underscore


@dataclass
class RunArguments:
    """What to distil, on which texts, into what."""

    teacher: str | None = field(
        default=None, metadata={"help": "The fine-tuned classifier: a folder or an id on the Hub."}
    )
    dataset_name: str | None = field(default=None, metadata={"help": "A data set on the Hub, such as nyu-mll/glue."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration, such as sst2."})
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
        default=None, metadata={"help": "Names of the labels 0, 1, ..., where the data has numbers only."}
    )
    label_order: list[int] | None = field(
        default=None,
        metadata={"help": "For each label of the data, its position in the teacher's logits. Left out: by name."},
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
    metric: str = field(
        default="accuracy",
        metadata={"help": "accuracy, f1, matthews_correlation, pearsonr, spearmanr, or a metric for evaluate.load."},
    )
    include_code: bool = field(
        default=True, metadata={"help": "Save the student's code beside it, for use with trust_remote_code=True."}
    )
    num_proc: int | None = field(default=None, metadata={"help": "Processes that augment and tokenize."})

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
        return Path(name).parent.name if Path(name).stem == "train" else Path(name).stem

    @property
    def columns(self) -> dict[str, str | None]:
        """The user's column names by the standard ones."""
        return {
            "text": self.text_column,
            "text_pair": self.text_pair_column,
            "label": self.label_column,
            "teacher_logits": self.teacher_logits_column,
        }


@dataclass
class StudentTrainingArguments(DistillationTrainingArguments):
    """Training arguments with defaults for a whole run."""

    output_dir: str | None = field(default="out/student", metadata={"help": "Where to save the student."})
    num_train_epochs: float = field(default=4, metadata={"help": "Passes over the transfer set."})
    warmup_steps: float = field(default=0.05, metadata={"help": "Steps, or the share of all, of rising learning rate."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, epoch, steps."})
    save_total_limit: int | None = field(default=2, metadata={"help": "How many checkpoints to keep."})
    logging_steps: float = field(default=100, metadata={"help": "Log every so many steps."})


def main() -> None:
    """Distil a teacher, and say what was gained and lost."""
    run, training = read_arguments()
    output_dir = Path(str(training.output_dir))

    with one_line_errors():
        check_arguments(run)
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


def load(run: RunArguments, seed: int) -> DatasetDict:
    """Load the texts: `train`, `validation` and `test`, the last two the same where there is one only."""
    if run.dataset_name:
        splits = load_dataset(run.dataset_name, run.dataset_config_name)
        texts = DatasetDict({s: select_columns(splits[s], run.columns, s) for s in splits})
    else:
        texts = load_texts(run.files, run.columns)
    if "unlabeled" in texts:
        unlabeled = texts.pop("unlabeled").select_columns([c for c in ("text", "text_pair") if run.columns[c]])
        texts["train"] = join(texts["train"], unlabeled) if "train" in texts else unlabeled
    if "train" not in texts:
        raise ValueError("There are no texts to learn on: give --train_file or --unlabeled_file.")
    if "test" in texts and "label" in texts["test"].column_names and set(texts["test"]["label"]) == {-1}:
        texts.pop("test")  # the hidden labels of GLUE
    held_out = [split for split in ("validation", "test") if split in texts]
    if not held_out:
        raise ValueError("There are no texts to measure on: give --validation_file or --test_file.")
    texts["validation"], texts["test"] = texts[held_out[0]], texts[held_out[-1]]
    if run.max_train_samples is not None and run.max_train_samples < len(texts["train"]):
        texts["train"] = texts["train"].shuffle(seed).select(range(run.max_train_samples)).flatten_indices()
    return DatasetDict({split: texts[split] for split in ("train", "validation", "test")})


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
    trainer = DistillationTrainer(
        student,
        training,
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        processing_class=tokenizer,
        compute_metrics=compute_metrics_for(load_metric(run.metric)),
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(training))
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
        training, alpha=1.0, output_dir=str(Path(str(training.output_dir)) / "_baseline"), push_to_hub=False
    )
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
