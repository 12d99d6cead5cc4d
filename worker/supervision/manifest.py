"""Whether a checkpoint folder is whole, without torch: the supervisor handles checkpoints and never loads one."""

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import MimeoError

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"


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
        manifest = Manifest.model_validate(json.loads((folder / MANIFEST).read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise DamagedCheckpoint(f"{MANIFEST} is missing or damaged") from error
    if WEIGHTS not in manifest.files:
        raise DamagedCheckpoint(f"{MANIFEST} does not list {WEIGHTS}")
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != expected.size or sha256_of(file) != expected.sha256:
            raise DamagedCheckpoint(f"{name} is missing, cut short or changed")
    return manifest


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
