"""A card tells something that is not so, tells of the machine it was written on, or cannot be read by the Hub."""

import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from transformers.trainer_utils import IntervalStrategy

from hf_bilstm_distill.model_card import CardFacts, is_edited, render_card, save_card, training_facts
from hf_bilstm_distill.students import BiLSTMConfig
from hf_bilstm_distill.training_args import DistillationTrainingArguments

ALL_FACTS = CardFacts(
    model_name="someone/tiny-sst2",
    teacher="textattack/bert-base-uncased-SST-2",
    language=["en", "no"],
    license="apache-2.0",
    datasets=["stanfordnlp/sst2"],
    metrics={"accuracy": 0.8991},
    evaluation_split="validation",
    report="| model | accuracy |\n|---|---:|\n| student | 0.8991 |\n\ntexts/s: all at once",
    disagreements={
        "rows": 1_234,
        "rows_with_gold": 1_000,
        "teacher_right": 600,
        "model_right": 400,
        "examples": [
            {
                "row": 3,
                "text": "not *that* bad\nat <all>",
                "text_pair": None,
                "gold": "positive",
                "teacher": "positive",
                "teacher_confidence": 0.991,
                "model": "negative",
                "model_confidence": 0.52,
            }
        ],
    },
    lengths=[
        {
            "shortest": 5,
            "longest": 1_300,
            "rows": 2_000,
            "share_right": 0.875,
            "mean_absolute_error": None,
            "agreement_with_teacher": 0.9375,
        }
    ],
    unknown_tokens={"share_of_tokens": 0.0125, "share_of_texts": 0.25},
    label_names=["negative", "positive"],
    num_originals=67_349,
    num_copies=1_300_000,
    num_duplicates=46_980,
    augmentation={"p_mask": 0.1, "p_pos": 0.1, "p_ngram": 0.25},
    tokenizer="the teacher's WordPiece, trimmed to 20,000 pieces",
    embeddings="the teacher's own, reduced to 300",
    embedding_coverage=0.985,
    loss="mse on logits",
    optimizer="Adadelta",
    training_arguments={"learning_rate": 1e-05, "eval_strategy": IntervalStrategy.EPOCH, "alpha": 0.0},
    seeds=[1, 2, 3],
    versions={"torch": "2.13.0"},
)
SECTIONS = ["Results", "Use", "Labels", "How it was made", "Limits", "Citation"]


def sections(card):
    return [line[3:] for line in card.splitlines() if line.startswith("## ")]


def test_all_that_is_known_is_told():
    card = render_card(ALL_FACTS)
    assert sections(card) == SECTIONS
    for fact in [
        "# someone/tiny-sst2",
        "[textattack/bert-base-uncased-SST-2](https://huggingface.co/textattack/bert-base-uncased-SST-2) gave",
        "single-layer BiLSTM",
        "Measured on stanfordnlp/sst2 (validation).",
        "| student | 0.8991 |\n\ntexts/s: all at once",
        "| 0 | `negative` |\n| 1 | `positive` |",
        "- **Texts:** [stanfordnlp/sst2](https://huggingface.co/datasets/stanfordnlp/sst2)",
        "- **Transfer set:** 67,349 original rows and 1,300,000 augmented copies; 46,980 duplicates were dropped",
        "- **Augmentation:** `p_mask` = `0.1`, `p_pos` = `0.1`, `p_ngram` = `0.25`",
        "- **Tokenizer:** the teacher's WordPiece, trimmed to 20,000 pieces",
        "- **Embeddings:** the teacher's own, reduced to 300 (98.5% of the vocabulary)",
        "- **Loss:** mse on logits",
        "- **Optimizer:** Adadelta",
        "- **Seeds:** 1, 2, 3",
        "| `learning_rate` | `1e-05` |\n| `eval_strategy` | `epoch` |\n| `alpha` | `0.0` |",
        "| `torch` | `2.13.0` |",
        "25.0% hold such a word\n  that it knows no piece of: 1.25% of all tokens.",
        "It gives 1,234 of the texts measured another label than its teacher. Of the 1,000 with a gold label, the\n"
        "teacher is right on 600, and it on 400. The clearest cases:\n\n- “not",
        "- “not \\*that\\* bad at \\<all\\>”<br>"
        "teacher: `positive` (99.1%), this model: `negative` (52.0%), gold: `positive`\n",
        "| characters | texts | right | agreement with the teacher |\n|---|---:|---:|---:|\n"
        "| 5 to 1,300 | 2,000 | 0.8750 | 0.9375 |\n",
        "1903.12136",
    ]:
        assert fact in card, fact


