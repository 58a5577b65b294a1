"""The recurrence that students run on a CPU: values and gradients of `nn.LSTM`."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hf_bilstm_distill import BiLSTMConfig, BiLSTMModel
from hf_bilstm_distill.students.recurrence import Recurrence

LENGTHS = [*range(1, 12)] * 6  # enough rows in a step that the student does not take `nn.LSTM` itself


def make_encoder(**options: object) -> BiLSTMModel:
    torch.manual_seed(0)
    encoder = BiLSTMModel(BiLSTMConfig(vocab_size=50, embedding_dim=6, lstm_hidden_size=5, **options))
    for parameter in encoder.lstm.parameters():
        torch.nn.init.uniform_(parameter, -0.7, 0.7)
    torch.nn.init.uniform_(encoder.embed_tokens.weight, -1, 1)
    if encoder.config.multichannel:
        encoder.embed_tokens_static.weight.uniform_(-1, 1)
    return encoder.double()


def make_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of all lengths in no order, padded on the right, with their lengths."""
    torch.manual_seed(1)
    lengths = torch.tensor(LENGTHS)[torch.randperm(len(LENGTHS))]
    mask = (torch.arange(max(LENGTHS)) < lengths[:, None]).long()
    return torch.randint(1, 50, mask.shape) * mask, mask, lengths


def by_lstm(encoder: BiLSTMModel, input_ids: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    vectors = encoder.embed_tokens(input_ids)
    if encoder.config.multichannel:
        vectors = torch.cat([vectors, encoder.embed_tokens_static(input_ids)], dim=-1)
    packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    states, (last, _) = encoder.lstm(packed)
    by_token = pad_packed_sequence(states, batch_first=True)[0]
    if encoder.config.pooling == "max":
        is_padding = torch.arange(by_token.shape[1]) >= lengths[:, None]
        return by_token, by_token.masked_fill(is_padding[..., None], -torch.inf).max(dim=1).values
    return by_token, torch.cat([last[0], last[1]], dim=-1)


def refuse(*_: object) -> None:
    pytest.fail("the student took nn.LSTM: this test would compare it with itself")


@pytest.mark.parametrize("options", [{}, {"multichannel": True}, {"pooling": "max"}], ids=str)
def test_values_and_gradients_are_those_of_an_lstm(options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Students would learn something else than the BiLSTM that they are said to be."""
    monkeypatch.setattr(BiLSTMModel, "_run_by_kernel", refuse)
    encoder = make_encoder(**options)
    input_ids, mask, lengths = make_batch()
    torch.manual_seed(2)
    weights = torch.randn(len(lengths), mask.shape[1] + 1, 10, dtype=torch.float64)
    gradients = []
    results = (encoder.encode(input_ids, mask), by_lstm(encoder, input_ids, lengths))
    for states, pooled in results:
        encoder.zero_grad()
        ((states * weights[:, 1:]).sum() + (pooled * weights[:, 0]).sum()).backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in encoder.named_parameters()})
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert all(gradient.abs().max() > 0.01 for gradient in gradients[0].values())


def test_the_two_ways_to_run_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row alone and the same row in a batch, on a GPU and on a CPU, would get different vectors."""
    encoder = make_encoder()
    input_ids, mask, _ = make_batch()
    together = encoder.encode(input_ids, mask)
    monkeypatch.setattr(BiLSTMModel, "_run_by_steps", BiLSTMModel._run_by_kernel)
    torch.testing.assert_close(encoder.encode(input_ids, mask), together)


def test_tokens_may_stand_anywhere_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left padding, or the second sentence of a pair, would be read at the wrong place."""
    monkeypatch.setattr(BiLSTMModel, "_run_by_kernel", refuse)
    encoder = make_encoder()
    input_ids, mask, _ = make_batch()
    mask[0] = 0  # nothing to read
    states, pooled = encoder.encode(input_ids, mask)
    torch.manual_seed(3)
    places = torch.rand(mask.shape[0], 20).argsort(dim=1)[:, : mask.shape[1]].sort(dim=1).values
    scattered_ids = torch.full((len(mask), 20), 7).scatter(1, places, input_ids)
    scattered_mask = torch.zeros(len(mask), 20, dtype=torch.long).scatter(1, places, mask)
    scattered_states, scattered_pooled = encoder.encode(scattered_ids, scattered_mask)
    torch.testing.assert_close(scattered_pooled, pooled)
    torch.testing.assert_close(scattered_states.gather(1, places[..., None].expand(-1, -1, 10)), states)
    assert not scattered_states[scattered_mask == 0].any()


def test_the_backward_pass_is_the_derivative_of_the_forward_pass() -> None:
    """Training would go downhill in a wrong direction."""
    torch.manual_seed(0)
    num_alive = [4, 4, 2, 1]
    gates = torch.randn(2, sum(num_alive), 12, dtype=torch.float64, requires_grad=True)
    recurrent = torch.randn(2, 3, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *inputs: Recurrence.apply(*inputs, num_alive), (gates, recurrent))


def test_bfloat16_products_stay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--bf16 true` would crash, or train something else."""
    monkeypatch.setattr(BiLSTMModel, "_run_by_kernel", refuse)
    encoder = make_encoder().float()
    input_ids, mask, _ = make_batch()
    exact = encoder.encode(input_ids, mask)[1]
    with torch.autocast("cpu", torch.bfloat16):
        close = encoder.encode(input_ids, mask)[1]
    assert close.dtype == torch.float32
    torch.testing.assert_close(close, exact, atol=0.03, rtol=0)
    close.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())


def test_no_two_weights_share_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipping, which works in place, would scale a shared gradient twice."""
    monkeypatch.setattr(BiLSTMModel, "_run_by_kernel", refuse)
    encoder = make_encoder()
    input_ids, mask, _ = make_batch()
    encoder.encode(input_ids, mask)[1].sum().backward()
    places = [parameter.grad.data_ptr() for parameter in encoder.parameters()]
    assert len(set(places)) == len(places)
