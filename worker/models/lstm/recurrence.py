"""One LSTM layer over a sequence: by torch, or by compiled loops where those are faster.

torch hands the recurrence to oneDNN, which is built for AVX-512: on processors without it a layer reaches a quarter of
what the machine multiplies. The compiled loops spread the streams over threads once for the whole sequence instead of
once a step, and leave everything that does not depend on the step before to torch's large products. Shapes: T time, B
streams, I inputs, H units.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import dropout

from worker.models.base import Kernel
from worker.models.lstm import kernels
from worker.models.product_kernels import packed
from worker.models.threads import spread

LayerState = tuple[Tensor, Tensor]
"""Hidden and cell state, [1, B, H] each."""

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of the input [4·H, I], of the state [4·H, H], and their biases [4·H]."""

FEWEST = 8  # streams that are worth a thread


def onednn_has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 on this processor. Elsewhere products are emulated, and layers refused."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - no public name


def run_layer(
    layer: nn.LSTM, x_TBI: Tensor, state: LayerState | None, kernel: Kernel, recurrent_dropout: float = 0.0
) -> tuple[Tensor, LayerState]:
    """The hidden states [T, B, H], and the state to go on from.

    recurrent_dropout: share of the recurrent weights left out, the same ones for all T characters and B streams
    (DropConnect: Merity, Keskar & Socher 2017, arXiv:1708.02182).
    """
    kind = x_TBI.device.type
    mixed = torch.is_autocast_enabled(kind)
    if not recurrent_dropout and not mixed and kernel != "compiled":
        return layer(x_TBI, state)  # type: ignore[no-any-return]
    weight_hh = dropout(cast(Tensor, layer.weight_hh_l0), recurrent_dropout)
    weights = cast(Weights, (layer.weight_ih_l0, weight_hh, layer.bias_ih_l0, layer.bias_hh_l0))
    state = state or (x_TBI.new_zeros(1, x_TBI.shape[1], layer.hidden_size),) * 2
    if not mixed:
        on_cpu = kind == "cpu" and kernel == "compiled"
        return _run_compiled(x_TBI, state, weights) if on_cpu else _run_library(x_TBI, state, weights)
    if kind == "cpu" and onednn_has_bfloat16():
        return _run_library(x_TBI, state, weights)
    # On a processor without it, float32 holds all of bfloat16. On a GPU torch would take float16 whatever was asked
    # for, whose range gradients leave.
    dtype = torch.float32 if kind == "cpu" else torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        return _run_library(
            x_TBI.to(dtype),
            (state[0].to(dtype), state[1].to(dtype)),
            cast(Weights, tuple(weight.to(dtype) for weight in weights)),
        )


def _run_library(x_TBI: Tensor, state: LayerState, weights: Weights) -> tuple[Tensor, LayerState]:
    """What `nn.LSTM` does with weights of its own; it would move others to where its own are."""
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


def _run_compiled(x_TBI: Tensor, state: LayerState, weights: Weights) -> tuple[Tensor, LayerState]:
    h_1BH, c_1BH = state
    y_TBH, h_BH, c_BH = _Recurrence.apply(x_TBI, h_1BH[0], c_1BH[0], *weights)  # type: ignore[no-untyped-call]
    return y_TBH, (h_BH[None], c_BH[None])


class _Recurrence(torch.autograd.Function):
    """What `nn.LSTM` computes, to rounding."""

    @staticmethod
    def forward(ctx: Any, x_TBI: Tensor, h_BH: Tensor, c_BH: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states [T, B, H], and the last hidden and cell state [B, H]."""
        w_ih, w_hh, b_ih, b_hh = weights
        time, streams, inputs = x_TBI.shape
        units = w_hh.shape[1]
        gates_TBG = torch.mm(x_TBI.reshape(-1, inputs), w_ih.t()).view(time, streams, 4 * units)
        h_TBH, c_TBH = x_TBI.new_empty(time + 1, streams, units), x_TBI.new_empty(time + 1, streams, units)
        h_TBH[0], c_TBH[0] = h_BH, c_BH
        recurrent = packed(w_hh.detach().t().numpy())
        arrays = (gates_TBG.numpy(), (b_ih + b_hh).numpy(), recurrent, h_TBH.numpy(), c_TBH.numpy())
        spread(kernels.forward, streams, *arrays, fewest=FEWEST)
        ctx.save_for_backward(x_TBI, w_ih, w_hh)
        ctx.activated = gates_TBG, h_TBH, c_TBH
        return h_TBH[1:], h_TBH[-1].clone(), c_TBH[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_TBH: Tensor, dh_BH: Tensor, dc_BH: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all that `forward` takes."""
        x_TBI, w_ih, w_hh = ctx.saved_tensors
        gates_TBG, h_TBH, c_TBH = ctx.activated
        del ctx.activated  # overwritten below: a second pass through the same graph has to fail
        streams = x_TBI.shape[1]
        dh_TBH = torch.cat([torch.zeros_like(dy_TBH[:1]), dy_TBH])
        dh_TBH[-1] += dh_BH
        dc_BH = dc_BH.clone()
        recurrent = packed(w_hh.detach().numpy())
        arrays = (gates_TBG.numpy(), recurrent, c_TBH.numpy(), dh_TBH.numpy(), dc_BH.numpy())
        spread(kernels.backward, streams, *arrays, fewest=FEWEST)
        gates_NG = gates_TBG.flatten(0, 1)
        dx_TBI = (gates_NG @ w_ih).view_as(x_TBI) if ctx.needs_input_grad[0] else None
        bias_G = gates_NG.sum(0)
        return (
            dx_TBI,
            dh_TBH[0],
            dc_BH,
            gates_NG.t() @ x_TBI.flatten(0, 1),
            gates_NG.t() @ h_TBH[:-1].flatten(0, 1),
            bias_G,
            bias_G,
        )
