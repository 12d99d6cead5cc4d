"""Weights of another run in the shapes of this one, for models of images."""

from typing import Literal

import pytest
import torch

from shared import model_types
from shared.model_types.acgan import AcganHyperparameters
from tests.fourth_type import MODEL_TYPES
from tests.worker.models.conftest import build
from worker.models.acgan.model import Acgan
from worker.models.base import Adapted, GenerativeModel

SIZE = {"width": 8, "batch_size": 4}


def adapted(model: GenerativeModel, other: GenerativeModel) -> Adapted:
    """The weights of `other` in `model`, which loads them."""
    found = model.adapted(other.state_dict(), other.config())
    model.load_state_dict(found.weights)
    return found


@pytest.mark.parametrize("name", list(MODEL_TYPES))
def test_weights_of_the_same_shape_are_taken_unchanged(name: str) -> None:
    small = model_types.get(name).small
    model, other = build(name, **small), build(name, seed=4, **small)

    assert adapted(model, other).changes == []

    weights = other.state_dict()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["acgan", "gan"])
@pytest.mark.parametrize(("before", "now"), [(0.0, 0.9), (0.9, 0.0)])
def test_a_moving_average_starts_as_the_generator_or_is_left_out(name: str, before: float, now: float) -> None:
    model, other = build(name, ema=now, **SIZE), build(name, seed=4, ema=before, **SIZE)

    assert adapted(model, other).changes == []

    if now:
        assert torch.equal(model.state_dict()["average.up1.weight"], other.state_dict()["generator.up1.weight"])


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("network", ["compact", "book"])
def test_another_number_of_classes_keeps_the_shared_layers(network: Literal["compact", "book"], ema: float) -> None:
    hyperparameters = AcganHyperparameters(network=network, ema=ema, width=8)
    model, other = (Acgan(hyperparameters, (1, 28, 28), list("0123456789"[:classes])) for classes in (2, 10))
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    [change] = adapted(model, other).changes

    assert (change.code, change.data) == ("classes_changed", {"before": 10, "now": 2})
    weights, old = model.state_dict(), other.state_dict()
    kept = {name for name in weights if torch.equal(weights[name], old[name])}
    assert {"generator.up1.weight", "generator.dense.weight", "discriminator.realness.bias"} <= kept
    restarted = {name for name in weights if weights[name].shape != old[name].shape}
    assert "discriminator.classifier.weight" in restarted
    assert all(torch.equal(weights[name], fresh[name]) for name in restarted)
