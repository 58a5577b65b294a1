"""Write a model card from what is known of a student: its teacher, its making, its results."""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib import metadata, resources
from pathlib import Path, PureWindowsPath
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers.utils import logging

from hf_bilstm_distill.files import write_text

logger = logging.get_logger(__name__)

_TASK = "text-classification"
_PACKAGES = ("hf-bilstm-distill", "transformers", "torch", "tokenizers", "datasets")
_NUM_EXAMPLES = 5
_TAGS = ["hf-bilstm-distill", "knowledge-distillation", "bilstm", _TASK]
_HUB_ID = re.compile(r"(?:\w[\w.-]*/)?\w[\w.-]*", re.ASCII)
_WORD = re.compile(r"[^\s\"'`,;()\[\]]+")
_MARK = "<!-- Written by hf-bilstm-distill, which keeps this card once it was edited. {} -->"
_MARK_AT_END = re.compile(re.escape(_MARK).replace(r"\{\}", "([0-9a-f]{64})") + r"\s*\Z")
_STUB = "This model card has been automatically generated"  # what `push_to_hub` of a model makes where there is no card


@dataclass(frozen=True)
class CardFacts:
    """What a card tells of a model. What is left out is not told.

    A path may stand where a name is asked for: the card shows its last folder alone. `a/b` is taken for an id on the
    Hub unless there is such a file or folder.

    Attributes:
        model_name: The model's id on the Hub, or a name.
        architecture: What the model is.
        is_pair: Whether it classifies pairs of texts.
        teacher: The teacher's id on the Hub, or where it was loaded from.
        language: Code of the texts' language, or several.
        license: The license's id on the Hub, such as `apache-2.0`.
        datasets: The data the texts are from: ids on the Hub, or names.
        metrics: The model's results by the metric's name; those that are not finite are left out.
        evaluation_dataset: The data the results were measured on; left out: the first of `datasets`.
        evaluation_split: The split of that data.
        report: The comparison with teacher and baseline, from `Report.to_markdown()`.
        disagreements: Where it differs from its teacher, as `ModelReport` holds it.
        lengths: Short, middle and long texts, from there too.
        unknown_tokens: What its tokenizer does not know of the texts, from there too.
        label_names: The labels in the order of the logits.
        num_originals: Rows of the transfer set that are the user's own.
        num_copies: Rows of the transfer set made by augmentation.
        num_duplicates: Rows that augmentation made twice, and that were dropped.
        augmentation: Settings of the augmentation by name.
        tokenizer: What the vocabulary is made of.
        embeddings: Where the embedding table's first values are from.
        embedding_coverage: Share of the vocabulary with a value from there, from 0 to 1.
        loss: The objective.
        optimizer: The optimizer.
        training_arguments: The other hyperparameters by name.
        seeds: The seeds of the run, or of the runs that the results are from.
        versions: Versions of the libraries by name.
    """

    model_name: str
    architecture: str = "single-layer BiLSTM"
    is_pair: bool = False
    teacher: str | None = None
    language: str | Sequence[str] | None = None
    license: str | None = None
    datasets: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluation_dataset: str | None = None
    evaluation_split: str | None = None
    report: str | None = None
    disagreements: Mapping[str, Any] | None = None
    lengths: Sequence[Mapping[str, Any]] = ()
    unknown_tokens: Mapping[str, Any] | None = None
    label_names: Sequence[str] = ()
    num_originals: int | None = None
    num_copies: int | None = None
    num_duplicates: int | None = None
    augmentation: Mapping[str, object] = field(default_factory=dict)
    tokenizer: str | None = None
    embeddings: str | None = None
    embedding_coverage: float | None = None
    loss: str | None = None
    optimizer: str | None = None
    training_arguments: Mapping[str, object] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def render_card(facts: CardFacts) -> str:
    """Fill the template with what is known; the same facts give the same text.

    Args:
        facts: What is known of the model.

    Returns:
        A `README.md` for the Hub: metadata in YAML, then Markdown.
    """
    template = resources.files("hf_bilstm_distill").joinpath("model_card_template.md").read_text(encoding="utf-8")
    card = ModelCard.from_template(_metadata(facts), template_str=template, **_passages(facts))
    text = f"{str(card).rstrip()}\n"
    return f"{text}\n{_MARK.format(_hash(text))}\n"


def is_edited(card: str) -> bool:
    """Tell whether somebody has worked on a card, or whether it still is what a program wrote.

    Args:
        card: The text of a `README.md`.

    Returns:
        Whether it differs from what `render_card` gave; a card of other origin counts as somebody's work, except for
        the empty one that `push_to_hub` of a model or tokenizer makes.
    """
    mark = _MARK_AT_END.search(card)
    if mark is None:
        return _STUB not in card
    return mark.group(1) != _hash(card[: mark.start()])


