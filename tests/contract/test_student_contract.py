"""A student that is not the BiLSTM it claims to be, or that becomes another one when it is saved, padded or resized."""

import copy
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    pipeline,
    set_seed,
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

STUDENTS = {"encoder": BiLSTMModel, "classifier": BiLSTMForSequenceClassification}
KINDS: dict[str, dict[str, Any]] = {
    "single": {},
    "multichannel": {"multichannel": True},
    "pair": {"is_pair": True},
    "multichannel-pair": {"multichannel": True, "is_pair": True},
    "highest": {"pooling": "max"},
    "highest-pair": {"pooling": "max", "is_pair": True},
}
LAST = [kind for kind, settings in KINDS.items() if "pooling" not in settings]
BIATTENTIVE = "biattentive"
"""The kind whose encoder is bi-attentive and whose classifier has a head for each task, here for one."""
MULTITASK = ["multitask-bilstm", "multitask-bert"]
"""Kinds of a multi-task classifier around an encoder that another kind, or transformers, answers for."""
MODELS = [f"{name}-{kind}" for name in ("encoder", "classifier") for kind in [*KINDS, BIATTENTIVE]]
MODELS += [f"classifier-{kind}" for kind in MULTITASK]
CLASSIFIERS = [name for name in MODELS if name.startswith("classifier")]
SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "embedding_dim": 6,
    "lstm_hidden_size": 5,
    "fc_size": 7,
    "dropout": 0.5,  # so that a forgotten eval mode shows
    "embedding_dropout": 0.5,
    "pad_token_id": 2,  # so that a padding id written as 0 shows
    "num_labels": 3,
}
SENTENCES = [[5, 9, 3, 17], [4], [8, 8, 21, 6, 11, 30, 7], [12, 29]]
TABLES = ("embed_tokens.weight", "embed_tokens_static.weight", "word_embeddings.weight")

Row = Sequence[Sequence[int]]
"""The sentences of a row: one, or two for a pair."""


# ---------------------------------------------------------------------------------------------- students and batches
@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[*KINDS, BIATTENTIVE])
def any_kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=STUDENTS)
def student(request: pytest.FixtureRequest, any_kind: str) -> PreTrainedModel:
    return build(STUDENTS[request.param], any_kind)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A model of every class: for what transformers expects of all models, whatever they compute."""
    return build_named(request.param)


@pytest.fixture
def encoder(kind: str) -> BiLSTMModel:
    return build(BiLSTMModel, kind)


@pytest.fixture
def classifier(kind: str) -> BiLSTMForSequenceClassification:
    return build(BiLSTMForSequenceClassification, kind)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer_from_words(["good", "bad", "film", "a", "very"])


def build_named(name: str, **changes: Any) -> Any:
    """The model that `MODELS` names."""
    part, _, kind = name.partition("-")
    return build(STUDENTS[part], kind, **changes)


def build(student_class: type[PreTrainedModel], kind: str, **changes: Any) -> Any:
    """A student whose weights are all random: biases too, and two tables that differ."""
    student = build_new(student_class, kind, **changes).eval()
    generator = torch.Generator().manual_seed(7)
    for name, values in student.state_dict().items():
        values.normal_(0, 0.4, generator=generator)
        if name.endswith(TABLES):
            values[student.config.pad_token_id] = 0
    return student


def build_new(student_class: type[PreTrainedModel], kind: str, **changes: Any) -> PreTrainedModel:
    """A student as its class makes it."""
    if kind in KINDS:
        return student_class(BiLSTMConfig(**{**SIZES, **KINDS[kind], "initializer_range": 0.2, **changes}))
    encoder = encoder_config(kind)
    if student_class is BiLSTMModel:
        return BiAttentiveModel(encoder)
    task = {"num_labels": SIZES["num_labels"], **changes}
    return MultiTaskForSequenceClassification(
        MultiTaskConfig(encoder=encoder, tasks={"a": task}, fc_size=SIZES["fc_size"], dropout=SIZES["dropout"])
    )


def encoder_config(kind: str) -> PreTrainedConfig:
    shared = {"vocab_size": SIZES["vocab_size"], "pad_token_id": SIZES["pad_token_id"], "initializer_range": 0.2}
    if kind == "multitask-bert":
        sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
        return BertConfig(**shared, **sizes, max_position_embeddings=64)
    shared |= {name: SIZES[name] for name in ("embedding_dim", "lstm_hidden_size")}
    if kind == "multitask-bilstm":
        return BiLSTMConfig(**shared, multichannel=True, is_pair=True)
    return BiAttentiveConfig(**shared, feed_forward_size=8, dropout=SIZES["dropout"])


def has_frozen_table(student: PreTrainedModel) -> bool:
    return hasattr(student.base_model, "embed_tokens_static")


def empty_row(student: PreTrainedModel) -> Row:
    return ([], []) if getattr(student.config, "is_pair", False) else ([],)


def rows_for(student: PreTrainedModel) -> list[Row]:
    if not hasattr(student.config, "is_pair"):  # it reads pairs and single sentences in one batch
        return [(SENTENCES[0], SENTENCES[1]), (SENTENCES[2],), (SENTENCES[3],), (SENTENCES[1], SENTENCES[2])]
    if student.config.is_pair:
        return [(first, second) for first, second in zip(SENTENCES, SENTENCES[1:] + SENTENCES[:1], strict=True)]
    return [(sentence,) for sentence in SENTENCES]


def batch(student: PreTrainedModel, rows: Sequence[Row], *, side: str = "right", extra: int = 0) -> dict[str, Tensor]:
    """What a collator makes of rows: padded to the longest, and `extra` positions more."""
    length = max(sum(map(len, row)) for row in rows) + extra
    shape = (len(rows), length)
    input_ids = torch.full(shape, student.config.pad_token_id)
    attention_mask = torch.zeros(shape, dtype=torch.long)
    token_type_ids = torch.zeros(shape, dtype=torch.long)
    for place, row in enumerate(rows):
        tokens = torch.tensor([token for sentence in row for token in sentence], dtype=torch.long)
        types = torch.tensor([number for number, sentence in enumerate(row) for _ in sentence], dtype=torch.long)
        words = slice(0, len(tokens)) if side == "right" else slice(length - len(tokens), length)
        input_ids[place, words], attention_mask[place, words], token_type_ids[place, words] = tokens, 1, types
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}


@torch.no_grad()
def output(student: PreTrainedModel, inputs: dict[str, Tensor]) -> Tensor:
    """The logits of a classifier, the pooled vectors of an encoder."""
    result = student(**inputs)
    return result.logits if "logits" in result else result.pooler_output


def assert_close(actual: Any, expected: Any, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(actual, dtype=float), np.asarray(expected, dtype=float), rtol=0, atol=atol)


def assert_same_weights(actual: PreTrainedModel, expected: PreTrainedModel) -> None:
    found, wanted = actual.state_dict(), expected.state_dict()
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        assert torch.equal(found[name], values), name


# ------------------------------------------------------------------------------------- the judge: a cell loop in numpy
def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def states_by_loop(
    vectors: np.ndarray, weights: dict[str, np.ndarray], direction: str, lstm: str = "lstm"
) -> np.ndarray:
    recurrent = weights[f"{lstm}.weight_hh_l0{direction}"]
    bias = weights[f"{lstm}.bias_ih_l0{direction}"] + weights[f"{lstm}.bias_hh_l0{direction}"]
    hidden = cell = np.zeros(recurrent.shape[1])
    states = []
    for vector in vectors:
        gates = weights[f"{lstm}.weight_ih_l0{direction}"] @ vector + recurrent @ hidden + bias
        i, f, g, o = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        states.append(hidden)
    return np.array(states)


def weights_of(student: PreTrainedModel) -> dict[str, np.ndarray]:
    prefix = re.compile(r"^(bilstm|encoder|heads\.a)\.")
    return {prefix.sub("", name): values.double().numpy() for name, values in student.state_dict().items()}


def sentence_by_loop(student: PreTrainedModel, sentence: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The states of each word, and the last or highest states; no words are read as one padding token."""
    weights = weights_of(student)
    read = list(sentence) or [student.config.pad_token_id]
    vectors = np.concatenate([weights[table][read] for table in TABLES if table in weights], axis=1)
    forward = states_by_loop(vectors, weights, "")
    backward = states_by_loop(vectors[::-1], weights, "_reverse")
    states = np.concatenate([forward, backward[::-1]], axis=1)
    pooled = states.max(axis=0) if student.config.pooling == "max" else np.concatenate([forward[-1], backward[-1]])
    return states[: len(sentence)], pooled


