"""Text one character at a time, fast: compiled loops on the CPU, many texts side by side, on all threads.

Characters reach the first layer only through its input weights, so their products are looked up in a table. Noise is
drawn in blocks. Shapes: N texts, T characters of a block, V characters of the vocabulary, H units.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from shared.model_types.lstm import LstmSampling
from worker.models import lstm_kernels as kernels
from worker.models.lstm_kernels import Floats, State, Weights

if TYPE_CHECKING:
    from worker.models.lstm import Lstm

Ids = np.ndarray[Any, np.dtype[np.int64]]

BLOCK = 64  # characters between looks at the stop strings, at most
NOISE = 1 << 22  # numbers drawn at a time, at most, over all texts: 16 MB
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
            inputs=tuple(kernels.packed(weight) for weight in inputs),
            biases=tuple(biases),
            recurrent=tuple(kernels.packed(_array(part["weight_hh_l0"]).T) for part in parts),
            head=kernels.packed(_array(model.head.weight).T),
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
        read = self.read(prompt, 1)
        groups = [
            _Group(_copies(read, len(places)), [np.random.default_rng((seed, int(place))) for place in places])
            for places in np.array_split(np.arange(sampling.n), self._threads(sampling.n))
        ]
        block = max(1, min(BLOCK, NOISE // (sampling.n * len(self.vocabulary))))
        with ThreadPoolExecutor(len(groups)) as pool:
            for start in range(0, sampling.length, block):
                length = min(block, sampling.length - start)
                written = pool.map(lambda group: group.block(self._weights, sampling, length), groups)  # noqa: B023 - run within the turn
                ids_TN = np.concatenate(list(written), axis=1)
                yield ["".join(column) for column in self.vocabulary[ids_TN].T]

    def read(self, prompt: str, n: int) -> State:
        """The state of n texts after the same prompt."""
        state = self._start(1)
        for character in prompt:
            kernels.advance(self._weights, state, np.array([self._ids[character]]))
        return _copies(state, n)

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

    @staticmethod
    def _threads(n: int) -> int:
        return max(1, min(torch.get_num_threads(), n // FEWEST))


@dataclass(frozen=True)
class _Group:
    """Texts that one thread writes, and where the noise of each comes from."""

    state: State
    noise: list[np.random.Generator]

    def block(self, weights: Weights, sampling: LstmSampling, length: int) -> Ids:
        """The next ids, [T, N]. A text's noise comes from one stream in order, however long the blocks are."""
        vocabulary = self.state.logits_NV.shape[1]
        noise_TNV = np.empty((length if sampling.temperature else 0, len(self.noise), vocabulary), np.float32)
        if sampling.temperature:
            for place, stream in enumerate(self.noise):
                noise_TNV[:, place] = stream.random((length, vocabulary), dtype=np.float32)
            np.maximum(noise_TNV, np.float32(1e-12), out=noise_TNV)
            for _ in range(2):  # -log(-log(u)) is a standard Gumbel draw
                np.negative(np.log(noise_TNV, out=noise_TNV), out=noise_TNV)
        ids_TN = np.empty((length, len(self.noise)), np.int64)
        kernels.write(
            weights,
            self.state,
            float(sampling.temperature),
            sampling.top_k or 0,
            1.0 if sampling.top_p is None else float(sampling.top_p),
            noise_TNV,
            ids_TN,
        )
        return ids_TN


def adjusted(logits_NV: Floats, sampling: LstmSampling) -> Floats:
    """Logits of the distribution drawn from: temperature first, then top_k, then top_p; what is left out is -inf."""
    scores_NV: Floats = logits_NV / np.float32(sampling.temperature)
    for scores_V in scores_NV:
        kernels.restrict(scores_V, sampling.top_k or 0, 1.0 if sampling.top_p is None else float(sampling.top_p))
    return scores_NV


def _copies(state: State, n: int) -> State:
    """The one text's state n times."""

    def repeated(arrays: tuple[Floats, ...]) -> tuple[Floats, ...]:
        return tuple(np.repeat(array, n, axis=0) for array in arrays)

    return State(repeated(state.h), repeated(state.c), repeated(state.gates), np.repeat(state.logits_NV, n, axis=0))


def _cut(text: str, stop: list[str]) -> int | None:
    """Where the first stop string begins, or None."""
    places = [place for place in (text.find(string) for string in stop) if place >= 0]
    return min(places, default=None)


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.detach().float().cpu().numpy()
