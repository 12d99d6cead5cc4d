"""Text one character at a time, fast: NumPy on the CPU, one matrix product per layer and step.

Characters reach the first layer only through its input weights, so their products are looked up in a table. All four
gates come from one `tanh`, since sigmoid(x) = (1 + tanh(x / 2)) / 2. The noise is drawn in blocks: the largest of
logits plus Gumbel noise is a draw from their softmax (Gumbel 1954). Shapes: N texts, V characters, H units.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from shared.model_types.lstm import LstmSampling

if TYPE_CHECKING:
    from worker.models.lstm import Lstm

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Ids = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

BLOCK = 64  # characters between looks at the stop strings


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """NumPy's products on one thread: they are so small that sharing one out takes longer than doing it."""
    limiter: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limiter


class CharacterSampler:
    """A model's weights, laid out for writing; a copy, so the model may change afterwards."""

    @torch.no_grad()
    def __init__(self, model: "Lstm") -> None:
        self.vocabulary = np.array(list(model.vocabulary))
        self._ids = {character: index for index, character in enumerate(model.vocabulary)}
        embedding = model.embedding.weight if model.embedding else torch.eye(len(model.vocabulary), device=model.device)
        self._layers: list[_Layer] = [_Layer(layer) for layer in model.layers]  # type: ignore[arg-type]
        first = self._layers[0]
        self._table_VG: Floats = _array(embedding) @ first.input_HG + first.bias_G
        self._head_HV = _array(model.head.weight).T.copy()
        self._head_bias_V = _array(model.head.bias)

    def texts(self, prompt: str, sampling: LstmSampling, *, seed: int) -> list[str]:
        """What is written after the prompt, [n]."""
        texts = [""] * sampling.n
        for pieces in self.write(prompt, sampling, seed=seed):
            texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
            if sampling.stop and all(_cut(text, sampling.stop) is not None for text in texts):
                break
        ends = [_cut(text, sampling.stop) for text in texts]
        return [text[:end] for text, end in zip(texts, ends, strict=True)]

    def write(self, prompt: str, sampling: LstmSampling, *, seed: int) -> Iterator[list[str]]:
        """The n texts a block at a time, as they are written; stop strings are the caller's business.

        Text i depends on the seed and on i alone, not on how many others are written or how long they get.
        """
        logits_NV = self.read(prompt, sampling.n)
        noise = [np.random.default_rng((seed, index)) for index in range(sampling.n)]
        vocabulary = len(self.vocabulary)
        for start in range(0, sampling.length, BLOCK):
            drawn = [stream.random((BLOCK, vocabulary), dtype=np.float32) for stream in noise]
            uniform_TNV = np.stack(drawn, axis=1)
            gumbel_TNV = -np.log(-np.log(np.maximum(uniform_TNV, np.float32(1e-12))))
            written = np.empty((min(BLOCK, sampling.length - start), sampling.n), dtype=np.int64)
            with one_thread():
                for step, gumbel_NV in enumerate(gumbel_TNV[: len(written)]):
                    scores_NV = adjusted(logits_NV, sampling) + gumbel_NV if sampling.temperature else logits_NV
                    written[step] = scores_NV.argmax(axis=1)
                    logits_NV = self.advance(written[step])
            yield ["".join(column) for column in self.vocabulary[written].T]

    def read(self, prompt: str, n: int) -> Floats:
        """Start n texts with the same prompt. Logits of what comes after it, [n, V]."""
        for layer in self._layers:
            layer.start(1)
        logits_NV: Floats = np.empty((1, len(self.vocabulary)), dtype=np.float32)
        with one_thread():
            for character in prompt:
                logits_NV = self.advance(np.array([self._ids[character]]))
        for layer in self._layers:
            layer.repeat(n)
        return np.repeat(logits_NV, n, axis=0)

    def advance(self, ids_N: Ids) -> Floats:
        """Read one character of each text. Logits of the next, [N, V]."""
        x_NH = self._layers[0].step(self._table_VG[ids_N])
        for layer in self._layers[1:]:
            x_NH = layer.step(x_NH @ layer.input_HG + layer.bias_G)
        return x_NH @ self._head_HV + self._head_bias_V


