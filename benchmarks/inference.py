"""Compare serving speed, from texts to labels: the student in each of its forms, its teacher, and others, in one run.

All ways get the same texts, and all that take batches get them sorted by length. The shapes of BERT-base, BERT-large
and ELMo (two bidirectional layers of 4096 cells projected to 512, without its character CNN, which makes it faster
than it was) have random weights: speed does not depend on them. fastText, model2vec and scikit-learn take part where
they are installed, trained on the given texts.

python benchmarks/inference.py --student STUDENT --teacher TEACHER --texts validation.jsonl
python benchmarks/inference.py --student STUDENT --teacher TEACHER --texts validation.jsonl --full
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

# Heavy packages are imported by the ways that need them, so that peak memory is each way's own.

LONG = 250  # words of a long text


@dataclass
class Way:
    """A way to serve: labels of many texts and of one, and its size; perhaps also in two halves, tokenizing first."""

    labels: Callable[[Sequence[str]], Any]
    label: Callable[[str], Any]
    size_bytes: int
    tokenize: Callable[[Sequence[str]], Any] | None = None
    run: Callable[[Any], Any] | None = None


def torch_way(classifier: Any) -> Way:
    """A `TextClassifier`: length-sorted batches, the folded table for many texts of a student."""
    return Way(
        classifier.predict,
        lambda text: classifier.predict([text]),
        classifier.size_bytes,
        lambda texts: classifier._tokenize([list(texts)]),
        classifier._logits,
    )


def student(options: argparse.Namespace) -> Way:
    """Our classifier in PyTorch: folded for many texts."""
    from hf_bilstm_distill import TextClassifier

    classifier = TextClassifier.from_pretrained(options.student, device="cpu")
    return torch_way(classifier)


def student_bf16(options: argparse.Namespace) -> Way:
    """The same with its products in bfloat16."""
    import torch

    from hf_bilstm_distill import TextClassifier

    classifier = TextClassifier.from_pretrained(options.student, dtype=torch.bfloat16, device="cpu")
    return torch_way(classifier)


def packed(options: argparse.Namespace) -> Way:
    """The same weights as people run them: packed `nn.LSTM`, length-sorted batches of 64."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence

    from hf_bilstm_distill import TextClassifier

    classifier = TextClassifier.from_pretrained(options.student, device="cpu")
    model: Any = classifier.model
    encoder, tokenizer = model.bilstm, classifier.tokenizer

    def tokenize(texts: Sequence[str]) -> Any:
        return tokenizer(list(texts), truncation=True, max_length=512)

    @torch.inference_mode()
    def run(encoded: Any) -> np.ndarray:
        lengths = np.array([len(ids) for ids in encoded["input_ids"]])
        order = np.argsort(-lengths, kind="stable")
        found = np.empty(len(lengths), dtype=np.int64)
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            batch = {name: [values[row] for row in rows] for name, values in encoded.items()}
            inputs = tokenizer.pad(batch, return_tensors="pt")
            vectors = encoder.embed_tokens(inputs["input_ids"])
            last = encoder.lstm(pack_padded_sequence(vectors, inputs["attention_mask"].sum(1), batch_first=True))[1][0]
            found[rows] = model.classify(torch.cat([last[0], last[1]], dim=1)).argmax(dim=1).numpy()
        return found

    def labels(texts: Sequence[str]) -> np.ndarray:
        return run(tokenize(texts))

    return Way(labels, lambda text: labels([text]), classifier.size_bytes, tokenize, run)


def hf_pipeline(options: argparse.Namespace) -> Way:
    """The Hugging Face pipeline around the student, in batches of 64."""
    from transformers import pipeline

    import hf_bilstm_distill  # noqa: F401  (registers the student)

    pipe = pipeline("text-classification", model=options.student, device="cpu")
    size = sum(tensor.nbytes for tensor in pipe.model.state_dict().values())
    return Way(lambda texts: pipe(list(texts), batch_size=64), pipe, size)


