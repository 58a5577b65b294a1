"""A reader copies a command or a line of Python from the docs, and it does not run.

Each page's blocks run in order: Python in one namespace, bash in the same folder. The names that stand for a reader's
own things (files, a teacher, a student) are small real ones, and the Hub is one on this machine. As a script this file
runs pages in a process of its own, because what they do to a process is lasting.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from hub_endpoint import HubEndpoint

import hf_bilstm_distill

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
QUICK = ["labelling.md", "report.md", "texts.md", "troubleshooting.md"]
SLOW = [name for name in PAGES if name not in QUICK]

# What is changed before a block runs: names on the Hub, and how long a benchmark measures.
REPLACED = {
    '"me/': '"someone/',
    " me/": " someone/",
    "--nproc_per_node 8": "--nproc_per_node 2",
    "--spacy en_core_web_sm --repeats 5": "--repeats 1",
    "--rows 200000": "--rows 64",
    "benchmarks/inference.py": "benchmarks/inference.py --ways student teacher --seconds 0.01 --repeats 1",
    "--steps 100 --repeats 2": "--steps 2 --repeats 1 --batch_size 4",
    "benchmarks/peers.py": "benchmarks/peers.py --peers student TF-IDF --epochs 1 --n_iter 1 --seconds 0.01",
}
NOT_RUN = {
    ("README.md", "make demo"): "makes an environment of its own, and takes minutes",
    ("README.md", "pip install"): "installs packages",
    ("augmentation.md", "OMP_NUM_THREADS=1 python benchmarks/taggers.py --gold"): "needs a treebank",
    ("index.md", "pip install"): "installs packages",
    ("compared.md", "pip install"): "installs packages",
    ("recipes.md", "accelerate launch"): "needs several GPUs",
    ("reliability.md", "from datasets import load_dataset"): "needs a data set on the Hub",
    ("reliability.md", "OMP_NUM_THREADS=1 python benchmarks/soak.py"): "takes more than an hour",
    ("results.md", "for seed in"): "real data and hours",
    ("results.md", "from datasets import Dataset"): "real data",
    ("results.md", "hf-bilstm-distill export"): "real data",
    ("results.md", "python benchmarks/grid.py"): "real data and hours",
    ("results.md", "python benchmarks/pairs.py"): "real data and hours",
    ("results.md", "python benchmarks/slices.py"): "real data and hours",
    ("results.md", "python examples/finetune_teacher.py"): "real data and hours",
    ("scale.md", "accelerate launch"): "needs several machines",
    ("sharing.md", "pip install"): "a server that goes on until it is stopped",
    ("training.md", "accelerate launch"): "needs several GPUs",
    ("tutorial.md", "python3 -m venv"): "installs packages",
}
LANGUAGES = {"python", "bash", "sh", "text", "json", "yaml", "toml", "{toctree}", "{eval-rst}"}


@dataclass
class Block:
    """A fenced block of a page: what it holds, in which line it begins, and why it is not run, if it is not."""

    language: str
    source: str
    line: int
    not_run: str | None


def blocks(page: Path) -> Iterator[Block]:
    """Find the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    pattern = r"^(?:<!-- not run: (?P<why>[^\n]*) -->\n)?```(?P<language>\S*)\n(?P<source>.*?)^```$"
    for found in re.finditer(pattern, text, flags=re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, found.start("source")) + 1
        yield Block(found["language"], found["source"], line, found["why"])


# ------------------------------------------------------------------------------------------------------ in the tests
@pytest.mark.parametrize("name", PAGES)
def test_every_block_is_run_or_says_why_not(name: str) -> None:
    """A block is passed over in silence: in a language that nobody runs, or for a reason that nobody reads."""
    text = PAGES[name].read_text(encoding="utf-8")
    found = list(blocks(PAGES[name]))
    assert len(re.findall(r"^```", text, flags=re.MULTILINE)) == 2 * len(found)
    assert {block.language for block in found} <= LANGUAGES
    assert text.count("<!-- not run:") == sum(block.not_run is not None for block in found)
    stated = {(start, block.not_run) for block in found if block.not_run for start in _starts(name, block)}
    assert stated == {(start, why) for (page, start), why in NOT_RUN.items() if page == name}
    for block in found:
        if block.language in PARSERS:
            PARSERS[block.language](block.source)


