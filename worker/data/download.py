"""Fetching one file: resumed where it broke off, checked against its sha256, and moved into place whole."""

import fcntl
import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from shared.errors import JobFailure
from shared.job_status import ErrorCode

OnProgress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes so far, and the bytes in all (None when the server does not say)."""

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0
ATTEMPTS = 3  # per address, each going on where the last one stopped


def fetch(
    urls: tuple[str, ...], sha256: str, target: Path, *, on_progress: OnProgress | None = None, hint: str | None = None
) -> None:
    """Put the file at `target`, trying the addresses in order; one that ends in `.gz` is unpacked.

    sha256: of the bytes the server sends. What has arrived is kept as `target`.part, so that a later call goes on from
    there. Of several processes that want the same file one downloads and the others wait.
    Raises JobFailure(DATASET_UNAVAILABLE) with what went wrong at each address.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(target.with_name(target.name + ".lock")):
        if target.is_file():
            return
        part = target.with_name(target.name + ".part")
        failures = []
        for url in urls:
            failure = _fetch_from(url, sha256, part, on_progress)
            if failure is None:
                _move_into_place(part, target, compressed=url.endswith(".gz"))
                return
            failures.append(f"{url}: {failure}")
        message = f"{target.name} could not be downloaded. {'; '.join(failures)}."
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, hint)


def _fetch_from(url: str, sha256: str, part: Path, on_progress: OnProgress | None) -> str | None:
    """Complete `part` from one address. None on success, else why not."""
    failure = ""
    for _ in range(ATTEMPTS):
        try:
            _receive(url, part, on_progress)
        except HTTPError as error:
            if error.code < 500:
                return f"the server answered {error.code} {error.reason}"
            failure = f"the server answered {error.code} {error.reason}"
            continue
        except (OSError, HTTPException) as error:
            failure = str(getattr(error, "reason", error)) or type(error).__name__
            continue
        found = _sha256(part)
        if found == sha256:
            return None
        part.unlink()
        failure = f"its checksum is {found} and should be {sha256}"
    return failure


def _receive(url: str, part: Path, on_progress: OnProgress | None) -> None:
    """Append to `part` what is missing. Raises OSError or HTTPException when the connection breaks."""
    done = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310 - addresses are the registry's
    try:
        response = urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except HTTPError as error:
        if error.code == 416:  # nothing is missing, or the file changed: the checksum tells which
            error.close()
            return
        raise
    with response:
        resumed = response.status == 206
        done = done if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                if on_progress:
                    on_progress(part.name.removesuffix(".part"), done, total)
    if total is not None and done < total:
        raise OSError(f"the connection broke after {done} of {total} bytes")


def _move_into_place(part: Path, target: Path, *, compressed: bool) -> None:
    """Unpack if need be and rename, so that `target` is either absent or whole, also after a power cut."""
    whole = part
    if compressed:
        whole = target.with_name(target.name + ".unpacked")
        try:
            with gzip.open(part) as packed, whole.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, CHUNK_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            message = f"{target.name} could not be unpacked: {error}."
            raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, "Is the disk full?") from error
    with whole.open("rb") as file:
        os.fsync(file.fileno())
    whole.replace(target)
    part.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold an advisory lock on a file; the system drops it when the process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
