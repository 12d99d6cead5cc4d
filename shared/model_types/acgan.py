"""Contract of the auxiliary-classifier GAN."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from shared.datasets import DatasetShape
from shared.errors import FieldError, SpecError
from shared.model_types import image_measures as measures
from shared.model_types.base import (
    EXAMPLES_PER_S,
    LEARNING_RATE,
    Hyperparameters,
    ModelType,
    SamplingParameters,
)

Coordinate = Annotated[float, Field(ge=-1000, le=1000)]
Latent = Annotated[list[Coordinate], Field(min_length=1, max_length=1024)]
Label = Annotated[int, Field(ge=0, le=9999)]

MAX_IMAGES = 10_000  # of one generation request


class AcganHyperparameters(Hyperparameters):
    """Hyperparameters of the ACGAN."""

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
    soft_label: float = Field(0.95, gt=0.5, le=1, description="What the discriminator is asked to say of real images.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of the discriminator.")
    class_weight: float = Field(1.0, ge=0, le=100, description="Weight of the auxiliary classifier's loss.")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="How the learning rate falls.")
    ema: float = Field(
        0.999, ge=0, lt=1, description="Decay of the averaged generator that samples are drawn from; 0 is none."
    )
    label_map: tuple[Label, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        max_length=10_000,
        description="New class of each class, from 0 up: merges classes.",
    )


class AcganSampling(SamplingParameters):
    """Which images are drawn; they are ordered by label, then draw."""

    labels: Literal["all"] | Annotated[list[Label], Field(min_length=1, max_length=MAX_IMAGES)] = Field(
        "all", description="Classes to draw, in this order."
    )
    n_per_label: int | None = Field(None, ge=1, le=MAX_IMAGES, description="Images of each; 10 unless `z` is given.")
    z: Annotated[list[Latent], Field(min_length=1, max_length=MAX_IMAGES)] | Latent | None = Field(
        None, description="One latent or several, used for every label instead of random ones."
    )

    @property
    def draws(self) -> int:
        """Images of each label."""
        return len(self.latents) if self.latents else self.n_per_label or 10

    @property
    def latents(self) -> list[list[float]]:
        """`z` as a list of latents, whichever way it was given; empty when they are to be drawn."""
        rows: list[Any] = self.z or []
        return rows if not rows or isinstance(rows[0], list) else [rows]


def merged_classes(hyperparameters: AcganHyperparameters, dataset_classes: int) -> int:
    """Classes the model is trained on."""
    return max(hyperparameters.label_map) + 1 if hyperparameters.label_map else dataset_classes


def _activations(hyperparameters: AcganHyperparameters, dataset: DatasetShape) -> int:
    """Numbers one image needs in both networks, forward and backward."""
    area = dataset.height * dataset.width
    width = 96 if hyperparameters.network == "book" else hyperparameters.width
    return area * (12 * width + 8 * dataset.channels)


def _parameters(hyperparameters: AcganHyperparameters, dataset: DatasetShape) -> int:
    classes = dataset.classes or 10
    width = 96 if hyperparameters.network == "book" else hyperparameters.width
    seed = 16 * width * (dataset.height * dataset.width // 16 + 64)
    return hyperparameters.latent_size * (seed + classes) + 25 * 16 * width * width + 64 * width * classes


def training_bytes(hyperparameters: AcganHyperparameters, dataset: DatasetShape) -> int:
    """Weights, gradients, two moments and the average; activations of a double batch; images; the judge at work."""
    examples = dataset.examples or 70_000
    pixels = dataset.height * dataset.width * dataset.channels
    images = max(3 * hyperparameters.batch_size, 500)
    floats = 6 * _parameters(hyperparameters, dataset) + images * _activations(hyperparameters, dataset)
    judge = 2_000 * 64 * dataset.height * dataset.width + 60_000 * pixels
    return 4 * (floats + judge) + 2 * examples * pixels


def sampling_bytes(hyperparameters: AcganHyperparameters, sampling: AcganSampling, dataset: DatasetShape) -> int:
    """The images a few times over, and the generator's activations for the 500 drawn at a time."""
    labels = (dataset.classes or 10) if sampling.labels == "all" else len(sampling.labels)
    images = labels * sampling.draws
    pixels = dataset.height * dataset.width * dataset.channels
    return 4 * (4 * images * pixels + min(images, 500) * _activations(hyperparameters, dataset))


