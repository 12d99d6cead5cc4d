"""The GAN: it reads no labels, has no classifier, and generates images in the order of the given latents."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from shared.errors import SpecError
from shared.model_types import get
from tests.worker.models.conftest import build, builtin, train
from worker.data import ImageDataset
from worker.models.base import Generated
from worker.models.gan.health import GanModeCollapse
from worker.models.gan.model import Gan
from worker.models.health import Healthy, Measurements, Unhealthy

PRESETS = pytest.mark.parametrize("preset", ["fast", "book"])


def unlabelled() -> ImageDataset:
    dataset = builtin(get("gan"))
    assert isinstance(dataset, ImageDataset)
    nothing = torch.empty(0, dtype=torch.int64)
    return dataclasses.replace(dataset, train_labels=nothing, test_labels=nothing, class_names=())


def generate(model: Gan, **sampling: Any) -> Generated:
    return model.generate(get("gan").sampling.validate_python(sampling), seed=1)


@PRESETS
def test_unlabelled_and_labelled_images_train_the_same_model(preset: str, tmp_path: Path) -> None:
    kind = get("gan")
    labelled = cast(Gan, build("gan", preset))
    torch.manual_seed(3)
    model = Gan.for_data(kind.resolve(preset, kind.small), unlabelled())  # type: ignore[arg-type]
    model.train()
    model.start_training(unlabelled(), seed=3)
    model.cache_dir = tmp_path

    assert train(model, 0, 3) == train(labelled, 0, 3)
    assert model.evaluate().keys() == {"frechet_distance", "diversity"}
    assert model.final_quality().keys() == set(kind.quality)
    assert model.epoch_samples(1)[0].content.shape == (8 * 28, 14 * 28)  # type: ignore[union-attr]
    assert list(tmp_path.iterdir()) == []  # no classifier was trained


@PRESETS
def test_networks_have_no_classifier_and_one_class(preset: str) -> None:
    model = build("gan", preset)
    train(model, 0, 2)

    weights = model.state_dict()
    assert not [name for name in weights if "classifier" in name]
    classes = [tensor for name, tensor in weights.items() if name.split(".")[-2] in {"embedding", "prototype", "scale"}]
    assert classes
    assert all(len(tensor) == 1 for tensor in classes)
    assert preset == "fast" or torch.equal(weights["generator.embedding.weight"], torch.ones(1, 100))


def test_latents_become_images_in_their_order() -> None:
    model = cast(Gan, build("gan"))
    train(model, 0, 2)
    latents = np.random.default_rng(0).normal(size=(5, 100)).tolist()

    all_five, last = generate(model, mode="latent", z=latents), generate(model, mode="latent", z=latents[4])

    assert (all_five.rows, all_five.columns) == (2, 3)
    assert (last.rows, last.columns) == (1, 1)
    np.testing.assert_allclose(np.asarray(all_five.images)[4], np.asarray(last.images)[0], atol=1e-5)
    assert len(np.asarray(generate(model, n=25).images)) == 25


@pytest.mark.parametrize(("z", "pointer"), [([0.0], "/sampling/z"), ([[0.0] * 100, [0.0]], "/sampling/z/1")])
def test_latent_of_another_size_names_its_index(z: list[Any], pointer: str) -> None:
    with pytest.raises(SpecError) as caught:
        generate(cast(Gan, build("gan")), mode="latent", z=z)

    assert caught.value.errors[0].pointer == pointer


def test_repeated_images_in_two_evaluations_are_a_mode_collapse() -> None:
    check = GanModeCollapse()

    def evaluated(diversity: float) -> Unhealthy | Healthy | None:
        return check.check(Measurements(stage="evaluation", step=1000, values={"diversity": diversity}))

    assert evaluated(0.1) is None
    found = evaluated(0.1)
    assert isinstance(found, Unhealthy)
    assert found.data == {"diversity": 0.1}
    assert "class_weight" not in found.hint
    assert isinstance(evaluated(0.9), Healthy)
