"""A student that reads other tokens, labels or logits than its row has."""

import copy
import itertools
import logging
import re
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import HealthCheck, given, settings
from strategies import token_rows
from transformers import PreTrainedTokenizerFast
from transformers.trainer_pt_utils import LengthGroupedSampler

from hf_bilstm_distill.collation import (
    DistillationCollator,
    EpochLengthSampler,
    check_encoded,
    check_padding,
    encode,
)
from hf_bilstm_distill.students import BiLSTMConfig
from hf_bilstm_distill.tokenization import train_word_tokenizer

NAN = float("nan")


@pytest.fixture(scope="module")
def tokenizer(texts: Dataset) -> PreTrainedTokenizerFast:
    """A student's tokenizer: words, no [CLS]; `[PAD]` is 0, as it is the teacher's."""
    return train_word_tokenizer(texts["text"])


@pytest.fixture
def config(tokenizer: PreTrainedTokenizerFast) -> BiLSTMConfig:
    return BiLSTMConfig(
        vocab_size=len(tokenizer), id2label={0: "negative", 1: "positive"}, label2id={"negative": 0, "positive": 1}
    )


@pytest.fixture
def pairs() -> Dataset:
    return Dataset.from_dict(
        {
            "text": ["a dull film", "the acting is superb , honestly"],
            "text_pair": ["great songs , great cast .", "weak jokes"],
            "label": [0, 1],
            "teacher_logits": [[0.5, -0.5], [-1.5, 2.5]],
            "augmented": [False, True],
            "length": ["not", "ours"],
        }
    )


# ---- encode ----


def test_single_sentences(texts: Dataset, tokenizer: PreTrainedTokenizerFast) -> None:
    """Rows with other tokens, lengths or labels than their text has."""
    encoded = encode(texts, tokenizer)
    assert set(encoded.column_names) == {"input_ids", "length", "labels"}
    assert encoded["labels"][:] == texts["label"][:]
    for row in range(len(texts)):
        words = tokenizer.convert_ids_to_tokens(encoded[row]["input_ids"])
        assert words == texts[row]["text"].split()
        assert encoded[row]["length"] == len(words)


def test_pairs_become_one_sequence_with_types(pairs: Dataset, tokenizer: PreTrainedTokenizerFast) -> None:
    """A siamese student that cannot tell its two sentences apart, or trains on a column of the user's."""
    encoded = encode(pairs, tokenizer)
    assert set(encoded.column_names) == {"input_ids", "token_type_ids", "length", "labels", "teacher_logits"}
    assert encoded["teacher_logits"][:] == pairs["teacher_logits"][:]
    for row in range(len(pairs)):
        first, second = pairs[row]["text"].split(), pairs[row]["text_pair"].split()
        assert tokenizer.convert_ids_to_tokens(encoded[row]["input_ids"]) == first + second
        assert encoded[row]["token_type_ids"] == [0] * len(first) + [1] * len(second)
        assert encoded[row]["length"] == len(first) + len(second)


def test_inputs_of_the_teacher_stand_beside_those_of_the_student(
    pairs: Dataset, tokenizer: PreTrainedTokenizerFast, teacher_tokenizer: PreTrainedTokenizerFast
) -> None:
    """A teacher in the loop reads the student's token ids, or its text without [CLS] and [SEP]."""
    encoded = encode(pairs, tokenizer, teacher_tokenizer=teacher_tokenizer)
    expected = teacher_tokenizer(pairs["text"][:], pairs["text_pair"][:])
    assert encoded["teacher_input_ids"][:] == expected["input_ids"]
    assert encoded["teacher_token_type_ids"][:] == expected["token_type_ids"]
    alone = encode(pairs, tokenizer)
    assert encoded["input_ids"][:] == alone["input_ids"][:]
    assert encoded["token_type_ids"][:] == alone["token_type_ids"][:]
    assert encoded["teacher_input_ids"][0][0] == teacher_tokenizer.cls_token_id