def check_training(hyperparameters: AcganHyperparameters, dataset: DatasetShape) -> None:
    """The networks can draw images of that size; `label_map` names every class of the dataset and leaves no gap."""
    if hyperparameters.network == "book" and (dataset.height, dataset.width) != (28, 28):
        detail = f"The book's networks draw 28×28 images, not {dataset.height}×{dataset.width}; use `compact`."
        raise SpecError.at("/hyperparameters/network", detail, "wrong_size")
    if dataset.height % 4 or dataset.width % 4:
        detail = f"Image height and width have to be multiples of 4, not {dataset.height}×{dataset.width}."
        raise SpecError.at("/dataset", detail, "wrong_size")
    label_map = hyperparameters.label_map
    if label_map is None:
        return
    if dataset.classes is not None and len(label_map) != dataset.classes:
        detail = f"The dataset has {dataset.classes} classes; give {dataset.classes} numbers, not {len(label_map)}."
        raise SpecError.at("/hyperparameters/label_map", detail, "wrong_length")
    missing = sorted(set(range(max(label_map) + 1)) - set(label_map))
    if missing:
        detail = f"No class is mapped to {missing[0]}; use every number from 0 to {max(label_map)}."
        raise SpecError.at("/hyperparameters/label_map", detail, "gap")


def check_sampling(hyperparameters: AcganHyperparameters, sampling: AcganSampling, dataset: DatasetShape) -> None:
    """Labels are the model's, latents have its size, the draws agree with `z`, and the images are not too many."""
    classes = merged_classes(hyperparameters, dataset.classes) if dataset.classes else None
    errors = []
    if classes and sampling.labels != "all":
        detail = f"This model's labels are 0 to {classes - 1}."
        errors = [
            FieldError(pointer=f"/sampling/labels/{position}", detail=detail, code="out_of_range")
            for position, label in enumerate(sampling.labels)
            if label >= classes
        ]
    size = hyperparameters.latent_size
    for row, latent in enumerate(sampling.latents):
        if len(latent) != size:
            pointer = f"/sampling/z/{row}" if sampling.z is sampling.latents else "/sampling/z"
            detail = f"A latent of this model has {size} numbers, not {len(latent)}."
            errors.append(FieldError(pointer=pointer, detail=detail, code="wrong_length"))
    if sampling.latents and sampling.n_per_label not in (None, len(sampling.latents)):
        detail = f"`z` gives {len(sampling.latents)} images of each label; leave `n_per_label` out or make it equal."
        errors.append(FieldError(pointer="/sampling/n_per_label", detail=detail, code="conflict"))
    labels = (classes or 1) if sampling.labels == "all" else len(sampling.labels)
    if labels * sampling.draws > MAX_IMAGES:
        detail = f"This asks for {labels * sampling.draws} images; at most {MAX_IMAGES} in one request."
        errors.append(FieldError(pointer="/sampling/n_per_label", detail=detail, code="too_large"))
    if errors:
        raise SpecError(errors[0].detail, errors)


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
    "class_weight": 1.0,
    "schedule": "constant",
    "ema": 0.0,
}

METRICS = {
    "d_loss": measures.DISCRIMINATOR_LOSS,
    "g_loss": measures.GENERATOR_LOSS,
    "class_accuracy": replace(
        measures.CLASS_ACCURACY,
        meaning="Share of images with the right class: real ones in a training step, generated ones in an evaluation.",
    ),
    "realness_accuracy": measures.REALNESS_ACCURACY,
    "frechet_distance": replace(measures.FRECHET_DISTANCE, is_headline=False),
    "diversity": measures.DIVERSITY,
    "lowest_diversity": measures.LOWEST_DIVERSITY,
    "learning_rate": LEARNING_RATE,
    "examples_per_s": EXAMPLES_PER_S,
}

QUALITY = {
    "class_accuracy": measures.CLASS_ACCURACY,
    "worst_class_accuracy": measures.WORST_CLASS_ACCURACY,
    "judge_accuracy": measures.JUDGE_ACCURACY,
    "classification_accuracy_score": measures.CLASSIFICATION_ACCURACY_SCORE,
    "frechet_distance": measures.FRECHET_DISTANCE,
    "precision": measures.PRECISION,
    "recall": measures.RECALL,
    "diversity": measures.DIVERSITY,
    "lowest_diversity": measures.LOWEST_DIVERSITY,
}

ACGAN = ModelType(
    name="acgan",
    title="Auxiliary-classifier GAN",
    summary="Draws images of a class that is asked for.",
    data_kind="images",
    default_dataset="mnist",
    fallback_dataset="digits",
    hyperparameters=AcganHyperparameters,
    sampling=TypeAdapter(AcganSampling),
    presets={"fast": {}, "book": BOOK},
    formats=("png", "npy"),
    onnx_parts=("generator",),
    metrics=METRICS,
    quality=QUALITY,
    selection=("frechet_distance", "min"),
    implementation="worker.models.acgan.model:Acgan",
    precision="bfloat16",
    training_bytes=training_bytes,
    sampling_bytes=sampling_bytes,
    check_training=check_training,
    check_sampling=check_sampling,
    needs_labels=True,
    demo={
        "epochs": 4,
        "examples_per_epoch": 14_400,
        "batch_size": 32,
        "width": 16,
        "learning_rate": 2e-3,
        "ema": 0.99,
    },
    demo_sampling={"labels": "all", "n_per_label": 10},
    small={"batch_size": 4, "examples_per_epoch": 16, "epochs": 2, "width": 8},
    small_sampling={"labels": "all", "n_per_label": 1},
)