def both_directions(vectors: np.ndarray, weights: dict[str, np.ndarray], lstm: str) -> np.ndarray:
    forward = states_by_loop(vectors, weights, "", lstm)
    backward = states_by_loop(vectors[::-1], weights, "_reverse", lstm)
    return np.concatenate([forward, backward[::-1]], axis=1)


def biattentive_by_loop(student: PreTrainedModel, row: Row) -> tuple[np.ndarray, np.ndarray]:
    """The states of each word, and both sentences pooled; a sentence that is alone is its own partner."""
    weights = weights_of(student)
    words = [list(sentence) for sentence in row if sentence] or [[student.config.pad_token_id]]
    encoded = []
    for sentence in words:
        vectors = weights["embed_tokens.weight"][sentence]
        hidden = np.maximum(vectors @ weights["feed_forward.weight"].T + weights["feed_forward.bias"], 0)
        encoded.append(both_directions(hidden, weights, "lstm"))
    read, pooled = [], []
    for own, other in zip(encoded, encoded[::-1], strict=True):
        seen = np.array([softmax(np.array([word @ another for another in other])) @ other for word in own])
        states = both_directions(np.concatenate([own, own - seen, own * seen], axis=1), weights, "integrator")
        attended = softmax(states @ weights["attention.weight"][0]) @ states
        read.append(states)
        pooled.append(np.concatenate([states.max(axis=0), states.min(axis=0), states.mean(axis=0), attended]))
    return np.concatenate(read), np.concatenate([pooled[0], pooled[-1]])


def pooled_by_loop(student: PreTrainedModel, row: Row) -> np.ndarray:
    if not hasattr(student.config, "is_pair"):
        return biattentive_by_loop(student, row)[1]
    encoded = [sentence_by_loop(student, sentence)[1] for sentence in row]
    if not student.config.is_pair:
        return encoded[0]
    h1, h2 = encoded
    return np.concatenate([h1, h2, h1 * h2, np.abs(h1 - h2)])


def output_by_loop(student: PreTrainedModel, rows: Sequence[Row]) -> np.ndarray:
    pooled = np.array([pooled_by_loop(student, row) for row in rows])
    weights = weights_of(student)
    if "classifier.weight" not in weights:
        return pooled
    hidden = np.maximum(pooled @ weights["hidden.weight"].T + weights["hidden.bias"], 0)
    return hidden @ weights["classifier.weight"].T + weights["classifier.bias"]


