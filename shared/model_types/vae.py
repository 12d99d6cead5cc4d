"""Contract of the variational autoencoder."""

from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from shared.datasets import DatasetShape
from shared.errors import SpecError
from shared.model_types import image_measures as measures
from shared.model_types import image_memory as memory
from shared.model_types.base import (
    EXAMPLES_PER_S,
    JOB_BYTES,
    LEARNING_RATE,
    Hyperparameters,
    ModelType,
    checkpoint_bytes,
    checkpoint_file_bytes,
    loaded_bytes,
)
from shared.model_types.image_requirements import reconstruction_warnings
from shared.model_types.training_steps import TrainingSteps, of_images
from shared.model_types.vae_sampling import (
    EncodeSampling,
    GridSampling,
    InterpolateSampling,
    LatentSampling,
    ReconstructSampling,
    VaeSampling,
    rows,
    rows_given,
)

LayerSize = Annotated[int, Field(ge=1, le=8192)]


class VaeHyperparameters(Hyperparameters):
    """Hyperparameters of the VAE."""

    epochs: int = Field(18, ge=1, le=100_000, description="Passes of `examples_per_epoch` examples.")
    batch_size: int = Field(256, ge=1, le=16_384, description="Images per step.")
    learning_rate: float = Field(4e-3, gt=0, le=10, description="Peak learning rate.")
    examples_per_epoch: int | None = Field(
        60_000, ge=1, le=1_000_000_000, description="Images one epoch draws; null is the whole dataset once."
    )
    latent_size: int = Field(2, ge=1, le=512, description="Latent dimensions.")
    hidden: tuple[LayerSize, ...] = Field(
        (512, 512, 128),
        strict=False,
        min_length=1,
        max_length=8,
        description="Units of the encoder's layers; the decoder mirrors them.",
    )
    activation: Literal["relu", "silu"] = Field("silu", description="Activation of the hidden layers.")
    latent_spread: float = Field(
        3.0, gt=0, le=100, description="Factor on the first weights and biases of the layer that reads the latent."
    )
    kl_weight: float = Field(1.0, ge=0, le=1000, description="Weight of the KL term; 0 makes a plain autoencoder.")
    weight_decay: float = Field(0.0, ge=0, le=10, description="Decoupled weight decay; 0 is plain Adam.")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="How the learning rate falls.")
    warmup_steps: int = Field(100, ge=0, le=1_000_000, description="Steps over which the learning rate rises.")
    clip_norm: float = Field(
        50.0,
        ge=0,
        le=1e6,
        description="Largest gradient norm; 0 does not clip. About the usual norm of Fashion-MNIST: what is rare and "
        "a million times that (an image whose variance explodes) would end the training.",
    )


def _pixels(dataset: DatasetShape) -> int:
    return dataset.height * dataset.width * dataset.channels


def _parameters(hyperparameters: VaeHyperparameters, dataset: DatasetShape) -> int:
    sizes = (_pixels(dataset), *hyperparameters.hidden, 2 * hyperparameters.latent_size)
    return 2 * sum(inputs * units + units for inputs, units in pairwise(sizes))


def weight_sizes(hyperparameters: VaeHyperparameters) -> dict[str, Any]:
    """Units of the layers, and the latents."""
    return {"hidden": hyperparameters.hidden, "latent_size": hyperparameters.latent_size}


def training_bytes(hyperparameters: VaeHyperparameters, dataset: DatasetShape) -> int:
    """Images, weights, and the larger of a checkpoint and the activations of a step; the classifier at the end."""
    kept = 4 if hyperparameters.activation == "silu" else 2  # of a hidden layer for the backward pass, both networks
    hidden = kept * sum(hyperparameters.hidden) + max(hyperparameters.hidden)
    step = hyperparameters.batch_size * (4 * _pixels(dataset) + hidden + 8 * hyperparameters.latent_size)
    parameters = _parameters(hyperparameters, dataset)
    most = max(checkpoint_bytes(parameters), 4 * (5 * parameters + step))
    return JOB_BYTES + memory.dataset_bytes(dataset) + most + memory.reconstruction_score_bytes(dataset)


def training_steps(hyperparameters: VaeHyperparameters, dataset: DatasetShape) -> TrainingSteps | None:
    """Batches of images, the last one of an epoch perhaps smaller."""
    return of_images(hyperparameters, dataset, drops_last=False)


def stored_bytes(hyperparameters: VaeHyperparameters, dataset: DatasetShape) -> int:
    """Weights and two moments."""
    return checkpoint_file_bytes(_parameters(hyperparameters, dataset))


def _images(sampling: Any) -> int:
    match sampling:
        case GridSampling():
            return sampling.points**2
        case InterpolateSampling():
            return sampling.steps
        case LatentSampling():
            return len(rows(sampling.z))
        case ReconstructSampling():
            return 2 * len(sampling.indices)
        case EncodeSampling():
            return 0
        case _:
            return int(sampling.n)


