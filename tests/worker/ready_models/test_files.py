"""The ready-made models in the package."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from shared import model_files
from shared.datasets import REGISTRY as DATASETS
from shared.model_types import REGISTRY
from shared.model_types.weight_shapes import SHAPES
from worker.export import load_weights
from worker.ready_models.importing import FOLDER
from worker.ready_models.training import MOST_BYTES, RECIPES, packed

FILES = sorted(FOLDER.glob("*.safetensors"))


def test_there_is_one_of_each_model_type_and_together_they_are_small() -> None:
    assert {path.stem for path in FILES} == SHAPES.keys() == RECIPES.keys()
    assert sum(path.stat().st_size for path in FILES) < MOST_BYTES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_can_be_imported_and_names_its_origin(path: Path) -> None:
    with path.open("rb") as stream:
        file = model_files.check(stream)
    recipe = RECIPES[path.stem]
    assert (file.model_type.name, file.dataset) == (path.stem, recipe["dataset"])
    assert file.about["license"].endswith(DATASETS[recipe["dataset"]].license)
    assert file.about["training"]["changed"] == recipe["hyperparameters"]
    assert file.quality
    assert file.quality.keys() <= file.model_type.quality.keys()
    assert file.hyperparameters.items() >= recipe["hyperparameters"].items()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_generates(path: Path) -> None:
    model = load_weights(path)
    contract = REGISTRY[path.stem]
    generated = model.generate(contract.sampling.validate_python(dict(contract.small_sampling)), seed=1)
    if generated.texts is not None:
        assert len(generated.texts[0]) == 64
    else:
        assert generated.images is not None
        assert 0 <= generated.images.min() < generated.images.max() <= 1


def test_values_beyond_float16_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond float16"):
        packed({"w": torch.tensor([1e6])}, {})


def test_metadata_is_one_key_so_that_equal_weights_give_equal_bytes() -> None:
    weights = {"b": torch.ones(2), "a": torch.zeros(3)}
    assert packed(weights, {"x": 1, "a": 2}) == packed(dict(reversed(weights.items())), {"a": 2, "x": 1})
    with safe_open(FILES[0], framework="pt") as file:
        assert json.loads(file.metadata()["mimeo"])["model_type"] == FILES[0].stem
