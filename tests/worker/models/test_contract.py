"""Requirements on every model type in the registry. A new model type is tested automatically."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from shared import model_types
from tests.fourth_type import MODEL_TYPES
from tests.worker.manifests import manifest_json
from tests.worker.models.conftest import TYPES_AND_PRESETS, build, builtin, train
from worker.checkpoints import local
from worker.checkpoints.manifest import Manifest
from worker.data import TextCorpus
from worker.models import GenerativeModel, implementation

EACH = pytest.mark.parametrize(("name", "preset"), TYPES_AND_PRESETS)
EACH_TYPE = pytest.mark.parametrize("name", list(MODEL_TYPES))


def weights(model: GenerativeModel) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    different = [key for key in left if not torch.equal(left[key], right[key])]
    assert different == []


@EACH
@pytest.mark.parametrize("precision", [None, torch.bfloat16], ids=["float32", "bfloat16"])
def test_stopped_and_resumed_run_ends_with_the_same_bits(name: str, preset: str, precision: torch.dtype | None) -> None:
    uninterrupted, stopped, resumed = (build(name, preset) for _ in range(3))
    for model in (uninterrupted, stopped, resumed):
        model.autocast_dtype = precision
    figures = train(uninterrupted, 0, 6)

    assert train(stopped, 0, 3) == figures[:3]
    tensors, values = stopped.training_state()
    resumed.load_state_dict(weights(stopped))
    resumed.load_training_state(
        {key: tensor.clone() for key, tensor in tensors.items()}, json.loads(json.dumps(values))
    )

    assert train(resumed, 3, 6) == figures[3:]
    assert_equal(weights(resumed), weights(uninterrupted))
    assert_equal(resumed.training_state()[0], uninterrupted.training_state()[0])
    assert resumed.training_state()[1] == uninterrupted.training_state()[1]


@EACH
def test_evaluating_and_sampling_change_no_state(name: str, preset: str, cache_dir: Path) -> None:
    looked_at, left_alone = build(name, preset), build(name, preset)
    looked_at.cache_dir = cache_dir
    train(looked_at, 0, 2)
    train(left_alone, 0, 2)

    looked_at.evaluate()
    looked_at.epoch_samples(1)

    assert train(looked_at, 2, 4) == train(left_alone, 2, 4)
    assert_equal(weights(looked_at), weights(left_alone))


@EACH
def test_config_is_json_that_rebuilds_the_model(name: str, preset: str) -> None:
    model = build(name, preset)
    train(model, 0, 1)
    kind = model_types.get(name)

    rebuilt = implementation(kind).from_config(json.loads(json.dumps(model.config())))
    rebuilt.load_state_dict(model.state_dict())

    assert rebuilt.config() == model.config()
    assert rebuilt.hyperparameters == model.hyperparameters
    sampling = kind.sampling.validate_python({})
    assert same(rebuilt.generate(sampling, seed=1), model.generate(sampling, seed=1), tolerance=1e-5)


def same(left: object, right: object, tolerance: float = 0.0) -> bool:
    """tolerance: of pixels, because a model in inference may use another memory layout."""
    if getattr(left, "images", None) is not None:
        return bool(np.allclose(left.images, right.images, rtol=0, atol=tolerance))  # type: ignore[attr-defined]
    return left.texts == right.texts  # type: ignore[attr-defined, no-any-return]


@EACH_TYPE
def test_equal_seeds_give_equal_samples_and_other_seeds_others(name: str) -> None:
    model = build(name)
    sampling = model_types.get(name).sampling.validate_python({})

    first, again, other = (model.generate(sampling, seed=seed) for seed in (1, 1, 2))

    assert same(first, again)
    assert not same(first, other)


@EACH_TYPE
def test_generated_images_are_floats_from_0_to_1_that_fill_the_grid(name: str) -> None:
    kind = model_types.get(name)
    if kind.data_kind != "images":
        pytest.skip("writes text")
    generated = build(name).generate(kind.sampling.validate_python(dict(kind.demo_sampling)), seed=1)

    assert generated.images is not None
    assert generated.images.dtype == np.float32
    assert generated.images.shape[1:] == (1, 28, 28)
    assert len(generated.images) == generated.rows * generated.columns
    assert generated.images.min() >= 0
    assert generated.images.max() <= 1
    json.dumps(generated.meta)


@EACH
def test_metrics_have_the_names_of_the_contract(name: str, preset: str, cache_dir: Path) -> None:
    kind = model_types.get(name)
    model = build(name, preset)
    model.cache_dir = cache_dir

    step_figures = train(model, 0, 1)[0]
    figures, quality = model.evaluate(), model.final_quality()

    assert set(step_figures) | set(figures) <= set(kind.metrics)
    assert kind.selection[0] in figures
    assert set(quality) == set(kind.quality)
    assert all(math.isfinite(value) for value in (*step_figures.values(), *figures.values(), *quality.values()))


@EACH_TYPE
def test_epoch_samples_have_names_contents_and_captions(name: str) -> None:
    model = build(name)

    samples = model.epoch_samples(1)

    assert len({sample.name for sample in samples}) == len(samples) > 0
    for sample in samples:
        json.dumps(sample.meta)
        if isinstance(sample.content, str):
            assert len(sample.content) > 0
        else:
            assert sample.content.dtype == np.uint8
            assert sample.content.ndim == 2
    assert [s.meta for s in model.epoch_samples(1)] == [s.meta for s in samples]


def equal_batches(left: object, right: object) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors_of(left), tensors_of(right), strict=True))


def tensors_of(batch: object) -> list[torch.Tensor]:
    parts = [batch] if isinstance(batch, torch.Tensor) else batch if isinstance(batch, tuple) else vars(batch).values()
    return [part for part in parts if isinstance(part, torch.Tensor)]


@EACH
def test_epoch_has_the_declared_number_of_batches_from_any_step(name: str, preset: str) -> None:
    model = build(name, preset)

    whole = list(model.batches(2, 0))
    rest = list(model.batches(2, 1))

    assert len(whole) == model.steps_per_epoch() == len(rest) + 1
    assert equal_batches(rest[-1], whole[-1])


@EACH
def test_epochs_read_the_data_in_different_order(name: str, preset: str) -> None:
    model = build(name, preset)

    assert not equal_batches(next(iter(model.batches(1, 0))), next(iter(model.batches(2, 0))))


@EACH
def test_memory_estimate_covers_weights_optimizer_and_data(name: str, preset: str) -> None:
    model = build(name, preset)
    train(model, 0, 1)
    dataset = builtin(model_types.get(name))

    held = sum(
        t.numel() * t.element_size() for t in (*model.state_dict().values(), *model.training_state()[0].values())
    )
    text = len(dataset.text) if isinstance(dataset, TextCorpus) else 0

    assert model_types.get(name).training_bytes(model.hyperparameters, dataset.shape) > held + text


@EACH
def test_storage_estimate_covers_the_files_of_a_checkpoint(name: str, preset: str, tmp_path: Path) -> None:
    model = build(name, preset)
    train(model, 0, 1)
    tensors, values = model.training_state()
    about = Manifest.model_validate(json.loads(manifest_json(1, {})) | {"training_values": values})

    written = local.write(tmp_path, about, weights=model.state_dict(), training=tensors)

    size = sum(file.stat().st_size for file in written.path.iterdir())
    estimate = model_types.get(name).stored_bytes(model.hyperparameters, builtin(model_types.get(name)).shape)
    assert size <= estimate <= 2 * size + (128 << 10)


@EACH
def test_surrounding_autocast_and_chosen_precision_compute_the_same(name: str, preset: str) -> None:
    chosen, surrounded = build(name, preset), build(name, preset)
    chosen.autocast_dtype = torch.bfloat16

    expected = train(chosen, 0, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = train(surrounded, 0, 2)

    assert found == expected
    assert_equal(weights(surrounded), weights(chosen))