@pytest.mark.parametrize("has_pairs", [False, True], ids=["single", "pair"])
def test_max_length_cuts_the_student_alone(
    pairs: Dataset, tokenizer: PreTrainedTokenizerFast, teacher_tokenizer: PreTrainedTokenizerFast, has_pairs: bool
) -> None:
    """A long text fills the memory, or `length` still tells the length before the cut."""
    dataset = pairs if has_pairs else pairs.remove_columns("text_pair")
    encoded = encode(dataset, tokenizer, teacher_tokenizer=teacher_tokenizer, max_length=3)
    assert [len(ids) for ids in encoded["input_ids"]] == [3, 3]
    assert encoded["length"][:] == [3, 3]
    assert min(len(ids) for ids in encoded["teacher_input_ids"]) > 3
    if has_pairs:
        assert all(set(types) == {0, 1} for types in encoded["token_type_ids"])


def test_without_max_length_each_tokenizer_keeps_its_own(
    tokenizer: PreTrainedTokenizerFast, teacher_tokenizer: PreTrainedTokenizerFast
) -> None:
    """A text beyond the teacher's positions ends the training with an index error."""
    dataset = Dataset.from_dict({"text": ["film " * 2000]})
    encoded = encode(dataset, tokenizer, teacher_tokenizer=teacher_tokenizer)
    assert encoded["length"][:] == [tokenizer.model_max_length]
    assert len(encoded["teacher_input_ids"][0]) == teacher_tokenizer.model_max_length == 64
    assert encoded["teacher_input_ids"][0][-1] == teacher_tokenizer.sep_token_id


def test_rows_without_logits_stay_without(tokenizer: PreTrainedTokenizerFast) -> None:
    """A row that the teacher never saw turns into a row of zeros."""
    dataset = Dataset.from_dict({"text": ["a film", "a cast"], "teacher_logits": [None, [1.0, 2.0]]})
    assert encode(dataset, tokenizer)["teacher_logits"][:] == [None, [1.0, 2.0]]


def test_a_set_with_text_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    """Texts without labels cannot be encoded for prediction; an empty text is lost."""
    encoded = encode(Dataset.from_dict({"text": ["a film", ""]}), tokenizer)
    assert set(encoded.column_names) == {"input_ids", "length"}
    assert encoded["length"][:] == [2, 0]


@pytest.mark.parametrize("column", ["text", "text_pair"])
def test_a_missing_text_is_named(pairs: Dataset, tokenizer: PreTrainedTokenizerFast, column: str) -> None:
    """A row without text ends the run with a type error deep in the tokenizer."""
    broken = pairs.map(lambda row, index: {column: None if index == 1 else row[column]}, with_indices=True)
    with pytest.raises(ValueError, match=rf"no text in column '{column}' of 1 of its 2 rows \(first: row 1\)"):
        encode(broken, tokenizer)


def test_an_empty_set_is_named(texts: Dataset, tokenizer: PreTrainedTokenizerFast) -> None:
    """A filter that lets nothing pass shows as an error of Arrow's."""
    with pytest.raises(ValueError, match="has no rows"):
        encode(texts.select([]), tokenizer)


def test_a_set_without_texts_is_named(tokenizer: PreTrainedTokenizerFast) -> None:
    """A column of another name shows as a KeyError."""
    with pytest.raises(ValueError, match=r"no column 'text'. Its columns are \['sentence'\]"):
        encode(Dataset.from_dict({"sentence": ["a film"]}), tokenizer)


# ---- batches ----


def rows(encoded: Dataset) -> list[dict[str, Any]]:
    return [encoded[index] for index in range(len(encoded))]


def test_batch_of_single_sentences(texts: Dataset, tokenizer: PreTrainedTokenizerFast) -> None:
    """Padding that the mask calls a token, or labels of another type than the loss takes."""
    encoded = encode(texts.select(range(6)), tokenizer)
    batch = DistillationCollator(tokenizer)(rows(encoded))
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    assert batch["labels"].dtype == torch.int64
    assert batch["labels"].tolist() == encoded["labels"][:]
    assert batch["input_ids"].shape[1] == max(encoded["length"])
    for row, (ids, mask) in enumerate(zip(batch["input_ids"], batch["attention_mask"], strict=True)):
        assert ids[mask.bool()].tolist() == encoded[row]["input_ids"]
        assert (ids[~mask.bool()] == tokenizer.pad_token_id).all()


