"""Contract of the auxiliary-classifier GAN."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from shared.datasets import DatasetShape
from shared.errors import FieldError, SpecError
from shared.model_types import adversarial, class_labels
from shared.model_types import image_measures as measures
from shared.model_types.adversarial import MAX_IMAGES, AdversarialHyperparameters, Latent
from shared.model_types.base import (
    EXAMPLES_PER_S,
    LEARNING_RATE,
    SEVERAL_LATENTS,
    BoundedLatents,
    ModelType,
    SamplingParameters,
    SamplingWarning,
)
from shared.model_types.class_labels import ClassName, Label
from shared.model_types.image_requirements import adversarial_warnings


class AcganHyperparameters(AdversarialHyperparameters):
    """Hyperparameters of the ACGAN."""

    class_weight: float = Field(1.0, ge=0, le=100, description="Weight of the auxiliary classifier's loss.")
    label_map: tuple[Label, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        max_length=10_000,
        description="New class of each class, from 0 up: merges classes.",
    )


class AcganSampling(SamplingParameters):
    """Which images are drawn; they are ordered by label, then draw."""

    labels: Literal["all"] | Annotated[list[Label | ClassName], Field(min_length=1, max_length=MAX_IMAGES)] = Field(
        "all", description="Classes to draw, in this order, by number or by name."
    )
    n_per_label: int | None = Field(None, ge=1, le=MAX_IMAGES, description="Images of each; 10 unless `z` is given.")
    z: Annotated[list[Latent], Field(min_length=1, max_length=MAX_IMAGES), BoundedLatents] | Latent | None = Field(
        None, description=f"{SEVERAL_LATENTS}, used for every label instead of random ones."
    )

    @property
    def numbers(self) -> list[int]:
        """The labels as numbers, once `resolve_sampling` has replaced names; empty for all."""
        return [label for label in self.labels if isinstance(label, int)]

    @property
    def draws(self) -> int:
        """Images of each label."""
        return len(self.latents) if self.latents else self.n_per_label or 10

    @property
    def latents(self) -> list[list[float]]:
        """`z` as a list of latents, whichever way it was given; empty when they are to be drawn."""
        return adversarial.latent_rows(self.z)


def merged_classes(hyperparameters: AcganHyperparameters, dataset_classes: int) -> int:
    """Classes the model is trained on."""
    return max(hyperparameters.label_map) + 1 if hyperparameters.label_map else dataset_classes


def training_bytes(hyperparameters: AcganHyperparameters, dataset: DatasetShape) -> int:
    """As for other GANs, with the dataset's classes."""
    return adversarial.training_bytes(hyperparameters, dataset, classes=dataset.classes or 10)


def stored_bytes(hyperparameters: AcganHyperparameters, dataset: DatasetShape) -> int:
    """As for other GANs, with the dataset's classes."""
    return adversarial.stored_bytes(hyperparameters, dataset, classes=dataset.classes or 10)


def sampling_bytes(hyperparameters: AcganHyperparameters, sampling: AcganSampling, dataset: DatasetShape) -> int:
    """As for other GANs, with the images of all labels."""
    images, classes = _images(sampling, dataset), dataset.classes or 10
    return adversarial.sampling_bytes(hyperparameters, images, sampling.latents, dataset, classes=classes)


def sampling_work(hyperparameters: AcganHyperparameters, sampling: AcganSampling, dataset: DatasetShape) -> int:
    """As for other GANs."""
    return adversarial.sampling_work(hyperparameters, _images(sampling, dataset), dataset)


def _images(sampling: AcganSampling, dataset: DatasetShape) -> int:
    labels = dataset.classes or 10 if sampling.labels == "all" else len(sampling.labels)
    return labels * sampling.draws


def check_training(hyperparameters: AcganHyperparameters, dataset: DatasetShape) -> None:
    """The networks can draw images of that size; `label_map` names every class of the dataset and leaves no gap."""
    adversarial.check_networks(hyperparameters, dataset)
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


def sampling_warnings(sampling: AcganSampling, config: Mapping[str, Any]) -> list[SamplingWarning]:
    """A warning of labels that the model was never trained on."""
    absent = set(config.get("absent_classes", []))
    asked = sorted(absent if sampling.labels == "all" else absent.intersection(sampling.labels))
    if not asked:
        return []
    names = ", ".join(f"{label} ({config['class_names'][label]})" for label in asked[:20])
    message = f"The model has seen no image of the labels {names}{', …' if len(asked) > 20 else ''}."
    hint = "Their images show nothing in particular: leave these labels out."
    return [SamplingWarning(code="untrained_labels", message=message, hint=hint)]


def check_sampling(hyperparameters: AcganHyperparameters, sampling: AcganSampling, dataset: DatasetShape) -> None:
    """Labels are the model's, latents have its size, the draws agree with `z`, and the images are not too many."""
    classes = merged_classes(hyperparameters, dataset.classes) if dataset.classes else None
    errors = []
    if classes and sampling.labels != "all":
        detail = f"This model's labels are 0 to {classes - 1}."
        errors = [
            FieldError(pointer=f"/sampling/labels/{position}", detail=detail, code="out_of_range")
            for position, label in enumerate(sampling.labels)
            if isinstance(label, int) and label >= classes
        ]
    errors += adversarial.latent_errors(sampling.z, hyperparameters.latent_size)
    if sampling.latents and sampling.n_per_label not in (None, len(sampling.latents)):
        detail = f"`z` gives {len(sampling.latents)} images of each label; leave `n_per_label` out or make it equal."
        errors.append(FieldError(pointer="/sampling/n_per_label", detail=detail, code="conflict"))
    labels = (classes or 1) if sampling.labels == "all" else len(sampling.labels)
    if labels * sampling.draws > MAX_IMAGES:
        detail = f"This asks for {labels * sampling.draws} images; at most {MAX_IMAGES} in one request."
        errors.append(FieldError(pointer="/sampling/n_per_label", detail=detail, code="too_large"))
    if errors:
        raise SpecError.of(errors)


def resolve_sampling(sampling: AcganSampling, config: Mapping[str, Any]) -> AcganSampling:
    """The sampling with numbers in place of names of classes."""
    if all(isinstance(label, int) for label in sampling.labels) or sampling.labels == "all":
        return sampling
    return sampling.model_copy(update={"labels": class_labels.numbers(sampling.labels, config.get("class_names"))})


BOOK = {**adversarial.BOOK, "class_weight": 1.0}

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
    training_steps=adversarial.training_steps,
    example_work=adversarial.example_work,
    stored_bytes=stored_bytes,
    sampling_bytes=sampling_bytes,
    check_training=check_training,
    check_sampling=check_sampling,
    data_warnings=adversarial_warnings,
    resolve_sampling=resolve_sampling,
    sampling_warnings=sampling_warnings,
    weight_sizes=adversarial.weight_sizes,
    sampling_work=sampling_work,
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
