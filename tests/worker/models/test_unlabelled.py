"""Figures without labels: sensitive to collapse and blur, and deterministic, with and without classes."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from shared.model_types import get
from tests.worker.models.conftest import builtin
from worker.data import ImageDataset
from worker.models.evaluation.unlabelled import feature_network, unlabelled_figures
from worker.models.image_model import unit


@pytest.fixture(params=["with classes", "without classes"])
def digits(request: pytest.FixtureRequest) -> ImageDataset:
    dataset = builtin(get("vae"))
    assert isinstance(dataset, ImageDataset)
    if request.param == "with classes":
        return dataset
    nothing = torch.empty(0, dtype=torch.int64)
    return dataclasses.replace(dataset, train_labels=nothing, test_labels=nothing, class_names=())


def test_repeated_and_blurred_images_have_worse_figures_than_real_ones(digits: ImageDataset, cache_dir: Path) -> None:
    network = feature_network(digits, cache_dir)
    real = unit(digits.train_images[:360])
    repeated = real[:10].repeat(36, 1, 1, 1)
    blurred = interpolate(avg_pool2d(real, 4), scale_factor=4)

    honest, collapsed, vague = (
        unlabelled_figures(network, images, digits, final=True) for images in (real, repeated, blurred)
    )

    assert honest["diversity"] > 0.7
    assert collapsed["diversity"] < 0.01
    assert collapsed["frechet_distance"] > 3 * honest["frechet_distance"]
    assert vague["frechet_distance"] > 1.5 * honest["frechet_distance"]
    assert honest["recall"] > 0.6
    assert collapsed["recall"] < 0.2
    assert honest["precision"] > 0.6


def test_feature_network_is_deterministic_and_leaves_the_random_state_unchanged(
    digits: ImageDataset, cache_dir: Path
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    first, again = (feature_network(digits, cache_dir).state_dict() for _ in range(2))

    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
