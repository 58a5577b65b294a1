"""The recurrence of a bidirectional LSTM over sentences of different lengths, with its own backward pass."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# A step has any number of sentences up to that of the batch, and each number is a shape in three products.
_MAX_SENTENCES = 256


def is_for_onednn(matrix: Tensor) -> bool:
    """Tell whether oneDNN multiplies a matrix at least as fast as what torch takes by itself.

    For float32 on a CPU torch calls MKL, which on chips that are not Intel's is half as fast.

    Args:
        matrix: Any matrix.

    Returns:
        Whether it is float32, on a CPU, and oneDNN is there.
    """
    return matrix.device.type == "cpu" and matrix.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply two matrices outside autograd, in the type of the right one.

    In oneDNN where that pays, by the operator that `torch.compile` puts in the place of a linear layer; the results
    differ by rounding only. oneDNN writes a program for each new shape, which takes up to a millisecond, and keeps a
    thousand of them: callers see to it that there are fewer.

    Args:
        left: `(n, k)`.
        right: `(k, m)`.

    Returns:
        `(n, m)`.
    """
    if is_for_onednn(right):
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(left.to(right.dtype), right.T, None, "none", [], ""))
    return _plain_product(left, right)


def _plain_product(left: Tensor, right: Tensor) -> Tensor:
    return left.to(right.dtype) @ right


class Projection(torch.autograd.Function):
    """A linear layer whose three products are `product`: for inputs whose number of rows takes few values."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        """Apply the weights.

        Args:
            ctx: Keeps what the backward pass needs.
            inputs: `(rows, in)`.
            weight: `(out, in)`.

        Returns:
            `(rows, out)`.
        """
        ctx.save_for_backward(inputs, weight)
        return product(inputs, weight.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Carry the gradient of the outputs back.

        Args:
            ctx: What the forward pass kept.
            *gradients: The gradient of the outputs, `(rows, out)`.

        Returns:
            The gradients of inputs and weights.
        """
        inputs, weight = ctx.saved_tensors
        return product(gradients[0], weight), product(gradients[0].T, inputs)


class Recurrence(torch.autograd.Function):
    """Run both directions of an LSTM from what its input gives each gate.

    Sentences are sorted by length, the longest first, and laid out step by step: first the first token of every
    sentence, then the second of those that have one, and so on. The backward direction begins with the last token. So
    a step is one product over both directions and all sentences that are not yet at their end, without padding.

    All gates go through one sigmoid; tanh(x) is 2 sigmoid(2x) - 1, which takes a third of the time on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, recurrent: Tensor, num_alive: list[int]) -> Tensor:
        """Compute the state after each token.

        Args:
            ctx: Keeps what the backward pass needs.
            gates: What the input gives the gates, in PyTorch's order (input, forget, candidate, output), biases
                included, `(2, tokens, 4 * hidden)`.
            recurrent: The weights from state to gates, `(2, hidden, 4 * hidden)`. Their type is that of the products.
            num_alive: For each step, how many sentences have a token there.

        Returns:
            `(2, tokens, hidden)`, in the type of `gates`.
        """
        multiply = product if num_alive[0] <= _MAX_SENTENCES else _plain_product
        hidden_size = recurrent.shape[1]
        states = gates.new_empty(2, gates.shape[1], hidden_size)
        state = cell = gates.new_zeros(2, num_alive[0], hidden_size)
        kept: list[Tensor] = []
        start = 0
        for step, alive in enumerate(num_alive):
            gate = gates[:, start : start + alive].clone()
            if step > 0:
                for direction in (0, 1):
                    gate[direction] += multiply(state[direction, :alive], recurrent[direction])
            gate[..., 2 * hidden_size : 3 * hidden_size].mul_(2)
            write, keep, candidate, show = gate.sigmoid_().chunk(4, dim=-1)
            candidate.mul_(2).sub_(1)
            previous, cell = cell, (cell[:, :alive] * keep).addcmul_(write, candidate)
            squashed = (2 * cell).sigmoid_().mul_(2).sub_(1)
            state = states[:, start : start + alive]
            torch.mul(show, squashed, out=state)
            start += alive
            if any(ctx.needs_input_grad):
                kept += [gate, previous, squashed]
        ctx.num_alive = num_alive
        ctx.save_for_backward(recurrent, states, *kept)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Carry the gradient of the states back to the gates and the weights.

        Args:
            ctx: What the forward pass kept.
            *gradients: The gradient of the states, `(2, tokens, hidden)`.

        Returns:
            The gradients of `gates` and of `recurrent`.
        """
        (d_states,) = gradients
        multiply = product if ctx.num_alive[0] <= _MAX_SENTENCES else _plain_product
        recurrent, states, *kept = ctx.saved_tensors
        d_gates = states.new_empty(2, states.shape[1], 4 * recurrent.shape[1])
        d_recurrent = torch.zeros_like(recurrent)
        # What the state and the cell of a step answer for in later steps; where a sentence has ended, nothing.
        d_state = states.new_zeros(2, ctx.num_alive[0], recurrent.shape[1])
        d_cell = torch.zeros_like(d_state)
        end = states.shape[1]
        for step, alive in reversed(list(enumerate(ctx.num_alive))):
            gate, previous, squashed = kept[3 * step : 3 * step + 3]
            write, keep, candidate, show = gate.chunk(4, dim=-1)
            d_gate = d_gates[:, end - alive : end]
            d_write, d_keep, d_candidate, d_show = d_gate.chunk(4, dim=-1)
            d_h = d_state[:, :alive].add_(d_states[:, end - alive : end])
            d_c = d_cell[:, :alive].add_((d_h * show).mul_(1 - squashed * squashed))
            torch.mul(d_h, squashed, out=d_show)
            torch.mul(d_c, candidate, out=d_write)
            torch.mul(d_c, write, out=d_candidate)
            torch.mul(d_c, previous[:, :alive], out=d_keep)
            d_c.mul_(keep)
            slope = (1 - gate).mul_(gate)
            slope.chunk(4, dim=-1)[2].copy_(1 - candidate * candidate)
            d_gate.mul_(slope)
            end -= alive
            if step > 0:
                before = end - ctx.num_alive[step - 1]
                for direction in (0, 1):
                    state, weights = states[direction, before : before + alive], recurrent[direction]
                    d_state[direction, :alive] = multiply(d_gate[direction], weights.T)
                    d_recurrent[direction] += multiply(state.T, d_gate[direction].to(weights.dtype))
        return d_gates, d_recurrent, None
