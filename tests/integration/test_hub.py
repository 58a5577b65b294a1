"""What a user does with the Hub, over HTTP with a small one on this machine: push, load by name, fail and try again."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hub_endpoint import OWNER, TOKEN, HubEndpoint
from huggingface_hub import ModelCard

from hf_bilstm_distill.files import whole_file

EXAMPLES = Path(__file__).parents[2] / "examples"
CODE = ["configuration_bilstm.py", "modeling_bilstm.py", "recurrence.py"]
STUDENT = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training_args.bin"]
TEXTS = ["a warm film", "the acting is wooden", "weak jokes , great cast"]
SMALL = [
    *("--lstm_hidden_size", "8", "--fc_size", "8", "--embedding_dim", "16", "--n_iter", "1"),
    *("--num_train_epochs", "1", "--per_device_train_batch_size", "16", "--use_cpu", "true"),
]

PREPARE = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
import hf_bilstm_distill as package
from hf_bilstm_distill.sharing import push

disable_progress_bars()
token, here = sys.argv[1], Path.cwd()
texts = ["a warm film", "the acting is wooden", "weak jokes , great cast", "a dull story"] * 4
torch.manual_seed(0)
tokenizer = package.word_tokenizer_from_words(sorted(set(" ".join(texts).split())))
rows = Dataset.from_dict({"text": texts, "teacher_logits": np.float32([[2, -1], [-2, 1], [0, 1], [-1, 1]] * 4)})

def make_trainer(folder, **settings):
    config = package.BiLSTMConfig(
        vocab_size=len(tokenizer), embedding_dim=8, lstm_hidden_size=6, fc_size=6, pad_token_id=tokenizer.pad_token_id,
        id2label={0: "dull", 1: "warm"}, label2id={"dull": 0, "warm": 1},
    )
    torch.manual_seed(0)
    settings = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "use_cpu": True, **settings}
    arguments = package.DistillationTrainingArguments(
        str(here / folder), report_to="none", disable_tqdm=True, **settings
    )
    return package.DistillationTrainer(
        package.BiLSTMForSequenceClassification(config), arguments,
        train_dataset=package.encode(rows, tokenizer), processing_class=tokenizer,
    )
"""


@pytest.fixture
def hub() -> Iterator[HubEndpoint]:
    with HubEndpoint() as endpoint:
        yield endpoint


def run(hub: HubEndpoint, folder: Path, command: list[str], token: str | None = None) -> subprocess.CompletedProcess:
    """Run a client in a process of its own, with a cache of its own."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, **hub.environment(folder / "_home", token)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=600)


def run_python(hub: HubEndpoint, folder: Path, code: str, *arguments: str, token: str | None = None) -> str:
    result = run(hub, folder, [sys.executable, "-c", code, *arguments], token)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def check_no_token(hub: HubEndpoint, folder: Path, printed: str = "") -> None:
    """Look for the token in all that was written, uploaded and printed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert not any(TOKEN.encode() in body for body in hub.uploaded)
    committed = [files for repo in hub.repositories.values() for files in repo.commits.values()]
    assert not any(TOKEN.encode() in content for files in committed for content in files.values())
    assert TOKEN not in printed


# ---------------------------------------------------------------------------------------------- pushing and loading
PUSH = """
trainer = make_trainer(
    "student", push_to_hub=True, hub_model_id="someone/student", hub_token=token, hub_private_repo=True,
    hub_revision="tries", hub_strategy="checkpoint", hub_always_push=True, save_strategy="epoch",
)
trainer.train()
package.include_code(trainer.model)
print(trainer.args, trainer.args.to_json_string())
trainer.push_to_hub()

trainer.model.push_to_hub("student-by-hand", token=token, private=True)
tokenizer.push_to_hub("student-by-hand", token=token)
trainer.model.push_to_hub("student-by-hand", token=token, revision="v2")

from huggingface_hub import HfApi
package.export_onnx(trainer.model, tokenizer, here / "onnx")
api = HfApi(token=token)
api.create_repo("student-onnx", private=True)
api.create_branch("someone/student-onnx", branch="v2")
api.upload_folder(repo_id="someone/student-onnx", folder_path=here / "onnx", revision="v2")

for strategy in ("every_save", "all_checkpoints"):
    other = make_trainer(
        strategy, push_to_hub=True, hub_token=token, hub_private_repo=True, hub_strategy=strategy,
        hub_always_push=True, save_strategy="epoch",
    )
    other.train()
    other.push_to_hub()

inputs = tokenizer(texts[:3], padding=True, return_tensors="pt")
with torch.no_grad():
    scores = trainer.model.eval()(**inputs).logits.softmax(dim=1)
print("SCORES", json.dumps(scores.tolist()))
"""

