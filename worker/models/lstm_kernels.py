"""The LSTM's inner loops as machine code (Numba): writing text, and the recurrence of a training step on the CPU.

Every row of a batch is computed by the same sums in the same order, whatever rows are beside it: a text does not depend
on the batch it is written in, nor a training on how its batch is spread over threads. A BLAS promises neither. The
functions release the GIL. Shapes: N rows, K inputs, G outputs, H units, V characters, T time, B streams.
"""

from typing import Any, NamedTuple

import numpy as np

from worker.models.compiling import compiled

Floats = np.ndarray[Any, np.dtype[np.float32]]

TILE = 64  # columns of weights that two rows are multiplied with at a time
DEPTH = 128  # inputs at a time: with TILE columns 32 KB, which a core keeps at hand

# Unsigned indices spare the check for negative ones, which would keep loops from being vectorised.
_U = np.uint64
_ONE, _TWO, _THREE, _FOUR = _U(1), _U(2), _U(3), _U(4)
_TILE = _U(TILE)
_F = np.float32
_HALF, _UNIT = _F(0.5), _F(1)


# --- products -----------------------------------------------------------------------------------------------------


def packed(weight_KG: Floats) -> Floats:
    """A weight matrix as `add_products` reads it: TILE columns after one another, zeros where the last are too few."""
    inputs, outputs = weight_KG.shape
    tiles = -(-outputs // TILE)
    wide = np.zeros((inputs, tiles * TILE), dtype=np.float32)
    wide[:, :outputs] = weight_KG
    return np.ascontiguousarray(wide.reshape(inputs, tiles, TILE).transpose(1, 0, 2)).reshape(-1)


@compiled
def _two_rows(x_NK: Floats, row: int, first: int, last: int, weights: Floats, base: int, sums: Floats) -> None:
    """Add to a TILE of sums of each of two rows what the inputs first to last give."""
    n, m, at = _U(row), _U(row) + _ONE, _U(base)
    k, end = _U(first), _U(last)
    while k + _FOUR <= end:
        a0, a1, a2, a3 = x_NK[n, k], x_NK[n, k + _ONE], x_NK[n, k + _TWO], x_NK[n, k + _THREE]
        b0, b1, b2, b3 = x_NK[m, k], x_NK[m, k + _ONE], x_NK[m, k + _TWO], x_NK[m, k + _THREE]
        o0 = at + k * _TILE
        o1, o2, o3 = o0 + _TILE, o0 + _TWO * _TILE, o0 + _THREE * _TILE
        for g in range(_TILE):
            w0, w1, w2, w3 = weights[o0 + g], weights[o1 + g], weights[o2 + g], weights[o3 + g]
            sums[g] = (((sums[g] + a0 * w0) + a1 * w1) + a2 * w2) + a3 * w3
            sums[_TILE + g] = (((sums[_TILE + g] + b0 * w0) + b1 * w1) + b2 * w2) + b3 * w3
        k += _FOUR
    while k < end:
        a0, b0, o0 = x_NK[n, k], x_NK[m, k], at + k * _TILE
        for g in range(_TILE):
            sums[g] += a0 * weights[o0 + g]
            sums[_TILE + g] += b0 * weights[o0 + g]
        k += _ONE


@compiled
def _one_row(x_NK: Floats, row: int, first: int, last: int, weights: Floats, base: int, sums: Floats) -> None:
    """The same for one row."""
    n, at = _U(row), _U(base)
    k, end = _U(first), _U(last)
    while k + _FOUR <= end:
        a0, a1, a2, a3 = x_NK[n, k], x_NK[n, k + _ONE], x_NK[n, k + _TWO], x_NK[n, k + _THREE]
        o0 = at + k * _TILE
        o1, o2, o3 = o0 + _TILE, o0 + _TWO * _TILE, o0 + _THREE * _TILE
        for g in range(_TILE):
            s = ((sums[g] + a0 * weights[o0 + g]) + a1 * weights[o1 + g]) + a2 * weights[o2 + g]
            sums[g] = s + a3 * weights[o3 + g]
        k += _FOUR
    while k < end:
        a0, o0 = x_NK[n, k], at + k * _TILE
        for g in range(_TILE):
            sums[g] += a0 * weights[o0 + g]
        k += _ONE


@compiled
def add_products(x_NK: Floats, weights: Floats, out_NG: Floats) -> None:
    """Add x · weights, which are `packed`, to `out`. The sums over K run from the first input to the last."""
    rows, outputs = out_NG.shape
    inputs = x_NK.shape[1]
    sums = np.empty(2 * TILE, np.float32)
    for left in range(0, outputs, TILE):
        wide = min(TILE, outputs - left)
        for first in range(0, inputs, DEPTH):
            last = min(first + DEPTH, inputs)
            row = 0
            while row < rows:
                together = min(2, rows - row)
                for i in range(together):
                    sums[i * TILE : i * TILE + wide] = out_NG[row + i, left : left + wide]
                if together == 2:
                    _two_rows(x_NK, row, first, last, weights, left * inputs, sums)
                else:
                    _one_row(x_NK, row, first, last, weights, left * inputs, sums)
                for i in range(together):
                    out_NG[row + i, left : left + wide] = sums[i * TILE : i * TILE + wide]
                row += together


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
def write(
    weights: Weights, state: State, temperature: float, top_k: int, top_p: float, noise_TNV: Floats, ids_TN: Any
) -> None:
    """Draw ids [T, N] one after another and read each.

    noise: standard Gumbel, since the largest of logits plus such noise is a draw from their softmax (Gumbel 1954).
    temperature: 0 takes the likeliest.
    """
    scores_V = np.empty(state.logits_NV.shape[1], np.float32)
    for t in range(len(ids_TN)):
        for n in range(ids_TN.shape[1]):
            logits_V = state.logits_NV[n]
            if temperature > 0:
                scores_V[:] = logits_V
                adjust(scores_V, temperature, top_k, top_p)
                scores_V += noise_TNV[t, n]
                ids_TN[t, n] = scores_V.argmax()
            else:
                ids_TN[t, n] = logits_V.argmax()
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
