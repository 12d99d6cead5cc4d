"""Loads a dataset by name: a builtin one, a text, or the prepared form of images."""

from difflib import get_close_matches
from pathlib import Path

from shared.atomic_files import sha256_of
from shared.datasets import REGISTRY, DatasetInfo, locate
from shared.errors import JobFailure
from shared.image_uploads import stored
from shared.job_status import ErrorCode
from worker.data import preparation, prepared, uploads
from worker.data.digits import builtin_digits
from worker.data.images import ImageDataset
from worker.data.progress import OnProgress, no_progress
from worker.data.sources import obtain, obtaining
from worker.data.text import TextCorpus, python_source, read_text

Dataset = TextCorpus | ImageDataset


def load(
    name: str,
    *,
    datasets_dir: Path | None,
    home: Path,
    offline: bool,
    path: Path | None = None,
    kind: str | None = None,
    on_progress: OnProgress = no_progress,
) -> Dataset:
    """The dataset of that name, from MIMEO_DATASETS_DIR, then `home`/datasets, then a download into the latter.

    Images are prepared once, below `home`/datasets/prepared, and mapped from there.

    path: the file of an upload, whose name need not be registered; images are in their stored form. kind: the required
    kind, `images` or `text`. on_progress: called while the dataset is downloaded and prepared. Raises JobFailure:
    DATASET_UNAVAILABLE with the missing file and its expected path, INVALID_DATA with the damaged file.
    """
    dataset = _load(name, datasets_dir, home, offline, path, on_progress)
    if kind is not None and kind != dataset.shape.kind:
        message = f"The dataset `{name}` holds {dataset.shape.kind}; this model needs {kind}."
        raise JobFailure(ErrorCode.INVALID_DATA, message, f"Use one of {_names(kind)}.")
    return dataset


def _load(  # noqa: PLR0917 - the public function takes them by name
    name: str, datasets_dir: Path | None, home: Path, offline: bool, path: Path | None, on_progress: OnProgress
) -> Dataset:
    if path is not None:
        return _uploaded(name, path, home, on_progress)
    if name not in REGISTRY:
        nearest = get_close_matches(name, REGISTRY, n=1)
        hint = f"Did you mean `{nearest[0]}`?" if nearest else f"Datasets are {_names()}."
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, f"There is no dataset `{name}`.", hint)
    match name:
        case "digits":
            return builtin_digits()
        case "python-source":
            return python_source()
    info = REGISTRY[name]
    downloads = home / "datasets"
    if info.kind == "images":
        return _prepared(info, datasets_dir, downloads, offline, on_progress)
    found = locate(info, (datasets_dir, downloads))
    if found is not None:
        return read_text(name, found[0])
    with obtaining(info, downloads, on_progress):
        (text,) = obtain(info, datasets_dir, downloads, offline=offline, on_progress=on_progress)
    return read_text(name, text)


def _uploaded(name: str, path: Path, home: Path, on_progress: OnProgress) -> Dataset:
    if not path.is_file():
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, f"The uploaded file of `{name}` is not at {path}.")
    if path.name == stored.FILE:
        return uploads.load(name, sha256_of(path), home, lambda: path, on_progress=on_progress)
    return read_text(name, path)


def _prepared(
    info: DatasetInfo, datasets_dir: Path | None, downloads: Path, offline: bool, on_progress: OnProgress
) -> ImageDataset:
    """The prepared dataset, prepared now if its file is missing or damaged."""
    path = prepared.find(info, datasets_dir, downloads)
    if path is not None:
        try:
            return prepared.read(info, path)
        except (prepared.Damaged, FileNotFoundError):
            path = None  # the preparation reads it again, and removes a damaged file
    preparation.run(info, datasets_dir, downloads, offline=offline, on_progress=on_progress)
    path = prepared.find(info, datasets_dir, downloads)
    if path is None:
        message = f"The files of the dataset `{info.name}` changed while it was prepared."
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, "Train again once they are complete.")
    return prepared.read(info, path)


def _names(kind: str | None = None) -> str:
    return ", ".join(f"`{info.name}`" for info in REGISTRY.values() if kind in {None, info.kind})