LOAD = """
import json, os, sys, traceback
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline
from hf_bilstm_distill import OnnxTextClassifier, TextClassifier

token = os.environ.pop("HF_TOKEN")  # what is loaded with `token=` must need no other
texts = json.loads(sys.argv[1])
found = {}
try:
    OnnxTextClassifier.from_pretrained("someone/student-onnx", revision="v2", token=False)
except FileNotFoundError as error:
    found["refused"] = str(error)
    traceback.print_exc()
onnx = OnnxTextClassifier.from_pretrained("someone/student-onnx", revision="v2", token=token)
found["onnx"] = [{entry["label"]: entry["score"] for entry in row} for row in onnx.predict(texts, top_k=None)]
try:
    OnnxTextClassifier.from_pretrained("someone/nothing", token="hf_wrong")
except FileNotFoundError as error:
    found["wrong"] = str(error)
    traceback.print_exc()
try:
    OnnxTextClassifier.from_pretrained("someone/student-onnx", token=token + "\\nmore")
except ValueError as error:
    found["no token"] = str(error)
    traceback.print_exc()
os.environ["HF_TOKEN"] = token
try:
    TextClassifier.from_pretrained("someone/nothing")
except FileNotFoundError as error:
    found["missing"] = str(error)
assert type(AutoModel.from_pretrained("someone/student-by-hand")).__name__ == "BiLSTMModel"
for name, revision in {"student": "tries", "student-by-hand": "main"}.items():
    known = {"revision": revision}
    model = AutoModelForSequenceClassification.from_pretrained(f"someone/{name}", **known)
    tokenizer = AutoTokenizer.from_pretrained(f"someone/{name}", **known)
    classify = pipeline("text-classification", model=f"someone/{name}", top_k=None, **known)
    found[name] = [{entry["label"]: entry["score"] for entry in row} for row in classify(texts)]
classifier = TextClassifier.from_pretrained("someone/student-by-hand")
found["classifier"] = [dict(zip(classifier.id2label.values(), row)) for row in classifier.predict(texts)[1].tolist()]
print("FOUND", json.dumps(found))
"""

STRANGER = """
import json, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_bilstm_distill":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from transformers import AutoModel, pipeline
options = {"revision": "tries", "trust_remote_code": True}
assert type(AutoModel.from_pretrained("someone/student", **options)).__name__ == "BiLSTMModel"
classify = pipeline("text-classification", model="someone/student", top_k=None, **options)
rows = [{entry["label"]: entry["score"] for entry in row} for row in classify(json.loads(sys.argv[1]))]
assert "hf_bilstm_distill" not in sys.modules
print("FOUND", json.dumps({"remote code": rows}))
"""


def printed_json(printed: str, word: str) -> Any:
    return json.loads(re.search(rf"^{word} (.*)$", printed, flags=re.MULTILINE).group(1))  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubEndpoint, Path, str]]:
    """A Hub with students on it, the folder of their author, and what was printed."""
    folder = tmp_path_factory.mktemp("pushed")
    with HubEndpoint() as endpoint:
        yield endpoint, folder, run_python(endpoint, folder, PREPARE + PUSH, TOKEN)


