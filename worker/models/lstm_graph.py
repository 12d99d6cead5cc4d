"""The LSTM as an ONNX graph: characters and a state in, logits and the state to go on from out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from worker.models.protocol import OnnxGraph

if TYPE_CHECKING:
    from worker.models.lstm import Lstm

USE = (
    "Start with a state of zeros and feed the prompt's characters as ids, all at once or one by one. Divide the last "
    "logits by a temperature (0.75 is the default of generation; towards 0, take the largest), draw an id from their "
    "softmax, feed it back with the state, and so on."
)


class Step(nn.Module):
    """The model with its state as separate inputs and outputs."""

    def __init__(self, model: "Lstm") -> None:
        super().__init__()
        self.model = model

    def forward(self, ids_TB: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Ids, int64 [T, B]; h and c of each layer, [1, B, H]. Logits [T, B, V], then h and c again."""
        pairs = [(state[index], state[index + 1]) for index in range(0, len(state), 2)]
        logits_TBV, after = self.model(ids_TB, pairs)
        return logits_TBV, *(part for pair in after for part in pair)


def step_graph(model: "Lstm") -> OnnxGraph:
    """The graph of a model; time and batch may be of any size."""
    copy = type(model).from_config(model.config())
    copy.load_state_dict(model.state_dict())
    sizes = copy.hyperparameters.layers
    states = {f"{part}{index}": units for index, units in enumerate(sizes) for part in "hc"}
    vocabulary = copy.vocabulary

    def examples(axes: Mapping[str, int]) -> tuple[Tensor, ...]:
        ids_TB = torch.arange(axes["time"] * axes["batch"]).view(axes["time"], axes["batch"]) * 7 % len(vocabulary)
        shapes = [(1, axes["batch"], units) for units in states.values()]
        return ids_TB, *(torch.linspace(-1, 1, shape[1] * shape[2]).view(shape) for shape in shapes)

    about = {
        "ids": "int64 [time, batch]: positions of characters in `vocabulary`",
        "logits": "float32 [time, batch, characters]: of the character after each; their softmax is its distribution",
    }
    for name, units in states.items():
        kind = "hidden" if name[0] == "h" else "cell"
        about[name] = f"float32 [1, batch, {units}]: {kind} state of layer {name[1:]}; zeros at the beginning"
        about[f"{name}_after"] = f"float32 [1, batch, {units}]: what to give as {name} next"
    return OnnxGraph(
        name="step",
        network=Step(copy).eval(),
        inputs={"ids": ("time", "batch"), **{name: (1, "batch", units) for name, units in states.items()}},
        outputs=("logits", *(f"{name}_after" for name in states)),
        examples=examples,
        about=about,
        facts={"vocabulary": vocabulary, "seed_text": model.seed_text, "use": USE},
    )
