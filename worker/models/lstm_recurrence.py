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
from torch.func import functional_call
from torch.nn.functional import dropout

from worker.models import lstm_kernels as kernels
from worker.models.protocol import Kernel
from worker.models.threads import spread

LayerState = tuple[Tensor, Tensor]
"""Hidden and cell state, [1, B, H] each."""

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
    weight_hh = dropout(cast(Tensor, layer.weight_hh_l0), recurrent_dropout)
    on_cpu = x_TBI.device.type == "cpu"
    mixed = torch.is_autocast_enabled(x_TBI.device.type)
    if kernel == "compiled" and on_cpu and not mixed:
        return _run_compiled(layer, weight_hh, x_TBI, state)
    if on_cpu and mixed and not onednn_has_bfloat16():
        with torch.autocast("cpu", enabled=False):  # float32 holds all of bfloat16
            return _run_library(layer, weight_hh, x_TBI.float(), state)
    return _run_library(layer, weight_hh, x_TBI, state)


def _run_library(
    layer: nn.LSTM, weight_hh: Tensor, x_TBI: Tensor, state: LayerState | None
) -> tuple[Tensor, LayerState]:
    if weight_hh is layer.weight_hh_l0:
        return layer(x_TBI, state)  # type: ignore[no-any-return]
    return functional_call(layer, {"weight_hh_l0": weight_hh}, (x_TBI, state))  # type: ignore[no-any-return]


def _run_compiled(
    layer: nn.LSTM, weight_hh: Tensor, x_TBI: Tensor, state: LayerState | None
) -> tuple[Tensor, LayerState]:
    h_BH, c_BH = (part[0] for part in state) if state else (x_TBI.new_zeros(x_TBI.shape[1], layer.hidden_size),) * 2
    weights = layer.weight_ih_l0, weight_hh, layer.bias_ih_l0, layer.bias_hh_l0
    y_TBH, h_BH, c_BH = _Recurrence.apply(x_TBI, h_BH, c_BH, *weights)  # type: ignore[no-untyped-call]
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
        recurrent = kernels.packed(w_hh.detach().t().numpy())
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
        recurrent = kernels.packed(w_hh.detach().numpy())
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