def onnx(options: argparse.Namespace, quantize: str | None) -> Way:
    """The exported student: ONNX Runtime, no PyTorch."""
    folder = Path(options.exports) / str(quantize)
    if not folder.exists():  # in a process of its own, so that PyTorch's memory is not counted here
        code = (
            "from hf_bilstm_distill import TextClassifier, export_onnx; import sys; "
            "student = TextClassifier.from_pretrained(sys.argv[1], device='cpu'); "
            "export_onnx(student.model, student.tokenizer, sys.argv[2], quantize=sys.argv[3] or None)"
        )
        command = [sys.executable, "-c", code, options.student, str(folder), quantize or ""]
        subprocess.run(command, check=True, capture_output=True)
    sys.path.insert(0, str(folder))
    from predictor import OnnxTextClassifier  # the folder's own: it needs neither PyTorch nor this package

    classifier = OnnxTextClassifier.from_pretrained(folder, num_threads=options.threads)
    return Way(classifier.predict, classifier.predict, (folder / "model.onnx").stat().st_size)


def teacher(options: argparse.Namespace) -> Way:
    """The teacher, in length-sorted batches."""
    from hf_bilstm_distill import TextClassifier

    classifier = TextClassifier.from_pretrained(options.teacher, device="cpu")
    return torch_way(classifier)


def bert(options: argparse.Namespace, **shape: int) -> Way:
    """A BERT of some shape with random weights, in length-sorted batches."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from hf_bilstm_distill import TextClassifier

    tokenizer = AutoTokenizer.from_pretrained(options.teacher)
    model = BertForSequenceClassification(BertConfig(vocab_size=max(30522, len(tokenizer)), **shape))
    classifier = TextClassifier(model, tokenizer)
    return torch_way(classifier)


def elmo(options: argparse.Namespace) -> Way:
    """Two bidirectional layers of 4096 cells, projected to 512, over vectors of 512; random weights."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.teacher)
    layers = [torch.nn.LSTM(512, 4096, 2, proj_size=512, batch_first=True) for _ in range(2)]  # each way by itself
    table, head = torch.nn.Embedding(len(tokenizer), 512), torch.nn.Linear(1024, 2)

    def tokenize(texts: Sequence[str]) -> Any:
        return tokenizer(list(texts), truncation=True, max_length=512)["input_ids"]

    @torch.inference_mode()
    def run(encoded: Any) -> np.ndarray:
        order = sorted(range(len(encoded)), key=lambda row: -len(encoded[row]))
        found = np.empty(len(encoded), dtype=np.int64)
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            sentences = [torch.tensor(encoded[row]) for row in rows]
            states = []
            for layer, turned in zip(layers, (sentences, [ids.flip(0) for ids in sentences]), strict=True):
                vectors = torch.nn.utils.rnn.pack_sequence([table(ids) for ids in turned])
                states.append(layer(vectors)[1][0][-1])
            found[rows] = head(torch.cat(states, dim=1)).argmax(dim=1).numpy()
        return found

    modules = torch.nn.ModuleList([*layers, table, head])
    size = sum(parameter.nbytes for parameter in modules.parameters())

    def labels(texts: Sequence[str]) -> np.ndarray:
        return run(tokenize(texts))

    return Way(labels, lambda text: labels([text]), size, tokenize, run)


def fasttext(options: argparse.Namespace) -> Way:
    """FastText on words and their pairs."""
    import fasttext as library

    texts, labels = labelled(options)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        lines = (" ".join(text.split()) for text in texts)
        file.writelines(f"__label__{label} {text}\n" for text, label in zip(lines, labels, strict=True))
        file.flush()
        model = library.train_supervised(file.name, epoch=5, lr=0.5, dim=100, wordNgrams=2, thread=1, verbose=0)
    size = saved_size(lambda path: model.save_model(path))

    def predict(texts: Sequence[str]) -> Any:
        return model.predict([text.replace("\n", " ") for text in texts])

    return Way(predict, lambda text: model.predict(text.replace("\n", " ")), size)


