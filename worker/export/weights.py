"""Loads a model from an exported safetensors file."""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open

from shared import model_types
from shared.errors import SpecError
from worker.models import GenerativeModel, implementation


def load_weights(path: Path | str) -> GenerativeModel:
    """The model in a file from `GET /v1/models/{id}/export`, in evaluation mode on the CPU.

    Only the file is needed: its `__metadata__` contains the model type and the configuration that rebuilds it. Files
    exported by earlier versions have the same in two keys. Raises SpecError for a file without a model of Mimeo, and
    OSError for one that cannot be read.
    """
    path = Path(path)
    metadata = _metadata(path)
    contract = model_types.get(metadata["model_type"])
    model = implementation(contract).from_config(json.loads(metadata["config"]))
    weights = safetensors.torch.load_file(path)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise SpecError(f"{path.name} does not hold the weights of a {contract.name}: {error}") from error
    return model.eval()


def _metadata(path: Path) -> Mapping[str, str]:
    """The strings in the file's header. Raises SpecError, OSError."""
    try:
        with path.open("rb"), safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except SafetensorError as error:
        raise SpecError(f"{path.name} is not a safetensors file: {error}") from error
    if "mimeo" in metadata:
        about = json.loads(metadata["mimeo"])
        metadata = {"model_type": about["model_type"], "config": json.dumps(about["config"])}
    if missing := {"model_type", "config"} - metadata.keys():
        raise SpecError(f"{path.name} does not name its model: {', '.join(sorted(missing))} is missing.")
    return metadata
