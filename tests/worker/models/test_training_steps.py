"""Steps that a contract computes without torch are those that the trainer takes."""

from dataclasses import replace
from typing import Any

import pytest

from shared import model_types
from shared.datasets import REGISTRY, DatasetShape
from tests.fourth_type import MODEL_TYPES
from tests.worker.models.conftest import build, builtin

CASES: tuple[dict[str, Any], ...] = (
    {},
    {"examples_per_epoch": None},
    {"examples_per_epoch": 1000, "batch_size": 77},
    {"examples_per_epoch": 5, "batch_size": 64},
)
OF_TEXT: tuple[dict[str, Any], ...] = (
    {"batching": "windows", "examples_per_epoch": 500, "validation_split": 0.3},
    {"batching": "windows", "examples_per_epoch": None, "sample_step": 7},
    {"examples_per_epoch": None, "batch_size": 4096, "window": 2048},
)


@pytest.mark.parametrize("overrides", CASES, ids=str)
@pytest.mark.parametrize("name", MODEL_TYPES)
def test_steps_of_the_contract_are_those_of_the_trainer(name: str, overrides: dict[str, Any]) -> None:
    assert_same_steps(name, overrides)


@pytest.mark.parametrize("overrides", OF_TEXT, ids=str)
def test_steps_over_a_text_follow_the_batching(overrides: dict[str, Any]) -> None:
    assert_same_steps("lstm", overrides)


def assert_same_steps(name: str, overrides: dict[str, Any]) -> None:
    kind = model_types.get(name)
    model = build(name, **overrides)

    steps = kind.training_steps(model.hyperparameters, builtin(kind).shape)

    assert steps is not None
    assert steps.per_epoch == model.steps_per_epoch()
    assert steps.examples == model.examples_per_step()


@pytest.mark.parametrize("name", MODEL_TYPES)
def test_registry_states_the_sizes_of_builtin_datasets(name: str) -> None:
    kind = model_types.get(name)
    found = builtin(kind).shape

    known = shape_of(kind.fallback_dataset)

    assert known == replace(found, vocabulary=known.vocabulary)


def shape_of(dataset: str) -> DatasetShape:
    return REGISTRY[dataset].shape


def test_steps_are_unknown_where_the_size_of_the_dataset_decides_and_is_not_known() -> None:
    kind = model_types.get("vae")
    shape = replace(shape_of("digits"), training_examples=None)

    whole, part = (kind.resolve("fast", {"examples_per_epoch": drawn}) for drawn in (None, 512))

    assert kind.training_steps(whole, shape) is None
    assert kind.training_steps(part, shape) is not None