def model2vec(options: argparse.Namespace) -> Way:
    """model2vec: a mean of 256 numbers a token, the teacher's reduced, under logistic regression."""
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from tokenizers import Tokenizer

    weights = load_file(Path(options.teacher) / "model.safetensors")
    vectors = next(value for name, value in weights.items() if "word_embeddings" in name or "embed_tokens" in name)
    vectors = vectors.astype(np.float32)
    reduced = PCA(min(256, *vectors.shape)).fit_transform(vectors).astype(np.float32)
    model = StaticModel(reduced, Tokenizer.from_file(str(Path(options.teacher) / "tokenizer.json")))
    texts, labels = labelled(options)
    head = LogisticRegression(max_iter=200).fit(model.encode(texts), labels)
    return Way(
        lambda texts: head.predict(model.encode(list(texts))),
        lambda text: head.predict(model.encode([text])),
        reduced.nbytes,
    )


def tf_idf(options: argparse.Namespace) -> Way:
    """TF-IDF of words and their pairs under logistic regression."""
    import pickle

    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2), LogisticRegression(max_iter=200))
    model.fit(*labelled(options))
    return Way(model.predict, lambda text: model.predict([text]), len(pickle.dumps(model)))


BERT_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
BERT_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
WAYS: dict[str, Callable[[argparse.Namespace], Way]] = {
    "student": student,
    "student bf16": student_bf16,
    "student packed": packed,
    "student pipeline": hf_pipeline,
    "student onnx": lambda options: onnx(options, None),
    "student onnx int8": lambda options: onnx(options, "int8"),
    "teacher": teacher,
    "bert-base shape": lambda options: bert(options, **BERT_BASE),
    "bert-large shape": lambda options: bert(options, **BERT_LARGE),
    "elmo shape": elmo,
    "fasttext": fasttext,
    "model2vec": model2vec,
    "tf-idf": tf_idf,
}
PACKAGES = {"fasttext": "fasttext", "model2vec": "model2vec", "tf-idf": "sklearn"}


