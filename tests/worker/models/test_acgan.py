"""The ACGAN: the gradients of each network, the order of images, and that both networks train."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from shared.errors import JobFailure, SpecError
from shared.model_types import get
from tests.worker.models.conftest import build, builtin, train
from worker.models.acgan.model import Acgan
from worker.models.acgan.networks import BookDiscriminator, BookGenerator
from worker.models.base import Generated
from worker.models.image_model import unit

PRESETS = pytest.mark.parametrize("preset", ["fast", "book"])


def small(preset: str = "fast", **overrides: object) -> Acgan:
    return cast(Acgan, build("acgan", preset, **overrides))


def generate(model: Acgan, **sampling: Any) -> Generated:
    return model.generate(get("acgan").sampling.validate_python(sampling), seed=1)


def snapshot(network: nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
    weights = [p.detach().clone() for p in network.parameters()]
    return weights, [None if p.grad is None else p.grad.clone() for p in network.parameters()]


def unchanged(network: nn.Module, before: tuple[list[torch.Tensor], list[torch.Tensor | None]]) -> bool:
    weights, gradients = snapshot(network)
    same_weights = all(torch.equal(a, b) for a, b in zip(weights, before[0], strict=True))
    pairs = zip(gradients, before[1], strict=True)
    return same_weights and all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs
    )


@PRESETS
def test_generator_step_changes_no_weights_or_gradients_of_the_discriminator(preset: str) -> None:
    model = small(preset)
    train(model, 0, 1)
    discriminator, generator = snapshot(model.discriminator), snapshot(model.generator)

    model.generator_step(8)

    assert unchanged(model.discriminator, discriminator)
    assert not unchanged(model.generator, generator)
    assert all(p.requires_grad for p in model.discriminator.parameters())


@PRESETS
def test_model_rebuilt_from_its_configuration_generates_the_same_images_in_any_memory_layout(preset: str) -> None:
    model = small(preset)
    rebuilt = Acgan.from_config(model.config())
    rebuilt.load_state_dict(model.state_dict())

    np.testing.assert_allclose(generate(rebuilt).images, generate(model).images, atol=1e-5)


@PRESETS
def test_discriminator_step_changes_no_weights_or_gradients_of_the_generator(preset: str) -> None:
    model = small(preset)
    train(model, 0, 1)
    discriminator, generator = snapshot(model.discriminator), snapshot(model.generator)
    images, labels = next(iter(model.batches(1, 0)))

    model.discriminator_step(unit(images) * 2 - 1, labels)

    assert unchanged(model.generator, generator)
    assert not unchanged(model.discriminator, discriminator)


def test_book_networks_have_the_published_layers() -> None:
    kind = get("acgan")
    hyperparameters = kind.resolve("book", {})
    generator = BookGenerator(hyperparameters, (1, 28, 28), 10)  # type: ignore[arg-type]
    discriminator = BookDiscriminator(hyperparameters, (1, 28, 28), 10)  # type: ignore[arg-type]

    images = generator(torch.rand(2, 100) * 2 - 1, torch.tensor([3, 4]))
    realness, classes = discriminator(images, torch.tensor([3, 4]))

    assert images.shape == (2, 1, 28, 28)
    assert (realness.shape, classes.shape) == ((2,), (2, 10))
    kernels = [tuple(m.weight.shape) for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert kernels == [(32, 1, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3)]
    upwards = [tuple(m.weight.shape) for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert upwards == [(384, 192, 5, 5), (192, 96, 5, 5), (96, 1, 5, 5)]


def test_book_loss_is_cross_entropy_against_the_soft_label() -> None:
    model = small("book", soft_label=0.8)
    real, generated = torch.tensor([0.3, -1.0]), torch.tensor([2.0, 0.1])

    loss = model.recipe.realness_loss(real, generated, model.hyperparameters.soft_label)

    p, q = torch.sigmoid(real), torch.sigmoid(generated)
    by_hand = torch.cat([-(0.8 * p.log() + 0.2 * (1 - p).log()), -(1 - q).log()]).mean()
    torch.testing.assert_close(loss, by_hand)


def test_images_are_ordered_by_label_and_then_by_index() -> None:
    model = small()
    train(model, 0, 2)
    latents = np.random.default_rng(0).normal(size=(2, 100)).tolist()

    both = generate(model, labels=[7, 2], z=latents)
    alone = generate(model, labels=[2], z=latents[1])

    assert (both.rows, both.columns) == (2, 2)
    np.testing.assert_allclose(np.asarray(both.images)[3], np.asarray(alone.images)[0], atol=1e-5)


def test_default_sampling_generates_ten_images_per_label() -> None:
    model = small()

    assert len(np.asarray(generate(model).images)) == 100
    generated = generate(model, labels="all", n_per_label=3)
    assert len(np.asarray(generated.images)) == 30
    assert generated.meta["labels"] == list(range(10))


def test_label_map_merges_classes() -> None:
    model = small(label_map=(0, 0, 1, 1, 2, 2, 3, 3, 4, 4))

    train(model, 0, 2)

    assert model.class_names == ["0 / 1", "2 / 3", "4 / 5", "6 / 7", "8 / 9"]
    assert len(np.asarray(generate(model, n_per_label=2).images)) == 10
    images, labels = next(iter(model.batches(1, 0)))
    assert int(labels.max()) < 5
    original = builtin(get("acgan"))
    place = next(i for i, image in enumerate(original.train_images) if torch.equal(image, images[0]))  # type: ignore[union-attr]
    assert int(labels[0]) == int(original.train_labels[place]) // 2  # type: ignore[union-attr]


def test_label_by_name_is_that_of_its_merged_class() -> None:
    merged = small(label_map=(0, 0, 1, 1, 2, 2, 3, 3, 4, 4))

    assert generate(merged, labels=["3", "2 / 3", 4], n_per_label=1).meta["labels"] == [1, 1, 4]
    assert generate(small(), labels=["3"], n_per_label=1).meta["labels"] == [3]


@pytest.mark.parametrize(
    ("label_map", "complaint"), [((0, 1), "give 10 numbers"), ((0,) * 9 + (2,), "No class is mapped to 1")]
)
def test_label_map_that_does_not_fit_the_dataset_is_refused(label_map: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(JobFailure, match=complaint):
        small(label_map=label_map)


@pytest.mark.parametrize(
    ("sampling", "pointer"),
    [
        ({"labels": [3, 10]}, "/sampling/labels/1"),
        ({"labels": [3, "ten"]}, "/sampling/labels/1"),
        ({"z": [0.0]}, "/sampling/z"),
        ({"z": [[0.0] * 100, [0.0]]}, "/sampling/z/1"),
        ({"z": [[0.0] * 100], "n_per_label": 2}, "/sampling/n_per_label"),
        ({"n_per_label": 1001}, "/sampling/n_per_label"),
    ],
)
def test_invalid_sampling_for_the_model_names_the_field(sampling: dict[str, Any], pointer: str) -> None:
    with pytest.raises(SpecError) as caught:
        generate(small(), **sampling)

    assert caught.value.errors[0].pointer == pointer


def test_moving_average_follows_the_generator_and_generates_the_samples() -> None:
    model = small(ema=0.9)
    train(model, 0, 4)
    assert model.average is not None
    before = np.asarray(generate(model).images)

    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.zero_()
    assert np.array_equal(np.asarray(generate(model).images), before)

    model._update_ema()
    assert not np.array_equal(np.asarray(generate(model).images), before)


def test_model_without_a_moving_average_samples_from_the_generator() -> None:
    model = small(ema=0.0)

    assert model.average is None
    assert len(np.asarray(generate(model).images)) == 100


@PRESETS
def test_discriminator_can_overfit_one_batch(preset: str) -> None:
    model = small(preset, learning_rate=1e-3, dropout=0.0, schedule="constant")
    images, labels = next(iter(model.batches(1, 0)))
    real = unit(images) * 2 - 1
    torch.manual_seed(0)
    for _ in range(40):
        _, told_apart, classes = model.discriminator_step(real, labels)

    assert torch.equal(classes.argmax(dim=1), labels)
    assert float(told_apart) > 0.9


def test_losses_change_and_the_class_head_learns_on_real_digits() -> None:
    model = small(examples_per_epoch=8000, batch_size=32, width=12, learning_rate=1e-3)

    figures = train(model, 0, 90)

    early, late = figures[:5], figures[-15:]
    assert np.mean([f["class_accuracy"] for f in late]) > 0.6 > np.mean([f["class_accuracy"] for f in early])
    assert np.mean([f["d_loss"] for f in late]) < np.mean([f["d_loss"] for f in early])
