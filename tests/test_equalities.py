"""Ways to do the same thing that a user takes for the same, and that give other numbers."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    DistillationTrainer,
    DistillationTrainingArguments,
    TextClassifier,
    encode,
    export_onnx,
    include_code,
    label_with_teacher,
    train_word_tokenizer,
)
from hf_bilstm_distill.predictor import OnnxTextClassifier

ROOT = Path(__file__).parents[1]
KINDS = {"single": False, "pair": True}


@pytest.fixture(scope="module")
def tokenizer(texts: Dataset) -> PreTrainedTokenizerFast:
    return train_word_tokenizer(texts["text"])


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def transfer_set(
    kind: str, texts: Dataset, teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast
) -> Dataset:
    """Forty-eight texts, or pairs of them whose second one may be empty, with a teacher's logits."""
    if KINDS[kind]:
        texts = texts.add_column("text_pair", [*texts["text"][1:], ""])
    return label_with_teacher(texts, TextClassifier(teacher_model, teacher_tokenizer))


def make_student(kind: str, tokenizer: PreTrainedTokenizerFast) -> BiLSTMForSequenceClassification:
    """A student whose weights are all random: biases too, and two tables that differ."""
    sizes = {"embedding_dim": 8, "lstm_hidden_size": 8, "fc_size": 8, "dropout": 0.0}
    names = {"id2label": {0: "negative", 1: "positive"}, "label2id": {"negative": 0, "positive": 1}}
    config = BiLSTMConfig(vocab_size=len(tokenizer), is_pair=KINDS[kind], multichannel=True, **sizes, **names)
    student = BiLSTMForSequenceClassification(config).eval()
    generator = torch.Generator().manual_seed(7)
    for name, values in student.state_dict().items():
        values.normal_(0, 0.4, generator=generator)
        if "embed_tokens" in name:
            values[config.pad_token_id] = 0
    return student


def make_trainer(
    kind: str, tokenizer: PreTrainedTokenizerFast, rows: Dataset, output_dir: Path, **changed: Any
) -> DistillationTrainer:
    settings = {
        "output_dir": str(output_dir),
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "num_train_epochs": 3,
        "per_device_train_batch_size": 8,
        "learning_rate": 0.02,
        "alpha": 0.3,
        **changed,
    }
    return DistillationTrainer(
        make_student(kind, tokenizer),
        DistillationTrainingArguments(**settings),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
    )


def test_the_side_of_the_padding_changes_nothing(
    kind: str, tokenizer: PreTrainedTokenizerFast, transfer_set: Dataset, tmp_path: Path
) -> None:
    """A student that was trained on rows padded on the left is another one, or answers otherwise there."""
    found = []
    for side in ("right", "left"):
        own = copy.deepcopy(tokenizer)
        own.padding_side = side
        trainer = make_trainer(kind, own, encode(transfer_set, own), tmp_path)
        start = copy.deepcopy(trainer.model.state_dict())
        trainer.train()
        predictions = trainer.predict(trainer.eval_dataset).predictions
        found.append((trainer.model.state_dict(), predictions, trainer.evaluate()["eval_loss"]))
    (right, predictions, loss), (left, *others) = found
    assert max(float((right[name] - start[name]).abs().max()) for name in start) > 0.02  # it has learned
    for name, values in right.items():
        np.testing.assert_allclose(left[name], values, rtol=0, atol=1e-6)
    np.testing.assert_allclose(others[0], predictions, rtol=0, atol=1e-6)
    assert others[1] == pytest.approx(loss, abs=1e-6)


def test_the_batch_size_of_an_evaluation_changes_nothing(
    kind: str, tokenizer: PreTrainedTokenizerFast, transfer_set: Dataset, tmp_path: Path
) -> None:
    """Whoever has more memory measures another student, or gets the predictions of other rows."""
    rows = encode(transfer_set, tokenizer)
    found = []
    for size in (1, 7, 128):
        trainer = make_trainer(kind, tokenizer, rows, tmp_path, per_device_eval_batch_size=size)
        output = trainer.predict(rows)
        timed = ("runtime", "per_second", "model_preparation_time")
        values = {name: value for name, value in output.metrics.items() if not name.endswith(timed)}
        found.append((output.predictions, values))
    (predictions, values), *others = found
    assert {"test_loss", "test_hard_label_loss", "test_agreement_with_teacher"} <= values.keys()
    for other_predictions, other_values in others:
        np.testing.assert_allclose(other_predictions, predictions, rtol=0, atol=1e-6)
        assert other_values == pytest.approx(values, abs=1e-6)


STRANGER = """
import json, sys
import numpy as np
import torch


class NoPackage:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_bilstm_distill":
            raise ImportError("hf_bilstm_distill is not installed here")


sys.meta_path.insert(0, NoPackage())
from transformers import AutoModelForSequenceClassification, AutoTokenizer

for kind, columns in json.loads(sys.argv[2]).items():
    folder = f"{sys.argv[1]}/{kind}"
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    inputs = AutoTokenizer.from_pretrained(folder)(*columns, padding=True, return_tensors="pt")
    with torch.no_grad():
        np.save(f"{folder}/logits.npy", model(**inputs).logits.numpy())
assert "hf_bilstm_distill" not in sys.modules
"""


