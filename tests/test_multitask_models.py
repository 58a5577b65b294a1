"""Multi-task students whose heads, labels or encoder are mixed up, or that become another model when taken apart."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    ElectraConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    pipeline,
)

from hf_bilstm_distill import (
    BiAttentiveConfig,
    BiAttentiveModel,
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    BiLSTMModel,
    MultiTaskConfig,
    MultiTaskForSequenceClassification,
    word_tokenizer_from_words,
)

MNLI = {0: "entailment", 1: "neutral", 2: "contradiction"}
TASKS: dict[str, Any] = {
    "sst2": {"id2label": {0: "negative", 1: "positive"}},
    "mnli": {"id2label": MNLI},
    "stsb": {"num_labels": 1},
    "topics": {"num_labels": 4, "problem_type": "multi_label_classification"},
}
VOCABULARY = 40
TRANSFORMER: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 8,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "initializer_range": 0.5,
    "pad_token_id": 0,
}
BILSTM = {"vocab_size": VOCABULARY, "embedding_dim": 6, "lstm_hidden_size": 5}
ENCODERS: dict[str, PreTrainedConfig] = {
    "biattentive": BiAttentiveConfig(**BILSTM, feed_forward_size=7),
    "bilstm": BiLSTMConfig(**BILSTM, multichannel=True),
    "siamese": BiLSTMConfig(**BILSTM, is_pair=True),
    "bert": BertConfig(**TRANSFORMER),
    "roberta": RobertaConfig(**TRANSFORMER),
    "distilbert": DistilBertConfig(vocab_size=VOCABULARY, dim=8, n_layers=4, n_heads=2, hidden_dim=12),
    "electra": ElectraConfig(**TRANSFORMER, embedding_size=8),
    "xlm-roberta": XLMRobertaConfig(**TRANSFORMER | {"pad_token_id": 1, "type_vocab_size": 1}),  # as they all are
}


def build(encoder: str = "biattentive", **settings: Any) -> MultiTaskForSequenceClassification:
    torch.manual_seed(0)
    config = MultiTaskConfig(encoder=ENCODERS[encoder], **{"tasks": TASKS, "fc_size": 9, **settings})
    student = MultiTaskForSequenceClassification(config).eval()
    for head in student.heads.values():
        torch.nn.init.normal_(head.classifier.bias)
    return student


@pytest.fixture(params=ENCODERS)
def student(request: pytest.FixtureRequest) -> MultiTaskForSequenceClassification:
    return build(request.param)


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    """A pair, and a shorter single sentence padded on the right."""
    return {
        "input_ids": torch.tensor([[5, 9, 3, 17, 8, 21], [12, 29, 4, 0, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]),
        "token_type_ids": torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]]),
    }


@torch.no_grad()
def logits(model: PreTrainedModel, inputs: dict[str, torch.Tensor], **task: str) -> torch.Tensor:
    return model(**inputs, **task).logits


# ------------------------------------------------------------------------------------------------------ heads and tasks
def test_each_task_has_a_head_and_labels_of_its_own(
    student: MultiTaskForSequenceClassification, inputs: dict[str, torch.Tensor]
) -> None:
    """A task answered by the head of another one, or under the names of its labels."""
    by_argument = {task: logits(student, inputs, task=task) for task in TASKS}
    assert student.config.task == "sst2"
    for task, num_labels in {"sst2": 2, "mnli": 3, "stsb": 1, "topics": 4}.items():
        student.set_task(task)
        assert (student.config.task, student.config.num_labels) == (task, num_labels)
        assert by_argument[task].shape == (2, num_labels)
        assert torch.equal(logits(student, inputs), by_argument[task])
        for name, head in student.heads.items():
            changed = copy.deepcopy(student)
            torch.nn.init.zeros_(changed.heads[name].classifier.weight)
            assert torch.equal(logits(changed, inputs), by_argument[task]) == (head is not student.heads[task])
    assert (student.config.id2label, student.config.problem_type) == (
        {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2", 3: "LABEL_3"},
        "multi_label_classification",
    )
    student.set_task("mnli")
    assert student.config.id2label == MNLI
    assert student.config.label2id == {"entailment": 0, "neutral": 1, "contradiction": 2}


def test_an_unknown_task_is_named(inputs: dict[str, torch.Tensor]) -> None:
    """A misspelt task that is answered by another one, or that changes half of the settings."""
    student = build()
    message = r"no task 'mnil'.*\['mnli', 'sst2', 'stsb', 'topics'\]"
    with pytest.raises(ValueError, match=message):
        student.set_task("mnil")
    with pytest.raises(ValueError, match=message):
        student(**inputs, task="mnil")
    with pytest.raises(ValueError, match=message):
        student.single_task("mnil")
    assert student.config.task == "sst2"


def test_loss_is_that_of_the_task(inputs: dict[str, torch.Tensor]) -> None:
    """A regression trained as a classification, or any task by the loss of the one that is set."""
    student = build()
    student.set_task("topics")

    def loss_and_logits(task: str, labels: Any) -> tuple[float, np.ndarray]:
        result = student(**inputs, labels=torch.tensor(labels), task=task)
        assert student.config.problem_type == "multi_label_classification"
        return result.loss.item(), result.logits.detach().double().numpy()

    loss, scores = loss_and_logits("stsb", [0.5, -2.0])
    assert loss == pytest.approx(np.mean((scores[:, 0] - [0.5, -2.0]) ** 2), abs=1e-5)
    loss, scores = loss_and_logits("mnli", [2, 0])
    expected = np.log(np.exp(scores).sum(axis=1)) - scores[[0, 1], [2, 0]]
    assert loss == pytest.approx(expected.mean(), abs=1e-5)
    wanted = np.array([[0.0, 1, 1, 0], [1, 0, 0, 0]])
    loss, scores = loss_and_logits("topics", wanted.astype(np.float32))
    probability = 1 / (1 + np.exp(-scores))
    expected = -wanted * np.log(probability) - (1 - wanted) * np.log(1 - probability)
    assert loss == pytest.approx(expected.mean(), abs=1e-5)


def test_a_batch_trains_its_own_head_and_the_encoder(inputs: dict[str, torch.Tensor]) -> None:
    """A batch of one task that moves the head of another."""
    student = build().train()
    student(**inputs, labels=torch.tensor([2, 0]), task="mnli").loss.backward()
    moved = {name for name, parameter in student.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[1] for name in moved if name.startswith("heads.")} == {"mnli"}
    assert {name for name, _ in student.named_parameters() if name.startswith("encoder.")} <= moved


# --------------------------------------------------------------------------------------------------- saving and serving
def test_all_tasks_are_saved(
    student: MultiTaskForSequenceClassification, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """A checkpoint that lost a task, or the one that was set, or that answers otherwise."""
    student.set_task("mnli")
    student.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is MultiTaskForSequenceClassification
    assert loaded.config.task == "mnli"
    assert list(loaded.heads) == list(loaded.config.tasks) == list(student.config.tasks)
    assert loaded.config.tasks == student.config.tasks
    assert type(loaded.config.encoder) is type(student.config.encoder)
    for task in TASKS:
        torch.testing.assert_close(logits(loaded, inputs, task=task), logits(student, inputs, task=task))
    chosen = AutoModelForSequenceClassification.from_pretrained(tmp_path, task="topics")
    assert (chosen.config.task, chosen.config.num_labels) == ("topics", 4)
    config = AutoConfig.from_pretrained(tmp_path, task="stsb")
    assert (config.num_labels, config.problem_type) == (1, "regression")
    with pytest.raises(ValueError, match="no task 'cola'"):
        AutoConfig.from_pretrained(tmp_path, task="cola")


def test_no_folder_of_this_machine_is_saved(teacher_dir: str, tmp_path: Path) -> None:
    """A shared configuration that tells where its author keeps the teacher."""
    MultiTaskForSequenceClassification.from_teacher(teacher_dir, TASKS, 1).save_pretrained(tmp_path)
    assert teacher_dir not in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_other_tasks_on_the_same_encoder(
    student: MultiTaskForSequenceClassification, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """A task that is kept and answers otherwise, a new one whose head is not initialised, or a lost encoder."""
    student.save_pretrained(tmp_path / "all")
    model_class = MultiTaskForSequenceClassification
    tasks = {"cola": {"num_labels": 2}, "mnli": TASKS["mnli"]}
    swapped, problems = model_class.from_pretrained(tmp_path / "all", tasks=tasks, output_loading_info=True)
    assert (list(swapped.config.tasks), swapped.config.task) == (["cola", "mnli"], "cola")
    assert {name.split(".")[1] for name in problems["missing_keys"]} == {"cola"}
    assert {name.split(".")[1] for name in problems["unexpected_keys"]} == {"sst2", "stsb", "topics"}
    torch.testing.assert_close(logits(swapped, inputs, task="mnli"), logits(student, inputs, task="mnli"))
    assert logits(swapped, inputs).std() > 1e-3
    assert model_class.from_pretrained(tmp_path / "all", tasks=tasks, task="mnli").config.task == "mnli"

    student.encoder.save_pretrained(tmp_path / "encoder")
    config = MultiTaskConfig(encoder=student.encoder.config, tasks=tasks)
    again, problems = model_class.from_pretrained(tmp_path / "encoder", config=config, output_loading_info=True)
    assert {name.split(".")[1] for name in problems["missing_keys"]} == {"cola", "mnli"}
    for name, values in student.encoder.state_dict().items():
        assert torch.equal(again.encoder.state_dict()[name], values), name


def test_labels_that_are_given_are_those_of_the_task_that_is_set(
    inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """A configuration that shows other labels than the head gives, or the loss of another problem."""
    build().save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path, task="stsb", num_labels=2, problem_type="single_label_classification")
    assert config.tasks["stsb"] == {
        "id2label": {0: "LABEL_0", 1: "LABEL_1"},
        "problem_type": "single_label_classification",
        "is_pair": False,
    }
    assert config.tasks["sst2"]["id2label"] == TASKS["sst2"]["id2label"]
    loaded = MultiTaskForSequenceClassification.from_pretrained(tmp_path, problem_type="multi_label_classification")
    scores = torch.log(torch.sigmoid(logits(loaded, inputs).double()))
    loss = loaded(**inputs, labels=torch.ones(2, 2)).loss
    assert loss.item() == pytest.approx(-scores.mean().item(), abs=1e-6)
    assert loaded.config.problem_type == "multi_label_classification"
    with pytest.raises(ValueError, match="no task 'cola'"):
        AutoConfig.from_pretrained(tmp_path, task="cola", num_labels=3)


def test_a_biattentive_encoder_is_read_out_of_a_multitask_student(tmp_path: Path) -> None:
    """An encoder that starts anew when it is taken from the folder of the whole student."""
    student = build()
    student.save_pretrained(tmp_path)
    encoder, problems = BiAttentiveModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not problems["missing_keys"]
    assert all(name.startswith("heads.") for name in problems["unexpected_keys"])
    for name, values in student.encoder.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], values), name


def test_encoder_is_an_ordinary_model(
    student: MultiTaskForSequenceClassification, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """An encoder that can be saved but not loaded by itself."""
    student.encoder.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is type(student.encoder)
    with torch.no_grad():
        found, expected = loaded(inputs["input_ids"]), student.encoder(inputs["input_ids"])
    torch.testing.assert_close(found.last_hidden_state, expected.last_hidden_state)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer_from_words(["good", "bad", "film", "a", "very"])


@pytest.mark.parametrize("encoder", ["biattentive", "siamese", "bert"])
def test_pipeline_serves_every_task(encoder: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """A pipeline that gives the scores of another task, or its label names; or that stops at an empty text."""
    student = build(encoder)
    tokenizer.save_pretrained(tmp_path)
    texts = [{"text": "a very good film", "text_pair": "bad film"}, {"text": "bad", "text_pair": "a film"}]
    encoded = tokenizer([text["text"] for text in texts], [text["text_pair"] for text in texts], padding=True)
    inputs = {name: torch.tensor(values) for name, values in encoded.items()}

    def scores(classify: Any) -> list[dict[str, float]]:
        assert len(classify("")) > 0
        return [{entry["label"]: entry["score"] for entry in row} for row in classify(texts, batch_size=2)]

    for task in TASKS:
        answers = logits(student, inputs, task=task).double()
        functions = {"stsb": lambda scores: scores, "topics": torch.sigmoid}
        expected = functions.get(task, lambda scores: scores.softmax(dim=-1))(answers).numpy()
        names = student.config.tasks[task]["id2label"].values()
        student.set_task(task)
        student.save_pretrained(tmp_path)
        by_folder = pipeline("text-classification", model=str(tmp_path), top_k=None)
        student.set_task("sst2")
        student.save_pretrained(tmp_path)
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path, task=task)
        by_model = pipeline("text-classification", model=model, tokenizer=str(tmp_path), top_k=None)
        for classify in (by_folder, by_model):
            found = scores(classify)
            assert {frozenset(row) for row in found} == {frozenset(names)}
            np.testing.assert_allclose([[row[name] for name in names] for row in found], expected, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------- one task
@pytest.mark.parametrize(
    ("encoder", "fc_size", "ordinary"),
    [
        ("bilstm", 9, BiLSTMForSequenceClassification),
        ("siamese", 9, BiLSTMForSequenceClassification),
        ("bilstm", None, MultiTaskForSequenceClassification),
        ("biattentive", 9, MultiTaskForSequenceClassification),
        ("bert", None, BertForSequenceClassification),
        ("bert", 9, MultiTaskForSequenceClassification),
        ("roberta", None, RobertaForSequenceClassification),
        ("xlm-roberta", None, XLMRobertaForSequenceClassification),
        ("electra", 8, MultiTaskForSequenceClassification),
    ],
)
@pytest.mark.parametrize("task", TASKS)
def test_one_task_is_an_ordinary_checkpoint(
    encoder: str, fc_size: int | None, ordinary: type, task: str, inputs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """A task saved alone that answers otherwise, or that carries the heads of the others."""
    if encoder == "xlm-roberta":  # whose tokenizers give none, and which stops at a 1
        del inputs["token_type_ids"]
    student = build(encoder, fc_size=fc_size)
    before = copy.deepcopy(student.state_dict())
    student.single_task(task).save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is ordinary
    torch.testing.assert_close(logits(loaded, inputs), logits(student, inputs, task=task), atol=1e-6, rtol=0)
    settings = student.config.tasks[task]
    assert (loaded.config.id2label, loaded.config.problem_type) == (settings["id2label"], settings["problem_type"])
    assert loaded.config.label2id == {name: number for number, name in settings["id2label"].items()}
    head = student.heads[task]
    assert loaded.num_parameters() == student.encoder.num_parameters() + sum(p.numel() for p in head.parameters())

    for parameter in loaded.parameters():
        torch.nn.init.zeros_(parameter)
    assert student.config.task == "sst2"
    assert all(torch.equal(values, before[name]) for name, values in student.state_dict().items())


def test_the_task_alone_is_the_one_that_is_set(inputs: dict[str, torch.Tensor]) -> None:
    """`single_task()` that takes the first task instead, or a model in another number format."""
    student = build("bert", fc_size=None).to(torch.float64)
    student.set_task("mnli")
    single = student.single_task()
    assert single.config.id2label == MNLI
    assert single.dtype == torch.float64
    torch.testing.assert_close(logits(single, inputs), logits(student, inputs))


# -------------------------------------------------------------------------------------------- first layers of a teacher
def test_student_of_a_teacher_is_its_truncation(teacher_dir: str, inputs: dict[str, torch.Tensor]) -> None:
    """A Transformer student that starts from other weights than the first layers of its teacher."""
    teacher = BertForSequenceClassification.from_pretrained(teacher_dir).eval()
    student = MultiTaskForSequenceClassification.from_teacher(teacher_dir, TASKS, num_hidden_layers=1)
    assert not student.training
    student.heads["sst2"].classifier.load_state_dict(teacher.classifier.state_dict())
    whole = logits(teacher, inputs)
    teacher.bert.encoder.layer = teacher.bert.encoder.layer[:1]
    torch.testing.assert_close(logits(student, inputs, task="sst2"), logits(teacher, inputs))
    assert not torch.allclose(whole, logits(teacher, inputs), atol=1e-3)
    with pytest.raises(ValueError, match=r"num_hidden_layers must be in 1\.\.2, the teacher's, got 3"):
        MultiTaskForSequenceClassification.from_teacher(teacher_dir, TASKS)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "distilbert", "electra"])
def test_a_task_of_any_teacher(kind: str, inputs: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """A BERT-like teacher that makes no student, or one whose single task is no ordinary checkpoint of its kind."""
    torch.manual_seed(0)
    teacher = AutoModelForSequenceClassification.from_config(copy.deepcopy(ENCODERS[kind]))
    teacher.save_pretrained(tmp_path)
    student = MultiTaskForSequenceClassification.from_teacher(str(tmp_path), TASKS, num_hidden_layers=3)
    copied = student.encoder.state_dict()
    for name, values in teacher.base_model.state_dict().items():
        is_cut = ".layer.3." in name
        assert (name not in copied) if is_cut else torch.equal(copied[name], values), name
    if kind == "xlm-roberta":  # whose tokenizers give none, and which stops at a 1
        del inputs["token_type_ids"]
    single = student.single_task("mnli")
    ordinary = MultiTaskForSequenceClassification if kind == "electra" else type(teacher)
    assert type(single) is ordinary
    torch.testing.assert_close(logits(single, inputs), logits(student, inputs, task="mnli"))


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_transformers_answer_empty_texts(kind: str, inputs: dict[str, torch.Tensor]) -> None:
    """NaN or a crash where a Transformer has nothing to read, or an answer that depends on the padding."""
    student = build(kind)
    pad_token_id = student.config.pad_token_id
    empty = {name: torch.zeros(1, 0, dtype=torch.long) for name in inputs}
    expected = logits(student, empty)
    one = {"input_ids": torch.tensor([[pad_token_id]]), "attention_mask": torch.tensor([[1]])}
    torch.testing.assert_close(expected, logits(student, one))
    among = {name: torch.cat([values, torch.zeros(1, 6, dtype=torch.long)]) for name, values in inputs.items()}
    among["input_ids"][2] = pad_token_id
    found = logits(student, among)
    torch.testing.assert_close(found[2:], expected)
    torch.testing.assert_close(found[:2], logits(student, inputs))


@pytest.mark.parametrize("kind", ["distilbert", "roberta", "xlm-roberta"])
def test_token_types_go_where_they_are_read(kind: str, inputs: dict[str, torch.Tensor]) -> None:
    """A Transformer without token types that stops at the pairs of a BERT tokenizer."""
    student = build(kind)
    if kind == "roberta":  # as its checkpoints are
        config = RobertaConfig(**TRANSFORMER, type_vocab_size=1)
        student = MultiTaskForSequenceClassification(MultiTaskConfig(encoder=config, tasks=TASKS)).eval()
    without = {name: values for name, values in inputs.items() if name != "token_type_ids"}
    assert torch.equal(logits(student, inputs), logits(student, without))
    bert = build("bert")
    assert not torch.allclose(logits(bert, inputs)[0], logits(bert, without)[0], atol=1e-3)


# --------------------------------------------------------------------------------------------------- sizes and settings
def num_parameters(model: PreTrainedModel, without: str) -> int:
    return sum(values.numel() for name, values in model.named_parameters() if without not in name)


def test_number_of_parameters() -> None:
    """A student of another size than the published Transformer, or than the widths say."""
    with torch.device("meta"):
        layers = BertModel(BertConfig(num_hidden_layers=3), add_pooling_layer=False)
        student = MultiTaskForSequenceClassification(MultiTaskConfig(tasks={"mnli": {"num_labels": 3}}))
    assert round(num_parameters(layers, "embeddings") / 1e6, 1) == 21.3  # Liu et al. 2019
    direction = 4 * 256
    encoder = 768 * 256 + 256  # feed-forward
    encoder += 2 * direction * (256 + 256 + 2)  # first BiLSTM
    encoder += 2 * direction * (3 * 512 + 256 + 2)  # integrating BiLSTM
    encoder += 512  # self-attention
    assert num_parameters(student.encoder, "embed_tokens") == encoder
    head = 2 * 4 * 512 * 512 + 512 + 512 * 3 + 3
    assert num_parameters(student, "embed_tokens") == encoder + head


def test_names_of_weights() -> None:
    """Old checkpoints that no longer load, since a part of the student was renamed."""
    lstm = [
        f"{kind}_l0{direction}"
        for direction in ("", "_reverse")
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    encoder = ["embed_tokens.weight", "feed_forward.weight", "feed_forward.bias"]
    encoder += [f"{name}.{key}" for name in ("lstm", "integrator") for key in lstm] + ["attention.weight"]
    layers = ("hidden.weight", "hidden.bias", "classifier.weight", "classifier.bias")
    heads = [f"heads.{task}.{layer}" for task in ("mnli", "sst2", "stsb", "topics") for layer in layers]
    assert list(build().state_dict()) == [f"encoder.{name}" for name in encoder] + heads


@pytest.mark.parametrize(
    ("encoder", "kind", "width"),
    [
        (None, BiAttentiveModel, 256),
        ({"model_type": "biattentive_distill", "lstm_hidden_size": 4}, BiAttentiveModel, 4),
        ({"model_type": "bilstm_distill", "lstm_hidden_size": 3}, BiLSTMModel, 3),
        ({"model_type": "bert", "hidden_size": 24}, BertModel, 24),
    ],
    ids=["default", "biattentive", "bilstm", "bert"],
)
def test_encoder_is_told_by_its_configuration(
    encoder: dict[str, Any] | None, kind: type[PreTrainedModel], width: int, tmp_path: Path
) -> None:
    """Another encoder than the one that was written down."""
    MultiTaskConfig(encoder=encoder, tasks=TASKS).save_pretrained(tmp_path)
    with torch.device("meta"):
        student = MultiTaskForSequenceClassification(MultiTaskConfig.from_pretrained(tmp_path))
    assert type(student.encoder) is kind
    assert student.encoder.config.hidden_size == width
    assert student.config.vocab_size == student.encoder.config.vocab_size == 30522


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "at least one task"),
        ({"tasks": {"a.b": {"num_labels": 2}}}, "cannot be named 'a.b'"),
        ({"tasks": {"keys": {"num_labels": 2}}}, "cannot be named 'keys'"),
        ({"tasks": {"a": {}}}, "'a' is told by num_labels or id2label"),
        ({"tasks": {"a": {"labels": 2}}}, "'a' is told by num_labels or id2label"),
        ({"tasks": {"a": {"id2label": {1: "x", 2: "y"}}}}, "one name for each label from 0 on"),
        ({"tasks": {"a": {"id2label": {0: "x"}, "num_labels": 2}}}, "one name for each label from 0 on"),
        ({"tasks": TASKS, "task": "b"}, "no task 'b'"),
        ({"tasks": TASKS, "encoder": {"vocab_size": 3}}, "has no model_type"),
        ({"tasks": TASKS, "fc_size": 0}, "fc_size must be at least 1"),
        ({"tasks": TASKS, "dropout": 1.0}, "dropout must be at least 0 and below 1"),
    ],
)
def test_impossible_settings_are_named(settings: dict[str, Any], message: str) -> None:
    """A setting that no student can have, found out late or with a message that does not name it."""
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        MultiTaskConfig(**settings)
