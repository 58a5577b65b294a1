"""An exported graph that is not the student, a folder that is half written, or a report that says something untrue."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import (
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from hf_bilstm_distill import predictor
from hf_bilstm_distill.export import export_onnx
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.onnx_graph import student_graph
from hf_bilstm_distill.predictor import OnnxTextClassifier
from hf_bilstm_distill.students import (
    BiAttentiveConfig,
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    MultiTaskConfig,
    MultiTaskForSequenceClassification,
)
from hf_bilstm_distill.tokenization import train_word_tokenizer

KINDS: dict[str, dict[str, Any]] = {
    "single": {},
    "multichannel": {"multichannel": True},
    "pair": {"is_pair": True},
    "multichannel-pair": {"multichannel": True, "is_pair": True},
    "highest": {"pooling": "max"},
    "highest-pair": {"pooling": "max", "is_pair": True},
}
NAMES = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
FILES = ["README.md", "config.json", "export_report.json", "model.onnx", "predictor.py", "tokenizer.json"]


@pytest.fixture(scope="module")
def tokenizer(texts: Dataset) -> PreTrainedTokenizerFast:
    return train_word_tokenizer(texts["text"])


@pytest.fixture(scope="module")
def trained(texts: Dataset, tokenizer: PreTrainedTokenizerFast) -> BiLSTMForSequenceClassification:
    """A small student that has learned the labels of the texts: with a margin, on any machine."""
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer), "embedding_dim": 16, "lstm_hidden_size": 16, "fc_size": 16, "dropout": 0.0}
    model = BiLSTMForSequenceClassification(BiLSTMConfig(**sizes, **NAMES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    batch = tokenizer(list(texts["text"]), padding=True, return_tensors="pt")
    labels = torch.tensor(list(texts["label"]))
    for _ in range(40):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    return model.eval()


def student(**settings: Any) -> BiLSTMForSequenceClassification:
    """A student whose weights are all random: biases too, padding too, and two tables that differ."""
    sizes = {"vocab_size": 40, "embedding_dim": 6, "lstm_hidden_size": 5, "fc_size": 7, "num_labels": 3}
    model = BiLSTMForSequenceClassification(BiLSTMConfig(**{**sizes, "pad_token_id": 2, **settings})).eval()
    generator = torch.Generator().manual_seed(7)
    for values in model.state_dict().values():
        values.normal_(0, 0.4, generator=generator)
    return model


@torch.no_grad()
def torch_logits(model: PreTrainedModel, inputs: dict[str, Tensor]) -> np.ndarray:
    return model(**inputs).logits.numpy()


def graph_logits(graph: onnx.ModelProto | Path, inputs: dict[str, Tensor]) -> np.ndarray:
    source = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return session.run(["logits"], {name: inputs[name].numpy() for name in names})[0]


def inputs_of(rows: int, length: int, mask: Tensor) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(rows + length)
    ids = torch.randint(0, 40, (rows, length), generator=generator)
    types = torch.randint(0, 2, (rows, length), generator=generator).sort(dim=1).values
    return {"input_ids": ids, "attention_mask": mask.long().expand(rows, length), "token_type_ids": types}


MASKS = {
    "one-row": torch.ones(1, 9),
    "one-token": torch.ones(1, 1),
    "right-padding": torch.arange(9) < torch.tensor([[9], [1], [4], [0], [8]]),
    "left-padding": torch.arange(9) >= torch.tensor([[0], [8], [5], [9]]),
    "holes": torch.rand(6, 9, generator=torch.Generator().manual_seed(1)) < 0.5,
    "only-padding": torch.zeros(2, 4),
    "no-length": torch.ones(3, 0),
}


# ------------------------------------------------------------------------------------------------------------ the graph
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_graph_equals_torch(kind: str, mask: Tensor) -> None:
    """Gates, directions, sentences or padding that are mixed up in the export."""
    model = student(**KINDS[kind])
    inputs = inputs_of(*mask.shape, mask)
    np.testing.assert_allclose(
        graph_logits(student_graph(model), inputs), torch_logits(model, inputs), atol=1e-5, rtol=0
    )


def test_graph_has_one_lstm_and_free_sizes() -> None:
    """A graph that is unrolled for one length, or that other runtimes cannot read."""
    graph = student_graph(student())
    operations = [node.op_type for node in graph.graph.node]
    assert operations.count("LSTM") == 1
    assert len(operations) < 30
    assert [(given.domain, given.version) for given in graph.opset_import] == [("", 13)]
    for given in graph.graph.input:
        assert [size.dim_param for size in given.type.tensor_type.shape.dim] == ["batch", "length"]


@pytest.mark.parametrize("kind", KINDS)
def test_int8_is_a_quarter_and_close(kind: str) -> None:
    """A small file whose answers are noise, or one that is not small."""
    sizes = {"vocab_size": 3000, "embedding_dim": 300, "lstm_hidden_size": 150, "fc_size": 200}
    torch.manual_seed(0)
    model = BiLSTMForSequenceClassification(BiLSTMConfig(**sizes, **KINDS[kind])).eval()
    exact, small = student_graph(model), student_graph(model, int8=True)
    assert small.ByteSize() <= exact.ByteSize() / 4
    inputs = inputs_of(200, 12, torch.arange(12) < torch.arange(200)[:, None] % 13)
    expected, given = graph_logits(exact, inputs), graph_logits(small, inputs)
    assert np.abs(given - expected).mean() < 0.1 * expected.std()
    assert np.corrcoef(given.ravel(), expected.ravel())[0, 1] > 0.99


def test_odd_sizes_and_zero_weights_fit_into_int8() -> None:
    """A division by zero, or a layer of which a column is lost in packing."""
    model = student(embedding_dim=7, lstm_hidden_size=3, fc_size=5)
    model.hidden.weight.data[2] = 0
    model.bilstm.embed_tokens.weight.data[:, 4] = 0
    inputs = inputs_of(9, 9, torch.ones(9, 9))
    expected = torch_logits(model, inputs)
    given = graph_logits(student_graph(model, int8=True), inputs)
    assert np.abs(given - expected).max() < 0.2 * np.abs(expected).max()


# ----------------------------------------------------------------------------------------------------------- the folder
def test_folder_is_complete(
    trained: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, texts: Dataset, tmp_path: Path
) -> None:
    """A file that the server needs and lacks, or that tells where it was made."""
    folder = tmp_path / "made" / "here"
    report = export_onnx(trained, tokenizer, folder)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["here"]
    for path in folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    assert (folder / "predictor.py").read_bytes() == Path(predictor.__file__).read_bytes()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["labels"] == ["bad", "good"]
    assert (config["max_length"], config["is_pair"], config["pad_token_id"]) == (512, False, 0)
    assert json.loads((folder / "export_report.json").read_text(encoding="utf-8")) == report
    assert report["bytes"] == report["bytes_in_float32"] == (folder / "model.onnx").stat().st_size
    assert 0 <= report["difference_from_torch"] < 1e-4
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "pip install onnxruntime tokenizers numpy" in readme
    assert "bad, good" in readme


def test_a_readme_shows_what_runs(
    trained: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Lines that people copy and that fail."""
    for model in (trained, student(is_pair=True, vocab_size=len(tokenizer))):
        folder = tmp_path / f"pair-{model.config.is_pair}"
        export_onnx(model, tokenizer, folder)
        code = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
        values: dict[str, Any] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.syspath_prepend(folder)
            exec(code, values)
            patch.delitem(sys.modules, "predictor")
        assert {result["label"] for result in values["results"]} <= set(model.config.id2label.values())


