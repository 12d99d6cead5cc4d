"""The LSTM's inner loops as machine code (Numba): writing text, and the recurrence of a training step on the CPU.

Every row of a batch is computed by the same sums in the same order, whatever rows are beside it: a text does not depend
on the batch it is written in, nor a training on how its batch is spread over threads. The functions release the GIL.
Shapes: N rows, G gates, H units, V characters, T time, B streams.
"""

from typing import Any, NamedTuple

import numpy as np

from worker.models.compiling import compiled
from worker.models.product_kernels import Floats, add_products

_F = np.float32
_HALF, _UNIT = _F(0.5), _F(1)


# --- the cell -----------------------------------------------------------------------------------------------------


@compiled
def _tanh(x: np.float32) -> np.float32:
    """A quotient of polynomials, x·p(x²) / q(x²), within 2 units in the last place; Eigen's coefficients."""
    x = min(max(x, _F(-7.90531110763549805)), _F(7.90531110763549805))
    y = x * x
    p = _F(-2.76076847742355e-16) * y + _F(2.00018790482477e-13)
    p = p * y + _F(-8.60467152213735e-11)
    p = p * y + _F(5.12229709037114e-08)
    p = p * y + _F(1.48572235717979e-05)
    p = p * y + _F(6.37261928875436e-04)
    p = p * y + _F(4.89352455891786e-03)
    q = _F(1.19825839466702e-06) * y + _F(1.18534705686654e-04)
    q = q * y + _F(2.26843463243900e-03)
    q = q * y + _F(4.89352518554385e-03)
    return x * p / q


@compiled
def _cells(gates_NG: Floats, before_NH: Floats, after_NH: Floats, h_NH: Floats) -> None:
    """Activate the gates i, f, g, o in place; the new cell and hidden states. `after` may be `before`."""
    rows, units = h_NH.shape
    for n in range(rows):
        gates = gates_NG[n]
        i, f, g, o = gates[:units], gates[units : 2 * units], gates[2 * units : 3 * units], gates[3 * units :]
        before, after, h = before_NH[n], after_NH[n], h_NH[n]
        for j in range(units):
            i[j] = _HALF + _HALF * _tanh(_HALF * i[j])
            f[j] = _HALF + _HALF * _tanh(_HALF * f[j])
            g[j] = _tanh(g[j])
            o[j] = _HALF + _HALF * _tanh(_HALF * o[j])
        for j in range(units):
            after[j] = f[j] * before[j] + i[j] * g[j]
            h[j] = o[j] * _tanh(after[j])


# --- writing ------------------------------------------------------------------------------------------------------


class Weights(NamedTuple):
    """A model for writing. Gates in torch's order i, f, g, o; products `packed`.

    table: what each character adds to the first layer's gates, biases included, [V, 4H]. inputs, biases: of the layers
    above; the first of each is not read. recurrent: of all layers. head: to the logits.
    """

    table_VG: Floats
    inputs: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    recurrent: tuple[Floats, ...]
    head: Floats
    head_bias_V: Floats


class State(NamedTuple):
    """Where N texts are: h and c of each layer [N, H], room for its gates [N, 4H], and the next logits [N, V]."""

    h: tuple[Floats, ...]
    c: tuple[Floats, ...]
    gates: tuple[Floats, ...]
    logits_NV: Floats


@compiled
def advance(weights: Weights, state: State, ids_N: Any) -> None:
    """Read one character of each text."""
    for layer in range(len(state.h)):
        gates_NG, h_NH, c_NH = state.gates[layer], state.h[layer], state.c[layer]
        for n in range(len(ids_N)):
            gates_NG[n] = weights.table_VG[ids_N[n]] if layer == 0 else weights.biases[layer]
        if layer > 0:
            add_products(state.h[layer - 1], weights.inputs[layer], gates_NG)
        add_products(h_NH, weights.recurrent[layer], gates_NG)
        _cells(gates_NG, c_NH, c_NH, h_NH)
    for n in range(len(ids_N)):
        state.logits_NV[n] = weights.head_bias_V
    add_products(state.h[-1], weights.head, state.logits_NV)


@compiled
def adjust(scores_V: Floats, temperature: float, top_k: int, top_p: float) -> None:
    """Make logits those of the distribution drawn from: temperature first, then top_k (0: all), then top_p (1: all).

    What is left out becomes -inf.
    """
    scores_V /= _F(temperature)
    if 0 < top_k < len(scores_V):
        least = np.sort(scores_V)[len(scores_V) - top_k]
        for v in range(len(scores_V)):
            if scores_V[v] < least:
                scores_V[v] = -np.inf
    if top_p < 1:
        descending_V = np.sort(scores_V)[::-1]
        likelihood_V = np.exp(descending_V - descending_V[0])
        enough = top_p * likelihood_V.sum()
        kept, total = 1, likelihood_V[0]
        while kept < len(scores_V) and total < enough:
            total += likelihood_V[kept]
            kept += 1
        for v in range(len(scores_V)):
            if scores_V[v] < descending_V[kept - 1]:
                scores_V[v] = -np.inf


