"""Paths and availability of dataset files."""

from pathlib import Path

from shared.datasets.base import DatasetInfo, Source

PREPARATION_VERSION = 1  # files of another version are not used


def locate(info: DatasetInfo, folders: tuple[Path | None, ...]) -> list[Path] | None:
    """The files of a dataset in the first of the folders that has them all, or None.

    folders: in order of preference (`Settings.datasets_dir`, `Settings.downloads_path`); None entries are skipped.
    A builtin dataset has no files and is always available: [].
    """
    if info.builtin:
        return []
    for folder in folders:
        if folder is None:
            continue
        paths = [folder / path for path in info.files]
        if all(path.is_file() for path in paths):
            return paths
    return None


def prepared_folder(downloads: Path) -> Path:
    """Folder of the prepared files, inside the downloads folder."""
    return downloads / "prepared"


def prepared_upload(name: str, sha256: str, downloads: Path) -> Path:
    """Prepared file of uploaded images with this checksum."""
    return prepared_folder(downloads) / "uploads" / f"{name}-v{PREPARATION_VERSION}-{sha256[:12]}.safetensors"


def prepared_uploads(downloads: Path) -> list[Path]:
    """Prepared files of all uploaded images on this machine."""
    return sorted((prepared_folder(downloads) / "uploads").glob("*.safetensors"))


def prepared_files(info: DatasetInfo, downloads: Path) -> list[Path]:
    """Prepared files of this dataset and this preparation version, the newest first."""
    found = prepared_folder(downloads).glob(f"{info.name}-v{PREPARATION_VERSION}-*.safetensors")
    return sorted(found, key=_modified, reverse=True)


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # another process has replaced it
        return 0


def availability(info: DatasetInfo, datasets_dir: Path | None, downloads: Path, *, offline: bool) -> str:
    """`builtin`, `present`, `downloadable` (fetched when first used) or `missing` (has to be copied by hand)."""
    if info.builtin:
        return "builtin"
    if locate(info, (datasets_dir, downloads)) is not None or prepared_files(info, downloads):
        return "present"
    return "downloadable" if info.downloadable and not offline else "missing"


def missing(info: DatasetInfo, folder: Path) -> list[Source]:
    """Sources with at least one file missing in `folder`."""
    return [source for source in info.sources if not all((folder / path).is_file() for path in source.results)]
