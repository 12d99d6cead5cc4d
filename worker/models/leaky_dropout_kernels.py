"""Leaky ReLU and dropout in one pass over memory, forward and back (Numba)."""

from typing import Any

import numpy as np

from worker.models.compiling import compiled

Floats = np.ndarray[Any, np.dtype[np.float32]]

_F = np.float32
_U = np.uint32
_GOLDEN, _FIRST, _SECOND = _U(0x9E3779B1), _U(0x85EBCA6B), _U(0xC2B2AE35)
_13, _16 = _U(13), _U(16)


@compiled
def forward(x_N: Floats, y_N: Floats, slope: float, rate: float, seed: int, first: int, last: int) -> None:
    """Leaky ReLU of x in y, dropped out: 0 with the probability `rate`, else divided by 1 - rate.

    What an element meets depends on the seed and its place alone: 32 bits of MurmurHash3's finaliser (Appleby 2011).
    """
    kept = _F(1 / (1 - rate))
    leaked = _F(slope / (1 - rate))
    least = _U(rate * 4294967296.0)
    salt = _U(seed)
    from_N, to_N = x_N[first:last], y_N[first:last]  # loops from 0 are vectorised: no index can be negative
    for n in range(len(from_N)):
        noise = _U(_U(first + n) * _GOLDEN ^ salt)  # products of 32 bits become 64 bits wide unless they are cut
        noise = _U((noise ^ (noise >> _16)) * _FIRST)
        noise = _U((noise ^ (noise >> _13)) * _SECOND)
        noise = _U(noise ^ (noise >> _16))
        x = from_N[n]
        y = x * (kept if x > 0 else leaked)
        to_N[n] = y if noise >= least else _F(0)


@compiled
def backward(dy_N: Floats, y_N: Floats, dx_N: Floats, slope: float, rate: float, first: int, last: int) -> None:
    """Gradient of `forward`'s input. What was dropped is told by its 0."""
    kept = _F(1 / (1 - rate))
    leaked = _F(slope / (1 - rate))
    upstream_N, seen_N, to_N = dy_N[first:last], y_N[first:last], dx_N[first:last]
    for n in range(len(seen_N)):
        y = seen_N[n]
        to_N[n] = upstream_N[n] * (kept if y > 0 else (leaked if y < 0 else _F(0)))