@compiled
def _exp(x: np.float32) -> np.float32:
    """The exponential of x <= 0, within 2 units in the last place, and 0 below -80; Cephes' coefficients."""
    lifted = max(x, _F(-80))
    power = np.floor(lifted * _F(1.44269504088896341) + _HALF)
    r = lifted - power * _F(0.693359375) + power * _F(2.12194440e-4)
    p = _F(1.9875691500e-4) * r + _F(1.3981999507e-3)
    p = p * r + _F(8.3334519073e-3)
    p = p * r + _F(4.1665795894e-2)
    p = p * r + _F(1.6666665459e-1)
    p = p * r + _F(5.0000001201e-1)
    p = p * r * r + r + _UNIT
    return p * np.int32((np.int32(power) + 127) << 23).view(np.float32) if x >= _F(-80) else _F(0)


@compiled
def _pick(scores_V: Floats, share: np.float32) -> int:
    """The character whose part of the likelihoods' sum contains that share of it, from 0 to below 1."""
    most = scores_V.max()
    for v in range(len(scores_V)):
        scores_V[v] = _exp(scores_V[v] - most)
    total = _F(0)
    for likelihood in scores_V:
        total += likelihood
    picked, passed = 0, _F(0)
    for v in range(len(scores_V)):
        if scores_V[v] > 0:  # by rounding, the last one's part may end before the sum does
            picked = v
            passed += scores_V[v]
            if passed > share * total:
                break
    return picked


@compiled
def write(
    weights: Weights, state: State, temperature: float, top_k: int, top_p: float, shares_TN: Floats, ids_TN: Any
) -> None:
    """Pick ids [T, N] one after another and read each.

    shares: drawn evenly from 0 to below 1. temperature: 0 takes the likeliest.
    """
    scores_V = np.empty(state.logits_NV.shape[1], np.float32)
    for t in range(len(ids_TN)):
        for n in range(ids_TN.shape[1]):
            if temperature > 0:
                scores_V[:] = state.logits_NV[n]
                adjust(scores_V, temperature, top_k, top_p)
                ids_TN[t, n] = _pick(scores_V, shares_TN[t, n])
            else:
                ids_TN[t, n] = state.logits_NV[n].argmax()
        advance(weights, state, ids_TN[t])


# --- training -----------------------------------------------------------------------------------------------------


@compiled
def forward(
    gates_TBG: Floats, bias_G: Floats, recurrent: Floats, h_TBH: Floats, c_TBH: Floats, first: int, last: int
) -> None:
    """The recurrence of one layer for the streams first to last.

    gates: what the inputs add to them, [T, B, 4H]; left activated. h, c: [T+1, B, H], with the states to start from at
    0. recurrent: W_hh transposed, `packed`.
    """
    for t in range(len(gates_TBG)):
        gates_NG = gates_TBG[t, first:last]
        for n in range(last - first):
            gates_NG[n] += bias_G
        add_products(h_TBH[t, first:last], recurrent, gates_NG)
        _cells(gates_NG, c_TBH[t, first:last], c_TBH[t + 1, first:last], h_TBH[t + 1, first:last])


@compiled
def backward(
    gates_TBG: Floats, recurrent: Floats, c_TBH: Floats, dh_TBH: Floats, dc_BH: Floats, first: int, last: int
) -> None:
    """Gradients of the gates before their activation, in the place of the activated gates.

    recurrent: W_hh, `packed`. dh: of the outputs, [T+1, B, H], of which 0 is left as the gradient of the first hidden
    state, and the others with what comes back from later steps. dc: of the last cell state, left as that of the first.
    """
    units = c_TBH.shape[2]
    for t in range(len(gates_TBG) - 1, -1, -1):
        gates_NG = gates_TBG[t, first:last]
        for n in range(last - first):
            gates, dh, dc = gates_NG[n], dh_TBH[t + 1, first + n], dc_BH[first + n]
            before, after = c_TBH[t, first + n], c_TBH[t + 1, first + n]
            gate_i, gate_f = gates[:units], gates[units : 2 * units]
            gate_g, gate_o = gates[2 * units : 3 * units], gates[3 * units :]
            for j in range(units):
                i, f, g, o = gate_i[j], gate_f[j], gate_g[j], gate_o[j]
                shown = _tanh(after[j])
                inner = dc[j] + dh[j] * o * (_UNIT - shown * shown)
                gate_i[j] = inner * g * i * (_UNIT - i)
                gate_f[j] = inner * before[j] * f * (_UNIT - f)
                gate_g[j] = inner * i * (_UNIT - g * g)
                gate_o[j] = dh[j] * shown * o * (_UNIT - o)
                dc[j] = inner * f
        add_products(gates_NG, recurrent, dh_TBH[t, first:last])
