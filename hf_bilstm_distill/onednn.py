"""Linear layers in oneDNN: float32 on a CPU, faster than torch alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hf_bilstm_distill.students.recurrence import is_for_onednn


@contextmanager
def linear_layers_in_onednn(model: nn.Module) -> Iterator[None]:
    """Let oneDNN compute a model's linear layers while the block runs, for inference in float32 on a CPU.

    On some chips it is twice as fast as MKL, which torch takes (see `is_for_onednn`). The results differ by rounding
    only. The weights are copied into oneDNN's layout first, which costs about as much as to run 100 tokens.

    Args:
        model: Any model. Layers on another device or in another type, and subclasses of `Linear`, stay as they are.

    Yields:
        Nothing.
    """
    layers = [module for module in model.modules() if type(module) is nn.Linear and is_for_onednn(module.weight)]
    for layer in layers:
        vars(layer)["forward"] = _in_onednn(layer)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _in_onednn(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    # The operators that torch.compile puts in the place of a linear layer whose weights are frozen.
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
    bias = None if layer.bias is None else layer.bias.detach()
    return lambda inputs: torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
