"""Uploaded images on this machine: their prepared file, made at the first use."""

from collections.abc import Callable
from pathlib import Path

from shared.datasets import DatasetInfo, DatasetShape
from shared.datasets.places import prepared_upload
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from worker.data import preparation, prepared
from worker.data.images import ImageDataset
from worker.data.progress import OnProgress, no_progress


def info_of(name: str) -> DatasetInfo:
    """An upload as an entry of the registry."""
    shape = DatasetShape(kind="images")
    return DatasetInfo(name=name, kind="images", title="Uploaded images", license="not stated", shape=shape)


def load(
    name: str, sha256: str, home: Path, fetch: Callable[[], Path], *, on_progress: OnProgress = no_progress
) -> ImageDataset:
    """Uploaded images by name and checksum, prepared below `home`/datasets.

    fetch: gives the stored form where it has to be prepared, in a folder that is removed later. Raises JobFailure.
    """
    info, downloads = info_of(name), home / "datasets"
    path = prepared_upload(name, sha256, downloads)
    try:
        return prepared.read(info, path)
    except (prepared.Damaged, FileNotFoundError):
        pass  # the preparation removes a damaged file
    preparation.run(info, None, downloads, offline=True, on_progress=on_progress, upload=fetch())
    try:
        return prepared.read(info, path)
    except FileNotFoundError:
        message = f"The uploaded images of {name} were replaced while they were prepared."
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, "Submit a new job.") from None
