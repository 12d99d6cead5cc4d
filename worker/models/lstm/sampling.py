"""Generates text character by character with NumPy: the texts of a group in parallel, each group on a thread.

A table has the product of each character with the input weights of the first layer. Shapes: N texts of a group, T
characters of a block, V characters of the vocabulary, H units, G = 4·H gates.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from shared.model_types.lstm import LstmSampling
from worker.blocks import BetweenBlocks, uninterrupted
from worker.failures import not_finite
from worker.models.lstm.network import LstmNetwork
from worker.models.lstm.sampling_state import Floats, State

Ids = np.ndarray[Any, np.dtype[np.int64]]

BLOCK = 64  # characters between two searches for stop strings, at most
BLOCK_WORK = 4_000_000_000  # multiply-adds of a block, at most: some tenths of a second
GROUP = 32  # texts that one thread generates; the same on every machine, since rounding depends on it
NOISE = 1 << 19  # random numbers generated at once
_HALF, _ONE = np.float32(0.5), np.float32(1)
_LEAST = np.float32(2.0**-25)  # half the distance of two uniform float32 numbers
_COLD = 1e-3  # temperature below which logits are shifted
_STEEPEST = 1e30  # of 1 / temperature: logits times it are finite in float32


class CharacterSampler:
    """A copy of a model's weights in a layout for sampling.

    Gates are in the order i, f, o, g. The logistic function is (1 + tanh(x / 2)) / 2. Its inner half is in the weights
    of i, f and o. The outer half of o is in the weights that read a hidden state, since `State` has twice that state.
    """

    @torch.no_grad()
    def __init__(self, model: LstmNetwork) -> None:
        self._ids = {character: index for index, character in enumerate(model.vocabulary)}
        self._codes = np.array([ord(character) for character in model.vocabulary], dtype="<u4")
        self._units = model.hyperparameters.layers
        parts = [dict(layer.named_parameters()) for layer in model.layers]
        inputs = [_gates(part["weight_ih_l0"].t()) for part in parts]
        biases = [_gates((part["bias_ih_l0"] + part["bias_hh_l0"])[None]) for part in parts]
        recurrent = [_gates(part["weight_hh_l0"].t()) * _HALF for part in parts]
        first = inputs[0] if model.embedding is None else _array(model.embedding.weight) @ inputs[0]
        self._table_VG = np.ascontiguousarray(first + biases[0])
        # Rows as the columns of `State.hidden` that a layer reads: the layer below, 1, the layer itself.
        self._products = [np.ascontiguousarray(recurrent[0])]
        for below, bias, own in zip(inputs[1:], biases[1:], recurrent[1:], strict=True):
            self._products.append(np.concatenate([below * _HALF, bias, own]))
        self._head = np.concatenate([_array(model.head.bias)[None], _array(model.head.weight.t()) * _HALF])

    def texts(
        self, prompt: str, sampling: LstmSampling, *, seed: int, between_blocks: BetweenBlocks = uninterrupted
    ) -> list[str]:
        """The texts after the prompt, [n], each cut before its first stop string."""
        texts = [""] * sampling.n
        for pieces in self.write(prompt, sampling, seed=seed, between_blocks=between_blocks):
            texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
            ended = [text[: _cut(text, sampling.stop)] for text in texts]
            between_blocks(ended)
            if sampling.stop and all(len(end) < len(text) for end, text in zip(ended, texts, strict=True)):
                break
        return [text[: _cut(text, sampling.stop)] for text in texts]

    def write(
        self, prompt: str, sampling: LstmSampling, *, seed: int, between_blocks: BetweenBlocks = uninterrupted
    ) -> Iterator[list[str]]:
        """The n texts, block by block; stop strings are not applied.

        The same request gives the same texts on one machine, for any number of threads. Another n changes the rounding,
        and so the texts.
        """
        start = self.read(prompt, 1, between_blocks=between_blocks)
        sizes = [min(GROUP, sampling.n - first) for first in range(0, sampling.n, GROUP)]
        groups = [
            _Group(start.repeated(size), np.random.default_rng((seed, index))) for index, size in enumerate(sizes)
        ]
        block = self._block_length(sampling.n)
        for first in range(0, sampling.length, block):
            count = min(block, sampling.length - first)
            with _one_blas_thread():
                blocks = _in_threads(partial(self._block, sampling, count), groups)
            yield [text for ids_TN in blocks for text in self._decoded(ids_TN)]

    def read(self, prompt: str, n: int, *, between_blocks: BetweenBlocks = uninterrupted) -> State:
        """The state of n texts after a common, nonempty prompt."""
        state = State(self._units, len(self._codes), 1)
        block = self._block_length(1)
        for first in range(0, len(prompt), block):
            with _one_blas_thread():
                for character in prompt[first : first + block]:
                    self._step(state, np.array([self._ids[character]]))
            between_blocks()
        with _one_blas_thread():
            np.matmul(state.last, self._head, state.logits_NV)
        if not np.isfinite(state.logits_NV).all():
            raise not_finite("characters with scores")
        return state.repeated(n)

    def _block_length(self, n: int) -> int:
        """Characters of a block of n texts: `BLOCK`, or fewer where a step takes long. No result depends on it."""
        work = n * sum(product.size for product in (*self._products, self._head))
        return max(1, min(BLOCK, BLOCK_WORK // work))

    def advance(self, state: State, ids_N: Ids) -> None:
        """Read one character of each text."""
        with _one_blas_thread():
            self._step(state, ids_N)
            np.matmul(state.last, self._head, state.logits_NV)

    def _block(self, sampling: LstmSampling, count: int, group: "_Group") -> Ids:
        """The next `count` ids of a group's texts, [T, N]."""
        state = group.state
        ids_TN = np.empty((count, len(state.logits_NV)), np.int64)
        for ids_N, noise_NV in zip(ids_TN, group.noise(count, sampling.temperature), strict=True):
            scores_NV = scores(state.logits_NV, sampling)
            if noise_NV is not None:
                scores_NV = np.add(scores_NV, noise_NV, group.scores_NV)
            scores_NV.argmax(1, ids_N)
            self._step(state, ids_N)
            np.matmul(state.last, self._head, state.logits_NV)
        return ids_TN

    def _step(self, state: State, ids_N: Ids) -> None:
        """Hidden and cell states after one more character of each text."""
        for layer, weight in zip(state.layers, self._products, strict=True):
            gates_NG, spare_NH, cell_NH = layer.gates_NG, layer.spare_NH, layer.cell_NH
            np.matmul(layer.inputs, weight, gates_NG)
            if layer is state.layers[0]:
                self._table_VG.take(ids_N, 0, state.looked_up_NG, "clip")  # `raise` would copy; ids are in range
                np.add(gates_NG, state.looked_up_NG, gates_NG)
            np.tanh(gates_NG, gates_NG)
            np.add(layer.ifo, _ONE, layer.ifo)
            np.multiply(layer.f, cell_NH, cell_NH)
            np.multiply(layer.i, layer.g, spare_NH)
            np.add(cell_NH, spare_NH, cell_NH)
            np.multiply(cell_NH, _HALF, cell_NH)
            np.tanh(cell_NH, spare_NH)
            np.multiply(layer.o, spare_NH, layer.hidden_NH)

    def _decoded(self, ids_TN: Ids) -> list[str]:
        length = 4 * len(ids_TN)
        data = self._codes[ids_TN.T].tobytes()
        return [data[start : start + length].decode("utf-32-le") for start in range(0, len(data), length)]


