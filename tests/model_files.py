"""Files of models as exports write them, without torch."""

import json
import random
import struct
from collections.abc import Mapping
from typing import Any

from shared import model_types
from shared.model_types.weight_shapes import COUNTER, SHAPES

SMALL: dict[str, dict[str, Any]] = {
    "lstm": {"layers": [6, 5], "embedding": 4},
    "vae": {"hidden": [6]},
    "acgan": {"width": 4, "latent_size": 3},
    "gan": {"width": 4, "latent_size": 3},
}
_CONFIGS: dict[str, dict[str, Any]] = {
    "lstm": {"vocabulary": "\n abcdeghnrst", "seed_text": "the cat"},
    "vae": {"image_shape": [1, 8, 8]},
    "acgan": {"image_shape": [1, 8, 8], "class_names": ["zero", "one"]},
    "gan": {"image_shape": [1, 8, 8]},
}


Tensors = dict[str, tuple[str, list[int], bytes]]
"""Dtype, shape and bytes by name."""


def config(model_type: str, **hyperparameters: Any) -> dict[str, Any]:
    """The configuration of a small model."""
    resolved = model_types.get(model_type).resolve("fast", {**SMALL[model_type], **hyperparameters})
    return {"hyperparameters": resolved.model_dump(mode="json"), **_CONFIGS[model_type]}


def tensors(
    model_type: str, configuration: Mapping[str, Any], seed: int = 0
) -> dict[str, tuple[str, list[int], bytes]]:
    """Dtype, shape and bytes of each tensor, with small random values."""
    chance = random.Random(seed)
    found: Tensors = {}
    for name, shape in SHAPES[model_type](configuration).items():
        count = 1
        for size in shape:
            count *= size
        if name.endswith(COUNTER):
            found[name] = ("I64", list(shape), struct.pack("<q", 3))
        else:
            values = [abs(chance.gauss(0, 0.3)) + 0.01 for _ in range(count)]
            found[name] = ("F32", list(shape), struct.pack(f"<{count}f", *values))
    return found


def packed(header_tensors: Tensors, about: Any) -> bytes:
    """A safetensors file. about: JSON of the key `mimeo`; None leaves it out."""
    header: dict[str, Any] = {} if about is None else {"__metadata__": {"mimeo": json.dumps(about)}}
    place = 0
    for name, (dtype, shape, data) in header_tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + len(data)]}
        place += len(data)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in header_tensors.values())


def model_file(
    model_type: str, *, seed: int = 0, about: Mapping[str, Any] | None = None, **hyperparameters: Any
) -> bytes:
    """A file that can be imported. about: further metadata."""
    made = config(model_type, **hyperparameters)
    return packed(tensors(model_type, made, seed), {"model_type": model_type, "config": made, **(about or {})})
