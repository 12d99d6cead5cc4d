"""Manifests of made-up checkpoints, by the standard library alone: the trainers of some tests load nothing else."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def manifest_json(step: int, files: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a complete manifest at a step."""
    values = {
        "format": 1,
        "model_type": "vae",
        "config": {},
        "hyperparameters": {},
        "dataset": "digits",
        "seed": 0,
        "epoch": max(step, 1),
        "step": step,
        "step_in_epoch": 1,
        "device": "cpu",
        "precision": "float32",
        "files": {name: dict(digest) for name, digest in files.items()},
    }
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return json.dumps({**values, "digest": digest})