def test_the_metadata_are_what_the_hub_shows():
    data = ModelCard(render_card(ALL_FACTS)).data
    assert data.pipeline_tag == "text-classification"
    assert data.library_name == "transformers"
    assert {"knowledge-distillation", "bilstm"} <= set(data.tags)
    assert data.base_model == "textattack/bert-base-uncased-SST-2"
    assert data.base_model_relation == "finetune"
    assert data.language == ["en", "no"]  # unquoted, YAML reads the code of Norwegian as false
    assert data.license == "apache-2.0"
    assert data.datasets == ["stanfordnlp/sst2"]
    assert data.metrics == ["accuracy"]
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.8991)
    assert (result.dataset_name, result.dataset_split) == ("stanfordnlp/sst2", "validation")
    assert data.model_name == "someone/tiny-sst2"


def test_a_card_without_facts_tells_no_more_than_the_name():
    card = render_card(CardFacts("tiny"))
    assert sections(card) == ["Use", "Limits", "Citation"]
    data = ModelCard(card).data.to_dict()
    assert set(data) == {"library_name", "pipeline_tag", "tags"}
    assert "None" not in card
    assert "{{" not in card
    assert "{%" not in card


@pytest.mark.parametrize("name", [name for name in vars(ALL_FACTS) if name not in {"model_name", "is_pair"}])
def test_every_fact_may_be_missing_and_changes_the_card(name):
    """A field of `CardFacts` that the template forgets."""
    default = getattr(CardFacts("tiny"), name)
    changed = {"architecture": "bi-attentive LSTM", "evaluation_dataset": "glue"}
    base = replace(ALL_FACTS, report=None) if name == "metrics" else ALL_FACTS
    card = render_card(replace(base, **{name: changed.get(name, default)}))
    assert card != render_card(base)
    assert "None" not in card
    assert "\n\n\n" not in card
    ModelCard(card)


@pytest.mark.parametrize("facts", [ALL_FACTS, CardFacts("tiny")], ids=["all", "none"])
def test_tables_and_lists_are_not_broken_by_empty_lines(facts):
    """A table loses its rows, or a heading runs into the text above it."""
    lines = ModelCard(render_card(facts)).text.splitlines()
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        if line.startswith("## "):
            assert (before, after) == ("", "")
        if line.startswith("|-"):
            assert before.startswith("|")
            assert after.startswith("|")


def test_the_same_facts_give_the_same_bytes(tmp_path):
    first = save_card(ALL_FACTS, tmp_path / "a")
    second = save_card(replace(ALL_FACTS), tmp_path / "b")
    assert first == tmp_path / "a" / "README.md"
    assert first.read_bytes() == second.read_bytes()
    assert save_card(ALL_FACTS, tmp_path / "a").read_bytes() == second.read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((0.25, -1.5, None), "teacher: `0.250`, this model: `-1.500`"),
        ((["anger", "joy"], [], ["joy"]), "teacher: `anger, joy`, this model: `none`, gold: `joy`"),
    ],
    ids=["regression", "several-labels"],
)
def test_a_difference_without_a_single_label_is_told(said, told):
    """A card that cannot be written, or one that tells a list of Python's."""
    names = ("teacher", "model", "gold")
    example = {"text": "one", "text_pair": "- two", "teacher_confidence": None, "model_confidence": None}
    found = {"rows": None, "examples": [{**example, **dict(zip(names, said, strict=True))}] * 9}
    band = {"shortest": 1, "longest": 2, "rows": 3, "share_right": None, "agreement_with_teacher": None}
    bands = [{**band, "mean_absolute_error": error} for error in (0.5, None)]
    card = render_card(CardFacts("tiny", disagreements=found, lengths=bands))
    assert card.count(f"- “one” / “- two”<br>{told}\n") == 5
    assert "largest difference of the scores:\n\n- " in card
    assert "| characters | texts | mean error |\n|---|---:|---:|\n| 1 to 2 | 3 | 0.5000 |\n| 1 to 2 | 3 | - |\n" in card


def add_a_line(card):
    return card.replace("## Limits", "Ask me before you use it.\n\n## Limits")


def set_the_license(card):
    return card.replace("license: apache-2.0", "license: mit")


def take_the_mark_away(card):
    return card.rstrip().rpartition("\n")[0]


def write_a_new_one(card):
    return "# My model\n"


