"""Arrays of the texts of a group. Shapes: N texts, V characters of the vocabulary, H units, G = 4·H."""

from typing import Any, NamedTuple

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]


class Layer(NamedTuple):
    """Views of one layer's arrays.

    inputs: the columns of `State.hidden` that its gates depend on. ifo, i, f, o, g: parts of the gates. spare: for
    intermediate results.
    """

    inputs: Floats
    hidden_NH: Floats
    cell_NH: Floats
    gates_NG: Floats
    ifo: Floats
    i: Floats
    f: Floats
    o: Floats
    g: Floats
    spare_NH: Floats


class State:
    """Hidden and cell states of N texts, zero at first, and the logits of their next characters.

    hidden: for each layer a column of ones, then twice its hidden state. The state of a layer, a one for the bias of
    the next, and the state of the next are therefore adjacent, and one product gives the gates.
    """

    def __init__(self, units: tuple[int, ...], vocabulary: int, n: int) -> None:
        self._units, self._vocabulary = units, vocabulary
        self._hidden = np.zeros((n, sum(units) + len(units)), np.float32)
        self.logits_NV: Floats = np.zeros((n, vocabulary), np.float32)
        self.looked_up_NG: Floats = np.empty((n, 4 * units[0]), np.float32)
        self.layers: list[Layer] = []
        below = end = 0
        for size in units:
            one = end
            self._hidden[:, one] = 1
            end = one + 1 + size
            hidden_NH = self._hidden[:, one + 1 : end]
            self.layers.append(_layer(self._hidden[:, below:end] if one else hidden_NH, hidden_NH, size))
            below = one + 1
        self.last: Floats = self._hidden[:, below - 1 :]

    def repeated(self, n: int) -> "State":
        """A copy for n texts, each equal to the only text of this state."""
        copy = State(self._units, self._vocabulary, n)
        copy._hidden[:] = self._hidden
        copy.logits_NV[:] = self.logits_NV
        for ours, theirs in zip(self.layers, copy.layers, strict=True):
            theirs.cell_NH[:] = ours.cell_NH
        return copy


def _layer(inputs: Floats, hidden_NH: Floats, size: int) -> Layer:
    gates_NG = np.empty((len(inputs), 4 * size), np.float32)
    i, f, o, g = (gates_NG[:, part * size : (part + 1) * size] for part in range(4))
    cell_NH, spare_NH = np.zeros_like(i), np.empty_like(i)
    return Layer(inputs, hidden_NH, cell_NH, gates_NG, gates_NG[:, : 3 * size], i, f, o, g, spare_NH)
