"""Manifests of made-up runs."""

import json
from collections.abc import Mapping
from typing import Any

from worker.checkpoints.manifest import FileDigest, Manifest, seal


def manifest_json(step: int, files: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a complete manifest of a made-up run at a step."""
    manifest = Manifest(
        model_type="vae",
        config={},
        hyperparameters={},
        dataset="digits",
        seed=0,
        epoch=max(step, 1),
        step=step,
        step_in_epoch=1,
        device="cpu",
        precision="float32",
        files={name: FileDigest.model_validate(digest) for name, digest in files.items()},
    )
    return json.dumps(seal(manifest.model_dump()))