@pytest.mark.parametrize("edit", [add_a_line, set_the_license, take_the_mark_away, write_a_new_one])
def test_a_card_that_a_person_has_edited_is_kept(edit, tmp_path, caplog):
    """The next training overwrites what somebody wrote."""
    path = save_card(ALL_FACTS, tmp_path)
    edited = edit(path.read_text(encoding="utf-8"))
    path.write_text(edited, encoding="utf-8")
    with caplog.at_level("WARNING"):
        assert save_card(replace(ALL_FACTS, architecture="CNN"), tmp_path) == path
    assert path.read_text(encoding="utf-8") == edited
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == f"{path} was edited: it is kept as it is. Delete it to have a new one written."
    path.unlink()
    assert "CNN" in save_card(replace(ALL_FACTS, architecture="CNN"), tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [str, lambda card: card.replace("\n", "\r\n"), str.rstrip, lambda card: str(ModelCard(card))],
    ids=["nothing", "line-ends", "end", "written-by-huggingface-hub"],
)
def test_a_card_that_no_person_has_edited_is_written_anew(change, tmp_path):
    """A card that tells of an earlier model, because a program passed it on."""
    card = change(render_card(ALL_FACTS))
    assert not is_edited(card)
    (tmp_path / "README.md").write_bytes(card.encode())
    assert "CNN" in save_card(replace(ALL_FACTS, architecture="CNN"), tmp_path).read_text(encoding="utf-8")


def test_the_card_that_a_push_of_a_model_makes_is_nobodys_work():
    card = ModelCard.from_template(
        ModelCardData(library_name="transformers"),
        model_description="This is the model card of a 🤗 transformers model that has been pushed on the Hub. "
        "This model card has been automatically generated.",
    )
    assert not is_edited(str(card))


@pytest.mark.parametrize(
    "name",
    [
        'Bob\'s "best": model',
        "modèle n° 1 — 情感 🎬",
        "yes",
        "1.0",
        "- not a list",
        "{{ teacher }}",
        "# a comment",
        "&anchor *alias %tag @at `tick`",
    ],
)
def test_odd_values_come_back_from_the_metadata(name):
    """The Hub shows no metadata at all, or those of another model."""
    facts = CardFacts(
        name,
        teacher=None,
        license=name,
        language=name,
        metrics={name: 0.5},
        evaluation_dataset=name,
        evaluation_split="dev: \"all\" 'rows'",
        label_names=[name, f"not {name}"],
    )
    content = render_card(facts)
    data = ModelCard(content).data
    assert (data.license, data.language, data.model_name) == (name, name, name)
    (result,) = data.eval_results
    assert (result.metric_type, result.dataset_name) == (name, name)
    assert result.dataset_split == "dev: \"all\" 'rows'"
    assert "base_model" not in data.to_dict()
    header = content.split("---\n")[1]
    assert yaml.safe_load(header)["model-index"][0]["name"] == name


@pytest.mark.parametrize(
    ("label", "cell"),
    [
        ("a|b", "`a\\|b`"),
        ('says "no": never', '`says "no": never`'),
        ("*bold* <b>", "`*bold* <b>`"),
        ("tick`ed", "`` tick`ed ``"),
        ("two\nlines", "`two lines`"),
        ("très_positif 😀", "`très_positif 😀`"),
        ("and/or", "`and/or`"),
    ],
)
def test_label_names_stand_in_their_table_as_they_are(label, cell):
    card = render_card(CardFacts("tiny", label_names=[label, "other"]))
    assert f"| 0 | {cell} |\n| 1 | `other` |\n" in card


def test_a_number_that_is_not_finite_is_not_a_result():
    metrics = {"pearsonr": math.nan, "spearmanr": math.inf, "accuracy": 1}
    card = render_card(CardFacts("tiny", metrics=metrics, datasets=["glue"]))
    assert [result.metric_type for result in ModelCard(card).data.eval_results] == ["accuracy"]
    assert "| accuracy | 1.0000 |" in card
    assert "pearsonr" not in card
    assert "Results" not in render_card(CardFacts("tiny", metrics={"pearsonr": math.nan}))


