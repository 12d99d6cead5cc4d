"""The seal of a checkpoint's manifest, and the manifest of an imported model."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shared.model_files import ModelFile

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
TRAINING = "training.safetensors"


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a manifest with the digest over all of them."""
    body = {name: value for name, value in values.items() if name != "digest"}
    return {**body, "digest": hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()}


def of_import(file: ModelFile, dataset: str) -> bytes:
    """The manifest of a checkpoint that consists of an imported file. It has no training state to continue from."""
    absent = {"sha256": hashlib.sha256(b"").hexdigest(), "size": 0}
    values = {
        "format": 1,
        "model_type": file.model_type.name,
        "config": dict(file.config),
        "hyperparameters": dict(file.hyperparameters),
        "dataset": dataset,
        "seed": 0,
        "epoch": 0,
        "step": file.step,
        "step_in_epoch": 0,
        "device": "cpu",
        "precision": "float32",
        "versions": versions(file),
        "files": {WEIGHTS: {"sha256": file.sha256, "size": file.size}, TRAINING: absent},
    }
    return json.dumps(seal(values), sort_keys=True, indent=1, allow_nan=False).encode()


def versions(file: ModelFile) -> dict[str, str]:
    """The versions at training, as the file says."""
    given = file.about.get("versions")
    return (
        {name[:50]: value[:50] for name, value in given.items() if isinstance(value, str)}
        if isinstance(given, dict)
        else {}
    )
