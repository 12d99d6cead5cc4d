"""The cases: four training steps of the published settings, and four kinds of sampling. No library is needed."""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Case:
    """One computation that several implementations do.

    unit: the unit of a figure in the table; one call of an implementation makes `units_per_call` of them. batch:
    examples per step, or texts or images generated at once. window: characters of an example, and of a prompt. length:
    characters to generate. steps_per_epoch: so many that no epoch ends during the measurement.
    """

    name: str
    title: str
    model_type: Literal["lstm", "vae", "acgan"]
    kind: Literal["training", "sampling"]
    unit: Literal["step", "character", "image"]
    batch: int
    units_per_call: int = 1
    layers: tuple[int, ...] = (128, 128)
    window: int = 60
    every_character: bool = False
    length: int = 0
    steps_per_epoch: int = 5_000
    epochs: int = 100

    def small(self) -> "Case":
        """The same case at a small size, for tests of the benchmark."""
        batch = min(self.batch, 4)
        length = min(self.length, 8)
        units = {"step": 1, "character": batch * length, "image": batch}[self.unit]
        return replace(
            self,
            batch=batch,
            window=20,
            layers=tuple(min(units, 16) for units in self.layers),
            length=length,
            units_per_call=units,
            steps_per_epoch=50,
            epochs=1,
        )


CASES = (
    Case(
        name="lstm-last",
        title="LSTM 2×128, 60 characters, batch 128, loss on the character after them (book)",
        model_type="lstm",
        kind="training",
        unit="step",
        batch=128,
    ),
    Case(
        name="lstm-every",
        title="LSTM 2×128, 60 characters, batch 128, loss on every character",
        model_type="lstm",
        kind="training",
        unit="step",
        batch=128,
        every_character=True,
    ),
    Case(
        name="vae",
        title="VAE 784-512-2, batch 256 (book)",
        model_type="vae",
        kind="training",
        unit="step",
        batch=256,
        steps_per_epoch=20_000,
    ),
    Case(
        name="acgan",
        title="ACGAN, batch 100, generator step 200 (book)",
        model_type="acgan",
        kind="training",
        unit="step",
        batch=100,
        steps_per_epoch=1_000,
    ),
    Case(
        name="text-1",
        title="400 characters of text after a prompt of 60, LSTM 2×128",
        model_type="lstm",
        kind="sampling",
        unit="character",
        batch=1,
        length=400,
        units_per_call=400,
    ),
    Case(
        name="text-64",
        title="64 texts of 200 characters at once after a prompt of 60, LSTM 2×128",
        model_type="lstm",
        kind="sampling",
        unit="character",
        batch=64,
        length=200,
        units_per_call=64 * 200,
    ),
    Case(
        name="digits-64",
        title="64 digits from the book's ACGAN",
        model_type="acgan",
        kind="sampling",
        unit="image",
        batch=64,
        units_per_call=64,
    ),
    Case(
        name="grid-400",
        title="a latent grid of 20×20 images from the book's VAE",
        model_type="vae",
        kind="sampling",
        unit="image",
        batch=400,
        units_per_call=400,
    ),
)
