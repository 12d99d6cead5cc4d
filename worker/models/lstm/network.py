"""The language model's network: embedding (or one-hot), LSTM layers, softmax over the characters.

Hochreiter & Schmidhuber 1997; Graves 2013, arXiv:1308.0850. Shapes: T time, B streams or windows, V characters of the
vocabulary, H units of a layer.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, one_hot

from shared.model_types.lstm import LstmHyperparameters
from worker.models.base import Network
from worker.models.lstm.recurrence import LayerState, run_layer

State = list[LayerState]
"""Hidden and cell state of each layer."""

# From this number of indices on, the gradient of torch's embedding waits for the GPU, which a CUDA graph cannot record
# (https://github.com/pytorch/pytorch/issues/82886).
_MOST_LOOKED_UP = 3072


def lstm_layer(inputs: int, units: int) -> nn.LSTM:
    """Glorot input weights, orthogonal recurrent ones, forget gates that start open (Jozefowicz et al. 2015)."""
    layer = nn.LSTM(inputs, units)
    for name, parameter in layer.named_parameters():
        if name == "weight_ih_l0":
            nn.init.xavier_uniform_(parameter)
        elif name == "weight_hh_l0":
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
        if name == "bias_ih_l0":
            nn.init.ones_(parameter[units : 2 * units])
    return layer


class LstmNetwork(Network):
    """Logits of the next character after each character of a sequence.

    vocabulary: the distinct characters; a character's id is its position. seed_text: the prompt of samples.
    """

    hyperparameters: LstmHyperparameters

    def __init__(self, hyperparameters: LstmHyperparameters, vocabulary: str, seed_text: str) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters
        self.vocabulary = vocabulary
        self.seed_text = seed_text
        self.embedding = nn.Embedding(len(vocabulary), hyperparameters.embedding) if hyperparameters.embedding else None
        sizes = (hyperparameters.embedding or len(vocabulary), *hyperparameters.layers)
        self.layers = nn.ModuleList(lstm_layer(inputs, units) for inputs, units in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], len(vocabulary))
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids_TB: Tensor, state: State | None = None, *, last: bool = False) -> tuple[Tensor, State]:
        """Logits of the next character, [T, B, V] (or [B, V] after the last one only), and the next state."""
        _, x_TBH, after = self.read(ids_TB, state)
        return self.head(x_TBH[-1] if last else x_TBH), after

    def read(
        self, ids_TB: Tensor, state: State | None, masks: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """The last layer's hidden states before and after dropout, [T, B, H] each, and the next state.

        masks: of the recurrent weights, as `recurrent_masks`; drawn here without them.
        """
        x_TBH = h_TBH = self._embedded(ids_TB)
        after: State = []
        recurrent_dropout = self.hyperparameters.recurrent_dropout if self.training else 0.0
        for index, layer in enumerate(self.layers):
            before = state[index] if state else None
            mask = masks[index] if masks else None
            h_TBH, layer_state = run_layer(cast(nn.LSTM, layer), x_TBH, before, recurrent_dropout, mask)
            x_TBH = dropout(h_TBH, self.hyperparameters.dropout, self.training)
            after.append(layer_state)
        return h_TBH, x_TBH, after

    def recurrent_masks(self) -> list[Tensor] | None:
        """Factors of each layer's recurrent weights, for several reads with one choice; None without such dropout."""
        rate = self.hyperparameters.recurrent_dropout
        if not rate:
            return None
        weights = [cast(Tensor, layer.weight_hh_l0) for layer in self.layers]
        return [dropout(torch.ones_like(weight), rate) for weight in weights]

    def _embedded(self, ids_TB: Tensor) -> Tensor:
        if self.embedding is None:
            return one_hot(ids_TB, len(self.vocabulary)).float()
        if self.training and ids_TB.is_cuda and ids_TB.numel() > _MOST_LOOKED_UP:
            return one_hot(ids_TB, len(self.vocabulary)).float() @ self.embedding.weight
        return self.embedding(ids_TB)  # type: ignore[no-any-return]
