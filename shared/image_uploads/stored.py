"""The stored form of uploaded images: a tar file that the preparation unpacks.

`PART/CLASS/DIGEST-NUMBER` is a picture file as it was sent (arrays: PNG). PART is `train` or `test`, or `all` where the
preparation splits. CLASS is the label in five digits. Names begin with the SHA-256 of the picture, so the order by name
follows from the contents alone. `mimeo.json` comes last.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

FILE = "images.tar"
MANIFEST = "mimeo.json"
_PIECE_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """How the preparation makes the images. size: height and width. channels: 1 or 3. is_split: into train and test."""

    size: int
    channels: int
    class_names: Sequence[str]
    is_split: bool

    def to_json(self) -> bytes:
        """The file in the archive."""
        return json.dumps({"format": 1, **self.__dict__}, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """The manifest of a stored upload. Raises ValueError for another format."""
        found: dict[str, Any] = json.loads(data)
        if found.pop("format") != 1:
            raise ValueError("the format of the stored images is not known")
        return cls(**found)


class Writer:
    """Writes the stored form into a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._hashed = _Hashed(file)
        self._tar = tarfile.open(fileobj=self._hashed, mode="w", format=tarfile.USTAR_FORMAT)  # type: ignore[call-overload] # noqa: SIM115
        self._count = 0

    def add(self, part: str, label: int, data: bytes) -> None:
        """Add a picture."""
        digest = hashlib.sha256(data).hexdigest()[:16]
        self._put(f"{part}/{label:05d}/{digest}-{self._count:06d}", data)
        self._count += 1

    def finish(self, manifest: Manifest) -> tuple[str, int]:
        """Complete the file. Returns its SHA-256 and its size in bytes."""
        self._put(MANIFEST, manifest.to_json())
        self._tar.close()
        return self._hashed.digest.hexdigest(), self._hashed.size

    def _put(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        self._tar.addfile(entry, io.BytesIO(data))
        self._tar.members.clear()  # otherwise a kilobyte for each picture


class _Hashed:
    """The part of a file that tarfile writes to, with a digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self.size


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """The content of a file from its start."""
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        yield piece
