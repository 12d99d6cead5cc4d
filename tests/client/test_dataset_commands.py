"""`mimeo datasets` and a real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.db.session import SessionFactory
from shared.settings import Settings
from tests.api.live import Server, serve
from tests.client.test_cli import mimeo
from tests.pictures import class_files

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)]


@pytest.fixture
def server(settings: Settings, database: SessionFactory) -> Iterator[Server]:
    with serve(settings) as running:
        yield running


def test_dataset_is_added_shown_described_replaced_and_deleted(server: Server, tmp_path: Path) -> None:
    first, second = tmp_path / "dickens.txt", tmp_path / "melville.txt"
    first.write_text("It was the best of times, it was the worst of times.\r\n" * 30)
    second.write_text("Call me Ishmael. Some years ago - never mind how long precisely.\n" * 30)

    def run(*arguments: str) -> str:
        done = mimeo("datasets", *arguments, url=server.url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("add", str(first), "--description", "Two cities")
    shown = run("show", "dickens")
    described = json.loads(run("describe", "dickens", "Two cities, 1859", "--json"))
    replaced = json.loads(run("replace", "dickens", str(second), "--json"))
    deleted = run("delete", "dickens")
    again = mimeo("datasets", "delete", "dickens", url=server.url)
    builtin = mimeo("datasets", "delete", "digits", url=server.url)

    assert "Two cities" in shown
    assert "0 unfinished jobs, 0 models" in shown
    assert (described["description"], described["version"]) == ("Two cities, 1859", 1)
    assert (replaced["description"], replaced["version"]) == ("Two cities, 1859", 2)
    assert replaced["size"] == second.stat().st_size
    assert deleted.split() == ["dickens", "deleted"]
    assert (again.returncode, builtin.returncode) == (2, 2)
    assert "does not exist" in again.stderr
    assert "comes with Mimeo" in builtin.stderr


def test_preview_shows_a_passage_and_images(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "dickens.txt"
    file.write_text("It was the best of times, it was the worst of times.\n" * 30)
    mimeo("datasets", "add", str(file), url=server.url)

    text = mimeo("datasets", "show", "dickens", "--preview", url=server.url)
    images = mimeo("datasets", "show", "digits", "--preview", "--json", url=server.url)
    absent = mimeo("datasets", "show", "mnist", "--preview", url=server.url)

    assert "the worst of times" in text.stdout
    assert json.loads(images.stdout)["preview"]["images"]["height"] == 28
    assert (absent.returncode, "not on this machine" in absent.stderr) == (2, True)


def test_folder_of_pictures_is_added_in_words_and_replaced(server: Server, tmp_path: Path) -> None:
    for name, data in class_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)

    added = mimeo("datasets", "add", str(tmp_path / "pets"), "--size", "48", url=server.url)
    replaced = mimeo("datasets", "replace", "pets", str(tmp_path / "pets"), "--grey", "--json", url=server.url)
    (tmp_path / "pets" / "cat" / "0.png").write_bytes(b"no picture")
    refused = mimeo("datasets", "add", str(tmp_path / "pets"), "--name", "more", url=server.url)

    assert added.returncode == 0, added.stderr
    assert "10 images" in added.stdout
    assert "They become 48×48 in colour." in added.stdout
    assert json.loads(replaced.stdout)["image_shape"] == [1, 28, 28]
    assert refused.returncode == 2
    assert "cat/0.png" in refused.stderr