def test_batch_of_pairs(pairs: Dataset, tokenizer: PreTrainedTokenizerFast) -> None:
    """Types or logits that belong to another row."""
    encoded = encode(pairs, tokenizer)
    batch = DistillationCollator(tokenizer)(rows(encoded))
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "labels", "teacher_logits"}
    for row in range(2):
        mask = batch["attention_mask"][row].bool()
        assert batch["token_type_ids"][row][mask].tolist() == encoded[row]["token_type_ids"]
    assert batch["teacher_logits"].dtype == torch.float32
    assert batch["teacher_logits"].tolist() == pairs["teacher_logits"][:]


def test_rows_without_logits_become_nan(tokenizer: PreTrainedTokenizerFast) -> None:
    """A row without logits that is padded with zeros is learned as "undecided"."""
    dataset = Dataset.from_dict(
        {"text": ["a film", "a cast", "songs"], "teacher_logits": [None, [1.0, 2.0, 3.0], None]}
    )
    logits = DistillationCollator(tokenizer)(rows(encode(dataset, tokenizer)))["teacher_logits"]
    np.testing.assert_array_equal(logits.numpy(), [[NAN] * 3, [1, 2, 3], [NAN] * 3])


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        ([0.5, NAN, -2.0], torch.float32),
        ([[0.0, 1.0], [1.0, 1.0], [NAN, NAN]], torch.float32),
        ([[0, 1], [1, 1], [-100, -100]], torch.int64),
        ([1, -100, 0], torch.int64),
    ],
    ids=["numbers", "several_labels", "several_labels_as_integers", "classes"],
)
def test_types_of_labels(tokenizer: PreTrainedTokenizerFast, labels: list[Any], dtype: torch.dtype) -> None:
    """Float labels cut down to integers, or doubles that no loss takes."""
    dataset = Dataset.from_dict({"text": ["a film", "a cast", "songs"], "label": labels})
    batch = DistillationCollator(tokenizer)(rows(encode(dataset, tokenizer)))
    assert batch["labels"].dtype == dtype
    np.testing.assert_array_equal(batch["labels"].numpy(), np.array(labels))


@pytest.mark.parametrize("side", ["right", "left"])
def test_teacher_inputs_are_padded_as_the_teacher_pads(
    pairs: Dataset, tokenizer: PreTrainedTokenizerFast, teacher_tokenizer: PreTrainedTokenizerFast, side: str
) -> None:
    """The teacher meets the student's padding token, which is a word of its own (or beyond its vocabulary)."""
    teacher_tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=teacher_tokenizer.backend_tokenizer,
        pad_token="[MASK]",
        padding_side=side,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    assert teacher_tokenizer.pad_token_id != tokenizer.pad_token_id
    encoded = encode(pairs, tokenizer, teacher_tokenizer=teacher_tokenizer)
    batch = DistillationCollator(tokenizer, teacher_tokenizer)(rows(encoded))
    assert {name for name in batch if name.startswith("teacher_")} == {
        "teacher_input_ids",
        "teacher_attention_mask",
        "teacher_token_type_ids",
        "teacher_logits",
    }
    lengths = [len(ids) for ids in encoded["teacher_input_ids"]]
    assert batch["teacher_input_ids"].shape == (2, max(lengths))
    for row, length in enumerate(lengths):
        mask = batch["teacher_attention_mask"][row].bool()
        assert int(mask.sum()) == length
        assert bool(mask[-1]) == (side == "left" or length == max(lengths))
        assert batch["teacher_input_ids"][row][mask].tolist() == encoded[row]["teacher_input_ids"]
        assert (batch["teacher_input_ids"][row][~mask] == teacher_tokenizer.pad_token_id).all()
        assert batch["teacher_token_type_ids"][row][mask].tolist() == encoded[row]["teacher_token_type_ids"]
    assert (batch["input_ids"][~batch["attention_mask"].bool()] == tokenizer.pad_token_id).all()