class _Layer:
    """One LSTM layer: its weights with the gates in order i, f, o, g, those of i, f, o halved, and its state."""

    def __init__(self, layer: torch.nn.LSTM) -> None:
        weights: dict[str, torch.Tensor] = dict(layer.named_parameters())
        units = layer.hidden_size
        order = torch.cat(
            [torch.arange(2 * units), torch.arange(3 * units, 4 * units), torch.arange(2 * units, 3 * units)]
        )
        scale = torch.ones(4 * units)
        scale[: 3 * units] = 0.5
        self._units = units
        self.input_HG = _gates(weights["weight_ih_l0"], order, scale)
        self._recurrent_HG = _gates(weights["weight_hh_l0"], order, scale)
        self.bias_G = _gates(weights["bias_ih_l0"] + weights["bias_hh_l0"], order, scale)

    def start(self, n: int) -> None:
        """Forget everything."""
        self._h_NH = np.zeros((n, self._units), dtype=np.float32)
        self._c_NH = np.zeros((n, self._units), dtype=np.float32)

    def repeat(self, n: int) -> None:
        """Go on with n copies of the one text read so far."""
        self._h_NH = np.repeat(self._h_NH, n, axis=0)
        self._c_NH = np.repeat(self._c_NH, n, axis=0)

    def step(self, inputs_NG: Floats) -> Floats:
        """The new hidden state, [N, H], from what the inputs add to the gates."""
        gates_NG = self._h_NH @ self._recurrent_HG
        gates_NG += inputs_NG
        np.tanh(gates_NG, out=gates_NG)
        units = self._units
        gates_NG[:, : 3 * units] *= 0.5
        gates_NG[:, : 3 * units] += 0.5
        self._c_NH *= gates_NG[:, units : 2 * units]
        self._c_NH += gates_NG[:, :units] * gates_NG[:, 3 * units :]
        self._h_NH = gates_NG[:, 2 * units : 3 * units] * np.tanh(self._c_NH)
        return self._h_NH


def adjusted(logits_NV: Floats, sampling: LstmSampling) -> Floats:
    """Logits of the distribution drawn from: temperature first, then top_k, then top_p; what is left out is -inf."""
    scores_NV: Floats = logits_NV / np.float32(sampling.temperature)
    if sampling.top_k is not None and sampling.top_k < scores_NV.shape[1]:
        least_N1 = np.partition(scores_NV, -sampling.top_k, axis=1)[:, -sampling.top_k, None]
        scores_NV = np.where(scores_NV < least_N1, np.float32(-np.inf), scores_NV)
    if sampling.top_p is not None and sampling.top_p < 1:
        descending_NV = -np.sort(-scores_NV, axis=1)
        weights_NV = np.exp(descending_NV - descending_NV[:, :1])
        before_NV = np.cumsum(weights_NV, axis=1) / weights_NV.sum(axis=1, keepdims=True)
        kept_N = 1 + (before_NV[:, :-1] < sampling.top_p).sum(axis=1)
        least_N1 = np.take_along_axis(descending_NV, kept_N[:, None] - 1, axis=1)
        scores_NV = np.where(scores_NV < least_N1, np.float32(-np.inf), scores_NV)
    return scores_NV


def _cut(text: str, stop: list[str]) -> int | None:
    """Where the first stop string begins, or None."""
    places = [place for place in (text.find(string) for string in stop) if place >= 0]
    return min(places, default=None)


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.detach().float().cpu().numpy()


def _gates(weight: torch.Tensor, order: torch.Tensor, scale: torch.Tensor) -> Floats:
    weight = weight.detach().float().cpu()[order]
    scaled = weight * scale[:, None] if weight.dim() == 2 else weight * scale
    return (scaled.T.contiguous() if scaled.dim() == 2 else scaled).numpy()
