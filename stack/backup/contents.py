"""What a backup consists of, and its manifest.

manifest.json          written last; versions, counts, checksums
tables/NAME.jsonl      the rows of a table, one JSON object a line
files.jsonl            key, size and sha256 of each stored file
files/KEY              the stored files
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import MimeoError
from shared.manifests import seal

MANIFEST = "manifest.json"
FILES = "files.jsonl"

# Tables of the schema that no backup has. Every other table is in every backup.
EXCLUDED: Mapping[str, str] = {
    "workers": "the processes of one stack; others join the restored one",
    "device_leases": "of those processes",
    "pending_deletions": "folders of one store that a backup does not copy",
    "storage_holds": "backups that are being made",
    "webhook_deliveries": "events of the time before the backup, which a restored stack does not send",
    "login_sessions": "sessions of browsers, which log in again",
}
# Tables in which migrations write rows. A restore replaces them.
SEEDED = frozenset({"metric_totals"})
# How rows name stored files: a folder, a file, or a file whose whole folder belongs to the row.
STORED: Mapping[str, Literal["folder", "file", "file_in_folder"]] = {
    "checkpoints": "folder",
    "artifacts": "file",
    "datasets": "file_in_folder",
}


class BackupError(MimeoError):
    """The backup cannot be made or restored."""

    code = "backup"


class Part(BaseModel):
    """A table or the list of files. rows: its lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    sha256: str


class Lost(BaseModel):
    """A file that a row names and that storage does not have as it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    reason: str


class Manifest(BaseModel):
    """Manifest of a backup.

    revision: of the schema. size: bytes of the stored files. tables: by name. digest: of all
    other values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    mimeo: str
    revision: str
    created_at: str
    database: str
    tables: dict[str, Part]
    files: Part
    size: int
    lost: list[Lost] = Field(default_factory=list)
    digest: str = ""

    def sealed(self) -> bytes:
        """The bytes of manifest.json, with the digest."""
        return json.dumps(seal(self.model_dump(mode="json")), sort_keys=True, indent=1).encode()


class StoredFile(BaseModel):
    """A stored file of the backup. size: bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    size: int
    sha256: str


def table_path(table: str) -> str:
    """Name of a table's part."""
    return f"tables/{table}.jsonl"


def file_path(key: str) -> str:
    """Name of a stored file in the backup."""
    return f"files/{key}"


def parse_manifest(data: bytes) -> Manifest:
    """The manifest in these bytes. Raises BackupError for one of another format, or one that has changed."""
    try:
        values: Any = json.loads(data)
        if not isinstance(values, dict) or "format" not in values:
            raise BackupError(f"{MANIFEST} is not the manifest of a backup of Mimeo.")
        if values["format"] != 1:
            raise BackupError(f"The backup has format {values['format']}; restore it with a newer version of Mimeo.")
        if seal(values) != values:
            raise BackupError(f"{MANIFEST} has changed since it was written.")
        return Manifest.model_validate(values)
    except (ValueError, ValidationError) as error:
        raise BackupError(f"{MANIFEST} is damaged: {str(error).splitlines()[0]}") from error