def sampling_bytes(hyperparameters: VaeHyperparameters, sampling: Any, dataset: DatasetShape) -> int:
    """The model, the dataset if read, test images and their hidden layers, and the generated images as files."""
    pixels, numbers = _pixels(dataset), 0
    read = memory.mapped_bytes(dataset) if sampling.reads_dataset else 0
    at_once = min(_images(sampling), memory.CHUNK)
    if isinstance(sampling, ReconstructSampling | EncodeSampling):
        at_once = len(sampling.indices)
    if isinstance(sampling, LatentSampling):
        numbers = sum(len(latent) for latent in rows(sampling.z))
    layers = 4 * at_once * (3 * pixels + 3 * max(hyperparameters.hidden) + 4 * hyperparameters.latent_size)
    written = max(layers, memory.image_files_bytes(_images(sampling), dataset))
    model = loaded_bytes(_parameters(hyperparameters, dataset))
    return JOB_BYTES + read + max(model, model // 3 + written) + memory.NUMBER_BYTES * numbers


def sampling_work(hyperparameters: VaeHyperparameters, sampling: Any, dataset: DatasetShape) -> int:
    """The products of the decoder, or of both networks, for each image."""
    parameters = _parameters(hyperparameters, dataset)
    if isinstance(sampling, ReconstructSampling | EncodeSampling):
        return len(sampling.indices) * parameters
    return _images(sampling) * parameters // 2


def check_training(
    hyperparameters: VaeHyperparameters,
    dataset: DatasetShape,
) -> None:
    """Every image dataset fits."""


def check_sampling(
    hyperparameters: VaeHyperparameters,
    sampling: Any,
    dataset: DatasetShape,  # noqa: ARG001 - every contract has this shape
) -> None:
    """Latents have the model's size, and `dims` are two of its dimensions."""
    size = hyperparameters.latent_size
    for pointer, latent in _latents(sampling):
        if len(latent) != size:
            detail = f"A latent of this model has {size} numbers, not {len(latent)}."
            raise SpecError.at(f"/sampling/{pointer}", detail, "wrong_length")
    if isinstance(sampling, GridSampling) and size > 1:
        for position, dim in enumerate(sampling.dims):
            if dim >= size:
                detail = f"This model's latent dimensions are 0 to {size - 1}."
                raise SpecError.at(f"/sampling/dims/{position}", detail, "out_of_range")
        if sampling.dims[0] == sampling.dims[1]:
            raise SpecError.at("/sampling/dims", "Give two different dimensions.", "invalid")


def _latents(sampling: Any) -> list[tuple[str, list[float]]]:
    match sampling:
        case GridSampling(z=list() as z):
            return [("z", z)]
        case InterpolateSampling():
            ends = (("from", sampling.from_), ("to", sampling.to))
            return [(name, end) for name, end in ends if isinstance(end, list)]
        case LatentSampling():
            return [
                (f"z/{row}" if rows_given(sampling.z) else "z", latent) for row, latent in enumerate(rows(sampling.z))
            ]
        case _:
            return []


BOOK = {
    "epochs": 100,
    "batch_size": 256,
    "learning_rate": 1e-3,
    "examples_per_epoch": None,
    "latent_size": 2,
    "hidden": (512,),
    "activation": "relu",
    "latent_spread": 1.0,
    "kl_weight": 1.0,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup_steps": 0,
    "clip_norm": 0.0,
}

METRICS = {
    "loss": measures.LOSS,
    "val_loss": measures.VAL_LOSS,
    "reconstruction": measures.RECONSTRUCTION,
    "kl": measures.KL,
    "learning_rate": LEARNING_RATE,
    "examples_per_s": EXAMPLES_PER_S,
}

QUALITY = {
    "val_loss": replace(measures.VAL_LOSS, is_headline=False),
    "reconstruction": measures.RECONSTRUCTION,
    "kl": measures.KL,
    "elbo": measures.ELBO,
    "active_units": measures.ACTIVE_UNITS,
    "reconstruction_accuracy": measures.RECONSTRUCTION_ACCURACY,
}

VAE = ModelType(
    name="vae",
    title="Variational autoencoder",
    summary="Learns a continuous latent space of images, to draw from, walk through and reconstruct with.",
    data_kind="images",
    default_dataset="fashion-mnist",
    fallback_dataset="digits",
    hyperparameters=VaeHyperparameters,
    sampling=TypeAdapter(VaeSampling),
    presets={"fast": {}, "book": BOOK},
    formats=("png", "npy"),
    onnx_parts=("decoder", "encoder"),
    metrics=METRICS,
    quality=QUALITY,
    selection=("val_loss", "min"),
    implementation="worker.models.vae.model:Vae",
    precision="bfloat16",
    has_separable_batches=True,
    training_bytes=training_bytes,
    training_steps=training_steps,
    example_work=_parameters,
    stored_bytes=stored_bytes,
    sampling_bytes=sampling_bytes,
    check_training=check_training,
    check_sampling=check_sampling,
    data_warnings=reconstruction_warnings,
    weight_sizes=weight_sizes,
    sampling_work=sampling_work,
    demo={"epochs": 8},
    demo_sampling={"mode": "grid", "points": 20, "start": -3, "end": 3},
    small={"hidden": (32,), "batch_size": 32, "examples_per_epoch": 128, "epochs": 2},
    small_sampling={"mode": "random", "n": 6},
)
