"""Text one character at a time, fast: compiled loops on the CPU, many texts side by side, on all threads.

Characters reach the first layer only through its input weights, so their products are looked up in a table. Shapes: N
texts, T characters of a block, V characters of the vocabulary, H units.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from shared.model_types.lstm import LstmSampling
from worker.models.lstm import kernels
from worker.models.lstm.kernels import State, Weights
from worker.models.product_kernels import Floats, packed
from worker.models.threads import spread

if TYPE_CHECKING:
    from worker.models.lstm.model import Lstm

Ids = np.ndarray[Any, np.dtype[np.int64]]

BLOCK = 64  # characters between looks at the stop strings
FEWEST = 4  # texts that are worth a thread


class CharacterSampler:
    """A model's weights, laid out for writing; a copy, so the model may change afterwards."""

    @torch.no_grad()
    def __init__(self, model: "Lstm") -> None:
        self.vocabulary = np.array(list(model.vocabulary))
        self._ids = {character: index for index, character in enumerate(model.vocabulary)}
        self._units = model.hyperparameters.layers
        parts = [dict(layer.named_parameters()) for layer in model.layers]
        inputs = [_array(part["weight_ih_l0"]).T for part in parts]
        biases = [_array(part["bias_ih_l0"] + part["bias_hh_l0"]) for part in parts]
        embedding = model.embedding.weight if model.embedding else torch.eye(len(model.vocabulary), device=model.device)
        self._weights = Weights(
            table_VG=_array(embedding) @ inputs[0] + biases[0],
            inputs=tuple(packed(weight) for weight in inputs),
            biases=tuple(biases),
            recurrent=tuple(packed(_array(part["weight_hh_l0"]).T) for part in parts),
            head=packed(_array(model.head.weight).T),
            head_bias_V=_array(model.head.bias),
        )

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

        Text i depends on the seed and on i alone, to the last bit: not on how many others are written, on how many
        threads, or how long they get.
        """
        state = self.read(prompt, sampling.n)
        streams = [np.random.default_rng((seed, place)) for place in range(sampling.n)]
        for start in range(0, sampling.length, BLOCK):
            ids_TN = np.empty((min(BLOCK, sampling.length - start), sampling.n), np.int64)
            spread(self._write_some, sampling.n, sampling, state, streams, ids_TN, fewest=FEWEST)
            yield ["".join(column) for column in self.vocabulary[ids_TN].T]

    def _write_some(
        self, sampling: LstmSampling, state: State, streams: list[np.random.Generator], ids_TN: Ids, *texts: int
    ) -> None:
        """The next ids of the texts from the first to before the last, whose states go on with them.

        A text's random numbers come from one stream in order, however long the blocks are.
        """
        first, last = texts
        length = len(ids_TN)
        shares_TN = np.stack([stream.random(length, dtype=np.float32) for stream in streams[first:last]], axis=1)
        written_TN = np.empty((length, last - first), np.int64)
        rows = _each(state, lambda array: array[first:last])
        kernels.write(self._weights, rows, *limits(sampling), shares_TN, written_TN)
        ids_TN[:, first:last] = written_TN

    def read(self, prompt: str, n: int) -> State:
        """The state of n texts after the same prompt."""
        state = self._start(1)
        for character in prompt:
            self.advance(state, np.array([self._ids[character]]))
        return _each(state, lambda array: np.repeat(array, n, axis=0))

    def advance(self, state: State, ids_N: Ids) -> None:
        """Read one character of each text."""
        kernels.advance(self._weights, state, ids_N)

    def _start(self, n: int) -> State:
        """Nothing read yet."""
        return State(
            h=tuple(np.zeros((n, units), np.float32) for units in self._units),
            c=tuple(np.zeros((n, units), np.float32) for units in self._units),
            gates=tuple(np.empty((n, 4 * units), np.float32) for units in self._units),
            logits_NV=np.zeros((n, len(self.vocabulary)), np.float32),
        )


def limits(sampling: LstmSampling) -> tuple[float, int, float]:
    """Temperature, top_k and top_p as the loops take them: 0 and 1 where nothing is left out."""
    return float(sampling.temperature), sampling.top_k or 0, 1.0 if sampling.top_p is None else float(sampling.top_p)


def _each(state: State, change: Callable[[Floats], Floats]) -> State:
    """A state of each array changed."""
    h, c, gates = (tuple(change(array) for array in arrays) for arrays in (state.h, state.c, state.gates))
    return State(h, c, gates, change(state.logits_NV))


def _cut(text: str, stop: list[str]) -> int | None:
    """Where the first stop string begins, or None."""
    places = [place for place in (text.find(string) for string in stop) if place >= 0]
    return min(places, default=None)


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.detach().float().cpu().numpy()
