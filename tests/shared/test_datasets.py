"""The registry of datasets, as the API shows it."""

from pathlib import Path

import pytest

from shared.datasets import REGISTRY, availability, locate


@pytest.mark.parametrize("name", list(REGISTRY))
def test_a_dataset_is_builtin_or_has_files_with_places(name: str) -> None:
    info = REGISTRY[name]

    assert info.name == name
    assert info.builtin != bool(info.files)
    assert all(not Path(file.path).is_absolute() for file in info.files)
    assert all(len(file.sha256 or "0" * 64) == 64 for file in info.files)
    assert len(info.class_names) == (info.shape.classes or 0)
    assert info.shape.kind == info.kind


def test_files_are_found_in_the_first_folder_that_has_them_all(tmp_path: Path) -> None:
    info = REGISTRY["mnist"]
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, files in ((first, info.files[:3]), (second, info.files)):
        for file in files:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / file.path).touch()

    assert locate(info, (None, first, second)) == [second / file.path for file in info.files]
    assert locate(info, (first,)) is None


def test_availability_says_what_a_user_can_count_on(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "shakespeare.txt").touch()

    assert availability(REGISTRY["digits"], (tmp_path,), offline=True) == "builtin"
    assert availability(REGISTRY["shakespeare"], (tmp_path,), offline=True) == "present"
    assert availability(REGISTRY["mnist"], (tmp_path,), offline=False) == "downloadable"
    assert availability(REGISTRY["mnist"], (tmp_path,), offline=True) == "missing"
    assert availability(REGISTRY["nietzsche"], (tmp_path,), offline=False) == "missing"
