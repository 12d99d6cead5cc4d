"""What the command line sends as a dataset."""

import io
import os
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from client.errors import BadInput
from client.uploads import SHOWN_BYTES, as_file, image_fields, kind_of, with_progress


def test_folder_is_packed_without_links_and_the_package_is_removed(tmp_path: Path) -> None:
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"picture")
    (tmp_path / "pets" / "cat" / "2.png").symlink_to("/etc/hostname")

    with as_file(tmp_path / "pets") as packed, zipfile.ZipFile(packed) as archive:
        assert archive.namelist() == ["cat/1.png"]
        assert archive.read("cat/1.png") == b"picture"

    assert not packed.exists()


def test_file_of_before_1980_is_packed(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"picture")
    os.utime(tmp_path / "cat" / "1.png", (0, 0))

    with as_file(tmp_path) as packed, zipfile.ZipFile(packed) as archive:
        assert archive.namelist() == ["cat/1.png"]


def test_file_whose_name_is_not_unicode_is_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"picture")

    with pytest.raises(BadInput, match="not UTF-8"), as_file(tmp_path):
        pass


def test_terminal_shows_the_progress_of_a_large_file_and_a_pipe_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pets [1].zip").write_bytes(bytes(2 * SHOWN_BYTES))
    shown = {}
    for is_terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
        monkeypatch.setattr("client.uploads.err", console)

        with with_progress(tmp_path / "pets [1].zip") as file:
            content = file.read()

        assert len(content) == 2 * SHOWN_BYTES
        shown[is_terminal] = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Sending pets [1].zip" in shown[True]
    assert not shown[False]


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
