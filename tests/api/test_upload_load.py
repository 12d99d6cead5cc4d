"""Many large uploads at once on a real server: memory, files and the other requests meanwhile."""

import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from shared.db.session import SessionFactory
from shared.image_uploads.checking import ImageOptions, check
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import Server, serve
from tests.pictures import class_folders, encoded, noise

AT_ONCE = 8
LINE = b"It was the best of times, it was the worst of times, \xe2\x80\x94\r\n"
SIZE = 64 << 20
MOST_BYTES = 250_000_000
PICTURES = 20_000
PREPARED_BYTES = PICTURES * 3 * 32 * 32

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


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A zip of the largest size that is accepted, of small pictures in ten classes."""
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(PICTURES):
            archive.writestr(f"{number % 10}/{number}.png", encoded(noise(number, 32, 32), compress_level=0))
    assert 0.95 * SIZE < path.stat().st_size < SIZE
    return path


def prepared_peak(upload: Path, home: Path) -> int:
    """The peak of resident memory of the process that prepares an upload."""
    arguments = ["-m", "worker.data.prepare", "pictures", "--upload", str(upload), "--downloads", str(home)]
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return 1024 * usage.ru_maxrss


def send(server: Server, file: Path, name: str, kind: str = "text") -> int:
    with file.open("rb") as stream:
        response = httpx.post(
            f"{server.url}/v1/datasets",
            data={"name": name, "kind": kind},
            files={"file": (file.name, stream, "text/plain")},
            timeout=300,
            trust_env=False,
        )
    return response.status_code


def send_all(server: Server, file: Path, names: list[str]) -> list[int]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda name: send(server, file, name), names))


@contextmanager
def other_requests(server: Server) -> Iterator[None]:
    """Poll the server meanwhile, and print its peak of memory and the slowest answer."""
    slowest = [0.0]
    is_done = threading.Event()

    def look() -> None:
        while not is_done.wait(0.02):
            before = time.monotonic()
            assert httpx.get(f"{server.url}/healthz", trust_env=False, timeout=60).status_code == 200
            slowest[0] = max(slowest[0], time.monotonic() - before)

    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        yield
        is_done.set()
        looking.result()
    took, peak = time.monotonic() - began, peak_bytes(server)
    print(f"{took:.1f} s, peak {peak / 1e6:.0f} MB, slowest /healthz {slowest[0]:.2f} s")


def test_large_uploads_at_once_are_stored_within_the_memory_bound(server: Server, file: Path, storage: Storage) -> None:
    with other_requests(server):
        statuses = send_all(server, file, [f"text-{number}" for number in range(AT_ONCE)])

    peak = peak_bytes(server)
    assert set(statuses) <= {201, 503}
    assert len(list(storage.list_names("datasets"))) == statuses.count(201) >= 1
    assert peak < MOST_BYTES


def test_many_pictures_are_stored_and_prepared_within_the_memory_bounds(
    server: Server, pictures: Path, storage: Storage, tmp_path: Path
) -> None:
    idle = peak_bytes(server)
    with other_requests(server):
        status = send(server, pictures, "pictures", "images")
    peak = peak_bytes(server)
    [key] = [name for name in storage.list_names("datasets") if name.endswith(".tar")]
    storage.get_file(f"datasets/{key}", tmp_path / "images.tar")
    with (tmp_path / "few.tar").open("w+b") as target:
        check(io.BytesIO(class_folders()), ImageOptions(), target, max_upload_bytes=SIZE)
    few, many = (prepared_peak(tmp_path / f"{name}.tar", tmp_path / name) for name in ("few", "images"))

    print(f"API {idle / 1e6:.0f} to {peak / 1e6:.0f} MB, preparation {few / 1e6:.0f} to {many / 1e6:.0f} MB")
    assert status == 201
    assert peak < MOST_BYTES
    assert many - few < 4 * PREPARED_BYTES


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/datasets"), ("PUT", "/v1/datasets/dickens"), ("POST", "/v1/models")]
)
def test_each_upload_has_the_limit_of_uploads(server: Server, method: str, path: str) -> None:
    files = {"file": ("file", bytes(8 << 20), "application/octet-stream")}

    response = httpx.request(method, f"{server.url}{path}", files=files, timeout=60, trust_env=False)

    assert response.status_code in {404, 422}, response.text


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