def test_a_batch_raises_no_warning(
    texts: Dataset, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    """Each run starts with advice on tokenizers that does not concern the user."""
    with caplog.at_level(logging.WARNING):
        DistillationCollator(tokenizer)(rows(encode(texts.select(range(4)), tokenizer)))
    assert not caplog.records


# ---- the order of the rows ----


def test_the_order_of_an_epoch_follows_from_seed_and_epoch_alone() -> None:
    """A resumed run, or a second process, goes through other rows than the first one did."""
    lengths = np.random.default_rng(0).integers(3, 40, size=64).tolist()
    grouped = LengthGroupedSampler(4, lengths=lengths)
    orders = {}
    for seed, epoch in itertools.product((0, 1, 42), (0, 1, 2)):
        before = torch.random.get_rng_state()
        orders[seed, epoch] = list(EpochLengthSampler(grouped, seed, lambda epoch=epoch: epoch))
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.rand(7)
        assert list(EpochLengthSampler(grouped, seed, lambda epoch=epoch: epoch)) == orders[seed, epoch]
    assert len({tuple(order) for order in orders.values()}) == 9
    for order in orders.values():
        assert sorted(order) == list(range(64))
        batches = [[lengths[row] for row in order[start : start + 4]] for start in range(0, 64, 4)]
        padding = sum(max(batch) - length for batch in batches[1:] for length in batch)  # the longest row comes first
        assert padding < 0.3 * sum(lengths)  # at random about half


# ---- checks ----


def encoded_rows(**columns: Any) -> Dataset:
    return Dataset.from_dict({"input_ids": [[3, 4], [5]], "length": [2, 1], **columns})


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"labels": [0, 1]},
        {"labels": [-100, 1]},
        {"labels": [-100, -100]},
        {"labels": [[1.0, 0.0], [NAN, NAN]]},
        {"labels": [[1, 0], [-100, -100]]},
        {"teacher_logits": [[1.0, 2.0], [2.0, 1.0]]},
        {"teacher_logits": [None, [2.0, 1.0]]},
        {"teacher_logits": [[NAN, NAN], [2.0, 1.0]]},
    ],
    ids=["text", "labels", "some", "none", "several_a_row", "several_integers", "logits", "some_logits", "some_nan"],
)
def test_what_is_right_passes(config: BiLSTMConfig, columns: dict[str, Any]) -> None:
    """A set that can be learned from is refused."""
    check_encoded(encoded_rows(**columns), config, "train_dataset")


@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ({"input_ids": [[3, 4], [5000]]}, "token id 5000, but the student's vocabulary ends at LAST. Encode it with"),
        ({"labels": [0, 2]}, "label 2 in row 1, but the student's labels are 0..1 (['negative', 'positive'])"),
        ({"labels": [-1, 1]}, "label -1 in row 0, but the student's labels are 0..1"),
        ({"labels": [None, 1]}, "no label in 1 of its 2 rows (first: row 0). Write -100 there"),
        ({"labels": [[0.0, 1.0], None]}, "no label in 1 of its 2 rows (first: row 1). Write -100 there"),
        ({"labels": [0.0, NAN]}, "label 0.0 in row 0, but the student has 2 labels of which a row has one. Number"),
        ({"labels": [[1, 0], [1]]}, "rows with different numbers of labels"),
        ({"labels": [[1, 0, 1], [0, 0, 1]]}, "label [1 0 1] in row 0, but the student's problem_type is 'multi_label"),
        ({"labels": [[1, 0], [0, 3]]}, "3 among the labels of row 1"),
        ({"teacher_logits": [[1.0], [2.0]]}, "logits of width 1, but there are 2 labels"),
        ({"teacher_logits": [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]}, "logits of width 3, but there are 2 labels"),
        ({"teacher_logits": [[1.0, 2.0], [3.0]]}, "rows of [1, 2] logits"),
        ({"teacher_logits": [[1.0, 2.0], [3.0, NAN]]}, "NaN or infinity among the logits of 1 rows (first: row 1"),
        ({"teacher_logits": [[float("inf"), 2.0], [3.0, 1.0]]}, "NaN or infinity among the logits of 1 rows (first: "),
        ({"teacher_logits": [[1.0, 2.0], [1.0, 2.0]]}, "the same logits [1.0, 2.0] in all 2 rows"),
    ],
    ids=[
        "token_id",
        "label_too_high",
        "label_below_zero",
        "label_none",
        "labels_none",
        "label_float",
        "labels_ragged",
        "labels_of_three",
        "label_of_a_list_too_high",
        "one_logit",
        "three_logits",
        "ragged",
        "nan",
        "infinite",
        "equal",
    ],
)
def test_what_trains_wrongly_is_named(config: BiLSTMConfig, columns: dict[str, Any], cause: str) -> None:
    """Training starts on it, and ends with an index error or a student that has learned nothing."""
    cause = cause.replace("LAST", str(config.vocab_size - 1))
    with pytest.raises(ValueError, match=re.escape(cause)) as error:
        check_encoded(encoded_rows(**columns), config, "eval_dataset")
    assert "eval_dataset" in str(error.value) or "Column 'teacher_logits'" in str(error.value)


