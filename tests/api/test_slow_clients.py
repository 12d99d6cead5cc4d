"""Clients that do not do their part, on a real server with real sockets: each costs a socket and no thread."""

import json
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from pydantic import SecretStr

from shared.broker import CeleryBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import Server, serve
from tests.api.worker_hands import WorkerWrites
from tests.servers import Valkey
from tests.slow_clients import Line, held, probe, request, slow_lines, summary
from tests.waiting import wait_until

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
MANY = 1000
HEALTHY_MS = 50.0
LARGE = 8 << 20


@pytest.fixture
def live_settings(settings: Settings, valkey: Valkey) -> Settings:
    return settings.model_copy(update={"redis_url": SecretStr(valkey.url)})


@pytest.fixture
def worker(live_settings: Settings, database: SessionFactory, storage: Storage) -> WorkerWrites:
    return WorkerWrites(live_settings, database, storage, CeleryBroker(live_settings))


@pytest.fixture
def server(live_settings: Settings, database: SessionFactory) -> Iterator[Server]:
    with serve(live_settings) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def large(http: httpx.Client, worker: WorkerWrites) -> str:
    """Path of a file of 8 MiB."""
    job = http.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).json()["id"]
    worker.file(worker.claim(JobKind.TRAINING), "large.bin", bytes(range(256)) * (LARGE >> 8))
    artifact = http.get(f"/v1/training-jobs/{job}/artifacts").json()["data"][0]["id"]
    return f"/v1/artifacts/{artifact}/content"


@pytest.fixture
def model(http: httpx.Client, worker: WorkerWrites) -> str:
    """Id of a published model."""
    http.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"})
    return worker.publish(worker.claim(JobKind.TRAINING))


def wait_request(model: str, seconds: int) -> bytes:
    body = json.dumps({"model": model}).encode()
    return request("POST", "/v1/generation-jobs", f"Prefer: wait={seconds}", body=body)


def settled(server: Server) -> float:
    """The 99th percentile of `/healthz` in milliseconds; the best of three, because other processes run too."""
    return float(min(summary(probe(server.address, 1.5))["p99"] for _ in range(3)))


@pytest.mark.slow
def test_thousand_slow_clients_of_each_kind_hold_no_thread_and_delay_no_other(server: Server, large: str) -> None:
    with ExitStack() as stack:
        for line in slow_lines(large):
            assert len(stack.enter_context(held(server.address, line, MANY))) == MANY, line.name
            wait_until(lambda: server.resources().num_threads() < 30)
            assert settled(server) < HEALTHY_MS, line.name
        assert server.resources().memory_info().rss < 250 << 20


@pytest.mark.slow
def test_three_hundred_waits_delay_no_other_request(server: Server, http: httpx.Client, model: str) -> None:
    line = Line(name="waits", sent=wait_request(model, 60))
    with held(server.address, line, 300) as waiting:
        wait_until(lambda: server.resources().num_threads() > 300)
        assert settled(server) < HEALTHY_MS
        assert http.get(f"/v1/models/{model}").status_code == 200

        server.process.terminate()
        answers = [connection.recv(65536) for connection in waiting]

    assert server.process.wait(15) == 0
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 202"] * 300
    assert all(b"Preference-Applied: wait=60" in answer for answer in answers)


def test_wait_of_a_client_that_hung_up_frees_its_place_within_a_second(
    live_settings: Settings, database: SessionFactory, worker: WorkerWrites
) -> None:
    one_wait = live_settings.model_copy(update={"api_waits": 1})
    with serve(one_wait) as server, httpx.Client(base_url=server.url, trust_env=False, timeout=30) as http:
        http.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"})
        model = worker.publish(worker.claim(JobKind.TRAINING))

        def is_granted() -> bool:
            answer = http.post("/v1/generation-jobs", json={"model": model}, headers={"Prefer": "wait=1"})
            return "Preference-Applied" in answer.headers

        with held(server.address, Line(name="wait", sent=wait_request(model, 60)), 1):
            wait_until(lambda: http.get("/v1/generation-jobs").json()["data"])
            assert not is_granted()
        time.sleep(1)
        assert is_granted()


QUICK = "import api.server.connection as c; c.REQUEST_S = 1.0; c.KEEP_ALIVE_S = 2.0; c.STALLED_READER_S = 2.0"


def test_incomplete_request_is_refused_after_its_time_even_if_bytes_keep_arriving(
    live_settings: Settings, database: SessionFactory
) -> None:
    with serve(live_settings, before=QUICK) as server, socket.create_connection(server.address, 30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        while not select.select([connection], [], [], 0.05)[0]:
            connection.sendall(b"X: y\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.split(b" ", 2)[1] == b"408"
    assert b'"code":"request_timeout"' in answer


def test_idle_connections_and_stopped_readers_are_closed_after_their_time(
    live_settings: Settings, database: SessionFactory, worker: WorkerWrites
) -> None:
    with serve(live_settings, before=QUICK) as server, ExitStack() as stack:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http:
            job = http.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).json()["id"]
            worker.file(worker.claim(JobKind.TRAINING), "large.bin", bytes(LARGE))
            artifact = http.get(f"/v1/training-jobs/{job}/artifacts").json()["data"][0]["id"]
        _, _, stopped, idle = slow_lines(f"/v1/artifacts/{artifact}/content")

        def connections() -> int:
            return len(server.resources().net_connections("tcp"))

        at_rest = connections()
        for line in (stopped, idle):
            stack.enter_context(held(server.address, line, 5))
        wait_until(lambda: connections() > at_rest + 5)

        wait_until(lambda: connections() <= at_rest)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 40000 + b"\r\n\r\n", 431, None),
        (request("POST", "/v1/training-jobs", body=b" " * (Settings().max_body_bytes + 1)), 413, "too_large"),
        (request("POST", "/v1/training-jobs", "Expect: 100-continue", "Content-Length: 9999999999"), 413, "too_large"),
    ],
    ids=["no host", "two hosts", "headers too large", "body too large", "body announced too large"],
)  # fmt: skip
def test_request_that_the_server_refuses_is_answered_with_a_problem(
    server: Server, sent: bytes, status: int, code: str | None
) -> None:
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    assert int(head[9:12]) == status
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["status"] == status
    assert code is None or problem["code"] == code
    request_id = re.search(rb"(?i)x-request-id: (\S+)", head)
    assert request_id is not None
    assert problem["instance"].endswith(request_id[1].decode())
    assert request_id[1].decode() in server.log.read_text()


def test_request_of_http_1_0_needs_no_host(server: Server) -> None:
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.0 200")


def test_part_of_a_file_is_sent_from_its_position(http: httpx.Client, large: str) -> None:
    whole = http.get(large).content
    part = http.get(large, headers={"Range": "bytes=1000000-4999999"})

    assert len(whole) == LARGE
    assert (part.status_code, part.content) == (206, whole[1000000:5000000])


def test_server_stops_with_slow_clients_connected(server: Server, large: str) -> None:
    with ExitStack() as stack:
        for line in slow_lines(large):
            stack.enter_context(held(server.address, line, 5))
        server.process.terminate()
        started = time.monotonic()
        assert server.process.wait(30) == 0
    assert time.monotonic() - started < 12


def test_requests_queue_for_slots_in_order_of_arrival(live_settings: Settings, database: SessionFactory) -> None:
    narrow = live_settings.model_copy(update={"api_threads": 2})
    with serve(narrow) as server:
        answers: list[int] = []

        def ask() -> None:
            answers.append(httpx.get(f"{server.url}/v1/training-jobs", trust_env=False, timeout=30).status_code)

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 40
        assert server.resources().num_threads() < 10
