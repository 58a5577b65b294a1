"""A student as an ONNX graph, in float32 or in int8: one node for each LSTM, for any batch and any length."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hf_bilstm_distill.students import (
    BiAttentiveModel,
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    BiLSTMModel,
    MultiTaskForSequenceClassification,
)

OPSET = 13
_IR_VERSION = 7  # of the time of that opset, so that old runtimes read the file

_TABLE_LIMIT = 127
# A CPU without VNNI adds pairs of products in 16 bits: 2 * 255 * 64 fits, with 127 the sum would be cut off.
_LSTM_LIMIT = 64
_HALF_BYTE_LIMIT = 7
_HUGE = np.float32(3e38)


class _Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def integers(self, name: str, values: Any) -> str:
        return self.constant(name, np.array(values, dtype=np.int64))

    def node(self, op: str, inputs: Sequence[str], output: str, *, output_place: int = 0, **attributes: Any) -> str:
        outputs = [""] * output_place + [output]
        self.nodes.append(helper.make_node(op, inputs, outputs, output, **attributes))
        return output


def student_graph(
    student: BiLSTMForSequenceClassification | MultiTaskForSequenceClassification, *, int8: bool = False
) -> onnx.ModelProto:
    """Write a student as an ONNX graph; of several tasks, the one that is set.

    It reads what the student reads, `input_ids`, `attention_mask` and for pairs `token_type_ids`, each
    `(batch, length)` in int64, and gives the student's `logits` for any mask: padding on either side, empty rows.

    In int8 the embedding table has a scale for each of its columns; the LSTM's weights have one for each direction and
    use 7 of the 8 bits, so that sums do not overflow on older CPUs. The fully connected layer is stored in 4 bits,
    which makes up for the scales and biases: the file is at most a quarter of that in float32.

    Args:
        student: The student, in float32 on the CPU: a BiLSTM, or several tasks over a bi-attentive encoder.
        int8: Whether to store the weights in int8 and to multiply in it. onnxruntime alone runs such a graph: it has
            the LSTM for it.

    Returns:
        The graph.
    """
    graph = _Graph()
    if isinstance(student, MultiTaskForSequenceClassification):
        is_pair = student.config.get_task(student.config.task)["is_pair"]
        pooled = _attended(graph, cast(BiAttentiveModel, student.encoder), is_pair=is_pair, int8=int8)
        head: Any = student.heads[student.config.task]
    else:
        is_pair = student.config.is_pair
        pooled = _encoded(graph, student.bilstm, int8=int8)
        head = student
    if head.hidden is not None:
        weight = (_weight_in_half_bytes if int8 else _weight)(graph, "hidden", head.hidden)
        pooled = graph.node("Relu", [_dense(graph, pooled, weight, head.hidden, "hidden")], "relu")
    weight = (_weight_in_bytes if int8 else _weight)(graph, "classifier", head.classifier)
    _dense(graph, pooled, weight, head.classifier, "logits")

    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if is_pair else [])]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            student.config.model_type,
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in inputs],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", student.config.num_labels])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), *([helper.make_opsetid("com.microsoft", 1)] if int8 else [])],
        ir_version=_IR_VERSION,
        producer_name="hf-bilstm-distill",
    )
    onnx.checker.check_model(model)
    return model


def _encoded(graph: _Graph, encoder: BiLSTMModel, *, int8: bool) -> str:
    """Write a BiLSTM: the last or highest states of a sentence, or what compares those of two."""
    config = cast(BiLSTMConfig, encoder.config)
    is_token = graph.node("Cast", ["attention_mask"], "is_token", to=TensorProto.BOOL)
    if config.is_pair:
        is_token = graph.node("Concat", _tokens_by_type(graph, is_token), "is_token_of_sentence", axis=0)
    ids, lengths = _tokens_to_front(
        graph, _ids_of_sentences(graph, config.is_pair), is_token, cast(int, config.pad_token_id)
    )
    vectors = (_vectors_in_int8 if int8 else _vectors)(graph, _table(encoder), ids)
    if config.pooling == "last":
        states = _lstm(graph, vectors, lengths, encoder.lstm, "last_states", output_place=1, int8=int8)
    else:
        by_time = _lstm(graph, vectors, lengths, encoder.lstm, "states_by_time", output_place=0, int8=int8)
        read_by_time = graph.node("Transpose", [_positions_read(graph, ids, lengths)], "is_read_by_time", perm=[1, 0])
        is_state = graph.node("Unsqueeze", [read_by_time, graph.integers("around", [1, 3])], "is_state")
        only = _only(graph, is_state, by_time, np.float32(-1), "states_read")  # a state is above -1
        states = graph.node("ReduceMax", [only], "highest_states", axes=[0], keepdims=0)
    return _pooled(graph, states, config)


def _attended(graph: _Graph, encoder: BiAttentiveModel, *, is_pair: bool, int8: bool) -> str:
    """Write a bi-attentive encoder: what is pooled of both sentences, a single one twice."""
    is_token = graph.node("Cast", ["attention_mask"], "is_token", to=TensorProto.BOOL)
    if is_pair:
        is_token = _tokens_of_both(graph, is_token)
    ids, lengths = _tokens_to_front(
        graph, _ids_of_sentences(graph, is_pair), is_token, cast(int, encoder.config.pad_token_id)
    )
    width = 2 * encoder.config.lstm_hidden_size
    of_states = graph.integers("of_states", [0, 0, width])

    def states_of(lstm: nn.LSTM, vectors: str, name: str) -> str:
        by_time = _lstm(graph, vectors, lengths, lstm, f"{name}_by_time", output_place=0, int8=int8, prefix=f"{name}.")
        apart = graph.node("Transpose", [by_time], f"{name}_by_direction", perm=[2, 0, 1, 3])
        return graph.node("Reshape", [apart, of_states], f"{name}_states")  # (sentences, length + 1, 2 * hidden)

    vectors = (_vectors_in_int8 if int8 else _vectors)(graph, _array(encoder.embed_tokens.weight), ids)
    weight = (_weight_in_bytes if int8 else _weight)(graph, "feed_forward", encoder.feed_forward)
    bias = graph.constant("feed_forward.bias", _array(encoder.feed_forward.bias))
    forward = graph.node("Add", [graph.node("MatMul", [vectors, weight], "feed_forward.product"), bias], "feed_forward")
    states = states_of(encoder.lstm, graph.node("Relu", [forward], "feed_forward.relu"), "first")

    is_read = _positions_read(graph, ids, lengths)  # (sentences, length + 1)
    read_states, read_mask = (_partners(graph, each) if is_pair else each for each in (states, is_read))
    keys = graph.node("Transpose", [read_states], "keys", perm=[0, 2, 1])
    by_key = graph.node("Unsqueeze", [read_mask, graph.integers("before", [1])], "is_key")
    scores = _only(graph, by_key, graph.node("MatMul", [states, keys], "all_scores"), -_HUGE, "scores")
    seen = graph.node("MatMul", [graph.node("Softmax", [scores], "matches", axis=-1), read_states], "seen")
    difference = graph.node("Sub", [states, seen], "states_less_seen")
    product = graph.node("Mul", [states, seen], "states_times_seen")
    joined = graph.node("Concat", [states, difference, product], "integrated", axis=2)
    by_time = graph.node("Transpose", [joined], "integrated_by_time", perm=[1, 0, 2])
    states = states_of(encoder.integrator, by_time, "second")

    pooled = _four_poolings(graph, states, is_read, lengths, _weight(graph, "attention", encoder.attention))
    of_row = _halves(graph, pooled) if is_pair else [pooled, pooled]
    return graph.node("Concat", of_row, "pooled_of_both", axis=1)


def _four_poolings(graph: _Graph, states: str, is_read: str, lengths: str, attention: str) -> str:
    """Pool states that are zero at padding: maximum, minimum, mean and self-attentive mean."""
    is_state = graph.node("Unsqueeze", [is_read, graph.integers("behind", [2])], "is_state")
    highest = graph.node(
        "ReduceMax", [_only(graph, is_state, states, -_HUGE, "not_low")], "highest", axes=[1], keepdims=0
    )
    lowest = graph.node(
        "ReduceMin", [_only(graph, is_state, states, _HUGE, "not_high")], "lowest", axes=[1], keepdims=0
    )
    over_time = graph.integers("over_time", [1])
    total = graph.node("ReduceSum", [states, over_time], "total", keepdims=0)
    num_states = graph.node("Cast", [lengths], "num_states", to=TensorProto.FLOAT)
    per_row = graph.node("Unsqueeze", [num_states, over_time], "num_states_of_row")
    mean = graph.node("Div", [total, per_row], "mean")
    attended = _only(
        graph, is_state, graph.node("MatMul", [states, attention], "attention"), -_HUGE, "attention_to_states"
    )
    shares = graph.node("Mul", [graph.node("Softmax", [attended], "shares", axis=1), states], "shares_of_states")
    attentive = graph.node("ReduceSum", [shares, over_time], "attentive", keepdims=0)
    return graph.node("Concat", [highest, lowest, mean, attentive], "pooled", axis=1)


def _only(graph: _Graph, mask: str, values: str, otherwise: np.float32, output: str) -> str:
    return graph.node("Where", [mask, values, graph.constant(f"not_{output}", np.array(otherwise))], output)


def _partners(graph: _Graph, values: str) -> str:
    """Exchange first and second sentences."""
    return graph.node("Concat", _halves(graph, values)[::-1], f"{values}_of_partner", axis=0)


def _halves(graph: _Graph, values: str) -> list[str]:
    halves = [f"{values}_of_first", f"{values}_of_second"]
    graph.nodes.append(helper.make_node("Split", [values], halves, f"{values}_halves", axis=0))
    return halves


def _positions_read(graph: _Graph, ids: str, lengths: str) -> str:
    """Tell which positions a sentence has: those of its tokens, or the first one if it has none."""
    longest = graph.node(
        "Gather", [graph.node("Shape", [ids], "shape_by_time"), graph.integers("zero", 0)], "positions"
    )
    place = graph.node("Range", ["zero", longest, "one"], "place_in_sentence")
    num_read = graph.node("Cast", [lengths], "num_read", to=TensorProto.INT64)
    per_sentence = graph.node("Unsqueeze", [num_read, graph.integers("as_column", [1])], "num_read_of_sentence")
    return graph.node("Less", [place, per_sentence], "is_read")


def _ids_of_sentences(graph: _Graph, is_pair: bool) -> str:
    return graph.node("Concat", ["input_ids", "input_ids"], "ids_of_sentences", axis=0) if is_pair else "input_ids"


def _tokens_by_type(graph: _Graph, is_token: str) -> list[str]:
    of_sentence = []
    for number, name in enumerate(("first", "second")):
        is_type = graph.node("Equal", ["token_type_ids", graph.integers(f"type_of_{name}", number)], name)
        of_sentence.append(graph.node("And", [is_token, is_type], f"is_token_of_{name}"))
    return of_sentence


def _tokens_of_both(graph: _Graph, is_token: str) -> str:
    """Tell the tokens of the first sentences, then of the second ones; a row that has but one is that one twice."""
    of_sentence, are_there = _tokens_by_type(graph, is_token), []
    for tokens in of_sentence:
        ones = graph.node("Cast", [tokens], f"{tokens}_ones", to=TensorProto.INT64)
        count = graph.node("ReduceSum", [ones, graph.integers(f"{tokens}_axis", [1])], f"{tokens}_count")
        are_there.append(graph.node("Cast", [count], f"{tokens}_is_there", to=TensorProto.BOOL))
    is_single = graph.node("Not", [graph.node("And", are_there, "is_pair")], "is_single")
    all_tokens = graph.node("And", [is_single, is_token], "is_token_of_single")
    both = [graph.node("Or", [tokens, all_tokens], f"{tokens}_or_all") for tokens in of_sentence]
    return graph.node("Concat", both, "is_token_of_sentence", axis=0)


def _tokens_to_front(graph: _Graph, ids: str, is_token: str, pad_token_id: int) -> tuple[str, str]:
    """Write each sentence's tokens from position 0 on, and padding behind them; for pairs, all first sentences first.

    Every token goes to its rank among the tokens of its sentence, everything else to one position behind them all,
    which no sentence is long enough to read. A sentence without tokens has padding at position 0, even if `length` is
    0, and reads that.
    """
    one = graph.integers("one", 1)
    shape = graph.node("Shape", [ids], "shape")
    length = graph.node("Gather", [shape, one], "length")
    ones = graph.node("Cast", [is_token], "ones", to=TensorProto.INT64)
    count = graph.node("CumSum", [ones, one], "count")  # along axis 1
    rank = graph.node("Sub", [count, one], "rank")
    place = graph.node("Where", [is_token, rank, length], "place")
    longer = graph.node("Add", [shape, graph.integers("one_longer", [0, 1])], "longer_shape")
    filled = numpy_helper.from_array(np.array([pad_token_id], dtype=np.int64))
    empty = graph.node("ConstantOfShape", [longer], "empty", value=filled)
    to_front = graph.node("ScatterElements", [empty, place, ids], "to_front", axis=1)
    by_time = graph.node("Transpose", [to_front], "by_time", perm=[1, 0])  # (length + 1, sentences)

    num_tokens = graph.node("ReduceSum", [ones, graph.integers("axis", [1])], "num_tokens", keepdims=0)
    at_least_one = graph.node("Max", [num_tokens, one], "at_least_one")
    return by_time, graph.node("Cast", [at_least_one], "lengths", to=TensorProto.INT32)


def _vectors(graph: _Graph, table: np.ndarray, ids: str) -> str:
    return graph.node("Gather", [graph.constant("table", table), ids], "vectors")  # (length + 1, sentences, input size)


def _vectors_in_int8(graph: _Graph, table: np.ndarray, ids: str) -> str:
    values, scale = _to_integers(table, _TABLE_LIMIT, axes=(0,))
    in_bytes = graph.node("Gather", [graph.constant("table", values), ids], "vectors_in_bytes")
    return graph.node("DequantizeLinear", [in_bytes, graph.constant("table_scale", scale.ravel())], "vectors", axis=2)


def _lstm(
    graph: _Graph,
    vectors: str,
    lengths: str,
    lstm: nn.LSTM,
    output: str,
    *,
    output_place: int,
    int8: bool,
    prefix: str = "",
) -> str:
    """Write an LSTM. Its outputs are all states, `(time, 2, sentences, hidden)`, and the last ones without time."""
    from_input, recurrent, bias = _lstm_weights(lstm)
    settings: dict[str, Any] = {"hidden_size": lstm.hidden_size, "direction": "bidirectional"}
    settings["output_place"] = output_place
    if not int8:
        named = (("W", from_input), ("R", recurrent), ("B", bias))
        weights = [graph.constant(prefix + name, values) for name, values in named]
        return graph.node("LSTM", [vectors, *weights, lengths], output, **settings)
    weights, scales = [], []
    for name, values in (("W", from_input), ("R", recurrent)):
        integers, scale = _to_integers(values, _LSTM_LIMIT, axes=(1, 2))
        weights.append(graph.constant(prefix + name, integers.transpose(0, 2, 1)))
        scales.append(graph.constant(f"{prefix}{name}_scale", scale.ravel()))
        scales.append(graph.constant(f"{prefix}{name}_zero_point", np.zeros(2, dtype=np.int8)))
    unused = ["", "", ""]  # first states, peepholes
    inputs = [vectors, *weights, graph.constant(prefix + "B", bias), lengths, *unused, *scales]
    return graph.node("DynamicQuantizeLSTM", inputs, output, domain="com.microsoft", **settings)


def _pooled(graph: _Graph, states: str, config: BiLSTMConfig) -> str:
    by_sentence = graph.node("Transpose", [states], "by_sentence", perm=[1, 0, 2])
    size = graph.integers("size", [-1, 2 * config.lstm_hidden_size])
    pooled = graph.node("Reshape", [by_sentence, size], "pooled")  # (sentences, 2 * hidden)
    if not config.is_pair:
        return pooled
    h1, h2 = _halves(graph, pooled)
    product = graph.node("Mul", [h1, h2], "product")
    difference = graph.node("Abs", [graph.node("Sub", [h1, h2], "difference")], "absolute_difference")
    return graph.node("Concat", [h1, h2, product, difference], "compared", axis=1)  # (batch, 8 * hidden)


def _weight(graph: _Graph, name: str, layer: nn.Linear) -> str:
    return graph.constant(f"{name}.weight", _array(layer.weight).T)


def _weight_in_bytes(graph: _Graph, name: str, layer: nn.Linear) -> str:
    integers, scale = _to_integers(_array(layer.weight).T, _TABLE_LIMIT, axes=(0,))
    stored = graph.constant(f"{name}.weight", integers)
    return _times(graph, name, graph.node("Cast", [stored], f"{name}.integers", to=TensorProto.FLOAT), scale)


def _weight_in_half_bytes(graph: _Graph, name: str, layer: nn.Linear) -> str:
    """Store two weights in a byte. onnxruntime unpacks them once, when it loads the file."""
    integers, scale = _to_integers(_array(layer.weight).T, _HALF_BYTE_LIMIT, axes=(0,))
    upper, lower = np.split((integers + 8).astype(np.uint8), 2)  # 1..15; a sentence has two directions, so this divides
    packed = graph.node(
        "Cast", [graph.constant(f"{name}.weight", 16 * upper + lower)], f"{name}.packed", to=TensorProto.FLOAT
    )
    sixteen, eight = (
        graph.constant("sixteen", np.array(16, dtype=np.float32)),
        graph.constant("eight", np.array(8, dtype=np.float32)),
    )
    first = graph.node("Floor", [graph.node("Div", [packed, sixteen], f"{name}.shifted")], f"{name}.upper")
    rest = graph.node("Mul", [first, sixteen], f"{name}.upper_bits")
    second = graph.node("Sub", [packed, rest], f"{name}.lower")
    both = graph.node("Concat", [first, second], f"{name}.both", axis=0)
    return _times(graph, name, graph.node("Sub", [both, eight], f"{name}.integers"), scale)


def _times(graph: _Graph, name: str, integers: str, scale: np.ndarray) -> str:
    return graph.node("Mul", [integers, graph.constant(f"{name}.scale", scale)], f"{name}.restored")


def _dense(graph: _Graph, read: str, weight: str, layer: nn.Linear, output: str) -> str:
    return graph.node("Gemm", [read, weight, graph.constant(f"{output}.bias", _array(layer.bias))], output)


def _table(encoder: BiLSTMModel) -> np.ndarray:
    tables = [encoder.embed_tokens.weight]
    if encoder.config.multichannel:
        tables.append(encoder.embed_tokens_static.weight)
    return np.concatenate([_array(table) for table in tables], axis=1)  # (vocabulary, input size)


def _lstm_weights(lstm: nn.LSTM) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ONNX's W, R and B: both directions of each, the biases of input and state one after the other."""

    def both(name: str) -> np.ndarray:
        return np.stack([_onnx_gates(_array(getattr(lstm, f"{name}_l0{suffix}"))) for suffix in ("", "_reverse")])

    return both("weight_ih"), both("weight_hh"), np.concatenate([both("bias_ih"), both("bias_hh")], axis=1)


def _onnx_gates(rows: np.ndarray) -> np.ndarray:
    i, f, g, o = np.split(rows, 4)  # input, forget, cell, output, as torch orders them
    return np.concatenate([i, o, f, g])


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def _to_integers(values: np.ndarray, limit: int, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Round to integers in -limit..limit, with a scale for what lies along `axes`: values = integers * scale."""
    largest = np.abs(values).max(axis=axes, keepdims=True)
    scale = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(limit)
    return np.rint(values / scale).clip(-limit, limit).astype(np.int8), scale