def test_what_belongs_to_a_student_is_pushed_and_no_token(pushed: tuple[HubEndpoint, Path, str]) -> None:
    """A private student that all can see, files that do not belong to it, or a token in one."""
    hub, folder, printed = pushed
    assert all(repository.private for repository in hub.repositories.values())
    student, by_hand = hub.repositories["someone/student"], hub.repositories["someone/student-by-hand"]
    assert hub.files("someone/student") == {}  # all went to the branch
    files = set(hub.files("someone/student", "tries"))
    checkpoint = {path for path in files if path.startswith("last-checkpoint/")}
    assert files - checkpoint == {*STUDENT, *CODE, "README.md"}
    assert {"last-checkpoint/optimizer.pt", "last-checkpoint/training_args.bin"} <= checkpoint
    assert any("Training in progress" in message for message in student.messages)
    assert set(hub.files("someone/student-by-hand")) == {*STUDENT, *CODE, "README.md"} - {"training_args.bin"}
    assert set(by_hand.branches) == {"main", "v2"}
    every_save, checkpoints = (set(hub.files(f"someone/{name}")) for name in ("every_save", "all_checkpoints"))
    assert every_save == {*STUDENT, "README.md"}  # nobody included the code of that one
    assert {path.partition("/")[0] for path in checkpoints - every_save} == {"checkpoint-2", "checkpoint-4"}
    for name in ("every_save", "all_checkpoints"):
        assert "Training in progress, epoch 1" in hub.repositories[f"someone/{name}"].messages
    onnx = {"model.onnx", "tokenizer.json", "config.json", "predictor.py"}
    assert onnx <= set(hub.files("someone/student-onnx", "v2"))
    for name in ("student", "student-by-hand", "student-onnx"):  # the Hub takes weights by Git LFS alone
        assert ("POST", f"/someone/{name}.git/info/lfs/objects/batch") in hub.requests
    assert (folder / "onnx" / "model.onnx").read_bytes() in hub.stored.values()
    assert 'model="someone/student"' in hub.files("someone/student", "tries")["README.md"].decode()
    check_no_token(hub, folder, printed)


def check_scores(found: dict[str, Any], ways: list[str], pushed: tuple[HubEndpoint, Path, str]) -> None:
    for way in ways:
        given = [[row["dull"], row["warm"]] for row in found[way]]
        np.testing.assert_allclose(given, printed_json(pushed[2], "SCORES"), rtol=0, atol=1e-5, err_msg=way)


def test_a_student_is_loaded_by_its_name(pushed: tuple[HubEndpoint, Path, str], tmp_path: Path) -> None:
    """A student that the rest of the team cannot load, or that gives them other scores."""
    printed = run_python(pushed[0], tmp_path, LOAD, json.dumps(TEXTS), token=TOKEN)
    found = printed_json(printed, "FOUND")
    check_scores(found, ["student", "student-by-hand", "classifier", "onnx"], pushed)
    for way in ("refused", "wrong", "missing"):
        assert found[way].startswith("Cannot load a classifier from 'someone/")
        assert len(found[way].splitlines()) == 1
    assert "Copy it again." in found["no token"]
    check_no_token(pushed[0], tmp_path, printed)


def test_a_student_is_loaded_by_its_name_without_the_package(
    pushed: tuple[HubEndpoint, Path, str], tmp_path: Path
) -> None:
    """A student whose code on the Hub is not all there."""
    printed = run_python(pushed[0], tmp_path, STRANGER, json.dumps(TEXTS), token=TOKEN)
    check_scores(printed_json(printed, "FOUND"), ["remote code"], pushed)


# ----------------------------------------------------------------------------------------------------- edited cards
EDITED = """
trainer = make_trainer("first", push_to_hub=True, hub_model_id="someone/student", num_train_epochs=1)
trainer.push_to_hub()
trainer.model.push_to_hub("someone/student")  # takes the card from the Hub and pushes it again
again = make_trainer("again", push_to_hub=True, hub_model_id="someone/student")
assert not (here / "again" / "README.md").exists()  # the card there is no work of a person

from huggingface_hub import HfApi
api = HfApi()
card = Path(api.hf_hub_download("someone/student", "README.md")).read_text()
card = card.replace("## Limits", "Ask me before you use it.\\n\\n## Limits")
api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id="someone/student")
second = make_trainer("second", push_to_hub=True, hub_model_id="someone/student", num_train_epochs=1)
second.push_to_hub()
print("DONE")
"""


