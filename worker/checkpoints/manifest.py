"""Whether a checkpoint folder is whole, without torch: the supervisor handles checkpoints and never loads one."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from shared.errors import MimeoError

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"

_OBJECT = TypeAdapter(dict[str, Any])


class DamagedCheckpoint(MimeoError):
    """A checkpoint is damaged."""

    code = "damaged_checkpoint"


class FileDigest(BaseModel):
    """What a file must be: sha256 in hexadecimal, size in bytes."""

    sha256: str
    size: int


class Manifest(BaseModel):
    """The part of a checkpoint's manifest that matters here."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    step: int
    files: dict[str, FileDigest]
    versions: dict[str, str] = {}

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(digest.size for digest in self.files.values())


def verified(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder after every byte was checked against it. Raises DamagedCheckpoint."""
    try:
        manifest = Manifest.model_validate(parsed((folder / MANIFEST).read_bytes()))
    except (OSError, ValueError) as error:
        raise DamagedCheckpoint(f"{MANIFEST} is missing or damaged") from error
    if WEIGHTS not in manifest.files:
        raise DamagedCheckpoint(f"{MANIFEST} does not list {WEIGHTS}")
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != expected.size or sha256_of(file) != expected.sha256:
            raise DamagedCheckpoint(f"{name} is missing, cut short or changed")
    return manifest


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's values with the digest of all of them, since no other file vouches for this one."""
    body = {name: value for name, value in values.items() if name != "digest"}
    return {**body, "digest": hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()}


def parsed(data: bytes) -> dict[str, Any]:
    """The values in a manifest's bytes. Raises ValueError for what is no JSON object, or not what was sealed."""
    values = _OBJECT.validate_python(json.loads(data))
    if "digest" in values and sealed(values) != values:
        raise ValueError("the manifest has changed")
    return values


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
