"""The registry of datasets, as in the API."""

import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from shared.datasets import REGISTRY, availability, locate
from shared.datasets.checksums import checksums_of, record, recorded

CHECKSUM = re.compile("sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}")


@pytest.mark.parametrize("name", list(REGISTRY))
def test_dataset_is_builtin_or_has_files_with_addresses(name: str) -> None:
    info = REGISTRY[name]

    assert info.name == name
    assert info.builtin != bool(info.files)
    assert all(not Path(path).is_absolute() for path in info.files)
    assert all(source.checksum is None or CHECKSUM.fullmatch(source.checksum) for source in info.sources)
    assert info.builtin or info.downloadable
    assert bool(info.reader) == (info.kind == "images" and not info.builtin)
    assert len(info.class_names) == (info.shape.classes or 0)
    assert info.shape.kind == info.kind


def test_files_are_found_in_the_first_folder_with_all_of_them(tmp_path: Path) -> None:
    info = REGISTRY["mnist"]
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, files in ((first, info.files[:3]), (second, info.files)):
        for path in files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()

    assert locate(info, (None, first, second)) == [second / path for path in info.files]
    assert locate(info, (first,)) is None


def test_availability_is_builtin_local_or_downloadable(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "shakespeare.txt").touch()
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "kmnist-v1-0123456789ab.safetensors").touch()

    def state(name: str, *, offline: bool) -> str:
        return availability(REGISTRY[name], None, tmp_path, offline=offline)

    assert state("digits", offline=True) == "builtin"
    assert state("shakespeare", offline=True) == "present"
    assert state("kmnist", offline=True) == "present"
    assert state("mnist", offline=False) == "downloadable"
    assert state("mnist", offline=True) == "missing"
    assert state("nietzsche", offline=False) == "downloadable"


def test_checksums_are_those_of_the_registry_and_of_recorded_downloads(tmp_path: Path) -> None:
    record(tmp_path, "text/nietzsche.txt", "sha256:" + "1" * 64)
    record(tmp_path, "text/jules-verne.txt", "sha256:" + "2" * 64)

    assert checksums_of(REGISTRY["nietzsche"], tmp_path) == {"text/nietzsche.txt": "sha256:" + "1" * 64}
    assert checksums_of(REGISTRY["shakespeare-complete"], tmp_path) == {}
    assert set(checksums_of(REGISTRY["cifar10"], tmp_path)) == {"cifar-10-python.tar.gz"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checksums.json", "checksums.json.lock"]


def test_concurrent_records_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        list(pool.map(record, [tmp_path] * 20, map(str, range(20)), ["sha256:0"] * 20))

    assert len(recorded(tmp_path)) == 20