def test_int8_tells_what_it_loses(
    trained: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, texts: Dataset, tmp_path: Path
) -> None:
    """A loss that is measured on something else than the labels that the folder gives."""
    labels = np.array(texts["label"])
    labels[:6] = -100  # without a gold label
    labels[6:18] = 1 - labels[6:18]  # wrong: 12 of the 42 that are left
    rows = Dataset.from_dict({"text": texts["text"][:], "label": labels})
    report = export_onnx(trained, tokenizer, tmp_path / "student", quantize="int8", eval_dataset=rows)
    assert report["bytes"] == (tmp_path / "student" / "model.onnx").stat().st_size < report["bytes_in_float32"]
    assert report["int8"]["texts"] == 48
    assert report["int8"]["agreement"] == 1
    assert report["int8"]["accuracy"] == report["int8"]["accuracy_in_float32"] == pytest.approx(30 / 42)
    assert 0 < report["int8"]["mean_difference"] < report["int8"]["max_difference"] < 1
    answers = OnnxTextClassifier.from_pretrained(tmp_path / "student").predict(texts["text"])
    assert [answer["label"] for answer in answers] == [["bad", "good"][label] for label in texts["label"]]


def test_lost_labels_are_counted(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """An agreement that is always 1."""
    model = student(vocab_size=len(tokenizer), num_labels=2)
    words = [word for word in tokenizer.get_vocab() if not word.startswith("[")]
    texts = [" ".join(chosen) for chosen in np.random.default_rng(0).choice(words, (60, 5))]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    # A state that is always 0, with a weight so large that in int8 nothing is left of the others.
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        getattr(model.bilstm.lstm, name).data[2 * model.config.lstm_hidden_size] = 0
    model.hidden.weight.data[:, 0] = 1000
    logits = torch_logits(model, inputs)
    model.classifier.bias.data[1] += float(np.median(logits[:, 0] - logits[:, 1]))  # each label for half of the texts
    texts = Dataset.from_dict({"text": texts, "label": torch_logits(model, inputs).argmax(axis=1)})
    report = export_onnx(model, tokenizer, tmp_path / "student", quantize="int8", eval_dataset=texts)
    assert report["int8"]["accuracy_in_float32"] == 1
    assert report["int8"]["agreement"] == report["int8"]["accuracy"] == 0.5


def test_pairs_and_other_problems_are_measured(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """An accuracy for a number, or for several labels at a time."""
    rows = Dataset.from_dict({"text": ["a film", ""], "text_pair": ["the cast", "a cast"], "label": [0.5, 1.5]})
    sizes = {"vocab_size": len(tokenizer), "is_pair": True}
    regression = student(num_labels=1, problem_type="regression", **sizes)
    report = export_onnx(regression, tokenizer, tmp_path / "one", quantize="int8", eval_dataset=rows)
    assert report["int8"].keys() == {"texts", "mean_difference", "max_difference"}
    several = student(num_labels=3, problem_type="multi_label_classification", **sizes)
    report = export_onnx(
        several, tokenizer, tmp_path / "two", quantize="int8", eval_dataset=rows.remove_columns("label")
    )
    assert report["int8"].keys() == {"texts", "mean_difference", "max_difference", "agreement"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_exported_as_it_is(
    trained: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, dtype: torch.dtype
) -> None:
    """A checkpoint in half precision that cannot be exported, or is changed by it."""
    model = BiLSTMForSequenceClassification(trained.config)
    model.load_state_dict(trained.state_dict())
    model.to(dtype).train()
    export_onnx(model, tokenizer, tmp_path / "student")
    assert model.training
    assert {values.dtype for values in model.state_dict().values()} == {dtype}
    inputs = inputs_of(3, 5, torch.ones(3, 5))
    exact = model.float().eval()
    np.testing.assert_allclose(
        graph_logits(tmp_path / "student" / "model.onnx", inputs), torch_logits(exact, inputs), atol=1e-5, rtol=0
    )


def test_tokenizers_keep_their_state(
    trained: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A tokenizer that pads in the exported folder, or that cuts texts ever after."""
    tokenizer(["film", "a warm film"], padding="max_length", max_length=9, truncation=True)
    before = tokenizer.backend_tokenizer.to_str()
    export_onnx(trained, tokenizer, tmp_path / "student", max_length=4)
    assert tokenizer.backend_tokenizer.to_str() == before
    saved = json.loads((tmp_path / "student" / "tokenizer.json").read_text(encoding="utf-8"))
    assert saved["padding"] is None
    assert saved["truncation"]["max_length"] == 4


def test_exporting_again_replaces(
    trained: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """An old graph beside a new configuration."""
    (tmp_path / "student").mkdir()
    export_onnx(trained, tokenizer, tmp_path / "student", max_length=4)
    (tmp_path / "student" / "left over").touch()
    export_onnx(trained, tokenizer, tmp_path / "student", max_length=5)
    assert sorted(path.name for path in (tmp_path / "student").iterdir()) == FILES
    assert json.loads((tmp_path / "student" / "config.json").read_text(encoding="utf-8"))["max_length"] == 5


# --------------------------------------------------------------------------------------------------------------- errors
def test_checkpoints_are_not_overwritten(
    trained: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A student that is deleted because it was exported to where it lies."""
    trained.save_pretrained(tmp_path / "student")
    (tmp_path / "file").touch()
    for name in ("student", "file"):
        with pytest.raises(FileExistsError, match="something else than an exported student"):
            export_onnx(trained, tokenizer, tmp_path / name)
    assert (tmp_path / "student" / "model.safetensors").is_file()


def test_a_wrong_graph_is_not_written(
    trained: BiLSTMForSequenceClassification, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A broken student that takes the place of one that works."""
    export_onnx(trained, tokenizer, tmp_path / "student")
    before = (tmp_path / "student" / "model.onnx").read_bytes()
    broken = student(vocab_size=len(tokenizer))
    broken.bilstm.lstm.weight_hh_l0.data[0, 0] = torch.nan
    for name in ("student", "new"):
        with pytest.raises(RuntimeError, match=r"differ by nan in their logits, more than 0\.0001"):
            export_onnx(broken, tokenizer, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert (tmp_path / "student" / "model.onnx").read_bytes() == before


def test_other_models_stop(
    teacher_model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A BERT of which an LSTM is looked for."""
    with pytest.raises(TypeError, match="got a BertForSequenceClassification"):
        export_onnx(teacher_model, tokenizer, tmp_path / "student")  # type: ignore[arg-type]


def rows_of(columns: dict[str, Sequence[Any]]) -> Dataset:
    return Dataset.from_dict(columns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantize": "int4"}, "quantize must be 'int8' or None, got 'int4'"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"eval_dataset": rows_of({"text": []})}, "eval_dataset has no rows"),
        ({"eval_dataset": rows_of({"sentence": ["a"]})}, r"eval_dataset has no column 'text'.*'sentence'"),
        ({"eval_dataset": rows_of({"text": ["a"], "text_pair": ["b"]})}, r"\['text', 'text_pair'\].*single texts"),
        ({"eval_dataset": rows_of({"text": ["a"], "label": ["good"]})}, r"does not hold numbers \(row 0: 'good'\)"),
    ],
    ids=["quantize", "length", "no-rows", "no-text", "pairs", "label-names"],
)
def test_wrong_arguments_stop(
    trained: BiLSTMForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    arguments: dict[str, Any],
    message: str,
) -> None:
    """A mistake that shows after the work, or in no way."""
    with pytest.raises(ValueError, match=message):
        export_onnx(trained, tokenizer, tmp_path / "student", **arguments)
    assert not (tmp_path / "student").exists()


def test_other_tokenizers_stop(
    tokenizer: PreTrainedTokenizerFast, teacher_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Ids beyond the table, or a tokenizer that cannot be written as tokenizer.json."""
    model = student(vocab_size=len(tokenizer))
    assert len(teacher_tokenizer) > len(tokenizer)
    with pytest.raises(ValueError, match=f"ids up to {len(teacher_tokenizer) - 1}, the model {len(tokenizer)} emb"):
        export_onnx(model, teacher_tokenizer, tmp_path / "student")
    with pytest.raises(TypeError, match="is not a fast tokenizer"):
        export_onnx(model, PreTrainedTokenizerBase(), tmp_path / "student")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_packages_are_told(
    trained: BiLSTMForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
) -> None:
    """An ImportError that does not say what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "hf_bilstm_distill.onnx_graph")
    with pytest.raises(ImportError, match=r'pip install "hf-bilstm-distill\[onnx\]"'):
        export_onnx(trained, tokenizer, tmp_path / "student")


# ------------------------------------------------------------------------------------------------------- several tasks
def attentive_student(*, is_pair: bool, fc_size: int | None = 7, **sizes: int) -> MultiTaskForSequenceClassification:
    """A bi-attentive student of two tasks, the second of which is set, all of whose weights are random."""
    sizes = {"vocab_size": 40, "embedding_dim": 6, "feed_forward_size": 7, "lstm_hidden_size": 5, **sizes}
    tasks = {"other": {"num_labels": 2}, "this": {"num_labels": 3, "is_pair": is_pair}}
    encoder = BiAttentiveConfig(**sizes, pad_token_id=2)
    config = MultiTaskConfig(encoder=encoder, tasks=tasks, task="this", fc_size=fc_size)
    model = MultiTaskForSequenceClassification(config).eval()
    generator = torch.Generator().manual_seed(7)
    for values in model.state_dict().values():
        values.normal_(0, 0.4, generator=generator)
    return model


def inputs_of_attentive(mask: Tensor, *, is_pair: bool) -> dict[str, Tensor]:
    """Pairs, and rows among them that have tokens of one sentence only; without types for single texts."""
    inputs = inputs_of(*mask.shape, mask)
    if not is_pair:
        del inputs["token_type_ids"]
    elif len(mask) > 2:
        inputs["token_type_ids"][0], inputs["token_type_ids"][2] = 1, 0
    return inputs


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(("is_pair", "fc_size"), [(False, 7), (False, None), (True, 7), (True, None)])
def test_graph_of_a_bi_attentive_student_equals_torch(is_pair: bool, fc_size: int | None, mask: Tensor) -> None:
    """Attention to padding or to the wrong sentence, a pooling that is another, or the head of another task."""
    model, inputs = attentive_student(is_pair=is_pair, fc_size=fc_size), inputs_of_attentive(mask, is_pair=is_pair)
    np.testing.assert_allclose(
        graph_logits(student_graph(model), inputs), torch_logits(model, inputs), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("is_pair", [False, True], ids=["single", "pair"])
def test_a_bi_attentive_student_in_int8_is_a_quarter_and_close(is_pair: bool) -> None:
    """A small file whose answers are noise, or one that is not small."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 3000, "embedding_dim": 300, "feed_forward_size": 64, "lstm_hidden_size": 64}
    config = MultiTaskConfig(encoder=BiAttentiveConfig(**sizes), tasks={"this": {"num_labels": 3, "is_pair": is_pair}})
    model = MultiTaskForSequenceClassification(config).eval()
    exact, small = student_graph(model), student_graph(model, int8=True)
    assert small.ByteSize() <= exact.ByteSize() / 4
    inputs = inputs_of_attentive(torch.arange(12) < torch.arange(100)[:, None] % 13, is_pair=is_pair)
    expected, given = graph_logits(exact, inputs), graph_logits(small, inputs)
    assert np.corrcoef(given.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("is_pair", [False, True], ids=["single", "pair"])
@pytest.mark.parametrize("encoder", ["bi-attentive", "bilstm"])
def test_a_task_is_exported(
    encoder: str, is_pair: bool, texts: Dataset, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A student of several tasks that cannot be served without torch, or answers for another task or as another."""
    model = attentive_student(is_pair=is_pair, vocab_size=len(tokenizer))
    if encoder == "bilstm":
        bilstm = BiLSTMConfig(vocab_size=len(tokenizer), embedding_dim=6, lstm_hidden_size=5, is_pair=is_pair)
        config = MultiTaskConfig(encoder=bilstm, tasks=model.config.tasks, task="this", fc_size=7)
        model = MultiTaskForSequenceClassification(config).eval()
    sentences = texts["text"][:20]
    columns = {"text": sentences, **({"text_pair": sentences[::-1]} if is_pair else {})}
    export_onnx(model, tokenizer, tmp_path / "onnx", eval_dataset=Dataset.from_dict(columns))
    classifier = OnnxTextClassifier.from_pretrained(tmp_path / "onnx")
    assert (classifier.is_pair, classifier.labels) == (is_pair, ["LABEL_0", "LABEL_1", "LABEL_2"])
    inputs = list(zip(*columns.values(), strict=True)) if is_pair else sentences
    expected = TextClassifier(model, tokenizer).logits(*columns.values())
    np.testing.assert_allclose(classifier.logits(inputs), expected, atol=1e-5, rtol=0)


def test_other_encoders_of_several_tasks_stop(
    teacher_dir: str, teacher_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A Transformer that is exported as if it were an LSTM."""
    model = MultiTaskForSequenceClassification.from_teacher(teacher_dir, {"this": {"num_labels": 2}}, 1)
    with pytest.raises(TypeError, match="MultiTaskForSequenceClassification over a BertModel"):
        export_onnx(model, teacher_tokenizer, tmp_path / "onnx")