# -------------------------------------------------------------------------------------------------- what it computes
@pytest.mark.parametrize("side", ["right", "left"])
def test_equals_a_cell_loop(student: PreTrainedModel, side: str) -> None:
    """A student that computes something else than the published BiLSTM."""
    rows = rows_for(student)
    assert_close(output(student, batch(student, rows, side=side)), output_by_loop(student, rows))


@pytest.mark.parametrize("side", ["right", "left"])
def test_last_hidden_state_is_the_states_of_each_word(encoder: BiLSTMModel, side: str) -> None:
    """States that stand at another word than their own, or that are not zero at padding."""
    rows = [*rows_for(encoder), [[]] * (2 if encoder.config.is_pair else 1)]
    inputs = batch(encoder, rows, side=side, extra=2)
    with torch.no_grad():
        states = encoder(**inputs).last_hidden_state
    assert states.shape == (*inputs["input_ids"].shape, 10)
    is_word = inputs["attention_mask"].bool()
    assert (states[~is_word] == 0).all()
    for row, found, mask in zip(rows, states, is_word, strict=True):
        assert_close(found[mask], np.concatenate([sentence_by_loop(encoder, sentence)[0] for sentence in row]))


@pytest.mark.parametrize("side", ["right", "left"])
def test_biattentive_states_are_those_of_each_word(side: str) -> None:
    """States of a pair that stand at another word than their own, or that are not zero at padding."""
    encoder = build(BiLSTMModel, BIATTENTIVE)
    rows = [*rows_for(encoder), ([],)]
    inputs = batch(encoder, rows, side=side, extra=2)
    with torch.no_grad():
        states = encoder(**inputs).last_hidden_state
    is_word = inputs["attention_mask"].bool()
    assert (states[~is_word] == 0).all()
    for row, found, mask in zip(rows[:-1], states, is_word, strict=False):
        assert_close(found[mask], biattentive_by_loop(encoder, row)[0])


@pytest.mark.parametrize("extra", [0, 1, 9])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_changes_nothing(student: PreTrainedModel, side: str, extra: int) -> None:
    """Logits that depend on how far, and on which side, a row was padded."""
    rows = rows_for(student)
    alone = torch.cat([output(student, batch(student, [row])) for row in rows])
    assert_close(output(student, batch(student, rows, side=side, extra=extra)), alone)


def test_what_stands_under_the_mask_is_not_read(student: PreTrainedModel) -> None:
    """Logits that depend on the token ids at masked positions, or on where these are."""
    inputs = batch(student, rows_for(student))
    gap = {name: torch.full((len(SENTENCES), 1), value) for name, value in zip(inputs, (13, 0, 1), strict=True)}
    with_gap = {name: torch.cat([gap[name], v[:, :1], gap[name], v[:, 1:]], dim=1) for name, v in inputs.items()}
    assert_close(output(student, with_gap), output(student, inputs))


def test_rows_do_not_depend_on_their_batch(model: PreTrainedModel) -> None:
    """Logits that change with the order of the rows, or with the other rows of the batch."""
    rows = rows_for(model)
    together = output(model, batch(model, rows))
    order = [2, 0, 3, 1]
    assert_close(output(model, batch(model, [rows[place] for place in order])), together[order])
    assert_close(output(model, batch(model, [rows[0], rows[0], rows[3]])), together[[0, 0, 3]])


def test_no_mask_reads_every_position(model: PreTrainedModel) -> None:
    """Logits of a call without a mask that differ from one with a mask of ones."""
    inputs = batch(model, rows_for(model)[2:3])
    assert inputs["attention_mask"].all()
    without = {name: values for name, values in inputs.items() if name != "attention_mask"}
    assert torch.equal(output(model, without), output(model, inputs))


@pytest.mark.parametrize("extra", [0, 1, 6])
def test_empty_rows_are_read_as_one_padding_token(student: PreTrainedModel, extra: int) -> None:
    """A crash or NaN on an empty text, or logits of it that depend on the padding."""
    empty = empty_row(student)
    expected = output_by_loop(student, [empty])[0]
    alone = batch(student, [empty], extra=extra)
    assert alone["input_ids"].shape == (1, extra)
    found = output(student, alone)
    assert torch.isfinite(found).all()
    assert_close(found[0], expected)
    rows = rows_for(student)
    among = output(student, batch(student, [rows[0], empty, rows[2], empty], extra=extra))
    assert_close(among, output_by_loop(student, [rows[0], empty, rows[2], empty]))


def test_states_of_empty_rows_have_the_length_of_the_input(encoder: BiLSTMModel) -> None:
    """An empty text whose states are one position longer than its ids."""
    with torch.no_grad():
        states = encoder(torch.empty(2, 0, dtype=torch.long)).last_hidden_state
    assert states.shape == (2, 0, 10)


def test_exchanged_directions_mirror_the_sentence(encoder: BiLSTMModel) -> None:
    """A second direction that does not read the words backwards."""
    mirrored = copy.deepcopy(encoder)
    weights = encoder.state_dict()
    swapped = {
        name: weights[name.removesuffix("_reverse") if name.endswith("_reverse") else f"{name}_reverse"]
        for name in weights
        if name.startswith("lstm.")
    }
    mirrored.load_state_dict(weights | swapped)
    rows = rows_for(encoder)
    reversed_rows = [tuple(list(sentence)[::-1] for sentence in row) for row in rows]
    found = output(mirrored, batch(encoder, reversed_rows)).unflatten(1, (-1, 2, 5))
    expected = output(encoder, batch(encoder, rows)).unflatten(1, (-1, 2, 5))
    assert_close(found.flip(2), expected)
    assert not torch.allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("kind", LAST)
