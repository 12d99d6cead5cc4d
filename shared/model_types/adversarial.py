"""Hyperparameters, latents, memory estimates and checks that the contracts of generative adversarial networks share."""

from typing import Annotated, Any, Literal

from pydantic import Field

from shared.datasets import DatasetShape
from shared.errors import FieldError, SpecError
from shared.model_types.base import Hyperparameters

Coordinate = Annotated[float, Field(ge=-1000, le=1000)]
Latent = Annotated[list[Coordinate], Field(min_length=1, max_length=1024)]

MAX_IMAGES = 10_000  # of one generation request


class AdversarialHyperparameters(Hyperparameters):
    """Hyperparameters of a generator and a discriminator."""

    epochs: int = Field(7, ge=1, le=100_000, description="Passes of `examples_per_epoch` examples.")
    batch_size: int = Field(64, ge=2, le=4096, description="Real images per step.")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="Learning rate of both networks.")
    examples_per_epoch: int | None = Field(
        60_000, ge=1, le=1_000_000_000, description="Images one epoch draws; null is the whole dataset once."
    )
    network: Literal["compact", "book"] = Field("compact", description="Which pair of networks.")
    width: int = Field(32, ge=4, le=512, description="Channels of the compact networks' largest feature map.")
    latent_size: int = Field(100, ge=1, le=1024, description="Latent dimensions.")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment decay.")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's second moment decay.")
    soft_label: float = Field(
        0.95, gt=0.5, le=1, description="Target of the discriminator for real images (`book` networks)."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of the discriminator.")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="How the learning rate falls.")
    ema: float = Field(
        0.999, ge=0, lt=1, description="Decay of the averaged generator that samples are drawn from; 0 is none."
    )


BOOK = {
    "epochs": 100,
    "batch_size": 100,
    "learning_rate": 2e-4,
    "examples_per_epoch": None,
    "network": "book",
    "latent_size": 100,
    "beta1": 0.5,
    "beta2": 0.999,
    "soft_label": 0.95,
    "dropout": 0.3,
    "schedule": "constant",
    "ema": 0.0,
}


def latent_rows(z: list[Any] | None) -> list[list[float]]:
    """`z` of a request as a list of latents: it is one latent or several. Empty without `z`."""
    rows = z or []
    return rows if not rows or isinstance(rows[0], list) else [rows]


def latent_errors(z: list[Any] | None, size: int) -> list[FieldError]:
    """An error for each latent of a request that has not the model's size."""
    return [
        FieldError(
            pointer=f"/sampling/z/{row}" if z and isinstance(z[0], list) else "/sampling/z",
            detail=f"A latent of this model has {size} numbers, not {len(latent)}.",
            code="wrong_length",
        )
        for row, latent in enumerate(latent_rows(z))
        if len(latent) != size
    ]


def _width(hyperparameters: AdversarialHyperparameters) -> int:
    return 96 if hyperparameters.network == "book" else hyperparameters.width


def _activations(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape) -> int:
    """Numbers one image needs in both networks, forward and backward."""
    return dataset.height * dataset.width * (12 * _width(hyperparameters) + 8 * dataset.channels)


def _parameters(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape, classes: int) -> int:
    width = _width(hyperparameters)
    seed = 16 * width * (dataset.height * dataset.width // 16 + 64)
    return hyperparameters.latent_size * (seed + classes) + 25 * 16 * width * width + 64 * width * classes


def training_bytes(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape, *, classes: int) -> int:
    """Weights, gradients, two moments and the average; activations of a double batch; images; the evaluation.

    classes: of the networks.
    """
    examples = dataset.examples or 70_000
    pixels = dataset.height * dataset.width * dataset.channels
    images = max(3 * hyperparameters.batch_size, 500)
    floats = 6 * _parameters(hyperparameters, dataset, classes) + images * _activations(hyperparameters, dataset)
    evaluation = 2_000 * 64 * dataset.height * dataset.width + 60_000 * pixels
    return 4 * (floats + evaluation) + 2 * examples * pixels


def sampling_bytes(hyperparameters: AdversarialHyperparameters, images: int, dataset: DatasetShape) -> int:
    """So many images a few times over, and the generator's activations for the 500 generated at a time."""
    pixels = dataset.height * dataset.width * dataset.channels
    return 4 * (4 * images * pixels + min(images, 500) * _activations(hyperparameters, dataset))


def check_networks(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape) -> None:
    """The networks can generate images of that size."""
    if hyperparameters.network == "book" and (dataset.height, dataset.width) != (28, 28):
        detail = f"The book's networks draw 28×28 images, not {dataset.height}×{dataset.width}; use `compact`."
        raise SpecError.at("/hyperparameters/network", detail, "wrong_size")
    if dataset.height % 4 or dataset.width % 4:
        detail = f"Image height and width have to be multiples of 4, not {dataset.height}×{dataset.width}."
        raise SpecError.at("/dataset", detail, "wrong_size")
