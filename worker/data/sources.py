"""The files of a dataset: in the user's folder, in the downloads folder, or downloaded into it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from shared.atomic_files import sync
from shared.datasets import REGISTRY, DatasetInfo, Source
from shared.datasets.checksums import FILE, record, recorded
from shared.datasets.places import locate, missing, prepared_folder
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from worker.data.download import fetch
from worker.data.locks import exclusive
from worker.data.progress import OnProgress, Progress


@contextmanager
def obtaining(info: DatasetInfo, downloads: Path, on_progress: OnProgress) -> Iterator[None]:
    """Hold the lock for download, unpacking and preparation of a dataset, and remove leftovers of killed processes."""
    waiting = Progress(stage="waiting", name=info.name)
    with exclusive(prepared_folder(downloads) / f"{info.name}.lock", lambda: on_progress(waiting)):
        for leftover in downloads.rglob(f".unpacking-{info.name}-*"):
            shutil.rmtree(leftover)
        yield


def obtain(
    info: DatasetInfo, datasets_dir: Path | None, downloads: Path, *, offline: bool, on_progress: OnProgress
) -> list[Path]:
    """The dataset's files, downloaded if neither folder has them all. Requires the lock of `obtaining`.

    Raises JobFailure(DATASET_UNAVAILABLE) with the name of the missing file and its expected path.
    """
    found = locate(info, (datasets_dir, downloads))
    if found is not None:
        return found
    folder = datasets_dir or downloads
    absent = next(folder / path for path in info.files if not (folder / path).is_file())
    hint = f"Put it at {absent}, or use a builtin dataset: {builtin_names(info.kind)}."
    if offline or not info.downloadable:
        reason = "is not on this machine and downloads are off" if offline else "cannot be downloaded"
        message = f"The dataset `{info.name}` {reason}: {absent.name} is missing."
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, hint)
    for source in missing(info, downloads):
        _download(source, downloads, hint, on_progress)
        if source.files:
            on_progress(Progress(stage="unpacking", name=Path(source.path).name))
            _unpack(info, source, downloads)
    return [downloads / path for path in info.files]


def builtin_names(kind: str) -> str:
    """Names of the builtin datasets of a kind."""
    return ", ".join(f"`{info.name}`" for info in REGISTRY.values() if info.kind == kind and info.builtin)


def _download(source: Source, downloads: Path, hint: str, on_progress: OnProgress) -> None:
    known = recorded(downloads).get(source.path)
    checksum = source.checksum or known
    if checksum == known is not None:
        hint = f"{checksum} was recorded at the first download, in {downloads / FILE}. {hint}"
    fetch(
        source.urls,
        checksum,
        downloads / source.path,
        on_progress=on_progress,
        on_first=lambda found: record(downloads, source.path, found),
        hint=hint,
    )


def _unpack(info: DatasetInfo, source: Source, downloads: Path) -> None:
    """Unpack a download to `source.files`, each atomically. A download that other datasets share is kept."""
    # Imported here: texts and prepared datasets do not need it.
    from torchvision.datasets.utils import extract_archive  # noqa: PLC0415

    archive = downloads / source.path
    folder = Path(mkdtemp(dir=archive.parent, prefix=f".unpacking-{info.name}-"))
    try:
        extract_archive(archive, folder)
        for path in source.files:
            name = Path(path).name
            for compressed in folder.rglob(f"{name}.gz"):  # an archive of compressed files
                extract_archive(compressed, folder)
            unpacked = next(folder.rglob(name), None)
            if unpacked is None:
                raise OSError(f"it does not contain {name}")
            sync(unpacked)
            (downloads / path).parent.mkdir(parents=True, exist_ok=True)
            unpacked.replace(downloads / path)
    except (OSError, EOFError, RuntimeError) as error:
        message = f"{archive.name} could not be unpacked: {error}."
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, "Is the disk full?") from error
    finally:
        shutil.rmtree(folder)
    if not any(source.path == other.path for each in REGISTRY.values() if each != info for other in each.sources):
        archive.unlink()
