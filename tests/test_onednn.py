"""Linear layers in oneDNN."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

from hf_bilstm_distill import TextClassifier
from hf_bilstm_distill.onednn import linear_layers_in_onednn


def test_logits_of_many_texts_are_those_of_one(
    teacher_model: BertForSequenceClassification, teacher_tokenizer: PreTrainedTokenizerFast, texts: Dataset
) -> None:
    """The faster layers would give another answer."""
    classifier = TextClassifier(teacher_model, teacher_tokenizer)
    sentences = texts["text"][:] * 20
    logits = classifier.logits(sentences)
    alone = np.concatenate([classifier.logits([sentence]) for sentence in sentences[:48]])
    np.testing.assert_allclose(logits[:48], alone, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_the_model_is_as_before(bias: bool) -> None:
    """A teacher would be saved or trained with layers that know nothing of new weights."""
    model = torch.nn.Sequential(torch.nn.Linear(8, 4, bias=bias))
    names = list(model.state_dict())
    inputs = torch.randn(3, 8)
    with linear_layers_in_onednn(model), torch.inference_mode():
        before = model(inputs)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(inputs), before)
    with torch.no_grad():
        model[0].weight.zero_()
    assert not model(inputs)[:, 0].any() or bias
    model(inputs).sum().backward()
    assert model[0].weight.grad is not None


def test_other_types_are_left_alone() -> None:
    """Half precision would be computed by operators that were not chosen for it."""
    model = torch.nn.Linear(8, 4).bfloat16()
    with linear_layers_in_onednn(model):
        assert "forward" not in vars(model)
        assert model(torch.ones(2, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