def test_a_card_that_was_edited_on_the_hub_is_kept(hub: HubEndpoint, tmp_path: Path) -> None:
    """Somebody's words are gone after the next training."""
    printed = run_python(hub, tmp_path / "author", PREPARE + EDITED, "", token=TOKEN)
    card = hub.files("someone/student")["README.md"].decode()
    assert "Ask me before you use it." in card
    assert (tmp_path / "author" / "second" / "README.md").read_text() == card
    warnings = [line for line in printed.splitlines() if "was edited on the Hub" in line]
    assert len(warnings) == 1
    assert "To have a new one written, delete both." in warnings[0]


# ------------------------------------------------------------------------------------------------------- broken wires
CUT = """
from hf_bilstm_distill.sharing import check_push
trainer = make_trainer("student", hub_model_id="someone/student", hub_token=token)
trainer.train()
trainer.save_model()
try:
    push(trainer)
except ConnectionError as error:
    print("ERROR", json.dumps(str(error)))
for wrong in ("hf_wrong", token + "\\nmore", "\u00e9" + token):  # the last two would be shown by errors of HTTP
    trainer.args.hub_token = wrong
    try:
        check_push(trainer.args)
    except (ConnectionError, ValueError) as error:
        print("WRONG", json.dumps(str(error)))
"""

PUSH_BOTH = """
from huggingface_hub import HfApi
model = make_trainer("student").model
model.push_to_hub("student")
tokenizer.push_to_hub("student")
package.export_onnx(model, tokenizer, here / "onnx")
HfApi().create_repo("onnx")
HfApi().upload_folder(repo_id="someone/onnx", folder_path=here / "onnx")
"""

