"""Uploads of images whose client or server ends in the middle, on a real server."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shared.db.session import SessionFactory, transaction
from shared.db.tables import PendingDeletion
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import Server, serve
from tests.pictures import class_folders, grey_arrays, npz
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)]


@pytest.fixture
def server(settings: Settings, database: SessionFactory) -> Iterator[Server]:
    with serve(settings) as running:
        yield running


def form(archive: bytes) -> tuple[bytes, bytes]:
    """The head of a request that uploads an archive, and its body."""
    request = httpx.Request(
        "POST",
        "http://localhost/v1/datasets",
        data={"name": "pets", "kind": "images"},
        files={"file": ("pets.zip", archive, "application/zip")},
    )
    body = request.read()
    head = [b"POST /v1/datasets HTTP/1.1", *(name + b": " + value for name, value in request.headers.raw)]
    return b"\r\n".join(head) + b"\r\n\r\n", body


def send(server: Server, data: bytes) -> socket.socket:
    connection = socket.create_connection(server.address)
    connection.sendall(data)
    return connection


def open_files(server: Server) -> list[str]:
    """Temporary files of the server, which have no name while they are open."""
    processes = [server.resources(), *server.resources().children(recursive=True)]
    links = [link for each in processes for link in Path(f"/proc/{each.pid}/fd").iterdir()]
    return [target for target in map(_target, links) if target.endswith("(deleted)")]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def is_absent(settings: Settings, database: SessionFactory, storage: Storage) -> bool:
    """Whether neither a file nor a note of an upload exists."""
    left = [path for path in settings.home_path.rglob("*") if path.suffix in {".tar", ".zip", ".tmp"}]
    with transaction(database) as session:
        notes = session.query(PendingDeletion).count()
    return (left, notes, [*storage.list_names("datasets", unfinished=True)]) == ([], 0, [])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are read from /proc")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_client_that_hangs_up_leaves_nothing_and_can_send_again(
    server: Server, settings: Settings, database: SessionFactory, storage: Storage, share: float
) -> None:
    archive = npz(**grey_arrays(3000, side=28))
    head, body = form(archive)
    connection = send(server, head + body[: int(share * len(body))])
    wait_until(lambda: open_files(server), because="the upload has no temporary file")
    connection.close()

    wait_until(lambda: not open_files(server), because="the temporary file is still open")

    assert is_absent(settings, database, storage)
    answer = httpx.get(f"{server.url}/v1/datasets/pets", trust_env=False)
    assert answer.status_code == 404
    again = httpx.post(
        f"{server.url}/v1/datasets",
        data={"name": "pets", "kind": "images"},
        files={"file": ("pets.npz", archive, "application/zip")},
        trust_env=False,
        timeout=120,
    )
    assert again.status_code == 201, again.text


def test_server_that_is_killed_in_the_middle_leaves_nothing(
    settings: Settings, database: SessionFactory, storage: Storage
) -> None:
    pause = (
        "import time; from shared.image_uploads import checking; checking.arrays.sources = lambda _: time.sleep(600)"
    )
    with serve(settings, before=pause) as server:
        head, body = form(class_folders())
        with send(server, head + body):
            wait_until(lambda: open_files(server), because="the check has not begun")
            for each in [*server.resources().children(recursive=True), server.resources()]:
                each.send_signal(signal.SIGKILL)
            server.process.wait()

    assert is_absent(settings, database, storage)
