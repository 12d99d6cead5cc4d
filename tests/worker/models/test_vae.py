"""The VAE against closed forms, and on real images."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from shared.errors import SpecError
from shared.model_types import get
from tests.worker.models.conftest import build, builtin, real_datasets, train
from worker.data import load
from worker.models.base import Generated
from worker.models.image_model import unit
from worker.models.vae.model import Vae
from worker.models.vae.network import kl_to_standard_normal


def small(preset: str = "fast", **overrides: object) -> Vae:
    return cast(Vae, build("vae", preset, **overrides))


def generate(model: Vae, **sampling: Any) -> Generated:
    kind = get("vae")
    return model.generate(kind.sampling.validate_python(sampling), seed=1, dataset=builtin(kind))


def decoded(model: Vae, latents: list[list[float]]) -> np.ndarray:
    with torch.no_grad():
        return model.decode(torch.tensor(latents)).view(-1, 1, 28, 28).numpy()


def test_kl_equals_that_of_torch_distributions() -> None:
    torch.manual_seed(0)
    mean, log_var = torch.randn(6, 3), torch.randn(6, 3)

    expected = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)

    torch.testing.assert_close(kl_to_standard_normal(mean, log_var), expected)


def test_reconstruction_is_pixels_times_the_mean_squared_error() -> None:
    model = small()
    images = torch.rand(4, 784)
    noise = torch.randn(4, 2)
    mean, log_var = model.encode(images)
    pixels = model.decode(mean + (log_var / 2).exp() * noise)

    reconstruction, kl = model(images, noise)

    torch.testing.assert_close(reconstruction, 784 * torch.nn.functional.mse_loss(pixels, images))
    torch.testing.assert_close(kl, kl_to_standard_normal(mean, log_var).mean())


def test_book_model_has_the_published_layers() -> None:
    kind = get("vae")
    model = Vae.for_data(kind.resolve("book", {}), builtin(kind))

    shapes = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")]

    assert shapes == [(512, 784), (4, 512), (512, 2), (784, 512)]


def test_loss_without_a_kl_weight_is_the_reconstruction() -> None:
    model = small(kl_weight=0)

    figures = train(model, 0, 3)[-1]

    assert figures["loss"] == figures["reconstruction"]
    assert figures["kl"] > 0
    assert model.evaluate()["val_loss"] == model.evaluate()["reconstruction"]
    quality = model.final_quality()
    assert quality["elbo"] == pytest.approx(-quality["reconstruction"] - quality["kl"])


@pytest.mark.parametrize("preset", ["fast", "book"])
def test_loss_falls_on_real_digits(preset: str) -> None:
    model = small(preset, hidden=(64,), examples_per_epoch=3200)
    before = model.evaluate()["val_loss"]

    train(model, 0, 100)

    assert model.evaluate()["val_loss"] < 0.7 * before


def test_vae_can_overfit_one_batch() -> None:
    model = small(kl_weight=0, learning_rate=3e-3, schedule="constant", hidden=(256,), warmup_steps=0)
    batch = next(iter(model.batches(1, 0)))[:8]
    torch.manual_seed(0)
    losses = [float(model.training_step(batch)["loss"]) for _ in range(300)]

    assert losses[-1] < 0.05 * losses[0]


def test_loss_falls_on_fashion_mnist(tmp_path: Path) -> None:
    kind = get("vae")
    dataset = load("fashion-mnist", datasets_dir=real_datasets(), home=tmp_path, offline=True)
    torch.manual_seed(0)
    model = Vae.for_data(kind.resolve("book", {}), dataset)
    model.start_training(dataset, seed=1)

    losses = [figures["loss"] for figures in train(model, 0, 100)]

    assert losses[-1] < 50 < losses[0]


def test_grid_has_the_first_dimension_to_the_right_and_the_second_upwards() -> None:
    model = small()

    grid = generate(model, mode="grid", points=3, start=-2, end=2)

    assert (grid.rows, grid.columns) == (3, 3)
    latents = [[-2.0, 2.0], [0.0, 2.0], [2.0, 2.0], [-2.0, 0.0], [0.0, 0.0], [2.0, 0.0], [-2.0, -2.0]]
    np.testing.assert_allclose(np.asarray(grid.images)[:7], decoded(model, latents), atol=1e-6)


def test_grid_of_chosen_dimensions_fixes_the_others_at_z() -> None:
    model = small(latent_size=3)

    grid = generate(model, mode="grid", points=2, start=-1, end=1, dims=[2, 0], z=[9.0, 0.5, 9.0])

    latents = [[1.0, 0.5, -1.0], [1.0, 0.5, 1.0], [-1.0, 0.5, -1.0], [-1.0, 0.5, 1.0]]
    np.testing.assert_allclose(np.asarray(grid.images), decoded(model, latents), atol=1e-6)


def test_grid_of_a_model_with_one_latent_is_a_row() -> None:
    grid = generate(small(latent_size=1), mode="grid", points=5)

    assert (grid.rows, grid.columns, len(np.asarray(grid.images))) == (1, 5, 5)


def test_one_or_several_given_latents_are_decoded() -> None:
    model = small()

    one = generate(model, mode="latent", z=[0.5, -0.5])
    two = generate(model, mode="latent", z=[[0.5, -0.5], [1, 2]])

    np.testing.assert_allclose(np.asarray(one.images), decoded(model, [[0.5, -0.5]]), atol=1e-6)
    np.testing.assert_allclose(np.asarray(two.images), decoded(model, [[0.5, -0.5], [1, 2]]), atol=1e-6)


def test_interpolation_is_linear_between_latents_or_test_images() -> None:
    model = small()
    mean = generate(model, mode="encode", indices=[4]).arrays["mean"][0].tolist()

    between = generate(model, mode="interpolate", **{"from": 4, "to": [1.0, 1.0]}, steps=3)

    halfway = [(mean[0] + 1) / 2, (mean[1] + 1) / 2]
    np.testing.assert_allclose(np.asarray(between.images), decoded(model, [mean, halfway, [1, 1]]), atol=1e-5)


def test_reconstructions_are_below_their_test_images() -> None:
    model = small()
    dataset = builtin(get("vae"))

    shown = generate(model, mode="reconstruct", indices=[7, 0])
    encoded = generate(model, mode="encode", indices=[7, 0]).arrays

    assert (shown.rows, shown.columns) == (2, 2)
    images = np.asarray(shown.images)
    np.testing.assert_array_equal(images[:2], unit(dataset.test_images[[7, 0]]).numpy())  # type: ignore[union-attr]
    np.testing.assert_allclose(images[2:], decoded(model, encoded["mean"].tolist()), atol=1e-5)
    assert encoded["mean"].shape == encoded["log_var"].shape == (2, 2)
    assert encoded["mean"].dtype == np.float32


def test_encoded_images_come_with_their_classes() -> None:
    dataset = builtin(get("vae"))
    meta = generate(small(), mode="encode", indices=[7, 0]).meta

    assert meta["labels"] == [int(dataset.test_labels[place]) for place in (7, 0)]  # type: ignore[union-attr]
    assert meta["class_names"] == [str(digit) for digit in range(10)]


@pytest.mark.parametrize(
    ("sampling", "pointer"),
    [
        ({"mode": "latent", "z": [[0, 0], [1, 2, 3]]}, "/sampling/z/1"),
        ({"mode": "latent", "z": [1]}, "/sampling/z"),
        ({"mode": "grid", "dims": [0, 2]}, "/sampling/dims/1"),
        ({"mode": "grid", "dims": [1, 1]}, "/sampling/dims"),
        ({"mode": "grid", "z": [0]}, "/sampling/z"),
        ({"mode": "interpolate", "from": [0, 0], "to": [0]}, "/sampling/to"),
        ({"mode": "interpolate", "from": 99999, "to": [0, 0]}, "/sampling/from"),
        ({"mode": "encode", "indices": [0, 99999]}, "/sampling/indices/1"),
    ],
)
def test_invalid_sampling_for_the_model_names_the_field(sampling: dict[str, Any], pointer: str) -> None:
    with pytest.raises(SpecError) as caught:
        generate(small(), **sampling)

    assert caught.value.errors[0].pointer == pointer


@pytest.mark.parametrize(("clip_norm", "is_bounded"), [(50.0, True), (0.0, False)])
def test_update_for_an_exploding_variance_is_limited_by_clip_norm(clip_norm: float, is_bounded: bool) -> None:
    # Given: an encoder that gives every image an unbounded posterior variance
    model = small(clip_norm=clip_norm)
    with torch.no_grad():
        model.encoder[-1].bias[model.hyperparameters.latent_size :] = 20.0

    model.training_step(next(iter(model.batches(1, 0))))

    norms = [float(parameter.grad.norm()) for parameter in model.parameters() if parameter.grad is not None]
    assert (sum(norm**2 for norm in norms) ** 0.5 <= 50.01) is is_bounded
