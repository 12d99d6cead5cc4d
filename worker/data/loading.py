"""From a dataset's name to the dataset: builtin, a folder of the user's, the downloads folder, or the network."""

from difflib import get_close_matches
from pathlib import Path

from shared.datasets import REGISTRY, DatasetInfo, locate
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from worker.data.download import OnProgress, fetch
from worker.data.images import ImageDataset, builtin_digits, read_idx
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
    on_progress: OnProgress | None = None,
) -> Dataset:
    """The dataset of that name, from MIMEO_DATASETS_DIR, then `home`/datasets, then a download into the latter.

    path: the file of an uploaded text, which then needs no registered name. kind: what the caller can use, `images` or
    `text`. on_progress: called with (file name, bytes so far, bytes in all or None) while downloading.
    Raises JobFailure: DATASET_UNAVAILABLE names the missing file and where to put it; INVALID_DATA the damaged one.
    """
    dataset = _load(name, datasets_dir, home, offline, path, on_progress)
    if kind is not None and kind != dataset.shape.kind:
        message = f"The dataset `{name}` holds {dataset.shape.kind}; this model needs {kind}."
        raise JobFailure(ErrorCode.INVALID_DATA, message, f"Use one of {_names(kind)}.")
    return dataset


def _load(  # noqa: PLR0917 - the public function beside it takes them by name
    name: str, datasets_dir: Path | None, home: Path, offline: bool, path: Path | None, on_progress: OnProgress | None
) -> Dataset:
    if path is not None:
        if not path.is_file():
            raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, f"The uploaded text `{name}` is not at {path}.")
        return read_text(name, path)
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
    paths = locate(info, (datasets_dir, downloads)) or _download(info, datasets_dir, downloads, offline, on_progress)
    return read_text(name, paths[0]) if info.kind == "text" else read_idx(name, paths, info.class_names)


def _download(
    info: DatasetInfo, datasets_dir: Path | None, downloads: Path, offline: bool, on_progress: OnProgress | None
) -> list[Path]:
    """The files in the downloads folder, fetched if they were not all there."""
    folder = datasets_dir or downloads
    missing = next(folder / file.path for file in info.files if not (folder / file.path).is_file())
    hint = f"Put it at {missing}, or use a builtin dataset: {_names(info.kind, builtin=True)}."
    if offline:
        message = f"The dataset `{info.name}` is not on this machine and downloads are off: {missing.name} is missing."
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, hint)
    if not info.downloadable:
        message = f"The dataset `{info.name}` cannot be downloaded: {missing.name} is missing."
        raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, hint)
    for file in info.files:
        target = downloads / file.path
        if not target.is_file():
            fetch(file.urls, file.sha256 or "", target, on_progress=on_progress, hint=hint)
    return [downloads / file.path for file in info.files]


def _names(kind: str | None = None, *, builtin: bool = False) -> str:
    infos = (info for info in REGISTRY.values() if kind in (None, info.kind) and (info.builtin or not builtin))
    return ", ".join(f"`{info.name}`" for info in infos)