class _Group:
    """Texts that one thread generates, and their random numbers."""

    def __init__(self, state: State, random: np.random.Generator) -> None:
        self.state, self._random = state, random
        self.scores_NV = np.empty_like(state.logits_NV)

    def noise(self, count: int, temperature: float) -> Iterator[Floats | None]:
        """Noise for the logits of the next `count` characters, [N, V] each; None at temperature 0."""
        if not temperature:
            yield from [None] * count
            return
        shape = self.state.logits_NV.shape
        at_once = max(1, NOISE // math.prod(shape))
        for first in range(0, count, at_once):
            yield from gumbel(self._random, (min(at_once, count - first), *shape), temperature)


def gumbel(random: np.random.Generator, shape: tuple[int, ...], temperature: float) -> Floats:
    """Noise of the Gumbel-max trick: the argmax of logits + noise is a sample from softmax(logits / temperature).

    The noise is multiplied by the temperature, so that the logits need no division, which could overflow.
    """
    noise = random.random(shape, dtype=np.float32)
    np.maximum(noise, _LEAST, out=noise)
    np.log(noise, out=noise)
    np.negative(noise, out=noise)
    np.log(noise, out=noise)
    noise *= np.float32(-max(temperature, 1 / _STEEPEST))
    return noise


def scores(logits_NV: Floats, sampling: LstmSampling) -> Floats:
    """The logits to which the noise is added: those that `top_k` and `top_p` leave.

    At a low temperature the largest is 0, since float32 would lose its noise in the digits of a larger number, and
    equal logits would not be equally likely.
    """
    kept_NV = truncated(logits_NV, sampling)
    return kept_NV - kept_NV.max(1, keepdims=True) if 0 < sampling.temperature < _COLD else kept_NV


def truncated(logits_NV: Floats, sampling: LstmSampling) -> Floats:
    """The logits with those excluded by `top_k`, and then by `top_p`, at −∞. Equal logits are treated alike."""
    most = logits_NV.shape[1]
    if sampling.top_k is not None and sampling.top_k < most:
        least_N1 = np.partition(logits_NV, most - sampling.top_k)[:, most - sampling.top_k, None]
        logits_NV = np.where(logits_NV < least_N1, np.float32(-np.inf), logits_NV)
    if sampling.top_p is not None and sampling.top_p < 1 and sampling.temperature:
        descending_NV = -np.sort(-logits_NV)
        slope = np.float32(min(1 / sampling.temperature, _STEEPEST))
        total_NV = np.exp((descending_NV - descending_NV[:, :1]) * slope).cumsum(1)
        kept_N = (total_NV[:, :-1] < np.float32(sampling.top_p) * total_NV[:, -1:]).sum(1)
        least_N1 = np.take_along_axis(descending_NV, kept_N[:, None], 1)
        logits_NV = np.where(logits_NV < least_N1, np.float32(-np.inf), logits_NV)
    return logits_NV


def _gates(weight_KG: torch.Tensor) -> Floats:
    """A weight or bias with torch's gates i, f, g, o reordered and scaled to i / 2, f / 2, o / 2, g."""
    i, f, g, o = weight_KG.chunk(4, dim=1)
    return _array(torch.cat([i / 2, f / 2, o / 2, g], dim=1))


def _array(tensor: torch.Tensor) -> Floats:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def _cut(text: str, stop: list[str]) -> int | None:
    """The position of the first stop string, or None."""
    places = [place for place in (text.find(string) for string in stop) if place >= 0]
    return min(places, default=None)


def _in_threads(call: Callable[[_Group], Ids], groups: list[_Group]) -> list[Ids]:
    """The result for each group, on at most as many threads as torch uses."""
    threads = min(torch.get_num_threads(), len(groups))
    return list(_pool(threads).map(call, groups)) if threads > 1 else [call(group) for group in groups]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="sampling")


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _one_blas_thread() -> Any:
    """A context in which NumPy's BLAS uses one thread: for products of this size, more threads are slower."""
    return _libraries().limit(limits=1, user_api="blas")