def test_an_encoded_set_without_rows_is_named(config: BiLSTMConfig) -> None:
    """An empty set ends in an error of Arrow's."""
    with pytest.raises(ValueError, match=r"train_dataset has no rows\."):
        check_encoded(encoded_rows().select([]), config, "train_dataset")


def test_the_last_token_of_the_vocabulary_is_right(config: BiLSTMConfig) -> None:
    """The highest id is one below the size."""
    check_encoded(encoded_rows(input_ids=[[config.vocab_size - 1], []]), config, "train_dataset")
    with pytest.raises(ValueError, match=f"token id {config.vocab_size}, "):
        check_encoded(encoded_rows(input_ids=[[config.vocab_size], []]), config, "train_dataset")


def test_numbers_are_the_labels_of_a_regression() -> None:
    """Labels that are numbers are held against the names of classes."""
    config = BiLSTMConfig(vocab_size=10, num_labels=1)
    check_encoded(encoded_rows(labels=[0.5, NAN]), config, "train_dataset")
    check_encoded(encoded_rows(labels=[5, -2]), config, "train_dataset")


def test_only_empty_texts(config: BiLSTMConfig) -> None:
    """A set in which every text is empty has no highest token id."""
    check_encoded(encoded_rows(input_ids=[[], []]), config, "train_dataset")


def test_a_selection_is_checked_by_its_own_rows(config: BiLSTMConfig) -> None:
    """A row that was filtered out is held against the set, or the error counts rows of the file below."""
    dataset = Dataset.from_dict({"input_ids": [[9999], [3], [4]], "labels": [7, 1, 2]}).select([1, 2])
    with pytest.raises(ValueError, match="label 2 in row 1"):
        check_encoded(dataset, config, "train_dataset")
    check_encoded(dataset.select([0]), config, "train_dataset")


def test_any_format_and_type_of_columns(config: BiLSTMConfig) -> None:
    """A set in torch's format, or one whose columns have fixed widths, cannot be checked."""
    features = Features(
        {
            "input_ids": List(Value("int32")),
            "labels": ClassLabel(names=["negative", "positive"]),
            "teacher_logits": List(Value("float64"), length=2),
        }
    )
    dataset = Dataset.from_dict(
        {"input_ids": [[3, 4], [5, 6]], "labels": [0, 1], "teacher_logits": [[1.0, 2.0], None]}, features=features
    )
    for each in (dataset, dataset.with_format("torch"), dataset.with_format("numpy")):
        check_encoded(each, config, "train_dataset")


def test_padding_tokens_that_differ(tokenizer: PreTrainedTokenizerFast) -> None:
    """The student would read padding as a word, and a word as padding."""
    config = BiLSTMConfig(vocab_size=len(tokenizer), pad_token_id=1)
    with pytest.raises(ValueError, match=r"tokenizer pads with token 0, but the student takes 1 for padding\. Make"):
        check_padding(tokenizer, config)
    check_padding(tokenizer, BiLSTMConfig(vocab_size=len(tokenizer), pad_token_id=0))
    check_padding(None, config)


@pytest.mark.parametrize("side", ["right", "left"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=token_rows)
def test_any_rows_come_back_from_their_batch(
    tokenizer: PreTrainedTokenizerFast, side: str, rows: list[list[int]]
) -> None:
    """Tokens are lost or moved to another row where rows are empty, alone, or padded on the left."""
    collator = DistillationCollator(copy.deepcopy(tokenizer))
    collator.tokenizer.padding_side = side
    batch = collator([{"input_ids": row, "token_type_ids": [token % 2 for token in row]} for row in rows])
    assert batch["input_ids"].shape == (len(rows), max(map(len, rows)))
    for row, ids, types, mask in zip(
        rows, *(batch[name] for name in ("input_ids", "token_type_ids", "attention_mask")), strict=True
    ):
        assert ids[mask.bool()].tolist() == row
        assert types[mask.bool()].tolist() == [token % 2 for token in row]
        assert set(ids[~mask.bool()].tolist()) <= {tokenizer.pad_token_id}
        words = mask.tolist() if side == "right" else mask.tolist()[::-1]
        assert words == sorted(words, reverse=True)
