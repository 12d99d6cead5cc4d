"""One LSTM layer over a sequence, with dropout of its recurrent weights and in the precision of autocast.

Shapes: T time, B streams, I inputs, H units.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

LayerState = tuple[Tensor, Tensor]
"""Hidden and cell state, [1, B, H] each."""

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of the input [4·H, I], of the state [4·H, H], and their biases [4·H]."""


def onednn_has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 on this processor. Without it products are emulated, and layers fail."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - no public name


def run_layer(
    layer: nn.LSTM,
    x_TBI: Tensor,
    state: LayerState | None,
    recurrent_dropout: float = 0.0,
    mask: Tensor | None = None,
) -> tuple[Tensor, LayerState]:
    """The hidden states [T, B, H], and the next state.

    recurrent_dropout: share of the recurrent weights left out, the same ones for all T characters and B streams
    (DropConnect: Merity, Keskar & Socher 2017, arXiv:1708.02182). mask: the choice, [4·H, H]; drawn where it is None.
    """
    kind = x_TBI.device.type
    mixed = torch.is_autocast_enabled(kind)
    if not recurrent_dropout and not mixed:
        return layer(x_TBI, state)  # type: ignore[no-any-return]
    weight_hh = cast(Tensor, layer.weight_hh_l0)
    weight_hh = dropout(weight_hh, recurrent_dropout) if mask is None else weight_hh * mask
    weights = cast(Weights, (layer.weight_ih_l0, weight_hh, layer.bias_ih_l0, layer.bias_hh_l0))
    state = state or (x_TBI.new_zeros(1, x_TBI.shape[1], layer.hidden_size),) * 2
    if not mixed or (kind == "cpu" and onednn_has_bfloat16()):
        return _run_library(x_TBI, state, weights)
    # On a processor without bfloat16, float32 represents all its values. On a GPU torch would use float16, which is not
    # the requested precision and whose range is too small for gradients.
    dtype = torch.float32 if kind == "cpu" else torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        return _run_library(
            x_TBI.to(dtype),
            (state[0].to(dtype), state[1].to(dtype)),
            cast(Weights, tuple(weight.to(dtype) for weight in weights)),
        )


def _run_library(x_TBI: Tensor, state: LayerState, weights: Weights) -> tuple[Tensor, LayerState]:
    """The operation of `nn.LSTM` with other weights, which the module itself would copy over its own."""
    y_TBH, h_1BH, c_1BH = torch.lstm(
        x_TBI,
        state,
        weights,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=True,
        bidirectional=False,
        batch_first=False,
    )
    return y_TBH, (h_1BH, c_1BH)
