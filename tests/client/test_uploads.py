"""What the command line sends as a dataset."""

import zipfile
from pathlib import Path

import pytest

from client.errors import BadInput
from client.uploads import as_file, image_fields, kind_of


def test_folder_is_packed_without_links_and_the_package_is_removed(tmp_path: Path) -> None:
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"picture")
    (tmp_path / "pets" / "cat" / "2.png").symlink_to("/etc/hostname")

    with as_file(tmp_path / "pets") as packed, zipfile.ZipFile(packed) as archive:
        assert archive.namelist() == ["cat/1.png"]
        assert archive.read("cat/1.png") == b"picture"

    assert not packed.exists()


def test_kind_follows_from_the_path(tmp_path: Path) -> None:
    for name in ("a.zip", "b.NPZ", "c.txt"):
        (tmp_path / name).touch()

    assert [kind_of(tmp_path / name) for name in ("", "a.zip", "b.NPZ", "c.txt")] == ["images"] * 3 + ["text"]
    with pytest.raises(BadInput, match="no such file or folder"):
        kind_of(tmp_path / "gone.zip")


def test_options_of_images_are_refused_for_a_text() -> None:
    assert image_fields("images", 48, False) == {"size": "48", "channels": "1"}
    assert image_fields("images", None, None) == {"size": None, "channels": None}
    with pytest.raises(BadInput, match="--size"):
        image_fields("text", 48, None)