PARSERS = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}


def _starts(name: str, block: Block) -> list[str]:
    known = [start for page, start in NOT_RUN if page == name and block.source.startswith(start)]
    return known or [block.source]


def test_the_reference_has_each_public_name_once() -> None:
    """A function is not to be found in the reference."""
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    listed = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)(?:\(.*\))?$", pages, flags=re.MULTILINE)
    assert sorted(listed) == sorted(hf_bilstm_distill.__all__)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files(name: str) -> None:
    """A link in the repository leads nowhere."""
    page = PAGES[name]
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).is_file(), target


def test_the_errors_of_the_troubleshooting_page_exist() -> None:
    """A reader looks for the words of an error, and the page has those of an earlier version."""
    files = [*(ROOT / "hf_bilstm_distill").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # a message over several lines
    section = PAGES["troubleshooting.md"].read_text(encoding="utf-8").split("## It stops")[1].split("\n## ")[0]
    quoted = re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)
    assert len(quoted) > 15
    for message in quoted:
        parts = [part.strip() for part in re.split(r"\[?\.\.\.\]?|\[[^]]*\]|'[^']*'|[\d.=]+\d|\d", message)]
        for part in filter(None, parts):
            assert part in source, message


@pytest.fixture(scope="module")
def reader(texts: Dataset, trained_teacher_dir: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the script below is called with, before pages: a folder and a teacher."""
    folder = tmp_path_factory.mktemp("reader")
    texts.to_json(folder / "texts.jsonl")
    command = folder / "bin" / "hf-bilstm-distill"  # that of these sources, whatever is installed
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/hf_bilstm_distill_cli.py" "$@"\n')
    command.chmod(0o755)
    return [str(folder), trained_teacher_dir]


def run_pages(pages: list[str], reader: list[str]) -> None:
    with HubEndpoint() as hub:
        environment = {
            **os.environ,
            **hub.environment(Path(reader[0]) / "_home"),
            "PATH": os.pathsep.join([f"{reader[0]}/bin", str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        }
        command = [sys.executable, __file__, *reader, *pages]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3600)
    assert result.returncode == 0, f"{result.stdout[-6000:]}\n{result.stderr[-6000:]}"


def test_the_quick_pages_run(reader: list[str]) -> None:
    """A block of these pages does not run."""
    run_pages(QUICK, reader)


@pytest.mark.pages
@pytest.mark.parametrize("page", SLOW)
def test_a_page_runs(page: str, reader: list[str]) -> None:
    """A block of this page does not run."""
    run_pages([page], reader)


@pytest.mark.slow
def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    """A reference that leads nowhere, a page that is in no menu, a docstring that is not what was meant."""
    pytest.importorskip("sphinx", reason="needs the extra docs")
    pytest.importorskip("myst_parser", reason="needs the extra docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3600)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "tutorial.html").is_file()


# ------------------------------------------------------------------------------------------------------- as a script
def main() -> None:
    """Run pages, each in a folder with a reader's things."""
    folder, teacher, *pages = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
    things = folder / "things"
    if not things.exists():
        prepare(things, folder / "texts.jsonl", teacher)
    for name in pages:
        place = folder / name
        shutil.copytree(things, place, symlinks=True)
        run_page(PAGES[name], place)


def run_page(page: Path, folder: Path) -> None:
    """Run the blocks of a page in a folder, in order."""
    os.chdir(folder)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.not_run or block.language not in ("python", "bash", "sh"):
            continue
        sys.stderr.write(f"{page.name}, line {block.line}\n")
        source = block.source
        for old, new in REPLACED.items():
            source = source.replace(old, new)
        if block.language != "python":
            subprocess.run(["bash", "-euo", "pipefail", "-c", source], check=True)
            continue
        if script := re.match(r"# (\w+\.py)\n", source):
            Path(script[1]).write_text(source, encoding="utf-8")
        exec(compile("\n" * (block.line - 1) + source, str(page), "exec"), namespace)


def prepare(folder: Path, texts_file: Path, teacher_dir: Path) -> None:
    """Make what stands for a reader's own things."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

    folder.mkdir()
    for name in ("examples", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    rows = Dataset.from_json(str(texts_file)).shuffle(seed=0)
    parts = {"train": rows.select(range(32)), "validation": rows.select(range(32, 48))}
    tokenizer = AutoTokenizer.from_pretrained(teacher_dir)
    for name in ("path/to/my-classifier", "textattack/bert-base-uncased-SST-2", "MODEL", "TEACHER", "minilm-sst2"):
        shutil.copytree(teacher_dir, folder / name)

    for split, part in parts.items():
        part.to_json(folder / f"{split}.jsonl")
        part.rename_column("text", "sentence").to_json(folder / "nyu-mll" / "glue" / f"{split}.jsonl")
    files = [{"split": split, "path": f"{split}.jsonl"} for split in parts]
    card = yaml.safe_dump({"configs": [{"config_name": "sst2", "data_files": files}]})
    (folder / "nyu-mll" / "glue" / "README.md").write_text(f"---\n{card}---\n")
    texts, labels = rows["text"][:], rows["label"][:]
    reviews = {
        "review": texts,
        "verdict": [("bad", "good")[label] for label in labels],
        "stars": [("negative", "positive")[label] for label in labels],
    }
    Dataset.from_dict(reviews).to_csv(folder / "all_reviews.csv", index=False)
    Dataset.from_dict(reviews).select(range(32)).to_csv(folder / "reviews.csv", index=False)
    Dataset.from_dict(reviews).select(range(32, 48)).to_csv(folder / "dev.csv", index=False)
    (folder / "reviews.txt").write_text("\n".join(texts))
    Dataset.from_dict({"review": texts}).to_json(folder / "more_reviews.jsonl")
    unlabeled = Dataset.from_dict({"text": texts})
    unlabeled.to_json(folder / "unlabeled.jsonl")
    unlabeled.select(range(8)).to_json(folder / "unlabeled_dev.jsonl")
    unlabeled.save_to_disk(folder / "augmented")
    (folder / "texts").mkdir()
    for number in range(2):
        unlabeled.shard(2, number).to_parquet(folder / "texts" / f"{number}.parquet")

    pairs = Dataset.from_dict({"text": texts, "text_pair": texts[::-1]})
    emotions = [[name for name in ("anger", "joy", "surprise") if name[0] in text] for text in texts]
    files = {
        "pairs": pairs,
        "emotions": Dataset.from_dict({"text": texts, "label": emotions}),
        "scores": Dataset.from_dict({"text": texts, "label": [len(text) / 10 for text in texts]}),
    }
    for name, dataset in files.items():
        dataset.select(range(32)).to_json(folder / f"{name}.jsonl")
        dataset.select(range(32, 48)).to_json(folder / f"{name}_dev.jsonl")

    torch.manual_seed(0)
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    small |= {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "initializer_range": 0.3}
    encoder = folder / "distilbert" / "distilbert-base-uncased"
    BertModel(BertConfig(**small)).save_pretrained(encoder)
    tokenizer.save_pretrained(encoder)
    teachers = {
        "my-pair-classifier": (["different", "duplicate"], "single_label_classification"),
        "my-emotions": (["anger", "joy", "surprise"], "multi_label_classification"),
        "my-scorer": (["score"], "regression"),
    }
    for name, (names, problem_type) in teachers.items():
        maps = {"id2label": dict(enumerate(names)), "label2id": {label: n for n, label in enumerate(names)}}
        BertForSequenceClassification(BertConfig(**small, **maps, problem_type=problem_type)).save_pretrained(
            folder / "path" / "to" / name
        )
        tokenizer.save_pretrained(folder / "path" / "to" / name)
    save_student(folder / "out" / "sst2", tokenizer, texts)


def save_student(folder: Path, tokenizer: object, texts: list[str]) -> None:
    """Save a small student with its code, as `run_distill.py` does."""
    from hf_bilstm_distill import BiLSTMConfig, BiLSTMForSequenceClassification, include_code, trim_tokenizer

    trimmed = trim_tokenizer(tokenizer, texts)  # type: ignore[arg-type]
    config = BiLSTMConfig(
        vocab_size=len(trimmed), embedding_dim=8, lstm_hidden_size=6, fc_size=6, id2label={0: "negative", 1: "positive"}
    )
    student = BiLSTMForSequenceClassification(config)
    include_code(student)
    student.save_pretrained(folder)
    trimmed.save_pretrained(folder)


if __name__ == "__main__":
    main()