def test_no_path_of_the_machine_is_told(tmp_path, monkeypatch):
    """A card on the Hub shows the name of a person's home or project."""
    monkeypatch.chdir(tmp_path)
    for folder in ["secret-runs/teacher", "secret-runs/student", "secret-data/films", "secret words"]:
        Path(folder).mkdir(parents=True)
    Path("secret words/glove 50.txt").touch()
    facts = CardFacts(
        "secret-runs/student",
        teacher="secret-runs/teacher",
        datasets=["secret-data/films", "../secret-data/more", "C:\\secret\\reviews"],
        evaluation_dataset="/secret/test-set/",
        metrics={"accuracy": 0.5},
        report="| /secret/runs/teacher | 3 texts/s |",
        augmentation={"vocabulary": "/secret/words.txt"},
        tokenizer="words of secret-data/films and of ~/secret/list.txt",
        embeddings="secret words/glove 50.txt",
        loss="see file:///secret/notes.md",
        optimizer="Adadelta (from /secret/optim.py)",
        training_arguments={
            "output_dir": "/home/secret person/out",
            "resume_from_checkpoint": Path("secret-runs/teacher"),
            "report_to": ["none", "/secret/logs"],
            "lr_scheduler_kwargs": {"file": "/secret/schedule.json"},
        },
    )
    card = save_card(facts, "secret-runs/student").read_text(encoding="utf-8")
    assert "secret" not in card
    assert str(tmp_path) not in card
    for name in ["# student\n", "`teacher`", "`films`", "`more`", "`reviews`", "test-set", "| teacher | 3 texts/s |"]:
        assert name in card, name
    for name in ["words of films and of list.txt", "glove 50.txt", "(from optim.py)", "`none, logs`", "`out`"]:
        assert name in card, name
    data = ModelCard(card).data
    assert (data.base_model, data.datasets, data.model_name) == (None, None, "student")


def test_a_model_saved_into_a_folder_of_its_name_is_not_called_after_the_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "secret" not in save_card(CardFacts("secret/student"), "secret/student").read_text(encoding="utf-8")


def test_links_and_ids_are_no_paths():
    facts = CardFacts("me/tiny", loss="as in https://arxiv.org/abs/1903.12136", tokenizer="trimmed google/bert_uncased")
    card = render_card(facts)
    assert "as in https://arxiv.org/abs/1903.12136" in card
    assert "trimmed google/bert_uncased" in card
    assert 'model="me/tiny"' in card


@pytest.mark.parametrize("is_pair", [False, True], ids=["texts", "pairs"])
def test_the_code_on_the_card_is_python(is_pair):
    card = render_card(CardFacts('a "quoted" name', is_pair=is_pair))
    blocks = [block.split("```")[0] for block in card.split("```python\n")[1:]]
    assert len(blocks) == 3
    for block in blocks:
        compile(block, "README.md", "exec")
    assert "import hf_bilstm_distill" in blocks[0]
    assert "trust_remote_code=True" in blocks[1]
    assert "OnnxTextClassifier.from_pretrained" in blocks[2]
    assert [("text_pair" in block) for block in blocks] == [is_pair, False, is_pair]


def card_of_training(folder, **settings):
    config = BiLSTMConfig(id2label={0: "negative", 1: "positive"}, label2id={"negative": 0, "positive": 1})
    arguments = DistillationTrainingArguments(output_dir=str(folder), use_cpu=True, **settings)
    return render_card(CardFacts("tiny", **training_facts(arguments, config)))


def test_the_card_tells_which_checkpoint_was_kept(tmp_path):
    """A reader takes the best of many epochs for the last one."""
    each_epoch = {"eval_strategy": "epoch", "save_strategy": "epoch", "metric_for_best_model": "accuracy"}
    best = card_of_training(tmp_path, load_best_model_at_end=True, **each_epoch)
    assert "| `checkpoint` | `best accuracy on the validation texts` |" in best
    assert "`checkpoint`" not in card_of_training(tmp_path, **each_epoch)


def test_the_card_tells_what_it_takes_to_do_it_again(tmp_path):
    card = card_of_training(tmp_path, weight_decay=0.25, seed=7)
    for line in ["| `weight_decay` | `0.25` |", "| `lstm_hidden_size` | `150` |", "- **Seeds:** 7"]:
        assert f"{line}\n" in card
    for package in ["transformers", "torch", "tokenizers", "datasets"]:
        assert f"| `{package}` | `{version(package)}` |\n" in card


def test_a_model_without_a_teacher_is_not_said_to_imitate_logits(tmp_path):
    assert "- **Loss:** loss on gold labels\n" in card_of_training(tmp_path, alpha=1.0)


def test_the_template_in_the_package_is_the_one_at_the_top():
    root = Path(__file__).parents[1]
    top = root / "model_card_template.md"
    assert (root / "hf_bilstm_distill" / top.name).read_text(encoding="utf-8") == top.read_text(encoding="utf-8")