@pytest.mark.parametrize(("word", "half"), [(0, 1), (-1, 0)], ids=["first-backward", "last-forward"])
def test_each_direction_ends_at_its_own_word(encoder: BiLSTMModel, word: int, half: int) -> None:
    """Pooling the last position alone: the backward direction has then read one word."""
    sentence, changed = list(SENTENCES[2]), list(SENTENCES[2])
    changed[word] = 33
    for number in range(2 if encoder.config.is_pair else 1):
        halves = []
        for words in (sentence, changed):
            row = [SENTENCES[0], SENTENCES[0]] if encoder.config.is_pair else [[]]
            row[number] = words
            halves.append(output(encoder, batch(encoder, [row], extra=3))[0].unflatten(0, (-1, 2, 5))[number, half])
        assert (halves[0] - halves[1]).abs().max() > 0.01


def test_vectors_lose_entries_in_training_alone(encoder: BiLSTMModel) -> None:
    """Embedding dropout that never happens, or that goes on when the student serves."""
    inputs = batch(encoder, rows_for(encoder))
    expected = output(encoder, inputs)
    encoder.train()
    assert not torch.allclose(output(encoder, inputs), expected)
    encoder.config.embedding_dropout = 0.0
    assert_close(output(encoder, inputs), expected)


@pytest.mark.parametrize("kind", ["pair", "multichannel-pair", "highest-pair"])
def test_swapping_the_sentences_swaps_their_encodings(encoder: BiLSTMModel) -> None:
    """A pair whose sentences are mixed up, or read by different encoders."""
    rows = rows_for(encoder)
    h1, h2, product, difference = output(encoder, batch(encoder, rows)).chunk(4, dim=1)
    swapped = output(encoder, batch(encoder, [(second, first) for first, second in rows]))
    assert_close(swapped, torch.cat([h2, h1, product, difference], dim=1))
    assert not torch.allclose(h1, h2, atol=1e-2)


@pytest.mark.parametrize("single", [None, 0, 1], ids=["pairs", "one-first", "one-second"])
def test_vectors_of_sentences_give_the_logits_of_their_pairs(single: int | None) -> None:
    """A student that compares stored vectors would answer other things than one that reads the pairs."""
    torch.manual_seed(0)
    config = BiLSTMConfig(vocab_size=50, embedding_dim=8, lstm_hidden_size=6, fc_size=5, is_pair=True, num_labels=3)
    student = BiLSTMForSequenceClassification(config).eval()
    for parameter in student.parameters():
        torch.nn.init.uniform_(parameter, -0.7, 0.7)
    sides = list(torch.randint(1, 50, (2, 7, 4)))
    if single is not None:
        sides[single] = sides[single][:1].expand(7, 4)
    types = torch.tensor([[0] * 4 + [1] * 4]).expand(7, 8)
    with torch.no_grad():
        expected = student(torch.cat(sides, dim=1), token_type_ids=types).logits
        vectors = [student.bilstm.encode(side, torch.ones_like(side))[1] for side in sides]
        if single is not None:
            vectors[single] = vectors[single][:1]
        torch.testing.assert_close(student.classify_pairs(*vectors), expected, atol=1e-5, rtol=0)


def test_a_student_of_single_texts_classifies_no_pairs() -> None:
    """Vectors would be cut to pieces by layers that were made for one sentence."""
    student = BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=50, lstm_hidden_size=6))
    with pytest.raises(ValueError, match="is_pair is False"):
        student.classify_pairs(torch.zeros(1, 12), torch.zeros(1, 12))


@pytest.mark.parametrize("any_kind", ["pair", "multichannel-pair", "highest-pair"])
def test_a_pair_may_lack_a_sentence(student: PreTrainedModel) -> None:
    """A crash, or another result, when a pair's student gets one text."""
    rows = [(sentence, []) for sentence in SENTENCES]
    inputs = batch(student, rows)
    expected = output_by_loop(student, rows)
    assert_close(output(student, inputs), expected)
    del inputs["token_type_ids"]
    assert_close(output(student, inputs), expected)
    no_first = [([], sentence) for sentence in SENTENCES]
    assert_close(output(student, batch(student, no_first)), output_by_loop(student, no_first))


@pytest.mark.parametrize("any_kind", ["single", "multichannel"])
def test_a_single_student_ignores_token_types(student: PreTrainedModel) -> None:
    """Logits that change because a tokenizer gives token types."""
    inputs = batch(student, rows_for(student))
    expected = output(student, inputs)
    assert torch.equal(output(student, inputs | {"token_type_ids": torch.ones_like(inputs["input_ids"])}), expected)
    assert torch.equal(output(student, inputs | {"token_type_ids": None}), expected)


# ------------------------------------------------------------------------------------------------ losses and training
def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    kept = labels != -100
    logits, labels = logits[kept], labels[kept]
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]))


def binary_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.mean(labels * np.log(sigmoid(logits)) + (1 - labels) * np.log(1 - sigmoid(logits))))


def squared_error(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean((logits[:, 0] - labels) ** 2))


