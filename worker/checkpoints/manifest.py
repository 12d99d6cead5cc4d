"""The manifest of a checkpoint and its verification, without torch: the worker stores checkpoints and loads none.

RUN_DIR/checkpoints/00000235/model.safetensors      weights and buffers
training.safetensors   optimizer state and other tensors of the next step
manifest.json          position, configuration, sizes and digests; written last
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from shared.atomic_files import sha256_of
from shared.errors import MimeoError
from shared.manifests import MANIFEST, TRAINING, WEIGHTS, seal

__all__ = [
    "MANIFEST",
    "TRAINING",
    "WEIGHTS",
    "Checkpoint",
    "CheckpointRef",
    "DamagedCheckpoint",
    "FileDigest",
    "Manifest",
    "NewerCheckpoint",
    "parse",
    "seal",
    "verify",
    "with_backend",
]

FORMAT: Literal[1] = 1
_EARLIER_BACKENDS = {"library": "eager", "compiled": "eager", "graph": "cuda_graph"}
_OBJECT = TypeAdapter(dict[str, Any])


class DamagedCheckpoint(MimeoError):
    """A checkpoint is damaged."""

    code = "damaged_checkpoint"


class NewerCheckpoint(MimeoError):
    """A later version of Mimeo wrote the checkpoint, and this one cannot continue from it."""

    code = "newer_checkpoint"


class FileDigest(BaseModel):
    """Expected content of a file. sha256: hexadecimal. size: bytes."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    sha256: str
    size: int


class Manifest(BaseModel):
    """Content of a checkpoint and its position in the run.

    A field that is absent has its default, so checkpoints of earlier versions are read. Unknown fields are ignored: a
    later version may add one. It raises FORMAT where an earlier one must not continue without the field.
    epoch: 1-based. step: optimizer steps done in the run. step_in_epoch: steps of this epoch. training_values: JSON
    part of the model's training state. loop: state of the training loop (metric sums, best checkpoint).
    strides: of training tensors that are not row-major, which is the only layout that safetensors stores. Fused
    optimizers read weights and moments side by side, so a moment has to come back in its weight's layout.
    digest: of all other values; no other file covers this one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal[1] = FORMAT
    model_type: str
    config: dict[str, Any]
    hyperparameters: dict[str, Any]
    dataset: str
    seed: int
    epoch: int
    step: int
    step_in_epoch: int
    metrics: dict[str, float] = {}
    training_values: dict[str, Any] = {}
    strides: dict[str, list[int]] = {}
    loop: dict[str, Any] = {}
    versions: dict[str, str] = {}
    device: str
    precision: str
    backend: str = "eager"  # of checkpoints without the field
    threads: int = 1
    batch_parts: int = Field(1, exclude_if=lambda parts: parts == 1)  # the release before refuses the field
    files: dict[str, FileDigest] = {}
    digest: str = ""

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_backend(cls, values: Any) -> Any:
        return with_backend(values)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint folder."""

    path: Path
    manifest: Manifest

    @property
    def sha256(self) -> str:
        """SHA-256 of model.safetensors, in hexadecimal."""
        return self.manifest.files[WEIGHTS].sha256

    @property
    def size(self) -> int:
        """Bytes of all files except the manifest."""
        return sum(digest.size for digest in self.manifest.files.values())


@dataclass(frozen=True, kw_only=True)
class UploadRef:
    """A stored upload. storage_key: its file in the store; sha256: of the file."""

    storage_key: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """A stored checkpoint. storage_key: its folder in the store; sha256: of its model.safetensors.

    upload: the images it was trained on, where they are an upload that still exists.
    """

    id: str
    storage_key: str
    sha256: str
    model_type: str
    upload: UploadRef | None = None


def verify(path: Path, *, weights_only: bool = False) -> Checkpoint:
    """The checkpoint in a folder, its files compared with the manifest.

    Raises DamagedCheckpoint with the reason, NewerCheckpoint.
    weights_only: the training state is not read. The checkpoint of a published model does not have it.
    """
    try:
        manifest = parse((path / MANIFEST).read_bytes())
    except OSError as error:
        raise DamagedCheckpoint(f"{path.name}: no {MANIFEST}") from error
    except ValueError as error:
        raise DamagedCheckpoint(f"{path.name}: {MANIFEST} is damaged") from error
    missing = {WEIGHTS, TRAINING} - manifest.files.keys()
    if missing:
        raise DamagedCheckpoint(f"{path.name}: {MANIFEST} does not list {', '.join(sorted(missing))}")
    for name, expected in manifest.files.items():
        if weights_only and name != WEIGHTS:
            continue
        file = path / name
        size = file.stat().st_size if file.is_file() else 0
        if size != expected.size:
            raise DamagedCheckpoint(f"{path.name}: {name} is {size} bytes long instead of {expected.size}")
        if sha256_of(file) != expected.sha256:
            raise DamagedCheckpoint(f"{path.name}: the contents of {name} have changed")
    return Checkpoint(path=path, manifest=manifest)


def parse(data: bytes) -> Manifest:
    """The manifest in a file's bytes.

    Raises ValueError for other JSON and for values that do not match the digest, NewerCheckpoint for a later format.
    """
    values = _OBJECT.validate_python(json.loads(data))
    # Early manifests have no digest, and no field that is unknown here.
    if seal(values) != values if "digest" in values else values.keys() - Manifest.model_fields.keys() - {"kernel"}:
        raise ValueError("the manifest has changed")
    written = values.get("format")
    if isinstance(written, int) and written > FORMAT:
        raise NewerCheckpoint(f"The checkpoint has format {written}; a worker of a later version continues from it.")
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"the manifest is not complete: {error}") from error


def with_backend(values: Any) -> Any:
    """The values of a manifest or specification, where earlier versions named the backend `kernel`."""
    if not isinstance(values, Mapping) or "kernel" not in values:
        return values
    kept = {name: value for name, value in values.items() if name != "kernel"}
    return {"backend": _EARLIER_BACKENDS.get(values["kernel"], values["kernel"]), **kept}
