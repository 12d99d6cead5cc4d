"""`mimeo import` and a real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.db.session import SessionFactory
from shared.settings import Settings
from tests.api.live import Server, serve
from tests.client.test_cli import mimeo
from tests.model_files import model_file

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)]


@pytest.fixture
def server(settings: Settings, database: SessionFactory) -> Iterator[Server]:
    with serve(settings) as running:
        yield running


def test_exported_model_is_imported_shown_and_deleted(server: Server, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    first.write_bytes(model_file("lstm", about={"dataset": "shakespeare"}))

    def run(*arguments: str) -> str:
        done = mimeo(*arguments, url=server.url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    model = json.loads(run("import", str(first), "--name", "the cat", "--json"))
    run("export", model["id"], "--out", str(second))
    copy = run("import", str(second)).split()[0]
    listed = run("models")
    run("delete", model["id"], copy)

    assert (model["name"], model["dataset"], model["source"]) == ("the cat", "shakespeare", "imported")
    assert second.read_bytes() == first.read_bytes()
    assert listed.count("imported") == 2
    assert run("models", "--json") == ""


def test_bad_file_is_one_sentence(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x80\x02}q\x00" + bytes(40))
    done = mimeo("import", str(path), url=server.url)
    absent = mimeo("import", str(tmp_path / "absent"), url=server.url)

    assert (done.returncode, absent.returncode) == (2, 2)
    assert "This is a pickle" in done.stderr
    assert "does not exist" in absent.stderr