DOWNLOAD = """
import sys
from hf_bilstm_distill import OnnxTextClassifier, TextClassifier
kind = {"onnx": OnnxTextClassifier, "student": TextClassifier}[sys.argv[2]]
try:
    kind.from_pretrained(sys.argv[1]).predict(["a warm film"])
    print("LOADED")
except Exception as error:
    print("ERROR", [kind.__name__ for kind in type(error).__mro__], str(error).replace("\\n", "|"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("method", "place"), [("POST", "/commit/"), ("PUT", "/store/")], ids=["commit", "weights"])
def test_an_upload_that_is_cut_can_be_done_again(hub: HubEndpoint, tmp_path: Path, method: str, place: str) -> None:
    """A student lost with the connection, half of one on the Hub, or a command that does not push it again."""
    hub.cut = lambda used, path: used == method and place in path
    printed = run_python(hub, tmp_path / "author", PREPARE + CUT, TOKEN)
    message = printed_json(printed, "ERROR")
    assert message.startswith("The student could not be pushed to 'someone/student' (")
    assert str(tmp_path / "author" / "student") in message
    assert len(message.splitlines()) == 1
    assert hub.files("someone/student") == {}
    assert (tmp_path / "author" / "student" / "model.safetensors").is_file()
    assert printed.count("WRONG") == 3
    check_no_token(hub, tmp_path, printed)

    hub.cut = lambda method, path: False
    command = shlex.split(message.partition("Push it again: ")[2])
    again = run(hub, tmp_path / "author", [str(Path(sys.executable).with_name("hf")), *command[1:]], TOKEN)
    assert again.returncode == 0, again.stderr
    pushed = hub.files("someone/student")
    assert set(pushed) == {*STUDENT, "README.md"}
    assert pushed["model.safetensors"] == (tmp_path / "author" / "student" / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "student"])
def test_a_download_that_is_cut_can_be_done_again(hub: HubEndpoint, tmp_path: Path, kind: str) -> None:
    """Half a model taken for a whole one."""
    run_python(hub, tmp_path / "author", PREPARE + PUSH_BOTH, "", token=TOKEN)
    hub.cut = lambda method, path: method == "GET" and path.startswith("/store/")
    printed = run_python(hub, tmp_path / "friend", DOWNLOAD, f"someone/{kind}", kind, token=TOKEN)
    assert re.search("^ERROR .*'OSError'", printed, flags=re.MULTILINE), printed  # which a script tells in a line
    assert "LOADED" not in printed
    assert any(method == "GET" and path.startswith("/store/") for method, path in hub.requests)
    hub.cut = lambda method, path: False
    assert "LOADED" in run_python(hub, tmp_path / "friend", DOWNLOAD, f"someone/{kind}", kind, token=TOKEN)


# --------------------------------------------------------------------------------------------------------- the script
@pytest.fixture(scope="module")
def files(texts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    rows = texts.shuffle(seed=1)
    rows.select(range(36)).to_json(folder / "train.jsonl")
    rows.select(range(36, 48)).to_json(folder / "validation.jsonl")
    return ["--train_file", str(folder / "train.jsonl"), "--validation_file", str(folder / "validation.jsonl")]


def run_script(hub: HubEndpoint, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return run(hub, folder, [sys.executable, str(EXAMPLES / "run_distill.py"), *arguments])


@pytest.mark.slow
def test_the_script_pushes_the_student_and_nothing_else(
    hub: HubEndpoint, files: list[str], trained_teacher_dir: str, tmp_path: Path
) -> None:
    """Training data, caches or a token that everybody can read; or a card that nobody can."""
    flags = ["--push_to_hub", "true", "--hub_model_id", "someone/tiny", "--hub_token", TOKEN]
    flags += ["--license", "cc-by-4.0", "--language", "en", "no"]
    with suppress(KeyboardInterrupt), whole_file(tmp_path / "author" / "out" / "README.md") as left_by_a_killed_run:
        raise KeyboardInterrupt
    left_by_a_killed_run.write_text("half a card")
    result = run_script(
        *(hub, tmp_path / "author", "--teacher", trained_teacher_dir, *files, *SMALL, *flags),
        *("--baseline", "true", "--output_dir", "out", "--hub_strategy", "end"),
    )
    assert result.returncode == 0, result.stderr
    pushed = hub.files("someone/tiny")
    reports = {path for path in pushed if path.startswith("report")}
    assert reports
    assert set(pushed) - reports == {*STUDENT, *CODE, "README.md"}
    assert hub.repositories["someone/tiny"].messages == ["initial commit", "End of training"]
    assert not hub.repositories["someone/tiny"].private
    card = ModelCard(pushed["README.md"].decode())
    assert card.data.model_name == "someone/tiny"
    assert (card.data.license, card.data.language) == ("cc-by-4.0", ["en", "no"])
    assert "### Short and long texts" in card.text
    assert card.data.pipeline_tag == "text-classification"
    assert [result.metric_type for result in card.data.eval_results] == card.data.metrics
    assert ("POST", "/api/validate-yaml") in hub.requests
    check_no_token(hub, tmp_path, result.stdout + result.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--hub_token", "hf_wrong"], "Check --hub_model_id and the token"),
        (["--hub_token", TOKEN, "--hub_model_id", "stranger/tiny"], "'stranger/tiny'"),
        (["--hub_token", TOKEN, "--output_dir", "{files}"], "which is pushed to the Hub"),
    ],
    ids=["wrong-token", "somebody-elses", "texts-in-the-folder"],
)
def test_the_script_says_in_a_line_why_it_cannot_push(
    hub: HubEndpoint, files: list[str], trained_teacher_dir: str, tmp_path: Path, given: list[str], told: str
) -> None:
    """An hour of training before the Hub says no, or a page of traceback."""
    given = [each.format(files=Path(files[1]).parent) for each in given]
    result = run_script(hub, tmp_path, "--teacher", trained_teacher_dir, *files, "--push_to_hub", "true", *given)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("run_distill.py: ")]
    assert result.returncode == 1
    assert told in line
    assert "Traceback" not in result.stderr
    assert "Labelling" not in result.stderr
    assert TOKEN not in result.stdout + result.stderr
    assert all(name.startswith(f"{OWNER}/") for name in hub.repositories)
