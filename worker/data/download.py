"""Downloads one file: resumes a partial download, compares the checksum, and moves the file into place."""

import hashlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from shared.atomic_files import sync
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from worker.data.locks import exclusive
from worker.data.progress import OnProgress, Progress, no_progress

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0
ATTEMPTS = 3  # per address; each resumes the previous one


def fetch(
    urls: tuple[str, ...],
    checksum: str | None,
    target: Path,
    *,
    on_progress: OnProgress = no_progress,
    on_first: Callable[[str], None] | None = None,
    hint: str | None = None,
) -> None:
    """Put the file at `target`, trying the addresses in order.

    checksum: `sha256:…` or `md5:…`. A partial download is kept as `target`.part, and a later call resumes it. Without a
    checksum the file is always fetched from its start, since a mixture of two versions would not be detected.
    on_first: called without a checksum, with the checksum of the file, before the file is at `target`.
    Of several processes one downloads the file and the others wait.
    Raises JobFailure(DATASET_UNAVAILABLE) with the error of each address.
    """
    with exclusive(target.with_name(target.name + ".lock")):
        if target.is_file():
            return
        part = target.with_name(target.name + ".part")
        if checksum is None:
            part.unlink(missing_ok=True)
        failures = []
        for url in urls:
            failure = _fetch_from(url, checksum, part, on_progress)
            if failure is None:
                if checksum is None and on_first:
                    on_first(checksum_of(part))
                sync(part)
                part.replace(target)
                return
            failures.append(f"{url}: {failure}")
        message = f"{target.name} could not be downloaded. {'; '.join(failures)}."
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, hint)


def checksum_of(path: Path, algorithm: str = "sha256") -> str:
    """Checksum of a file with the algorithm's name before it: `sha256:…`."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _fetch_from(url: str, checksum: str | None, part: Path, on_progress: OnProgress) -> str | None:
    """Complete `part` from one address. None on success, else the reason of the failure."""
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
        if checksum is None:
            return None
        found = checksum_of(part, checksum.partition(":")[0])
        if found == checksum:
            return None
        part.unlink()
        failure = f"its checksum is {found} and should be {checksum}"
    return failure


def _receive(url: str, part: Path, on_progress: OnProgress) -> None:
    """Append the missing bytes to `part`. Raises OSError or HTTPException when the connection breaks."""
    done = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310 - addresses are the registry's
    try:
        response = urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except HTTPError as error:
        if error.code == 416:  # nothing is missing, or the file changed, which the checksum detects
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
                name = part.name.removesuffix(".part")
                on_progress(Progress(stage="downloading", name=name, done=done, total=total))
    if total is not None and done < total:
        raise OSError(f"the connection broke after {done} of {total} bytes")
