"""Colour and other sizes: networks, samples, classifier and exports of all image models have the dataset's shape."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, pad

from shared import model_types
from shared.datasets import REGISTRY
from shared.errors import SpecError
from tests.worker.data import formats
from worker.data import ImageDataset
from worker.data.digits import builtin_digits
from worker.data.readers import read
from worker.images import image_grid
from worker.models import GenerativeModel, implementation
from worker.models.image_model import unit

IMAGE_TYPES = [name for name, kind in model_types.REGISTRY.items() if kind.data_kind == "images"]
TINTS = torch.tensor([[1.0, 0.2, 0.2], [0.2, 1.0, 0.2], [0.2, 0.2, 1.0], [1.0, 1.0, 0.2], [0.2, 1.0, 1.0]])


def tinted(images: Tensor, labels: Tensor) -> np.ndarray:
    """Digits [N, 1, 28, 28] as uint8 [N, 3, 32, 32], with one of five colours by index."""
    large = pad(images, (2, 2, 2, 2)).float()
    return (large * TINTS[labels % len(TINTS)][:, :, None, None]).round().to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> ImageDataset:
    """Tinted digits, written as CIFAR-10's files and read as such."""
    folder = tmp_path_factory.mktemp("cifar")
    digits = builtin_digits()
    train, test = tinted(digits.train_images, digits.train_labels), tinted(digits.test_images, digits.test_labels)
    parts = (train, digits.train_labels.numpy(), test, digits.test_labels.numpy())
    formats.put(folder, formats.cifar_files("cifar10", *parts))
    with pytest.MonkeyPatch.context() as patch:
        formats.accept_small_files(patch)
        return read(REGISTRY["cifar10"], folder)


def built(name: str, dataset: ImageDataset, **hyperparameters: Any) -> GenerativeModel:
    kind = model_types.get(name)
    torch.manual_seed(0)
    model = implementation(kind).for_data(kind.resolve("fast", hyperparameters), dataset)
    model.start_training(dataset, seed=0)
    return model


def train(model: GenerativeModel, epochs: int) -> None:
    for epoch in range(1, epochs + 1):
        for batch in model.batches(epoch, 0):
            model.training_step(batch)


def mean_colours(images: Tensor, labels: Tensor) -> Tensor:
    """Mean of each channel for each tint, as shares of their sum: [K, 3]."""
    means = torch.stack([images[labels == label].mean(dim=(0, 2, 3)) for label in range(len(TINTS))])
    return means / means.sum(dim=1, keepdim=True)


@pytest.mark.slow
def test_acgan_learns_the_colour_of_each_class_and_has_high_quality_figures(colour: ImageDataset) -> None:
    by_tint = tuple(label % len(TINTS) for label in range(10))
    small = {"width": 8, "batch_size": 16, "examples_per_epoch": 1408, "learning_rate": 2e-3, "ema": 0.95}
    model = built("acgan", colour, **small, epochs=3, label_map=by_tint)
    before = model.evaluate()

    train(model, 3)

    after = model.evaluate()
    generated = model.generate(model_types.get("acgan").sampling.validate_python({"n_per_label": 20}), seed=0)
    assert generated.images is not None
    means = mean_colours(torch.from_numpy(generated.images), torch.arange(len(TINTS)).repeat_interleave(20))
    real = mean_colours(unit(colour.test_images), colour.test_labels % len(TINTS))
    assert generated.images.shape == (100, 3, 32, 32)
    assert after["frechet_distance"] < before["frechet_distance"] / 2
    assert after["class_accuracy"] > 0.8 > before["class_accuracy"]
    assert float(cosine_similarity(means - 1 / 3, real - 1 / 3).min()) > 0.8  # distance of each tint from grey


@pytest.mark.slow
def test_vae_reconstructs_colours_and_has_high_quality_figures(colour: ImageDataset) -> None:
    model = built("vae", colour, hidden=(128,), batch_size=64, examples_per_epoch=1408, epochs=15, latent_size=8)
    before = model.final_quality()

    train(model, 15)

    after = model.final_quality()
    sampling = model_types.get("vae").sampling.validate_python({"mode": "reconstruct", "indices": list(range(100))})
    pictures = model.generate(sampling, seed=0, dataset=colour).images
    assert pictures is not None
    assert pictures.shape == (200, 3, 32, 32)
    assert after["reconstruction"] < before["reconstruction"] / 3
    assert after["reconstruction_accuracy"] > 0.6 > before["reconstruction_accuracy"]


@pytest.mark.parametrize("name", IMAGE_TYPES)
def test_samples_and_pictures_are_in_colour(name: str, colour: ImageDataset) -> None:
    model = built(name, colour, **model_types.get(name).small)

    (sample,) = model.epoch_samples(1)
    generated = model.generate(model_types.get(name).sampling.validate_python({}), seed=0)

    assert isinstance(sample.content, np.ndarray)
    assert sample.content.shape[2] == 3
    assert generated.images is not None
    assert generated.images.shape[1:] == (3, 32, 32)
    assert image_grid(generated.images, generated.columns).shape[2] == 3


@pytest.mark.parametrize("name", IMAGE_TYPES)
@pytest.mark.parametrize("dataset", [name for name, info in REGISTRY.items() if info.reader])
def test_each_registered_dataset_can_be_trained_on(name: str, dataset: str) -> None:
    kind, info = model_types.get(name), REGISTRY[dataset]
    shape = (info.shape.channels, info.shape.height, info.shape.width)
    count = 2 * len(info.class_names)
    images = torch.from_numpy(formats.images(count, *shape))
    labels = torch.arange(count) % len(info.class_names)
    small = ImageDataset(dataset, images, labels, images, labels, info.class_names)
    narrow = {**kind.small, "batch_size": 8, "examples_per_epoch": 8}
    kind.check_training(kind.resolve("fast", narrow), info.shape)
    model = built(name, small, **narrow)

    (batch,) = model.batches(1, 0)
    metrics = model.training_step(batch)

    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in metrics.values())
    counts = {"examples": 2 * count, "training_examples": count}
    assert small.shape == info.shape.__class__(**{**vars(info.shape), **counts})


@pytest.mark.parametrize("dataset", ["cifar10", "usps"])
def test_published_acgan_refuses_another_size_and_names_a_fitting_preset(dataset: str) -> None:
    kind, size = model_types.get("acgan"), REGISTRY[dataset].shape.height

    with pytest.raises(SpecError, match=f"draw 28×28 images, not {size}×{size}; use `compact`"):
        kind.check_training(kind.resolve("book", {}), REGISTRY[dataset].shape)


@pytest.mark.parametrize("name", IMAGE_TYPES)
def test_memory_estimate_includes_colour_channels(name: str) -> None:
    kind = model_types.get(name)
    chosen = kind.resolve("fast", {})

    assert kind.training_bytes(chosen, REGISTRY["cifar10"].shape) > kind.training_bytes(chosen, REGISTRY["usps"].shape)


@pytest.mark.parametrize("name", IMAGE_TYPES)
def test_exported_graphs_have_the_datasets_shape(name: str, colour: ImageDataset, tmp_path: Path) -> None:
    model = built(name, colour, **model_types.get(name).small)

    assert [graph.name for graph in model.onnx_graphs()] == list(model_types.get(name).onnx_parts)
