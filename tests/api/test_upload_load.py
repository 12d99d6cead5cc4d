"""Many large uploads at once on a real server: memory, files and the other requests meanwhile."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from shared.db.session import SessionFactory
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import Server, serve

AT_ONCE = 8
LINE = b"It was the best of times, it was the worst of times, \xe2\x80\x94\r\n"
SIZE = 64 << 20
MOST_BYTES = 250_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak memory is read from /proc"),
]


@pytest.fixture
def server(settings: Settings, database: SessionFactory) -> Iterator[Server]:
    with serve(settings) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "large.txt"
    path.write_bytes((LINE * (SIZE // len(LINE)))[: SIZE - 3])
    return path


def peak_bytes(server: Server) -> int:
    """The largest peak of resident memory among the server's processes."""
    main = psutil.Process(server.process.pid)
    peaks = []
    for process in (main, *main.children(recursive=True)):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        [kib] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        peaks.append(1024 * int(kib))
    return max(peaks)


def send(server: Server, file: Path, name: str) -> int:
    with file.open("rb") as stream:
        response = httpx.post(
            f"{server.url}/v1/datasets",
            data={"name": name, "kind": "text"},
            files={"file": ("large.txt", stream, "text/plain")},
            timeout=300,
            trust_env=False,
        )
    return response.status_code


def send_all(server: Server, file: Path, names: list[str]) -> list[int]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda name: send(server, file, name), names))


def test_large_uploads_at_once_are_stored_within_the_memory_bound(server: Server, file: Path, storage: Storage) -> None:
    slowest = [0.0]
    is_done = threading.Event()

    def look() -> None:
        while not is_done.wait(0.02):
            before = time.monotonic()
            assert httpx.get(f"{server.url}/healthz", trust_env=False, timeout=60).status_code == 200
            slowest[0] = max(slowest[0], time.monotonic() - before)

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        statuses = send_all(server, file, [f"text-{number}" for number in range(AT_ONCE)])
        is_done.set()
        looking.result()

    peak = peak_bytes(server)
    print(f"peak {peak / 1e6:.0f} MB, slowest /healthz {slowest[0]:.2f} s")
    assert set(statuses) <= {201, 503}
    assert len(list(storage.list_names("datasets"))) == statuses.count(201) >= 1
    assert peak < MOST_BYTES


def test_refused_uploads_leave_nothing_on_the_disk(
    server: Server, settings: Settings, file: Path, storage: Storage
) -> None:
    bad = file.with_name("bad.txt")
    bad.write_bytes(file.read_bytes() + b"\xff")
    assert send(server, file, "taken") == 201
    files = sorted(path for path in settings.home_path.rglob("*") if "datasets" in path.parts)

    assert send_all(server, file, ["taken"] * AT_ONCE) == [409] * AT_ONCE
    assert send_all(server, bad, [f"text-{number}" for number in range(2)]) == [422] * 2

    assert sorted(path for path in settings.home_path.rglob("*") if "datasets" in path.parts) == files
    assert peak_bytes(server) < MOST_BYTES
