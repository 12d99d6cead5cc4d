"""Hyperparameters, latents, memory estimates and checks that the contracts of generative adversarial networks share."""

from typing import Annotated, Any, Literal

from pydantic import Field

from shared.datasets import DatasetShape
from shared.errors import FieldError, SpecError
from shared.model_types import image_memory as memory
from shared.model_types.base import JOB_BYTES, Hyperparameters, checkpoint_bytes, checkpoint_file_bytes, loaded_bytes
from shared.model_types.training_steps import TrainingSteps, of_images

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


def _sizes(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape, classes: int) -> tuple[int, int]:
    """Parameters of the generator and of the discriminator."""
    area = dataset.height * dataset.width
    latent, width = hyperparameters.latent_size, hyperparameters.width
    if hyperparameters.network == "book":
        return 3456 * (latent + 1) + 2_305_000 + classes * latent, 388_000 + 16 * area * (classes + 1)
    generator = (latent + classes + 1) * width * area // 8 + 40 * width**2 + 9 * width * dataset.channels
    features = 4 * width * (-(-dataset.height // 8)) * (-(-dataset.width // 8))
    return generator, 248 * width**2 + features * (2 * classes + 1) + 16 * width * dataset.channels


def _layers(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape) -> tuple[int, int]:
    """Bytes of an image's layers: of a generator step, forward and backward, and of generation alone."""
    area = 4 * dataset.height * dataset.width
    if hyperparameters.network == "book":
        return 2 * 280 * area, 130 * area  # of a step in float32; bfloat16 takes about half
    return (7 * hyperparameters.width + 8 * dataset.channels) * area, (2 * hyperparameters.width + 12) * area


def weight_sizes(hyperparameters: AdversarialHyperparameters) -> dict[str, Any]:
    """The pair of networks, the latents, and the channels of the compact pair."""
    sizes = {"network": hyperparameters.network, "latent_size": hyperparameters.latent_size}
    return sizes | ({"width": hyperparameters.width} if hyperparameters.network == "compact" else {})


def training_bytes(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape, *, classes: int) -> int:
    """Images, weights with moments and the average, and the largest of a checkpoint, a step and the evaluation.

    classes: of the networks.
    """
    generator, discriminator = _sizes(hyperparameters, dataset, classes)
    step, generated = _layers(hyperparameters, dataset)
    parameters = generator + discriminator
    averaged = 4 * 2 * generator if hyperparameters.ema else 0
    evaluation = memory.evaluation_bytes(dataset, memory.CHUNK * generated)
    most = max(checkpoint_bytes(parameters), 20 * parameters + max(evaluation, hyperparameters.batch_size * step))
    return JOB_BYTES + memory.dataset_bytes(dataset) + averaged + most


def training_steps(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape) -> TrainingSteps | None:
    """Whole batches of images."""
    return of_images(hyperparameters, dataset, drops_last=True)


def stored_bytes(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape, *, classes: int) -> int:
    """Weights of both networks with two moments, and the averaged generator."""
    generator, discriminator = _sizes(hyperparameters, dataset, classes)
    averaged = 4 * generator if hyperparameters.ema else 0
    return checkpoint_file_bytes(generator + discriminator) + averaged


def sampling_bytes(
    hyperparameters: AdversarialHyperparameters,
    images: int,
    latents: list[list[float]],
    dataset: DatasetShape,
    *,
    classes: int,
) -> int:
    """The model, the generator's layers for a chunk of images, the latents of the request, and the images as files."""
    numbers = sum(len(latent) for latent in latents)
    layers = min(images, memory.CHUNK) * _layers(hyperparameters, dataset)[1]
    written = memory.image_files_bytes(images, dataset)
    generator, discriminator = _sizes(hyperparameters, dataset, classes)
    model = loaded_bytes((2 if hyperparameters.ema else 1) * generator + discriminator)
    return JOB_BYTES + max(model, model // 3 + layers) + written + memory.NUMBER_BYTES * numbers


def sampling_work(hyperparameters: AdversarialHyperparameters, images: int, dataset: DatasetShape) -> int:
    """The products of the generator's convolutions for so many images."""
    area, width = dataset.height * dataset.width, hyperparameters.width
    if hyperparameters.network == "book":
        return images * 51_000 * area
    return images * area * (4 * width**2 + 5 * width * dataset.channels + hyperparameters.latent_size * width // 8)


def example_work(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape) -> int:
    """The generator's products for an image; those of the discriminator are in proportion."""
    return sampling_work(hyperparameters, 1, dataset)


def check_networks(hyperparameters: AdversarialHyperparameters, dataset: DatasetShape) -> None:
    """The networks can generate images of that size."""
    if hyperparameters.network == "book" and (dataset.height, dataset.width) != (28, 28):
        detail = f"The book's networks draw 28×28 images, not {dataset.height}×{dataset.width}; use `compact`."
        raise SpecError.at("/hyperparameters/network", detail, "wrong_size")
    if dataset.height % 4 or dataset.width % 4:
        detail = f"Image height and width have to be multiples of 4, not {dataset.height}×{dataset.width}."
        raise SpecError.at("/dataset", detail, "wrong_size")
