"""Linear layers in oneDNN: float32 on a CPU, faster than torch alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def linear_layers_in_onednn(model: nn.Module) -> Iterator[None]:
    """Let oneDNN compute a model's linear layers while the block runs, for inference in float32 on a CPU.

    torch leaves these products to MKL, which on chips that are not Intel's is half as fast. The results differ by
    rounding only. The weights are copied into oneDNN's layout first, which costs about as much as to run 100 tokens.

    Args:
        model: Any model. Layers on another device or in another type, and subclasses of `Linear`, stay as they are.

    Yields:
        Nothing.
    """
    layers = [module for module in model.modules() if type(module) is nn.Linear and _can_run(module.weight)]
    for layer in layers:
        vars(layer)["forward"] = _in_onednn(layer)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _can_run(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def _in_onednn(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    # The operators that torch.compile puts in the place of a linear layer whose weights are frozen.
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
    bias = None if layer.bias is None else layer.bias.detach()
    return lambda inputs: torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
