"""The shapes by which the API checks a file are those of the torch models."""

from typing import Any

import pytest

from shared import model_types
from shared.model_types.weight_shapes import COUNTER, SHAPES
from worker.models import implementation

TEXT = {"vocabulary": "abc d", "seed_text": "a"}
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("lstm", "fast", {"layers": [5, 7], "embedding": 3}, TEXT),
    ("lstm", "book", {"layers": [6]}, TEXT),
    ("vae", "fast", {"hidden": [5, 7]}, {"image_shape": [1, 4, 4]}),
    ("vae", "book", {"latent_size": 3}, {"image_shape": [3, 7, 5]}),
    ("acgan", "fast", {"width": 9, "latent_size": 6}, {"image_shape": [3, 12, 8], "class_names": ["a", "b", "c"]}),
    (
        "acgan",
        "fast",
        {"width": 8, "ema": 0.0, "label_map": [0, 1, 1]},
        {"image_shape": [1, 28, 28], "class_names": ["a", "b"], "absent_classes": [1]},
    ),
    ("acgan", "book", {"latent_size": 6}, {"image_shape": [3, 28, 28], "class_names": ["a", "b", "c"]}),
    ("gan", "fast", {"width": 8}, {"image_shape": [1, 12, 8]}),
    ("gan", "book", {"ema": 0.5, "latent_size": 4}, {"image_shape": [1, 28, 28]}),
]


@pytest.mark.parametrize(("model_type", "preset", "changes", "config"), CASES)
def test_shapes_of_a_file_are_those_of_the_model(
    model_type: str, preset: str, changes: dict[str, Any], config: dict[str, Any]
) -> None:
    contract = model_types.get(model_type)
    full = {"hyperparameters": contract.resolve(preset, changes).model_dump(mode="json"), **config}
    state = implementation(contract).from_config(full).state_dict()

    assert SHAPES[model_type](full) == {name: tuple(tensor.shape) for name, tensor in state.items()}
    integers = {name for name, tensor in state.items() if not tensor.is_floating_point()}
    assert integers == {name for name in state if name.endswith(COUNTER)}


def test_every_model_type_that_can_be_imported_is_compared() -> None:
    assert SHAPES.keys() == {model_type for model_type, *_ in CASES}
