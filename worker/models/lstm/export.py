"""The LSTM as an ONNX graph of one step: from a character and a state to logits and the next state.

The graph has one step and not a sequence, since torch's exporter unrolls time: it would accept one text length only.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from worker.models.base import OnnxGraph
from worker.models.lstm.network import LstmNetwork

USE = (
    "Start with a state of zeros and feed the prompt's characters, as ids, one by one. Divide the last logits by a "
    "temperature (0.75 is the default of generation; for 0 take the largest), sample an id from their softmax, feed it "
    "back with the state, and so on."
)


class Step(nn.Module):
    """The model with its state as separate inputs and outputs."""

    def __init__(self, model: LstmNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids_B: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Ids, int64 [B]; h and c of each layer, [B, H]. Logits [B, V], then h and c again."""
        model = self.model
        ids_TB = ids_B[None]
        x_TBH = model.embedding(ids_TB) if model.embedding else one_hot(ids_TB, len(model.vocabulary)).float()
        after: list[Tensor] = []
        for index, layer in enumerate(model.layers):
            # The layer itself is not called: the exporter does not find the weights in the layer's own list.
            weights = [getattr(layer, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]
            hx = [state[2 * index][None], state[2 * index + 1][None]]
            x_TBH, h, c = torch.lstm(x_TBH, hx, weights, True, 1, 0.0, False, False, False)
            after += [h[0], c[0]]
        return model.head(x_TBH[0]), *after


def step_graph(model: LstmNetwork) -> OnnxGraph:
    """The graph of a model; any number of texts at once."""
    copy = LstmNetwork(model.hyperparameters, model.vocabulary, model.seed_text)
    copy.load_state_dict(model.state_dict())
    sizes = copy.hyperparameters.layers
    states = {f"{part}{index}": units for index, units in enumerate(sizes) for part in "hc"}
    vocabulary = copy.vocabulary

    def examples(axes: Mapping[str, int]) -> tuple[Tensor, ...]:
        ids_B = torch.arange(axes["batch"]) * 7 % len(vocabulary)
        return ids_B, *(torch.linspace(-1, 1, axes["batch"] * n).view(-1, n) for n in states.values())

    about = {
        "ids": "int64 [batch]: positions of characters in `vocabulary`",
        "logits": "float32 [batch, characters]: of the character after each; their softmax is its distribution",
    }
    for name, units in states.items():
        kind = "hidden" if name[0] == "h" else "cell"
        about[name] = f"float32 [batch, {units}]: {kind} state of layer {name[1:]}; zeros at the beginning"
        about[f"{name}_after"] = f"float32 [batch, {units}]: the next value of {name}"
    return OnnxGraph(
        name="step",
        network=Step(copy).eval(),
        inputs={"ids": ("batch",), **{name: ("batch", units) for name, units in states.items()}},
        outputs=("logits", *(f"{name}_after" for name in states)),
        examples=examples,
        about=about,
        facts={"vocabulary": vocabulary, "seed_text": model.seed_text, "use": USE},
    )
