"""Contract of the generative adversarial network without classes."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from shared.datasets import DatasetShape
from shared.errors import SpecError
from shared.model_types import adversarial
from shared.model_types import image_measures as measures
from shared.model_types.adversarial import MAX_IMAGES, AdversarialHyperparameters, Latent
from shared.model_types.base import (
    EXAMPLES_PER_S,
    LEARNING_RATE,
    SEVERAL_LATENTS,
    BoundedLatents,
    ModelType,
    SamplingParameters,
)
from shared.model_types.image_requirements import adversarial_warnings


class GanHyperparameters(AdversarialHyperparameters):
    """Hyperparameters of the GAN."""


class RandomSampling(SamplingParameters):
    """Images of latents drawn from the prior."""

    mode: Literal["random"] = "random"
    n: int = Field(64, ge=1, le=MAX_IMAGES, description="Images to generate.")


class LatentSampling(SamplingParameters):
    """Images of given latents."""

    mode: Literal["latent"] = "latent"
    z: Annotated[list[Latent], Field(min_length=1, max_length=MAX_IMAGES), BoundedLatents] | Latent = Field(
        description=f"{SEVERAL_LATENTS}."
    )

    @property
    def n(self) -> int:
        """Images to generate."""
        return len(self.latents)

    @property
    def latents(self) -> list[list[float]]:
        """`z` as a list of latents, whichever way it was given."""
        return adversarial.latent_rows(self.z)


def _default_mode(value: Any) -> Any:
    return {"mode": "random", **value} if isinstance(value, dict) else value


GanSampling = Annotated[
    Annotated[RandomSampling | LatentSampling, Field(discriminator="mode")], BeforeValidator(_default_mode)
]


def training_bytes(hyperparameters: GanHyperparameters, dataset: DatasetShape) -> int:
    """As for other GANs, with one class."""
    return adversarial.training_bytes(hyperparameters, dataset, classes=1)


def stored_bytes(hyperparameters: GanHyperparameters, dataset: DatasetShape) -> int:
    """As for other GANs, with one class."""
    return adversarial.stored_bytes(hyperparameters, dataset, classes=1)


def sampling_bytes(hyperparameters: GanHyperparameters, sampling: Any, dataset: DatasetShape) -> int:
    """As for other GANs."""
    latents = adversarial.latent_rows(sampling.z) if isinstance(sampling, LatentSampling) else []
    return adversarial.sampling_bytes(hyperparameters, sampling.n, latents, dataset, classes=1)


def sampling_work(hyperparameters: GanHyperparameters, sampling: Any, dataset: DatasetShape) -> int:
    """As for other GANs."""
    return adversarial.sampling_work(hyperparameters, sampling.n, dataset)


def check_training(hyperparameters: GanHyperparameters, dataset: DatasetShape) -> None:
    """The networks can generate images of that size."""
    adversarial.check_networks(hyperparameters, dataset)


def check_sampling(
    hyperparameters: GanHyperparameters,
    sampling: Any,
    dataset: DatasetShape,  # noqa: ARG001 - every contract has this shape
) -> None:
    """Latents have the model's size."""
    if isinstance(sampling, LatentSampling):
        errors = adversarial.latent_errors(sampling.z, hyperparameters.latent_size)
        if errors:
            raise SpecError.of(errors)


DIVERSITY = replace(
    measures.DIVERSITY,
    meaning="Mean distance of an image to its nearest neighbour, as a share of the same distance of real images.",
)

METRICS = {
    "d_loss": measures.DISCRIMINATOR_LOSS,
    "g_loss": measures.GENERATOR_LOSS,
    "realness_accuracy": measures.REALNESS_ACCURACY,
    "frechet_distance": measures.FRECHET_DISTANCE,
    "diversity": DIVERSITY,
    "learning_rate": LEARNING_RATE,
    "examples_per_s": EXAMPLES_PER_S,
}

QUALITY = {
    "frechet_distance": measures.FRECHET_DISTANCE,
    "diversity": replace(DIVERSITY, is_headline=True),
    "precision": measures.PRECISION,
    "recall": replace(measures.RECALL, is_headline=True),
}

GAN = ModelType(
    name="gan",
    title="Generative adversarial network",
    summary="Generates images like those of a dataset, with or without labels.",
    data_kind="images",
    default_dataset="mnist",
    fallback_dataset="digits",
    precision="bfloat16",
    hyperparameters=GanHyperparameters,
    sampling=TypeAdapter(GanSampling),
    presets={"fast": {}, "book": adversarial.BOOK},
    formats=("png", "npy"),
    onnx_parts=("generator",),
    metrics=METRICS,
    quality=QUALITY,
    selection=("frechet_distance", "min"),
    implementation="worker.models.gan.model:Gan",
    training_bytes=training_bytes,
    training_steps=adversarial.training_steps,
    example_work=adversarial.example_work,
    stored_bytes=stored_bytes,
    sampling_bytes=sampling_bytes,
    check_training=check_training,
    check_sampling=check_sampling,
    data_warnings=adversarial_warnings,
    weight_sizes=adversarial.weight_sizes,
    sampling_work=sampling_work,
    demo={
        "epochs": 4,
        "examples_per_epoch": 14_400,
        "batch_size": 32,
        "width": 16,
        "learning_rate": 2e-3,
        "ema": 0.99,
    },
    demo_sampling={"mode": "random", "n": 64},
    small={"batch_size": 4, "examples_per_epoch": 16, "epochs": 2, "width": 8},
    small_sampling={"mode": "random", "n": 6},
)