def save_card(facts: CardFacts, folder: str | Path) -> Path:
    """Write `README.md`, whole or not at all. One that a person has edited is kept, with a word in the log.

    Args:
        facts: What is known of the model.
        folder: Where to write it. It is made if it is missing.

    Returns:
        The path of the file.
    """
    path = Path(folder) / "README.md"
    path.parent.mkdir(parents=True, exist_ok=True)  # a model named after this folder must not pass for an id on the Hub
    if path.exists() and is_edited(path.read_text(encoding="utf-8")):
        logger.warning(f"{path} was edited: it is kept as it is. Delete it to have a new one written.")
        return path
    write_text(path, render_card(facts))
    return path


def add_training(facts: CardFacts, args: Any, config: Any, repo_id: str | None, given: Mapping[str, Any]) -> CardFacts:
    """Add to the facts what is known after a training.

    Args:
        facts: What was known before.
        args: `DistillationTrainingArguments`.
        config: The student's configuration.
        repo_id: The student's id on the Hub, which becomes its name. None: it has none.
        given: What `Trainer.create_model_card` is called with; its `language`, `license`, `dataset` and
            `finetuned_from` count most.

    Returns:
        All facts.
    """
    dataset = given.get("dataset")
    known = {
        "model_name": repo_id,
        "language": given.get("language"),
        "license": given.get("license"),
        "teacher": given.get("finetuned_from"),
        "datasets": [dataset] if isinstance(dataset, str) else dataset,
    }
    found = {name: value for name, value in known.items() if value is not None}
    return replace(facts, **{**training_facts(args, config), **found})