PROBLEMS = {
    "single_label_classification": (cross_entropy, 3, [2, 0, 1, -100]),
    "multi_label_classification": (binary_cross_entropy, 3, [[0.0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]]),
    "regression": (squared_error, 1, [0.5, -1.0, 3.2, 0.0]),
}


@pytest.mark.parametrize("says_problem", [True, False], ids=["named", "inferred"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_loss_on_labels(kind: str, problem: str, says_problem: bool) -> None:
    """A loss of the wrong kind, or on the wrong rows, for the labels given."""
    loss, num_labels, labels = PROBLEMS[problem]
    named = {"problem_type": problem} if says_problem else {}
    student = build(BiLSTMForSequenceClassification, kind, num_labels=num_labels, **named)
    inputs = batch(student, rows_for(student))
    without = student(**inputs)
    assert without.loss is None
    result = student(**inputs, labels=torch.tensor(labels))
    assert torch.equal(result.logits, without.logits)
    logits = without.logits.detach().double().numpy()
    assert_close(result.loss.item(), loss(logits, np.array(labels)))


@pytest.mark.parametrize("is_loaded", [False, True], ids=["built", "loaded"])
def test_training_moves_all_but_the_frozen_table(model: PreTrainedModel, is_loaded: bool, tmp_path: Path) -> None:
    """A weight that no gradient reaches, or a frozen table or padding vector that training changes."""
    if is_loaded:
        model.save_pretrained(tmp_path)
        model = type(model).from_pretrained(tmp_path)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    empty = empty_row(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    result = model(**batch(model, [*rows_for(model), empty]))
    scores = result.logits if "logits" in result else result.pooler_output
    (scores * torch.linspace(-1, 2, scores.numel()).view_as(scores)).sum().backward()
    optimizer.step()

    is_read = torch.zeros(model.config.vocab_size, dtype=torch.bool)
    is_read[[token for sentence in SENTENCES for token in sentence]] = True
    trained = dict(model.named_parameters())
    for name, values in model.state_dict().items():
        if name.endswith("embed_tokens_static.weight"):
            assert name not in trained
            assert torch.equal(values, before[name])
        elif name.endswith(TABLES):
            assert torch.equal((values != before[name]).any(dim=1), is_read)
        else:
            assert trained[name].grad is not None
            if not name.endswith("key.bias"):  # a softmax does not see what is added to all
                assert not torch.equal(values, before[name]), name


@pytest.mark.parametrize("model", [*CLASSIFIERS, "encoder-biattentive"], indirect=True)
def test_eval_mode_is_deterministic_and_training_drops_units(model: PreTrainedModel) -> None:
    """Predictions that change from call to call, or dropout that never happens."""
    inputs = batch(model, rows_for(model))
    expected = output(model, inputs)
    assert torch.equal(output(model, inputs), expected)
    model.train()
    set_seed(1)
    dropped = output(model, inputs)
    set_seed(1)
    assert torch.equal(output(model, inputs), dropped)
    assert not torch.allclose(dropped, expected, atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_a_new_student(name: str) -> None:
    """Two runs of one seed that start apart, a padding vector that is not zero, or tables that do not start equal."""
    part, _, kind = name.partition("-")

    def make(seed: int) -> PreTrainedModel:
        set_seed(seed)
        return build_new(STUDENTS[part], kind)

    first = make(3)
    assert_same_weights(make(3), first)
    table = first.get_input_embeddings().weight.detach()
    assert not torch.equal(make(4).get_input_embeddings().weight, table)
    assert (table[2] == 0).all()
    if kind != "multitask-bert":  # which draws from a normal distribution
        assert 0.15 < table.abs().max() <= 0.2
    if has_frozen_table(first):
        assert torch.equal(first.base_model.embed_tokens_static.weight, table)
    if part == "classifier":
        scores = output(first.eval(), batch(first, rows_for(first)))
        assert (scores.std(dim=0) > 1e-3).all()


def test_weights_that_a_checkpoint_lacks_are_those_of_a_new_student(model: PreTrainedModel) -> None:
    """Memory that nobody has written, or weights of another size than those of a student that is built."""
    set_seed(5)
    new = type(model)(copy.deepcopy(model.config)).state_dict()
    found = type(model).from_pretrained(None, config=copy.deepcopy(model.config), state_dict={}).state_dict()
    assert found.keys() == new.keys()
    for name, values in found.items():
        if torch.unique(new[name]).numel() == 1:  # biases, and the scales of a layer norm
            assert torch.equal(values, new[name]), name
        else:
            assert 1 / 3 < values.std() / new[name].std() < 3, name
    for table in (name for name in found if name.endswith(TABLES)):
        assert (found[table][2] == 0).all()
        assert torch.equal(found[table], found[table.replace("_static", "")])


# --------------------------------------------------------------------------------------------------- saving and loading
def test_save_and_load_exactly(model: PreTrainedModel, tmp_path: Path) -> None:
    """A student that is another one after a round trip to the disk."""
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded, problems = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(problems.values()), problems
    assert not loaded.training
    assert_same_weights(loaded, model)
    inputs = batch(model, rows_for(model))
    assert_close(output(loaded, inputs), output(model, inputs))


@pytest.mark.parametrize(
    "model",
    # BertModel has buffers that are in no state dict.
    [name for name in MODELS if name != "classifier-multitask-bert"],
    indirect=True,
)
def test_loading_onto_the_meta_device_first(model: PreTrainedModel) -> None:
    """A student built without memory and filled afterwards, whose LSTM still reads the old weights."""
    with torch.device("meta"):
        filled = type(model)(model.config)
    filled.load_state_dict(model.state_dict(), assign=True)
    inputs = batch(model, rows_for(model))
    assert_close(output(filled.eval(), inputs), output(model, inputs))


def test_a_configuration_makes_the_same_model(model: PreTrainedModel, tmp_path: Path) -> None:
    """A configuration that its file, its dict or a copy of it does not tell whole, or that makes another class."""
    model.config.save_pretrained(tmp_path)
    wanted = model.config.to_dict()
    loaded = AutoConfig.from_pretrained(tmp_path)
    auto = AutoModelForSequenceClassification if hasattr(model, "encoder") or hasattr(model, "bilstm") else AutoModel
    for config in (loaded, copy.deepcopy(model.config), type(model.config).from_dict(wanted)):
        assert type(config) is type(model.config)
        assert config.to_dict() | {"_name_or_path": ""} == wanted
        same = auto.from_config(config)
        assert type(same) is type(model)
        same.load_state_dict(model.state_dict())
        inputs = batch(model, rows_for(model))
        assert_close(output(same.eval(), inputs), output(model, inputs))


def test_config_round_trip(kind: str, tmp_path: Path) -> None:
    """A setting that is lost on the way to the disk."""
    names = {0: "negative", 1: "mixed", 2: "positive"}
    settings = {name: value for name, value in SIZES.items() if name != "num_labels"} | KINDS[kind]
    config = BiLSTMConfig(**settings, initializer_range=0.1, id2label=names, problem_type="regression")
    config.save_pretrained(tmp_path)
    for loaded in (BiLSTMConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(loaded) is BiLSTMConfig
        assert {name: getattr(loaded, name) for name in settings} == settings
        assert (loaded.initializer_range, loaded.problem_type, loaded.num_labels) == (0.1, "regression", 3)
        assert loaded.id2label == names
        assert loaded.label2id == {"negative": 0, "mixed": 1, "positive": 2}
        assert loaded.hidden_size == 5


def test_auto_classes(classifier: BiLSTMForSequenceClassification, tmp_path: Path) -> None:
    """A student that only its own class can load."""
    classifier.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is BiLSTMForSequenceClassification
    assert_same_weights(loaded, classifier)
    encoder = AutoModel.from_pretrained(tmp_path)
    assert type(encoder) is BiLSTMModel
    assert_same_weights(encoder, classifier.bilstm)
    assert type(AutoModelForSequenceClassification.from_config(classifier.config)) is BiLSTMForSequenceClassification


@pytest.mark.parametrize("model", CLASSIFIERS, indirect=True)
def test_auto_model_gives_the_encoder(model: PreTrainedModel, tmp_path: Path) -> None:
    """A folder of which others cannot get vectors, or get those of an encoder that starts anew."""
    model.save_pretrained(tmp_path)
    encoder, problems = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not problems["missing_keys"]
    assert type(encoder) is type(model.base_model)
    assert_same_weights(encoder, model.base_model)
    assert type(AutoModel.from_config(model.config)) is type(model.base_model)


def test_encoder_from_a_classifier_and_back(classifier: BiLSTMForSequenceClassification, tmp_path: Path) -> None:
    """An encoder that starts anew, in part or whole, when it changes between the two classes."""
    classifier.save_pretrained(tmp_path / "classifier")
    encoder, problems = BiLSTMModel.from_pretrained(tmp_path / "classifier", output_loading_info=True)
    assert not any(problems.values()), problems
    assert_same_weights(encoder, classifier.bilstm)

    encoder.save_pretrained(tmp_path / "encoder")
    again, problems = BiLSTMForSequenceClassification.from_pretrained(tmp_path / "encoder", output_loading_info=True)
    new = {"hidden.weight", "hidden.bias", "classifier.weight", "classifier.bias"}
    assert problems["missing_keys"] == new
    assert_same_weights(again.bilstm, classifier.bilstm)
    for name in new:
        assert bool(again.get_parameter(name).any()) == name.endswith("weight")


@pytest.mark.parametrize("model", CLASSIFIERS, indirect=True)
def test_loading_with_another_number_of_labels(model: PreTrainedModel, tmp_path: Path) -> None:
    """A head of the old size on a new task, or an encoder lost with the old head."""
    model.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        type(model).from_pretrained(tmp_path, num_labels=5)
    loaded, problems = type(model).from_pretrained(
        tmp_path, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
    )
    new = {name for name in model.state_dict() if "classifier." in name}
    assert {name for name, *_ in problems["mismatched_keys"]} == new
    for name, values in model.state_dict().items():
        assert name in new or torch.equal(loaded.state_dict()[name], values), name
    inputs = batch(loaded, rows_for(loaded))
    result = loaded(**inputs, labels=torch.tensor([4, 0, 1, 2]))
    assert result.logits.shape == (4, 5)
    assert torch.isfinite(result.logits).all()
    assert torch.isfinite(result.loss)
    (head,) = (values for name, values in loaded.state_dict().items() if name.endswith("classifier.weight"))
    assert head.any(dim=1).all()
    names = {number: f"label {number}" for number in range(3)}
    same = type(model).from_pretrained(tmp_path, id2label=names, label2id={v: k for k, v in names.items()})
    assert_same_weights(same, model)
    same.save_pretrained(tmp_path / "named")
    for config in (same.config, AutoConfig.from_pretrained(tmp_path / "named")):
        assert (config.id2label, config.label2id) == (names, {name: number for number, name in names.items()})


def test_loading_with_another_vocabulary(model: PreTrainedModel, tmp_path: Path) -> None:
    """A table of the old size, or of memory that nobody has written, and the rest of the student lost with it."""
    model.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        type(model).from_pretrained(tmp_path, vocab_size=50)
    loaded = type(model).from_pretrained(tmp_path, vocab_size=50, ignore_mismatched_sizes=True)
    assert loaded.config.vocab_size == loaded.get_input_embeddings().num_embeddings == 50
    first = loaded.get_input_embeddings().weight
    for name, values in model.state_dict().items():
        found = loaded.state_dict()[name]
        if name.endswith(TABLES):
            assert torch.equal(found, first)
        else:
            assert torch.equal(found, values)
    assert 0.05 < first.std() < 0.3
    assert torch.isfinite(output(loaded, {"input_ids": torch.arange(50)[None]})).all()


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum()


def test_pipeline(kind: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """A student that does not serve through `pipeline`, or that serves other scores than its own."""
    names = {0: "bad", 1: "mixed", 2: "good"}
    student = build(
        BiLSTMForSequenceClassification, kind, vocab_size=len(tokenizer), pad_token_id=0, num_labels=3, id2label=names
    )
    student.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    classify = pipeline("text-classification", model=str(tmp_path), top_k=None)

    def check(found: list[dict[str, Any]], *texts: str) -> None:
        row = [tokenizer.convert_tokens_to_ids(text.split()) for text in texts]
        row += [[]] * (student.config.is_pair and len(row) == 1)
        expected = softmax(output_by_loop(student, [row])[0])
        scores = {entry["label"]: entry["score"] for entry in found}
        assert_close([scores[name] for name in names.values()], expected)

    texts = ["a very good film", "bad", "", "a film"]
    for text in texts:
        check(classify([text])[0], text)
    for text, found in zip(texts, classify(texts, batch_size=3), strict=True):
        check(found, text)
    best = pipeline("text-classification", model=str(tmp_path))("a very good film")
    assert best[0] == max(classify(["a very good film"])[0], key=lambda entry: entry["score"])
    if student.config.is_pair:
        pairs = [{"text": "a good film", "text_pair": "very bad"}, {"text": "bad", "text_pair": ""}]
        for pair, found in zip(pairs, classify(pairs), strict=True):
            check(found, pair["text"], pair["text_pair"])


# -------------------------------------------------------------------------------------------------- changing a student
@pytest.mark.parametrize("size", [47, 32], ids=["larger", "smaller"])
def test_resizing_the_vocabulary(model: PreTrainedModel, size: int, tmp_path: Path) -> None:
    """Old words that mean something else, or a table that stays behind, after the vocabulary changed."""
    inputs = batch(model, rows_for(model))
    expected = output(model, inputs)
    returned = model.resize_token_embeddings(size)
    assert returned is model.get_input_embeddings()
    assert model.config.vocab_size == model.base_model.config.vocab_size == size
    tables = [values for name, values in model.state_dict().items() if name.endswith(TABLES)]
    assert [len(table) for table in tables] == [size] * (2 if has_frozen_table(model) else 1)
    assert torch.equal(output(model, inputs), expected)
    assert torch.isfinite(output(model, {"input_ids": torch.arange(size)[None]})).all()
    assert all((table[2] == 0).all() for table in tables)
    if has_frozen_table(model):
        assert torch.equal(tables[0][40:], tables[1][40:])
        assert not model.base_model.embed_tokens_static.weight.requires_grad
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert_same_weights(loaded, model)
    assert_close(output(loaded, inputs), expected)


def test_resizing_in_steps(model: PreTrainedModel) -> None:
    """A vocabulary that is not rounded up as asked, or that changes when nothing was asked."""
    assert model.resize_token_embeddings(41, pad_to_multiple_of=16).num_embeddings == 48
    assert model.resize_token_embeddings().num_embeddings == 48
    output(model, {"input_ids": torch.tensor([[47, 40]])})


@pytest.mark.parametrize(
    ("dtype", "atol"),
    [(torch.bfloat16, 0.05), (torch.float16, 0.01), (torch.float64, 1e-6)],
    ids=["bfloat16", "float16", "float64"],
)
def test_other_number_formats(model: PreTrainedModel, dtype: torch.dtype, atol: float, tmp_path: Path) -> None:
    """A part that stays in float32, or that computes something else, in another number format."""
    inputs = batch(model, rows_for(model))
    expected = output(model, inputs)
    model.save_pretrained(tmp_path)
    for converted in (copy.deepcopy(model).to(dtype), type(model).from_pretrained(tmp_path, dtype=dtype)):
        assert {values.dtype for values in converted.state_dict().values()} == {dtype}
        found = output(converted, inputs)
        assert found.dtype == dtype
        assert_close(found.double(), expected, atol)


def test_mixed_precision_trains(model: PreTrainedModel) -> None:
    """A student that cannot be trained with `bf16=True`."""
    inputs = batch(model, rows_for(model))
    with torch.autocast("cpu", torch.bfloat16):
        result = model(**inputs)
        scores = result.logits if "logits" in result else result.pooler_output
        scores.float().sum().backward()
    assert_close(scores.detach().double(), output(model, inputs), atol=0.05)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_copies_are_whole_and_independent(model: PreTrainedModel) -> None:
    """A copy that computes something else, or that shares weights with its original."""
    inputs = batch(model, rows_for(model))
    expected = output(model, inputs)
    for duplicate in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_same_weights(duplicate, model)
        assert_close(output(duplicate, inputs), expected)
        for values in duplicate.state_dict().values():
            values.zero_()
        assert not torch.allclose(output(duplicate, inputs), expected, atol=1e-3)
    assert torch.equal(output(model, inputs), expected)


def test_tuples_on_request(model: PreTrainedModel) -> None:
    """Code that unpacks tuples gets something else."""
    inputs = batch(model, rows_for(model))
    as_tuple = model(**inputs, return_dict=False)
    assert isinstance(as_tuple, tuple)
    assert torch.equal(as_tuple[-1], output(model, inputs))
    if "logits" in model(**inputs):
        labels = torch.tensor([0, 1, 2, 0])
        loss, logits = model(**inputs, labels=labels, return_dict=False)
        assert torch.equal(loss, model(**inputs, labels=labels).loss)
        assert torch.equal(logits, as_tuple[0])
    model.config.return_dict = model.base_model.config.return_dict = False
    (*_, found) = model(**inputs)
    assert torch.equal(found, as_tuple[-1])


# -------------------------------------------------------------------------------------------------- sizes and settings
@pytest.mark.parametrize(
    ("settings", "count"),
    [
        # Tang et al. 2019: 0.96 M
        ({"multichannel": True, "lstm_hidden_size": 150, "fc_size": 200}, 963_002),
        ({"multichannel": True, "lstm_hidden_size": 300, "fc_size": 200}, 2_285_402),
        ({"multichannel": True, "lstm_hidden_size": 300, "fc_size": 400}, 2_406_002),
        ({"lstm_hidden_size": 150, "fc_size": 200}, 603_002),
        ({"multichannel": True, "is_pair": True, "lstm_hidden_size": 150, "fc_size": 200}, 1_143_002),
        ({"multichannel": True, "is_pair": True, "lstm_hidden_size": 300, "fc_size": 400}, 3_126_002),
    ],
    ids=["paper", "wide-lstm", "wide", "single-channel", "siamese", "wide-siamese"],
)
def test_number_of_parameters(settings: dict[str, Any], count: int) -> None:
    """A student of another size than the published one."""
    with torch.device("meta"):
        student = BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=11, embedding_dim=300, **settings))
    sizes = {name: parameter.numel() for name, parameter in student.named_parameters()}
    assert sizes.pop("bilstm.embed_tokens.weight") == 11 * 300
    assert sum(sizes.values()) == count


def test_defaults_are_the_small_student_of_the_paper() -> None:
    """Defaults that no longer build the published student."""
    with torch.device("meta"):
        student = BiLSTMForSequenceClassification(BiLSTMConfig(multichannel=True))
    assert student.num_parameters() - 30522 * 300 == 963_002


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be at least 1, got 0"),
        ({"embedding_dim": -3}, "embedding_dim must be at least 1, got -3"),
        ({"lstm_hidden_size": 0}, "lstm_hidden_size must be at least 1, got 0"),
        ({"hidden_size": 0}, "lstm_hidden_size must be at least 1, got 0"),
        ({"fc_size": 0}, "fc_size must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"embedding_dropout": 1.0}, "embedding_dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout must be at least 0 and below 1, got -0.1"),
        ({"vocab_size": 7, "pad_token_id": 7}, "pad_token_id must be in 0..6, got 7"),
        ({"pad_token_id": -1}, "pad_token_id must be in 0..30521, got -1"),
        ({"pad_token_id": None}, "pad_token_id must be in 0..30521, got None"),
        ({"num_hidden_layers": 2}, "one LSTM layer, got num_hidden_layers=2"),
        ({"vocab_size": "many"}, "'vocab_size' expected int, got str .*'many'"),
        ({"fc_size": 2.5}, "'fc_size' expected int, got float .*2.5"),
        ({"embedding_dim": None}, "'embedding_dim' expected int, got NoneType"),
        ({"pooling": "mean"}, "'pooling'"),
        ({"multichannel": "yes"}, "'multichannel' expected bool, got str .*'yes'"),
        ({"dropout": "half"}, "'dropout' with value 'half'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_impossible_settings_are_named(settings: dict[str, Any], message: str) -> None:
    """A setting that no student can have, found out late or with a message that does not name it."""
    with pytest.raises(StrictDataclassError, match=message):
        BiLSTMConfig(**settings)


# ------------------------------------------------------------------------------------------- weights in other forms
def test_weights_in_several_files_are_the_same(model: PreTrainedModel, tmp_path: Path) -> None:
    """A large student, saved in parts, comes back with some of them."""
    model.save_pretrained(tmp_path, max_shard_size="1KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert_same_weights(type(model).from_pretrained(tmp_path), model)


def test_missing_and_unknown_weights_are_named(model: PreTrainedModel, tmp_path: Path) -> None:
    """A checkpoint of another version is loaded in part, and the rest is memory that nobody has written."""
    weights = dict(model.state_dict())
    name = next(name for name in weights if name.endswith(TABLES))
    del weights[name]
    model.save_pretrained(tmp_path, state_dict={**weights, "of_a_stranger": torch.ones(2)})
    loaded, problems = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert set(problems["missing_keys"]) == {name}
    assert set(problems["unexpected_keys"]) == {"of_a_stranger"}
    drawn = loaded.state_dict()[name]
    assert torch.isfinite(drawn).all()
    assert drawn.std() > 0
    for other, values in weights.items():
        assert torch.equal(loaded.state_dict()[other], values)