def main() -> None:
    """Measure every way in turn."""
    options = parse_arguments()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if options.threads > 1 else "false"
    with tempfile.TemporaryDirectory() as folder:
        options.exports = options.exports or folder
        if options.memory_of:
            print(json.dumps(peak_memory(options)))
            return
        results = measure(options)
        if options.full:
            for name, result in results.items():
                command = [sys.executable, __file__, *sys.argv[1:], "--memory_of", name, "--exports", options.exports]
                result["peak_mb"] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print_table(results)
    facts = {
        "texts": str(options.texts),
        "threads": options.threads,
        "platform": platform.platform(),
        "python": platform.python_version(),
    }
    print(json.dumps({"benchmark": Path(__file__).stem, **facts, "ways": results}))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", required=True, help="folder of a student for single texts")
    parser.add_argument("--teacher", required=True, help="folder of its teacher")
    parser.add_argument("--texts", required=True, type=Path, help='JSON lines with "text" and "label"')
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), help="only these")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long to measure a way, each time")
    parser.add_argument("--repeats", type=int, default=3, help="how often to measure each way, in turn")
    parser.add_argument("--full", action="store_true", help="all ways, long texts and peak memory too")
    parser.add_argument("--exports", help=argparse.SUPPRESS)
    parser.add_argument("--memory_of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.student, options.teacher = str(options.student), str(options.teacher)
    return options


def labelled(options: argparse.Namespace) -> tuple[list[str], list[int]]:
    """Read the texts and their labels."""
    rows = [json.loads(line) for line in options.texts.read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows], [int(row.get("label", number % 2)) for number, row in enumerate(rows)]


def names(options: argparse.Namespace) -> list[str]:
    """List the ways to measure: without --full not those that take minutes."""
    slow = set() if options.full else {"bert-large shape", "elmo shape"}
    chosen = options.ways or [name for name in WAYS if name not in slow]
    return [name for name in chosen if name not in PACKAGES or find_spec(PACKAGES[name])]


def measure(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measure texts a second and the time of one text, for each way in turn, several times; give medians."""
    import torch

    torch.set_num_threads(options.threads)
    texts = labelled(options)[0]
    words = " ".join(texts).split()
    long_texts = [" ".join(words[start : start + LONG]) for start in range(0, len(words) - LONG, LONG)]
    ways = {}
    for name in names(options):
        print(f"loading {name}", file=sys.stderr)
        ways[name] = WAYS[name](options)
        ways[name].labels(texts[:2])
    samples: dict[str, dict[str, list[float]]] = {name: {} for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            print(f"measuring {name}", file=sys.stderr)
            sample = samples[name]
            whole, halved = throughput(way, texts, options.seconds)
            sample.setdefault("texts_per_s", []).append(whole)
            if halved:
                sample.setdefault("tokenized_texts_per_s", []).append(halved)
            if options.full:
                sample.setdefault("long_texts_per_s", []).append(throughput(way, long_texts, options.seconds)[0])
            sample.setdefault("seconds", []).extend(latencies(way, texts, options.seconds))
    results: dict[str, dict[str, Any]] = {}
    for name, sample in samples.items():
        times = sample.pop("seconds")
        result = {key: statistics.median(values) for key, values in sample.items()}
        result["p50_ms"], result["p95_ms"] = (1e3 * float(np.percentile(times, q)) for q in (50, 95))
        results[name] = {**result, "size_mb": ways[name].size_bytes / 1e6}
    for result in results.values():
        for rate in ("texts_per_s", "tokenized_texts_per_s", "long_texts_per_s"):
            if rate in result and rate in results.get("student", {}):
                result[f"student_is_faster_{rate}"] = results["student"][rate] / result[rate]
    return results


def throughput(way: Way, texts: Sequence[str], seconds: float) -> tuple[float, float | None]:
    """Give texts a second, with and without tokenizing, on as many texts as take about the time allowed."""
    sample = list(texts[:: max(1, len(texts) // 4)])[:4]
    expected = timed(way.labels, sample) / len(sample)
    count = int(min(max(4, seconds / expected), 20 * len(texts)))
    many = [texts[number % len(texts)] for number in range(count)]
    if count < len(texts):  # few, but of all lengths
        many = list(texts[:: len(texts) // count])[:count]
    if count > len(sample):
        way.labels(many)  # what is built on demand is built now
    whole = len(many) / timed(way.labels, many)
    if way.tokenize is None or way.run is None:
        return whole, None
    return whole, len(many) / timed(way.run, way.tokenize(many))


def timed(function: Callable[[Any], Any], argument: Any) -> float:
    """Give the seconds of a call."""
    start = time.perf_counter()
    function(argument)
    return time.perf_counter() - start


def latencies(way: Way, texts: Sequence[str], seconds: float) -> list[float]:
    """Give the seconds of single requests."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    for text in texts:
        found.append(timed(way.label, text))
        if time.perf_counter() > end and len(found) > 4:
            break
    return found


def saved_size(save: Callable[[str], Any]) -> int:
    """Give the bytes of a saved model."""
    with tempfile.NamedTemporaryFile() as file:
        save(file.name)
        return Path(file.name).stat().st_size


def peak_memory(options: argparse.Namespace) -> float:
    """Give the megabytes that this process needed to load one way and to label the texts."""
    way = WAYS[options.memory_of](options)
    way.labels(labelled(options)[0][:16])
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` would tell of the process that started this one as well
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Print the results, a way a line."""
    columns = {
        "texts_per_s": ("texts/s", ",.0f"),
        "student_is_faster_texts_per_s": ("student x", ",.2f"),
        "tokenized_texts_per_s": ("tokenized/s", ",.0f"),
        "student_is_faster_tokenized_texts_per_s": ("student x", ",.2f"),
        "long_texts_per_s": ("long/s", ",.0f"),
        "student_is_faster_long_texts_per_s": ("student x", ",.2f"),
        "p50_ms": ("p50 ms", ".3f"),
        "p95_ms": ("p95 ms", ".3f"),
        "size_mb": ("MB", ",.1f"),
        "peak_mb": ("peak MB", ",.0f"),
    }
    present = {key: value for key, value in columns.items() if any(key in result for result in results.values())}
    print(f"{'way':<18}" + "".join(f"{title:>12}" for title, _ in present.values()))
    for name, result in results.items():
        cells = [f"{result[key]:>12{style}}" if key in result else f"{'':>12}" for key, (_, style) in present.items()]
        print(f"{name:<18}" + "".join(cells))


if __name__ == "__main__":
    main()