@pytest.fixture(scope="module")
def by_a_stranger(
    texts: Dataset, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """The logits of both students where this package is not installed, by the code in their folders."""
    folder = tmp_path_factory.mktemp("stranger")
    for kind in KINDS:
        student = make_student(kind, tokenizer)
        include_code(student)
        student.save_pretrained(folder / kind)
        tokenizer.save_pretrained(folder / kind)
    columns = {kind: columns_of(texts, kind) for kind in KINDS}
    run_alone(STRANGER, folder, str(folder), json.dumps(columns))
    return {kind: np.load(folder / kind / "logits.npy") for kind in KINDS}


def columns_of(texts: Dataset, kind: str) -> list[list[str]]:
    first = [*texts["text"], "", "words that nobody knows"]
    return [first, first[::-1]] if KINDS[kind] else [first]


def run_alone(script: str, folder: Path, *arguments: str, **variables: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "HF_MODULES_CACHE": str(folder / "code")}
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**environment, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_every_way_to_run_a_student_gives_the_same_logits(
    kind: str,
    texts: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    by_a_stranger: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    """A student that is measured in one way and serves in another, with other answers."""
    student = make_student(kind, tokenizer)
    columns = columns_of(texts, kind)
    rows = list(zip(*columns, strict=True))
    with torch.no_grad():
        forward = torch.cat([student(**tokenizer(*row, return_tensors="pt")).logits for row in rows]).numpy()
    assert forward.std(axis=0).min() > 0.05  # rows that can be told apart
    close = {"rtol": 0, "atol": 1e-5}

    classifier = TextClassifier(student, tokenizer)
    np.testing.assert_allclose(classifier.logits(*columns), forward, **close)
    few = [column[:3] for column in columns]
    np.testing.assert_allclose(TextClassifier(student, tokenizer).logits(*few), forward[:3], **close)

    classify = pipeline("text-classification", model=student, tokenizer=tokenizer, top_k=None, device="cpu")
    names = ("text", "text_pair")
    inputs = [dict(zip(names, row, strict=False)) for row in rows]
    for batch_size in (1, 8):
        found = classify(inputs, function_to_apply="none", batch_size=batch_size)
        by_label = [{entry["label"]: entry["score"] for entry in row} for row in found]
        np.testing.assert_allclose([[row["negative"], row["positive"]] for row in by_label], forward, **close)

    np.testing.assert_allclose(by_a_stranger[kind], forward, **close)

    export_onnx(student, tokenizer, tmp_path / "onnx")
    exported = OnnxTextClassifier.from_pretrained(tmp_path / "onnx", num_threads=1)
    np.testing.assert_allclose(exported.logits(rows if KINDS[kind] else columns[0]), forward, **close)


CHAIN = """
import sys

import numpy as np
import torch
from datasets import load_dataset
from hf_bilstm_distill import (
    BiLSTMConfig, BiLSTMForSequenceClassification, DistillationTrainer, DistillationTrainingArguments,
    HeuristicAugmenter, TextClassifier, augment, encode, initialize_embeddings, label_with_teacher,
    train_word_tokenizer, trim_tokenizer, vectors_from_teacher,
)
from transformers import set_seed

teacher_dir, rows, out = sys.argv[1:]
torch.set_num_threads(1)
set_seed(7)
teacher = TextClassifier.from_pretrained(teacher_dir, device="cpu")
augmented = augment(load_dataset("json", data_files=rows, split="train"), HeuristicAugmenter(seed=7))
transfer_set = label_with_teacher(augmented, teacher)
transfer_set.to_json(f"{out}/transfer.jsonl")
np.save(f"{out}/logits.npy", np.array(transfer_set["teacher_logits"][:], dtype=np.float32))
tokenizer = trim_tokenizer(teacher.tokenizer, transfer_set["text"])
tokenizer.save_pretrained(out)
train_word_tokenizer(transfer_set["text"]).save_pretrained(f"{out}/words")
config = BiLSTMConfig(vocab_size=len(tokenizer), embedding_dim=16, lstm_hidden_size=8, fc_size=8, dropout=0.3)
student = BiLSTMForSequenceClassification(config)
initialize_embeddings(student, vectors_from_teacher(teacher.model, teacher.tokenizer, tokenizer, 16, seed=7))
args = DistillationTrainingArguments(
    output_dir=out, seed=7, num_train_epochs=2, per_device_train_batch_size=32, use_cpu=True, disable_tqdm=True,
    save_strategy="no", alpha=0.2, report_to="none",
)
trainer = DistillationTrainer(student, args, train_dataset=encode(transfer_set, tokenizer), processing_class=tokenizer)
trainer.train()
trainer.save_model()
"""


@pytest.mark.slow
@pytest.mark.multiprocess
def test_two_runs_of_one_seed_give_the_same_bytes(texts: Dataset, trained_teacher_dir: str, tmp_path: Path) -> None:
    """A result that its author cannot make again: rows, labels, vocabulary or weights come from somewhere else."""
    rows = tmp_path / "rows.jsonl"
    texts.to_json(rows)
    found = []
    for number, salt in enumerate(("0", "12345")):  # the order of sets of strings differs between the two
        folder = tmp_path / str(number)
        folder.mkdir()
        run_alone(
            CHAIN,
            folder,
            trained_teacher_dir,
            str(rows),
            str(folder),
            PYTHONPATH=str(ROOT),
            PYTHONHASHSEED=salt,
            OMP_NUM_THREADS="1",
        )
        files = ("transfer.jsonl", "logits.npy", "tokenizer.json", "words/tokenizer.json", "model.safetensors")
        found.append({name: (folder / name).read_bytes() for name in files})
    assert found[0]["transfer.jsonl"].count(b"\n") > 2 * len(texts)
    for name, content in found[0].items():
        assert content == found[1][name], name
