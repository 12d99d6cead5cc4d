"""Contract of the fourth model type. Some of its schemas share their names with those of other contracts."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from shared.datasets import DatasetShape
from shared.errors import SpecError
from shared.model_types.base import Hyperparameters, Measure, ModelType, SamplingParameters, checkpoint_file_bytes
from shared.model_types.training_steps import TrainingSteps, batches


class Priority(StrEnum):
    """It shares its name with the priority of jobs."""

    CENTRE = "centre"
    EDGE = "edge"


class SketchHyperparameters(Hyperparameters):
    """Hyperparameters of the sketch."""

    epochs: int = Field(4, ge=1, le=1000, description="Passes of `examples_per_epoch` examples.")
    batch_size: int = Field(64, ge=1, le=4096, description="Images per step.")
    learning_rate: float = Field(1e-2, gt=0, le=10, description="Learning rate.")
    examples_per_epoch: int | None = Field(512, ge=1, le=1437, description="Images of an epoch; null is all of them.")
    codes: int = Field(8, ge=1, le=512, description="Size of the code.")
    noise: float = Field(0.1, ge=0, le=1, description="Noise on the input.")
    focus: Priority = Field(Priority.CENTRE, strict=False, description="Part of the image that weighs more.")


class RandomSampling(SamplingParameters):
    """Images of random latent codes."""

    mode: Literal["random"] = "random"
    count: int = Field(4, ge=1, le=100, description="Images to generate.")
    shades: list[Annotated[float, Field(ge=0, le=1)]] | None = Field(None, description="Darkest and lightest grey.")
    inverted: bool = Field(False, description="Black on white.")


class GridSampling(SamplingParameters):
    """It shares its name with a mode of the VAE."""

    mode: Literal["grid"]
    side: int = Field(3, ge=1, le=10, description="Images along each side.")


SketchSampling = RandomSampling | GridSampling


def training_bytes(hyperparameters: SketchHyperparameters, dataset: DatasetShape) -> int:
    """Weights with gradients and two moments, the images, and a batch."""
    pixels = dataset.height * dataset.width * dataset.channels
    images = 2 * (dataset.examples or 2000) + 8 * hyperparameters.batch_size
    return 4 * pixels * (10 * hyperparameters.codes + images)


def training_steps(hyperparameters: SketchHyperparameters, dataset: DatasetShape) -> TrainingSteps | None:
    """Batches of at most all images."""
    examples = min(hyperparameters.examples_per_epoch or 1438, dataset.training_examples or 1438)
    batch = min(hyperparameters.batch_size, examples)
    return TrainingSteps(per_epoch=batches(examples, hyperparameters.batch_size, drops_last=False), examples=batch)


def stored_bytes(hyperparameters: SketchHyperparameters, dataset: DatasetShape) -> int:
    """Weights and two moments."""
    return checkpoint_file_bytes(3 * hyperparameters.codes * dataset.height * dataset.width)


def sampling_bytes(hyperparameters: SketchHyperparameters, sampling: Any, dataset: DatasetShape) -> int:
    """The images."""
    count = sampling.count if isinstance(sampling, RandomSampling) else sampling.side**2
    return 16 * count * dataset.height * dataset.width


def check_training(hyperparameters: SketchHyperparameters, dataset: DatasetShape) -> None:
    """A code must not be larger than an image."""
    if hyperparameters.codes > dataset.height * dataset.width:
        raise SpecError.at("/hyperparameters/codes", "A code has at most one number per pixel.", "too_large")


def check_sampling(hyperparameters: SketchHyperparameters, sampling: Any, dataset: DatasetShape) -> None:
    """`shades` has two entries."""
    if isinstance(sampling, RandomSampling) and sampling.shades is not None and len(sampling.shades) != 2:
        raise SpecError.at("/sampling/shades", "Give the darkest and the lightest grey.", "wrong_length")


VAL_LOSS = Measure(meaning="Squared error of a test image, per pixel.", better="lower", is_headline=True)

SKETCH = ModelType(
    name="sketch",
    title="Sketch",
    summary="Generates images from a linear code.",
    data_kind="images",
    default_dataset="digits",
    fallback_dataset="digits",
    hyperparameters=SketchHyperparameters,
    sampling=TypeAdapter(SketchSampling),
    presets={"fast": {}, "book": {"noise": 0.0}},
    formats=("png", "npy"),
    metrics={
        "error": Measure(meaning="Squared error of a training image, per pixel.", better="lower", is_headline=True),
        "val_loss": VAL_LOSS,
        "learning_rate": Measure(meaning="Learning rate of the step."),
        "examples_per_s": Measure(meaning="Images per second."),
    },
    quality={"val_loss": VAL_LOSS, "spread": Measure(meaning="Standard deviation of the codes of test images.")},
    selection=("val_loss", "min"),
    implementation="tests.fourth_type.model:Sketch",
    training_bytes=training_bytes,
    training_steps=training_steps,
    stored_bytes=stored_bytes,
    sampling_bytes=sampling_bytes,
    check_training=check_training,
    check_sampling=check_sampling,
    demo={"epochs": 2},
    demo_sampling={"mode": "grid", "side": 4},
    small={"batch_size": 16, "examples_per_epoch": 64, "epochs": 2},
    small_sampling={"count": 2},
)