def training_facts(args: Any, config: Any) -> dict[str, Any]:
    """Collect what a card can tell from the arguments of a training and the configuration of its student.

    Args:
        args: `DistillationTrainingArguments`.
        config: The student's configuration.

    Returns:
        Fields of `CardFacts` by name.
    """
    loss = "mean squared error between the logits of student and teacher"
    if args.distillation_loss == "kl":
        loss = f"KL divergence of student and teacher at temperature {args.temperature:g}, times its square"
    if args.alpha > 0:
        loss = f"{args.alpha:g} * loss on gold labels + {1 - args.alpha:g} * {loss}"
    widths = ("embedding_dim", "lstm_hidden_size", "pooling", "fc_size", "dropout", "embedding_dropout")
    settings = {name: getattr(config, name) for name in widths if hasattr(config, name)}
    names = ["learning_rate", "embedding_learning_rate", "lr_scheduler_type", "warmup_steps", "num_train_epochs"]
    names += ["weight_decay", "max_grad_norm"]
    settings |= {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    settings["train_batch_size"] = args.train_batch_size * args.world_size * args.gradient_accumulation_steps
    if args.load_best_model_at_end:
        settings["checkpoint"] = f"best {args.metric_for_best_model} on the validation texts"
    if args.max_steps > 0:
        settings["max_steps"] = args.max_steps
    return {
        "label_names": [config.id2label[number] for number in range(config.num_labels)],
        "loss": loss if args.alpha < 1 else "loss on gold labels",
        "optimizer": str(getattr(args.optim, "value", args.optim)),
        "seeds": [args.seed],
        "training_arguments": settings,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):  # this package, used from a checkout
            versions[name] = metadata.version(name)
    return versions


def _hash(text: str) -> str:
    """Return a hash that is the same whatever ends the lines, and the text."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _metadata(facts: CardFacts) -> ModelCardData:
    is_on_hub = facts.teacher is not None and _is_hub_id(facts.teacher)
    language = facts.language if facts.language is None or isinstance(facts.language, str) else list(facts.language)
    results = _results(facts)
    return ModelCardData(
        language=language,
        license=facts.license,
        library_name="transformers",
        pipeline_tag=_TASK,
        tags=_TAGS,
        base_model=facts.teacher if is_on_hub else None,
        # The Hub knows adapter, merge, quantized and finetune, and has no word for a distilled model.
        base_model_relation="finetune" if is_on_hub else None,
        datasets=[name for name in facts.datasets if _is_hub_id(name)] or None,
        metrics=[result.metric_type for result in results] or None,
        model_name=_public_name(facts.model_name) if results else None,
        eval_results=results or None,
    )


def _results(facts: CardFacts) -> list[EvalResult]:
    dataset = _evaluation_dataset(facts) or "evaluation set"
    return [
        EvalResult(
            task_type=_TASK,
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=facts.evaluation_split,
            metric_type=name,
            metric_value=float(value),
        )
        for name, value in facts.metrics.items()
        if math.isfinite(value)
    ]


def _evaluation_dataset(facts: CardFacts) -> str | None:
    dataset = facts.evaluation_dataset or next(iter(facts.datasets), None)
    return None if dataset is None else _public_name(dataset)


def _passages(facts: CardFacts) -> dict[str, Any]:
    """Return what the template names, as it shall be read: no path, nothing that breaks a table."""
    name = _public_name(facts.model_name)
    return {
        "title": _on_one_line(name),
        "model_literal": json.dumps(name, ensure_ascii=False),
        "architecture": _shown(facts.architecture),
        "is_pair": facts.is_pair,
        "teacher": _linked(facts.teacher) if facts.teacher else None,
        "data": [_linked(dataset, "datasets/") for dataset in facts.datasets],
        "evaluation_dataset": _evaluation_dataset(facts),
        "evaluation_split": _shown(facts.evaluation_split) if facts.evaluation_split else None,
        "report": _without_paths(facts.report).strip() if facts.report else None,
        "results": {result.metric_type: f"{result.metric_value:.4f}" for result in _results(facts)},
        "disagreements": facts.disagreements,
        "examples": _examples(facts.disagreements),
        "lengths": _length_table(facts.lengths),
        "unknown_tokens": facts.unknown_tokens,
        "labels": [_code(label) for label in facts.label_names],
        "num_originals": facts.num_originals,
        "num_copies": facts.num_copies,
        "num_duplicates": facts.num_duplicates,
        "augmentation": _settings(facts.augmentation),
        "tokenizer": _shown(facts.tokenizer) if facts.tokenizer else None,
        "embeddings": _shown(facts.embeddings) if facts.embeddings else None,
        "embedding_coverage": facts.embedding_coverage,
        "loss": _shown(facts.loss) if facts.loss else None,
        "optimizer": _shown(facts.optimizer) if facts.optimizer else None,
        "training_arguments": _settings(facts.training_arguments),
        "seeds": _shown(facts.seeds),
        "versions": _settings(facts.versions),
    }


def _examples(disagreements: Mapping[str, Any] | None) -> list[str]:
    """Write the texts on which the model and its teacher differ most, each with what is said of it."""
    examples = []
    for each in (disagreements or {"examples": []})["examples"][:_NUM_EXAMPLES]:
        texts = " / ".join(f"“{_plain(text)}”" for text in (each["text"], each["text_pair"]) if text is not None)
        said = [
            f"{who}: {_code(_answer(each[key]))}" + (f" ({confidence:.1%})" if confidence is not None else "")
            for who, key, confidence in (
                ("teacher", "teacher", each["teacher_confidence"]),
                ("this model", "model", each["model_confidence"]),
                ("gold", "gold", None),
            )
            if each[key] is not None
        ]
        examples.append(f"{texts}<br>{', '.join(said)}")
    return examples


def _answer(value: str | float | Sequence[str]) -> str:
    """Write a label, a score, or all labels of a text that can have several."""
    if isinstance(value, str | float):
        return value if isinstance(value, str) else f"{value:.3f}"
    return ", ".join(value) or "none"


def _length_table(bands: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the rows of a table of short, middle and long texts; what is not known has no column."""
    measures = {
        "right": "share_right",
        "mean error": "mean_absolute_error",
        "agreement with the teacher": "agreement_with_teacher",
    }
    known = {title: key for title, key in measures.items() if any(band[key] is not None for band in bands)}
    rows = [
        [f"{band['shortest']:,} to {band['longest']:,}", f"{band['rows']:,}"]
        + ["-" if band[key] is None else f"{band[key]:.4f}" for key in known.values()]
        for band in bands
    ]
    return [["characters", "texts", *known], *rows] if known else []


def _plain(text: str) -> str:
    """Write text that Markdown shall show as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~])", r"\\\1", _on_one_line(text))


def _settings(settings: Mapping[str, object]) -> dict[str, str]:
    return {_code(name): _code(_shown(value)) for name, value in settings.items() if value is not None}


def _shown(value: object) -> str:
    """Write a value on one line and without paths."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(each) for each in value)
    text = str(value)
    is_path = bool(PureWindowsPath(text).root) or os.path.exists(text)  # as a whole: it may have spaces
    return _on_one_line(_public_name(text) if is_path else _without_paths(text))


def _linked(name: str, kind: str = "") -> str:
    return f"[{name}](https://huggingface.co/{kind}{name})" if _is_hub_id(name) else _code(_public_name(name))


def _code(text: str) -> str:
    """Write text as it is, in a place where Markdown and its tables would read signs into it."""
    text = _on_one_line(text).replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _without_paths(text: str) -> str:
    def public(match: re.Match[str]) -> str:
        word = match.group().rstrip(".:!?")  # "texts/s:" is no path
        return _public_name(word) + match.group()[len(word) :]

    return _WORD.sub(public, text)


def _public_name(name: str) -> str:
    """Return a name as it is, and of a path the last folder: the others tell of a person's machine."""
    is_url = "://" in name and not name.startswith("file:")
    if is_url or not {"/", "\\"} & set(name) or _is_hub_id(name):
        return name
    return PureWindowsPath(name).name or name  # knows the separators of all systems


def _is_hub_id(name: str) -> bool:
    """Tell whether a name can be an id on the Hub; as in transformers, a folder of that name comes first."""
    return _HUB_ID.fullmatch(name) is not None and not os.path.exists(name)
