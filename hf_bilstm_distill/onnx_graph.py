"""A student as an ONNX graph, in float32 or in int8: one LSTM node for any batch and any length."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hf_bilstm_distill.students import BiLSTMConfig, BiLSTMForSequenceClassification, BiLSTMModel

OPSET = 13
_IR_VERSION = 7  # of the time of that opset, so that old runtimes read the file

_TABLE_LIMIT = 127
# A CPU without VNNI adds pairs of products in 16 bits: 2 * 255 * 64 fits, with 127 the sum would be cut off.
_LSTM_LIMIT = 64
_HALF_BYTE_LIMIT = 7


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


def student_graph(student: BiLSTMForSequenceClassification, *, int8: bool = False) -> onnx.ModelProto:
    """Write a student as an ONNX graph.

    It reads what the student reads, `input_ids`, `attention_mask` and for pairs `token_type_ids`, each
    `(batch, length)` in int64, and gives the student's `logits` for any mask: padding on either side, empty rows.

    In int8 the embedding table has a scale for each of its columns; the LSTM's weights have one for each direction and
    use 7 of the 8 bits, so that sums do not overflow on older CPUs. The fully connected layer is stored in 4 bits,
    which makes up for the scales and biases: the file is at most a quarter of that in float32.

    Args:
        student: The student, in float32 on the CPU.
        int8: Whether to store the weights in int8 and to multiply in it. onnxruntime alone runs such a graph: it has
            the LSTM for it.

    Returns:
        The graph.
    """
    graph = _Graph()
    config = cast(BiLSTMConfig, student.config)
    table, lstm = _table(student.bilstm), student.bilstm.lstm
    ids, lengths = _tokens_to_front(graph, config)
    if int8:
        states = _last_states_in_int8(graph, _vectors_in_int8(graph, table, ids), lengths, lstm)
        weights = [
            _weight_in_half_bytes(graph, "hidden", student.hidden),
            _weight_in_bytes(graph, "classifier", student.classifier),
        ]
    else:
        states = _last_states(graph, _vectors(graph, table, ids), lengths, lstm)
        weights = [_weight(graph, "hidden", student.hidden), _weight(graph, "classifier", student.classifier)]
    hidden = _dense(graph, _pooled(graph, states, config), weights[0], student.hidden, "hidden")
    _dense(graph, graph.node("Relu", [hidden], "relu"), weights[1], student.classifier, "logits")

    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if config.is_pair else [])]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            config.model_type,
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in inputs],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", config.num_labels])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), *([helper.make_opsetid("com.microsoft", 1)] if int8 else [])],
        ir_version=_IR_VERSION,
        producer_name="hf-bilstm-distill",
    )
    onnx.checker.check_model(model)
    return model


def _tokens_to_front(graph: _Graph, config: BiLSTMConfig) -> tuple[str, str]:
    """Write each sentence's tokens from position 0 on, and padding behind them; for pairs, all first sentences first.

    Every token goes to its rank among the tokens of its sentence, everything else to one position behind them all,
    which no sentence is long enough to read. A sentence without tokens has padding at position 0, even if `length` is
    0, and reads that.
    """
    one = graph.integers("one", 1)
    ids, is_token = "input_ids", graph.node("Cast", ["attention_mask"], "is_token", to=TensorProto.BOOL)
    if config.is_pair:
        of_sentence = []
        for number, name in enumerate(("first", "second")):
            is_type = graph.node("Equal", ["token_type_ids", graph.integers(f"type_of_{name}", number)], name)
            of_sentence.append(graph.node("And", [is_token, is_type], f"is_token_of_{name}"))
        is_token = graph.node("Concat", of_sentence, "is_token_of_sentence", axis=0)
        ids = graph.node("Concat", [ids, ids], "ids_of_sentences", axis=0)

    shape = graph.node("Shape", [ids], "shape")
    length = graph.node("Gather", [shape, one], "length")
    ones = graph.node("Cast", [is_token], "ones", to=TensorProto.INT64)
    count = graph.node("CumSum", [ones, one], "count")  # along axis 1
    rank = graph.node("Sub", [count, one], "rank")
    place = graph.node("Where", [is_token, rank, length], "place")
    longer = graph.node("Add", [shape, graph.integers("one_longer", [0, 1])], "longer_shape")
    filled = numpy_helper.from_array(np.array([config.pad_token_id], dtype=np.int64))
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


def _last_states(graph: _Graph, vectors: str, lengths: str, lstm: nn.LSTM) -> str:
    from_input, recurrent, bias = _lstm_weights(lstm)
    weights = [graph.constant("W", from_input), graph.constant("R", recurrent), graph.constant("B", bias)]
    return graph.node(
        "LSTM",
        [vectors, *weights, lengths],
        "last_states",  # (2, sentences, hidden)
        output_place=1,
        hidden_size=lstm.hidden_size,
        direction="bidirectional",
    )


def _last_states_in_int8(graph: _Graph, vectors: str, lengths: str, lstm: nn.LSTM) -> str:
    from_input, recurrent, bias = _lstm_weights(lstm)
    weights, scales = [], []
    for name, values in (("W", from_input), ("R", recurrent)):
        integers, scale = _to_integers(values, _LSTM_LIMIT, axes=(1, 2))
        weights.append(graph.constant(name, integers.transpose(0, 2, 1)))
        scales.append(graph.constant(f"{name}_scale", scale.ravel()))
        scales.append(graph.constant(f"{name}_zero_point", np.zeros(2, dtype=np.int8)))
    unused = ["", "", ""]  # first states, peepholes
    return graph.node(
        "DynamicQuantizeLSTM",
        [vectors, *weights, graph.constant("B", bias), lengths, *unused, *scales],
        "last_states",  # (2, sentences, hidden)
        output_place=1,
        domain="com.microsoft",
        hidden_size=lstm.hidden_size,
        direction="bidirectional",
    )


def _pooled(graph: _Graph, last_states: str, config: BiLSTMConfig) -> str:
    by_sentence = graph.node("Transpose", [last_states], "by_sentence", perm=[1, 0, 2])
    size = graph.integers("size", [-1, 2 * config.lstm_hidden_size])
    pooled = graph.node("Reshape", [by_sentence, size], "pooled")  # (sentences, 2 * hidden)
    if not config.is_pair:
        return pooled
    graph.nodes.append(helper.make_node("Split", [pooled], ["h1", "h2"], "split", axis=0))
    product = graph.node("Mul", ["h1", "h2"], "product")
    difference = graph.node("Abs", [graph.node("Sub", ["h1", "h2"], "difference")], "absolute_difference")
    return graph.node("Concat", ["h1", "h2", product, difference], "compared", axis=1)  # (batch, 8 * hidden)


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
