"""The page to try a student on does not open, answers wrongly, is cut off on a phone, or calls somebody."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from datasets import Dataset
from headless_browser import DESK, PHONE, Browser, needs_browser, open_browser
from safetensors.torch import load_file
from transformers import pipeline

from hf_bilstm_distill import BiLSTMConfig, BiLSTMForSequenceClassification, export_onnx, train_word_tokenizer

SPACE = Path(__file__).parents[1] / "examples" / "space"
ENTER = "\ue007"
TEXT = "a warm and funny film"

needs_gradio = pytest.mark.skipif(not find_spec("gradio"), reason="needs gradio: pip install hf-bilstm-distill[space]")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@contextmanager
def running(log: Path, *arguments: str, **variables: str) -> Iterator[str]:
    """Run the app as a user does, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-u", str(SPACE / "app.py"), *arguments]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), **variables}
    with log.open("w") as output:
        app = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        end = time.monotonic() + 300
        while "Running on local URL" not in log.read_text():
            assert app.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        app.wait(timeout=60)


def make_student(texts: Dataset, **settings: object) -> tuple[BiLSTMForSequenceClassification, object]:
    tokenizer = train_word_tokenizer(list(texts["text"]))
    config = BiLSTMConfig(
        vocab_size=len(tokenizer), embedding_dim=8, lstm_hidden_size=6, fc_size=6, pad_token_id=tokenizer.pad_token_id
    )
    config.update(settings)
    torch.manual_seed(0)
    return BiLSTMForSequenceClassification(config), tokenizer


def check_fits(browser: Browser, size: tuple[int, int]) -> None:
    assert browser.run("return innerWidth") == size[0]
    assert browser.run("return document.scrollingElement.scrollWidth") <= size[0]
    outside = browser.run(
        "return [...document.querySelectorAll('.card, .card *')].filter(each => "
        "each.getBoundingClientRect().right > innerWidth || each.scrollWidth > each.clientWidth + 1 "
        "&& getComputedStyle(each).display !== 'inline').map(each => each.outerHTML)"
    )
    assert outside == []


def shown(browser: Browser, role: str) -> tuple[str, dict[str, str], str]:
    """Return the answer, the scores and the size that stand on a card."""
    found = browser.run(
        f"const card = document.querySelector('.card.{role}'); const all = (name) => "
        "[...card.querySelectorAll(name)].map(each => each.textContent);"
        "return [all('.answer')[0], all('.label'), all('.score'), all('.size')[0]]"
    )
    answer, labels, scores, size = found
    return answer, dict(zip(labels, scores, strict=True)), size


@pytest.fixture(scope="module")
def page(texts: Dataset, trained_teacher_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The address of the app with a student and a teacher, and their folders."""
    folder = tmp_path_factory.mktemp("space")
    student = folder / "a-student-whose-folder-has-a-name-that-is-far-too-long-for-a-line-of-a-phone"
    model, tokenizer = make_student(texts, id2label={0: "negative", 1: "positive"})
    model.save_pretrained(student)
    tokenizer.save_pretrained(student)
    with running(folder / "log.txt", "--student", str(student), "--teacher", trained_teacher_dir) as address:
        yield [address, str(student), trained_teacher_dir]


@pytest.mark.slow
@needs_browser
@needs_gradio
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_student_and_teacher_answer_side_by_side(
    browser: Browser, page: list[str], size: tuple[int, int], scheme: str, tmp_path: Path
) -> None:
    browser.open(page[0], size, scheme)
    browser.wait_for("return document.querySelector('textarea')")
    browser.type("textarea", TEXT + ENTER)
    browser.wait_for("return document.querySelectorAll('.card').length == 2")
    for role, folder in zip(("student", "teacher"), page[1:], strict=True):
        expected = pipeline("text-classification", model=folder, top_k=None, device="cpu")([TEXT])[0]
        answer, scores, megabytes = shown(browser, role)
        assert answer == expected[0]["label"]
        assert list(scores) == [each["label"] for each in expected]
        for each in expected:
            assert float(scores[each["label"]].rstrip("%")) == pytest.approx(100 * each["score"], abs=0.06)
        weights = sum(tensor.nbytes for tensor in load_file(Path(folder) / "model.safetensors").values())
        assert float(megabytes.removesuffix(" MB")) * 1e6 == pytest.approx(weights, rel=0.01)
    times = browser.run("return [...document.querySelectorAll('.time')].map(each => each.textContent)")
    assert all(re.fullmatch(r"[\d.]+ ms", time) for time in times)
    check_fits(browser, size)
    browser.photograph(tmp_path / "page.png")
    picture = (tmp_path / "page.png").read_bytes()
    assert int.from_bytes(picture[16:20], "big") == size[0]  # where a PNG has its width
    left, top = browser.run(
        "return ['x', 'y'].map(side => document.querySelector('.teacher').getBoundingClientRect()[side] - "
        "document.querySelector('.student').getBoundingClientRect()[side])"
    )
    assert (left > 0, top > 0) == ((True, False) if size == DESK else (False, True))


@pytest.mark.slow
@needs_browser
@needs_gradio
def test_the_page_asks_nobody_else(browser: Browser, page: list[str]) -> None:
    """Visitors would be known to a maker of fonts, or see nothing where there is no network."""
    browser.open(page[0], DESK, "light")
    browser.wait_for("return document.querySelector('textarea')")
    asked = browser.run("return performance.getEntriesByType('resource').map(each => each.name)")
    assert asked
    assert [url for url in asked if not url.startswith((page[0], "data:", "blob:"))] == []


@pytest.mark.slow
@needs_browser
@needs_gradio
def test_an_exported_student_of_pairs_gives_a_score(browser: Browser, texts: Dataset, tmp_path: Path) -> None:
    """A student without PyTorch, of two texts, of a regression, alone, named by the environment as on Spaces."""
    model, tokenizer = make_student(texts, is_pair=True, problem_type="regression", id2label={0: "score"})
    export_onnx(model, tokenizer, tmp_path / "onnx")
    with running(tmp_path / "log.txt", STUDENT=str(tmp_path / "onnx")) as address:
        browser.open(address, PHONE, "light")
        browser.wait_for("return document.querySelectorAll('textarea').length == 2")
        browser.type("textarea", "a warm film" + ENTER)
        browser.wait_for("return document.body.innerText.includes('Type both.')")
        browser.run("[...document.querySelectorAll('tr')].at(-1).click()")  # the last example
        browser.wait_for("return document.querySelectorAll('.card').length")
        first, second = browser.run("return [...document.querySelectorAll('textarea')].map(each => each.value)")
        inputs = tokenizer(first, second, return_token_type_ids=True, return_tensors="pt")
        with torch.no_grad():
            score = float(model.eval()(**inputs).logits)
        answer, scores, _ = shown(browser, "student")
        assert scores == {}
        assert float(answer) == pytest.approx(score, abs=0.001)
        check_fits(browser, PHONE)


@pytest.mark.slow
@needs_gradio
def test_a_student_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, str(SPACE / "app.py"), "--student", str(tmp_path / "nothing")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "Cannot load a classifier from" in line


def test_spaces_can_read_what_it_needs() -> None:
    """A Space of another version of Gradio than the one that was tested, or without the package."""
    settings = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    constraints = (SPACE.parents[1] / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert settings["sdk"] == "gradio"
    assert f"gradio=={settings['sdk_version']}" in constraints
    assert (SPACE / settings["app_file"]).is_file()
    assert len(settings["short_description"]) <= 60  # the Hub refuses a longer one
    assert "hf-bilstm-distill[onnx]" in (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
