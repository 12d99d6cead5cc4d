"""The choices of each `fast` preset, and what stands in the place of one that is undone: mostly the book's value.

docs/presets.md says why each was made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import SpecError
from shared.model_types.lstm import LstmHyperparameters

Values = dict[str, Any]
FULL = "full"  # the row in which nothing is undone


def nothing_more(_full: Any) -> Values:
    """A choice whose undoing asks for no other hyperparameter to follow."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One row.

    chosen: what the preset does. instead: hyperparameters where it is undone. following: more of them, from the full
    preset's. note: what a reader of the row has to know.
    """

    name: str
    chosen: str
    instead: Mapping[str, Any]
    following: Callable[[Any], Values] = nothing_more
    note: str = ""

    def undone(self, full: Any) -> Values:
        """The hyperparameters that undo the choice in a preset with these. Raises SpecError."""
        return {**self.instead, **self.following(full)}


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """The rows of one model type. epochs: far fewer than the preset's, on which the order of the rows shows."""

    epochs: int
    choices: tuple[Choice, ...]

    @property
    def names(self) -> list[str]:
        """Of all rows."""
        return [FULL, *(choice.name for choice in self.choices)]


def windows_for_as_many_steps(full: LstmHyperparameters) -> Values:
    """An epoch of windows with as many steps as the streams' epoch; a step of either reads batch × window characters.

    Examples of streams are characters, each predicted; examples of windows are windows, one character predicted each.
    """
    if full.examples_per_epoch is None:
        detail = "Give a number: how many steps windows may make depends on it."
        raise SpecError.at("/hyperparameters/examples_per_epoch", detail, "invalid")
    steps = max(1, full.examples_per_epoch // (full.batch_size * full.window))
    return {"examples_per_epoch": steps * full.batch_size}


COSINE = Choice(name="cosine", chosen="cosine schedule", instead={"schedule": "constant"})
WARM_UP = Choice(name="warm-up", chosen="warm-up", instead={"warmup_steps": 0})

LSTM = Ablation(
    epochs=3,
    choices=(
        Choice(name="embedding", chosen="learned embedding of characters", instead={"embedding": 0}),
        Choice(
            name="every-character",
            chosen="loss on every character, state carried from step to step",
            instead={"batching": "windows"},
            following=windows_for_as_many_steps,
            note="As many steps, and as many characters read in each (batch × window); but of each window only the "
            "character after it is predicted, so `examples_per_epoch` counts windows. Held-out text is read in that "
            "way too: characters at some 8,000 evenly spread places, each after one window of context.",
        ),
        Choice(name="dropout", chosen="dropout", instead={"dropout": 0.0}),
        Choice(
            name="regularization",
            chosen="regularized activations",
            instead={"activation_regularization": 0.0, "temporal_activation_regularization": 0.0},
        ),
        Choice(
            name="adamw",
            chosen="AdamW",
            instead={"optimizer": "rmsprop"},
            note="At the same learning rate, and without weight decay, which only AdamW has.",
        ),
        COSINE,
        WARM_UP,
        Choice(name="clipping", chosen="gradient clipping", instead={"clip_norm": 0.0}),
        Choice(
            name="batch-size",
            chosen="few streams",
            instead={"batch_size": 32},
            note="As many characters, so half the steps: the only row whose steps are not as many as the others'.",
        ),
        Choice(name="weight-decay", chosen="weight decay", instead={"weight_decay": 0.0}),
        Choice(
            name="width",
            chosen="wide layers",
            instead={"layers": [128, 128]},
            note="Equal steps, but cheaper ones: compare the seconds too.",
        ),
    ),
)

VAE = Ablation(
    epochs=8,
    choices=(
        Choice(
            name="depth",
            chosen="three hidden layers",
            instead={"hidden": [512]},
            note="Equal steps, but cheaper ones: compare the seconds too.",
        ),
        Choice(name="silu", chosen="SiLU", instead={"activation": "relu"}),
        Choice(name="latent-spread", chosen="spread first weights on the latent", instead={"latent_spread": 1.0}),
        Choice(name="learning-rate", chosen="high learning rate", instead={"learning_rate": 1e-3}),
        COSINE,
        WARM_UP,
        Choice(
            name="clipping",
            chosen="gradient clipping",
            instead={"clip_norm": 0.0},
            note="It is there for a rare event that ends a run: most runs do not meet it.",
        ),
    ),
)

ACGAN = Ablation(
    epochs=3,
    choices=(
        Choice(
            name="network",
            chosen="compact networks",
            instead={"network": "book"},
            note="The networks decide on the losses, the latents and the generator's batch too (docs/presets.md). At "
            "`fast`'s learning rate, five times the one they were published with.",
        ),
        COSINE,
        Choice(name="average", chosen="averaged generator", instead={"ema": 0.0}),
        Choice(name="beta2", chosen="short second moment", instead={"beta2": 0.999}),
        Choice(name="learning-rate", chosen="high learning rate", instead={"learning_rate": 2e-4}),
        Choice(
            name="batch-size",
            chosen="small batches",
            instead={"batch_size": 100},
            note="As many images, so fewer steps: the only row whose steps are not as many as the others'.",
        ),
        Choice(name="dropout", chosen="dropout in the discriminator", instead={"dropout": 0.0}),
        Choice(
            name="classifier",
            chosen="auxiliary classifier",
            instead={"class_weight": 0.0},
            note="The class still reaches both networks: by the generator's normalisation and by projection.",
        ),
    ),
)

ABLATIONS: Mapping[str, Ablation] = {"lstm": LSTM, "vae": VAE, "acgan": ACGAN}
