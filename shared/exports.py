"""Definitions of exports for the API and the workers: formats, and the metadata of a model in each."""

from collections.abc import Mapping
from typing import Any

from shared.version import VERSION

SAFETENSORS = "safetensors"
ONNX = "onnx"
FORMATS = (SAFETENSORS, ONNX)
OCTETS = "application/octet-stream"  # neither format has a registered media type


def part_file(part: str) -> str:
    """Name of the artifact that holds a part of a model in ONNX."""
    return f"{part}.onnx"


def origin(*, model_type: str, dataset: str, checkpoint_sha256: str, versions: Mapping[str, Any]) -> dict[str, str]:
    """The origin of a model, as the metadata strings of both formats. versions: of the libraries that trained it."""
    return {
        "model_type": model_type,
        "dataset": dataset,
        "checkpoint_sha256": checkpoint_sha256,
        "mimeo_version": VERSION,
        "torch_version": str(versions.get("torch", "unknown")),
    }
