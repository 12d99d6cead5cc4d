"""The files that the rows of a snapshot name, copied and compared with their checksums."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import NotFound
from shared.manifests import MANIFEST, TRAINING, WEIGHTS, seal
from shared.storage import Storage
from stack.backup.archive import PIECE, Writer
from stack.backup.contents import STORED, Lost, StoredFile, file_path

Row = Mapping[str, Any]


@dataclass
class NamedFiles:
    """What the rows of a snapshot name in storage.

    files: sha256 by key. folders: of checkpoints, with the sha256 of their weights, by key. companions: folders of
    which every file is copied. published: ids of the checkpoints of models; they need no training state.
    """

    files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, tuple[str, str]] = field(default_factory=dict)
    companions: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)

    def note(self, table: str, row: Row) -> None:
        """Add what a row names."""
        match STORED.get(table):
            case "folder":
                self.folders[row["storage_key"]] = (row["id"], row["sha256"])
            case "file":
                self.files[row["storage_key"]] = row["sha256"]
            case "file_in_folder":
                self.files[row["storage_key"]] = row["sha256"]
                self.companions.add(row["storage_key"].rpartition("/")[0])
        if table == "models":
            self.published.add(row["checkpoint_id"])


@dataclass(frozen=True)
class Expected:
    """A file to copy. sha256: None where nothing records it."""

    key: str
    sha256: str | None


def expected_files(storage: Storage, named: NamedFiles, lost: list[Lost]) -> Iterator[Expected]:
    """Every file to copy. A checkpoint whose manifest is unusable goes to `lost`. Raises OSError."""
    for key, sha256 in named.files.items():
        yield Expected(key, sha256)
    for folder in sorted(named.companions):
        for name in storage.list_names(folder):
            if f"{folder}/{name}" not in named.files:
                yield Expected(f"{folder}/{name}", None)
    for folder, (checkpoint_id, sha256) in named.folders.items():
        yield from _checkpoint_files(storage, folder, sha256, lost, is_published=checkpoint_id in named.published)


def _checkpoint_files(
    storage: Storage, folder: str, sha256: str, lost: list[Lost], *, is_published: bool
) -> Iterator[Expected]:
    key = f"{folder}/{MANIFEST}"
    try:
        data = storage.read_bytes(key)
        values = json.loads(data)
        digests = {name: digest["sha256"] for name, digest in values["files"].items()}
        if "digest" in values and seal(values) != values:
            raise ValueError("it has changed since it was written")
    except NotFound as error:
        lost.append(Lost(key=key, reason=error.detail))
        return
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        lost.append(Lost(key=key, reason=f"The manifest is damaged: {error}"))
        return
    digests[WEIGHTS] = sha256
    if is_published:  # only its weights remain
        digests.pop(TRAINING, None)
    for name, digest in digests.items():
        yield Expected(f"{folder}/{name}", digest)
    yield Expected(key, hashlib.sha256(data).hexdigest())


def copy(storage: Storage, expected: Expected, writer: Writer, beat: Callable[[], object]) -> StoredFile | Lost:
    """Copy one file into the backup, and compare it with its sha256. beat: called between pieces. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    try:
        # A file that has changed is copied first and refused afterwards: it is read once.
        with (
            storage.outages_raised(),
            storage.open(expected.key) as stream,
            writer.part(file_path(expected.key)) as target,
        ):
            while piece := stream.read(PIECE):
                target.write(piece)
                digest.update(piece)
                size += len(piece)
                beat()
    except NotFound as error:
        return Lost(key=expected.key, reason=error.detail)
    found = digest.hexdigest()
    if expected.sha256 is not None and found != expected.sha256:
        return Lost(key=expected.key, reason="Its content has changed since it was written.")
    return StoredFile(key=expected.key, size=size, sha256=found)
