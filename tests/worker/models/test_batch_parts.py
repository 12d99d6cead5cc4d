"""A step with its batch in two parts has the gradients of the whole batch."""

import pytest
import torch
from torch import nn

from shared import model_types
from tests.worker.models.conftest import TYPES_AND_PRESETS, build, train
from worker.models import GenerativeModel
from worker.models.batch_parts import parts_of

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
SEPARABLE = [(name, preset) for name, preset in TYPES_AND_PRESETS if name in {"lstm", "vae"}]


def pair(name: str, preset: str, **overrides: object) -> tuple[GenerativeModel, GenerativeModel]:
    """The same model twice; the second one splits its batches. Dropout, which draws for each part, is off."""
    if name == "lstm":
        overrides |= {"dropout": 0.0}
    whole, split = (build(name, preset, batch_size=7, **overrides) for _ in range(2))
    split.batch_parts = 2
    return whole, split


def test_parts_cover_the_batch_and_their_shares_add_up() -> None:
    assert list(parts_of(8, 1)) == [(slice(0, 8), 1.0)]
    assert list(parts_of(7, 2)) == [(slice(0, 4), 4 / 7), (slice(4, 7), 3 / 7)]
    assert list(parts_of(1, 2)) == [(slice(0, 1), 1.0)]


@pytest.mark.parametrize(("name", "preset"), TYPES_AND_PRESETS)
def test_batches_are_split_only_without_statistics_of_the_batch(name: str, preset: str) -> None:
    model = build(name, preset)
    has_statistics = any(isinstance(module, _NORMS) for module in model.modules())

    assert not (model_types.get(name).batch_can_be_split(model.hyperparameters) and has_statistics)
    assert ((name, preset) in SEPARABLE) == model_types.get(name).batch_can_be_split(model.hyperparameters)


def test_batch_of_one_example_is_not_split() -> None:
    kind = model_types.get("vae")
    assert not kind.batch_can_be_split(kind.resolve("fast", {"batch_size": 1}))


@pytest.mark.parametrize(("name", "preset"), SEPARABLE)
def test_unequal_parts_have_the_gradients_and_figures_of_the_batch(name: str, preset: str) -> None:
    whole, split = pair(name, preset)

    figures = [train(model, 0, 1)[0] for model in (whole, split)]

    assert figures[1] == pytest.approx(figures[0], rel=1e-4)
    for (parameter, expected), (_, found) in zip(whole.named_parameters(), split.named_parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-3, atol=1e-5, msg=parameter)


@pytest.mark.parametrize(("name", "preset"), SEPARABLE)
def test_steps_with_parts_stay_close_to_those_of_whole_batches(name: str, preset: str) -> None:
    whole, split = pair(name, preset, learning_rate=1e-3)

    found, expected = (train(model, 0, 6)[-1] for model in (split, whole))

    assert found == pytest.approx(expected, rel=1e-2)
    state, wanted = (model.training_state()[0] for model in (split, whole))
    for key in (key for key in wanted if key.startswith("carried.")):
        torch.testing.assert_close(state[key], wanted[key], rtol=1e-2, atol=1e-3)


def test_windows_are_split_like_streams() -> None:
    whole, split = pair("lstm", "fast", batching="windows", recurrent_dropout=0.4)

    train(whole, 0, 1)
    train(split, 0, 1)

    for expected, found in zip(whole.parameters(), split.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", [None, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "preset"), SEPARABLE)
def test_one_seed_gives_one_result_with_parts(name: str, preset: str, precision: torch.dtype | None) -> None:
    models = [build(name, preset) for _ in range(2)]
    for model in models:
        model.batch_parts, model.autocast_dtype = 2, precision

    assert train(models[0], 0, 4) == train(models[1], 0, 4)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)
