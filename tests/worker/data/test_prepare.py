"""A dataset is prepared once, as a file that every process maps; changed sources or content prepare it again."""

import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shared import datasets
from shared.datasets import REGISTRY, DatasetInfo, Source
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from tests.worker.data import formats
from tests.worker.data.conftest import FileServer
from worker.data import ImageDataset, load, prepared
from worker.data.prepare import prepare
from worker.data.progress import Progress


@pytest.fixture
def user_folder(tmp_path: Path) -> Path:
    """A user's folder with a small MNIST."""
    folder = tmp_path / "user_folder"
    formats.put(folder, formats.idx_files("mnist"))
    return folder


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "home" / "datasets"


def prepared_from(
    user_folder: Path | None, downloads: Path, name: str = "mnist", *, offline: bool = True
) -> tuple[Path, list[str]]:
    """The prepared file, and the reported stages."""
    seen: list[Progress] = []
    path = prepare(REGISTRY[name], user_folder, downloads, offline=offline, on_progress=seen.append)
    assert path is not None
    return path, [progress.stage for progress in seen]


def in_process(user_folder: Path | None, downloads: Path) -> ImageDataset:
    """The dataset, which must be prepared already: a process that prepares it could not start."""
    dataset = load("mnist", datasets_dir=user_folder, home=downloads.parent, offline=True)
    assert isinstance(dataset, ImageDataset)
    return dataset


def test_prepared_dataset_equals_the_source(user_folder: Path, downloads: Path) -> None:
    prepared_from(user_folder, downloads)

    dataset = in_process(user_folder, downloads)

    assert tuple(dataset.train_images.shape) == (30, 1, 28, 28)
    assert dataset.train_images[:, 0].numpy().tobytes() == formats.images(30, 28, 28, seed=1).tobytes()
    assert dataset.train_labels.dtype == torch.int64
    assert dataset.class_names == REGISTRY["mnist"].class_names
    assert dataset.sha256 == replace(dataset, known_sha256=None).sha256


def test_prepared_file_records_its_sources(user_folder: Path, downloads: Path) -> None:
    path, _ = prepared_from(user_folder, downloads)

    facts = prepared.describe(path)

    source = user_folder / REGISTRY["mnist"].files[0]
    assert facts["title"] == REGISTRY["mnist"].title
    assert facts["class_names"] == list("0123456789")
    assert facts["sources"][0] == {
        "path": "MNIST/raw/train-images-idx3-ubyte",
        "size": source.stat().st_size,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }


def test_dataset_is_prepared_once(user_folder: Path, downloads: Path) -> None:
    first, stages = prepared_from(user_folder, downloads)
    again, stages_again = prepared_from(user_folder, downloads)

    assert first == again
    assert (stages, stages_again) == (["preparing"], [])


def test_changed_sources_are_prepared_again(user_folder: Path, downloads: Path) -> None:
    first, _ = prepared_from(user_folder, downloads)
    formats.put(user_folder, formats.idx_files("mnist", train=40))

    second, stages = prepared_from(user_folder, downloads)

    assert stages == ["preparing"]
    assert len(in_process(user_folder, downloads).train_images) == 40
    assert not first.exists()
    assert second.exists()


def test_file_of_another_preparation_version_is_not_used(
    user_folder: Path, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = prepared_from(user_folder, downloads)
    for module in ("worker.data.prepared", "shared.datasets.places"):
        monkeypatch.setattr(f"{module}.PREPARATION_VERSION", 2)

    second, stages = prepared_from(user_folder, downloads)

    assert stages == ["preparing"]
    assert (first.exists(), second.exists()) == (False, True)


@pytest.mark.parametrize("place", ["header", "pixels", "end"])
def test_damaged_prepared_file_is_replaced(user_folder: Path, downloads: Path, place: str) -> None:
    path, _ = prepared_from(user_folder, downloads)
    content = path.read_bytes()
    position = {"header": 9, "pixels": len(content) // 2, "end": len(content) - 1}[place]
    path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])

    _, stages = prepared_from(user_folder, downloads)

    assert stages == ["preparing"]
    assert path.read_bytes() == content


def test_truncated_prepared_file_is_replaced(user_folder: Path, downloads: Path) -> None:
    path, _ = prepared_from(user_folder, downloads)
    os.truncate(path, path.stat().st_size // 2)

    _, stages = prepared_from(user_folder, downloads)

    assert stages == ["preparing"]


def test_prepared_file_is_used_without_its_sources(user_folder: Path, downloads: Path) -> None:
    prepared_from(user_folder, downloads)
    for path in REGISTRY["mnist"].files:
        (user_folder / path).unlink()

    assert len(in_process(user_folder, downloads).train_images) == 30


def test_user_folder_is_never_written(user_folder: Path, downloads: Path) -> None:
    def state() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in [user_folder, *user_folder.rglob("*")]}

    before = state()
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)

    prepared_from(user_folder, downloads)

    assert state() == before


