"""A run that ends well and is worthless, because nobody was told what was odd about it."""

from pathlib import Path

import pytest
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hf_bilstm_distill import (
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    DistillationTrainer,
    DistillationTrainingArguments,
    TextClassifier,
    encode,
    train_word_tokenizer,
)
from hf_bilstm_distill.cautions import (
    check_world_size,
    count_parts,
    count_repeated,
    warn_if_heavier,
    warn_of_foreign_tokenizer,
    warn_of_leaks,
)
from hf_bilstm_distill.commands.distill_arguments import RunArguments
from hf_bilstm_distill.commands.distill_texts import load_splits


def rows(*texts: str) -> Dataset:
    return Dataset.from_dict({"text": list(texts)})


# ------------------------------------------------------------------------------------------------- what is not read
@pytest.mark.parametrize("has_pairs", [False, True], ids=["single", "pairs"])
def test_cut_texts_are_counted(has_pairs: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A student that reads half of each review, and nobody knows."""
    tokenizer = train_word_tokenizer(["a b c d e"])
    texts = ["a b c", "a b c d", "a", "a b c d e"]
    columns = {"text": texts, "text_pair": [""] * 4} if has_pairs else {"text": texts}
    encoded = encode(Dataset.from_dict(columns), tokenizer, max_length=3)
    assert "2 of 4 texts (50.0%) are longer than 3 tokens" in caplog.text
    assert set(encoded.column_names) == {"input_ids", "length", *(["token_type_ids"] if has_pairs else [])}
    assert encoded["length"][:] == [3, 3, 1, 3]


def test_texts_that_fit_raise_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Warnings of what is right hide those of what is wrong; one long text among many is no mistake."""
    tokenizer = train_word_tokenizer(["a b c"])
    encode(rows(*["a b c"] * 200, "a b c a"), tokenizer, max_length=3)
    assert not caplog.records
    with caplog.at_level("INFO", logger="hf_bilstm_distill.cautions"):
        encode(rows(*["a b c"] * 200, "a b c a b"), tokenizer, max_length=3)
    assert "1 of 201 texts (0.5%)" in caplog.text


def test_a_vocabulary_that_misses_the_texts_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Texts of another language or domain become unknown tokens, and training goes on."""
    tokenizer = train_word_tokenizer(["the film is good"])
    encode(rows("der film ist gut", "the film"), tokenizer)
    assert "3 of 6 tokens (50.0%) are [UNK]" in caplog.text
    caplog.clear()
    encode(rows("the film is good", "the film is gut"), tokenizer)
    encode(rows("", ""), tokenizer)
    assert not caplog.records


# ------------------------------------------------------------------------------------------- teacher, student, world
def bert(vocab_size: int, pad_token_id: int = 0) -> BertForSequenceClassification:
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=vocab_size,
            pad_token_id=pad_token_id,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
        )
    )


@pytest.mark.parametrize(
    ("vocab_size", "pad_token_id", "is_foreign"),
    [(106, 0, True), (100, 0, False), (99, 0, True), (100, 5, True), (103, 0, False)],
    ids=["smaller-vocabulary", "its-own", "larger-vocabulary", "other-padding", "rounded-up"],
)
def test_a_tokenizer_of_another_model_is_told(
    vocab_size: int, pad_token_id: int, is_foreign: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A cased tokenizer on an uncased teacher labels a million texts with nonsense."""
    tokenizer = train_word_tokenizer([" ".join(f"w{number}" for number in range(97))])
    assert len(tokenizer) == 100
    model = bert(vocab_size, pad_token_id)
    warn_of_foreign_tokenizer(tokenizer, model)
    assert bool(caplog.records) == is_foreign
    caplog.clear()
    TextClassifier(model, tokenizer)
    assert bool(caplog.records) == is_foreign
    if is_foreign:
        assert f"100 tokens and pads with 0, but the model has {vocab_size} embeddings" in caplog.text


def test_a_student_heavier_than_its_teacher_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The compressed model is larger than what it was made from."""
    teacher = bert(100)
    light = BiLSTMConfig(vocab_size=20, embedding_dim=2, lstm_hidden_size=2, fc_size=2)
    warn_if_heavier(BiLSTMForSequenceClassification(light), teacher)
    assert not caplog.records
    warn_if_heavier(BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=100)), teacher)
    assert "nothing gets smaller. 30,000 of the student's are its embedding table" in caplog.text


def test_processes_that_do_not_know_of_each_other_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight processes each train the whole student, and overwrite each other's checkpoints."""
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(RuntimeError, match="launcher started 8 processes"):
        check_world_size(1)
    check_world_size(8)
    monkeypatch.delenv("WORLD_SIZE")
    check_world_size(1)


def test_a_trainer_looks_at_the_launcher_and_at_the_teachers_weight(
    texts: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The checks are there, and nothing calls them."""
    tokenizer = train_word_tokenizer(texts["text"][:])
    teacher = bert(len(tokenizer))
    student = BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=len(tokenizer)))
    arguments = DistillationTrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    options = {"train_dataset": encode(texts, tokenizer), "processing_class": tokenizer, "teacher_model": teacher}
    DistillationTrainer(student, arguments, **options)
    assert "nothing gets smaller" in caplog.text
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(RuntimeError, match="launcher started 8 processes"):
        DistillationTrainer(student, arguments, **options)


# ---------------------------------------------------------------------------------------------------------- the leaks
def test_rows_that_stand_in_both_sets_are_counted() -> None:
    """A student is praised for texts that it knows by heart."""
    training = rows("A good film .", "a bad film .")
    assert count_repeated(training, rows("a  good film .", "another", "a bad film .", "a bad film .")) == 3
    pairs = [
        Dataset.from_dict({"text": ["a", "b"], "text_pair": [first, second]})
        for first, second in (("x", "y"), ("x", "z"))
    ]
    assert count_repeated(*pairs) == 1


def test_phrases_of_training_sentences_are_counted() -> None:
    """Phrase data such as SST-2's, split at random: most validation rows are pieces of training rows."""
    sentences = ["This is a very good film indeed .", "it is what it is what it is not"]
    parts = ["a very good film", "is a very good film indeed .", "it is what it is not"]
    others = [
        "this is a very good film indeed .",
        "very good",
        "good film indeed",
        "a very good movie",
        "film indeed .",
    ]
    assert count_parts(sentences, [*parts, *others]) == 3
    assert count_parts(sentences, [parts[0], parts[0]]) == 2
    assert count_parts([], parts) == 0


def test_leaks_are_told_with_their_share(caplog: pytest.LogCaptureFixture) -> None:
    """The numbers of a report look too good, and nothing says why."""
    training = rows("the story is told with great care", "a bad film")
    warn_of_leaks(training, rows("the story is told", "something else"), "validation")
    assert "1 of 2 rows (50.0%) of validation stand within a training text" in caplog.text
    warn_of_leaks(training, rows("a bad film", "something else", "another one"), "test")
    assert "1 of 3 rows (33.3%) of test are training texts as well" in caplog.text
    assert len(caplog.records) == 2
    caplog.clear()
    warn_of_leaks(training, rows("something else", "a very bad film", "", "film"), "validation")
    assert not caplog.records


def test_foreign_means_the_models_embeddings_whatever_their_name(
    teacher_tokenizer: PreTrainedTokenizerFast, teacher_model: BertForSequenceClassification
) -> None:
    """A classifier of a student, whose table has another name, could not be made."""
    config = BiLSTMConfig(vocab_size=len(teacher_tokenizer), embedding_dim=2, lstm_hidden_size=2, fc_size=2)
    for model in (BiLSTMForSequenceClassification(config), teacher_model):
        TextClassifier(model, teacher_tokenizer)


def test_a_run_tells_of_leaks_before_it_loads_a_teacher(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The check is there, and nothing calls it."""
    training = [{"text": f"the long story number {number} is told with care", "label": 0} for number in range(9)]
    Dataset.from_list(training).to_json(tmp_path / "train.jsonl")
    Dataset.from_list([training[3], {"text": "is told with care", "label": 0}]).to_json(tmp_path / "held_out.jsonl")
    run = RunArguments(
        teacher="nowhere", train_file=str(tmp_path / "train.jsonl"), test_file=str(tmp_path / "held_out.jsonl")
    )
    load_splits(run, seed=0)
    assert "1 of 2 rows (50.0%) of the test texts are training texts as well" in caplog.text
    assert "1 of 2 rows (50.0%) of the test texts stand within a training text" in caplog.text
    assert "validation" not in caplog.text