def test_files_of_a_killed_preparation_are_removed(user_folder: Path, downloads: Path) -> None:
    (downloads / "prepared").mkdir(parents=True)
    (downloads / "prepared" / ".mnist-123.tmp").write_bytes(b"half")
    (downloads / "prepared" / ".mnist-other-123.tmp").write_bytes(b"another dataset's")
    (downloads / "MNIST" / "raw" / ".unpacking-mnist-abc").mkdir(parents=True)

    path, _ = prepared_from(user_folder, downloads)

    left = {found.name for found in (downloads / "prepared").iterdir()}
    assert left == {path.name, "mnist.lock", ".mnist-other-123.tmp"}
    assert list((downloads / "MNIST" / "raw").iterdir()) == []


def test_files_of_a_home_of_an_earlier_version_are_found(downloads: Path) -> None:
    formats.put(downloads, formats.idx_files("mnist"))

    prepared_from(None, downloads)

    assert len(in_process(None, downloads).train_images) == 30


# --- downloads -------------------------------------------------------------------------------------------------------


def serve(
    server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    archives: Mapping[str, tuple[bytes, tuple[str, ...]]],
) -> DatasetInfo:
    """Serve a dataset: content and unpacked files by the path of the download."""
    sources = []
    for path, (content, files) in archives.items():
        server.files[f"/{path}"] = content
        checksum = f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"
        sources.append(Source(path=path, urls=(server.url(f"/{path}"),), checksum=checksum, files=files))
    info = replace(REGISTRY[name], sources=tuple(sources))
    monkeypatch.setitem(datasets.REGISTRY, name, info)
    return info


def test_compressed_files_are_downloaded_and_unpacked(
    downloads: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = formats.idx_files("mnist")
    packed = {f"{path}.gz": (gzip.compress(content), (path,)) for path, content in contents.items()}
    serve(server, monkeypatch, "mnist", packed)

    _, stages = prepared_from(None, downloads, offline=False)

    assert stages == ["downloading", "unpacking"] * 4 + ["preparing"]
    assert (downloads / "MNIST/raw/train-images-idx3-ubyte").read_bytes() == contents[
        "MNIST/raw/train-images-idx3-ubyte"
    ]
    assert {path.suffix for path in (downloads / "MNIST" / "raw").iterdir()} <= {"", ".lock"}


def test_only_missing_files_are_downloaded(
    downloads: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = formats.idx_files("mnist")
    serve(server, monkeypatch, "mnist", {f"{p}.gz": (gzip.compress(c), (p,)) for p, c in contents.items()})
    formats.put(downloads, dict(list(contents.items())[:3]))

    prepared_from(None, downloads, offline=False)

    assert [path for path, _ in server.requests] == ["/MNIST/raw/t10k-labels-idx1-ubyte.gz"]


def test_tar_archive_is_unpacked(downloads: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.accept_small_files(monkeypatch)
    parts = (
        formats.images(30, 3, 32, 32),
        formats.labels(30, 10),
        formats.images(20, 3, 32, 32),
        formats.labels(20, 10),
    )
    contents = formats.cifar_files("cifar10", *parts)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, content in contents.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    serve(server, monkeypatch, "cifar10", {"cifar-10-python.tar.gz": (packed.getvalue(), tuple(contents))})

    made, _ = prepared_from(None, downloads, "cifar10", offline=False)

    assert tuple(prepared.read(REGISTRY["cifar10"], made).train_images.shape) == (30, 3, 32, 32)


def test_shared_archive_of_two_datasets_is_downloaded_once(
    downloads: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters, balanced = formats.idx_files("emnist-letters", first=1), formats.idx_files("emnist-balanced")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in (letters | balanced).items():
            archive.writestr(f"gzip/{Path(path).name}.gz", gzip.compress(content))
    for name, contents in (("emnist-letters", letters), ("emnist-balanced", balanced)):
        serve(server, monkeypatch, name, {"EMNIST/raw/gzip.zip": (packed.getvalue(), tuple(contents))})

    prepared_from(None, downloads, "emnist-letters", offline=False)
    prepared_from(None, downloads, "emnist-balanced", offline=False)

    assert len(server.requests) == 1
    assert not list(downloads.rglob(".unpacking-*"))


def test_download_with_unexpected_content_is_reported(
    downloads: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = {f"{path}.gz": (b"not gzip", (path,)) for path in REGISTRY["mnist"].files}
    serve(server, monkeypatch, "mnist", packed)

    with pytest.raises(JobFailure) as caught:
        prepared_from(None, downloads, offline=False)

    assert caught.value.error_code is ErrorCode.DATASET_UNAVAILABLE
    assert "train-images-idx3-ubyte.gz could not be unpacked" in caught.value.detail
    assert not list(downloads.rglob(".unpacking-*"))
