"""Connections on which a client does not do its part, and a probe of `/healthz` beside them."""

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

CONNECT_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 2.0
PROBE_PAUSE_S = 0.01
REFUSALS = 3  # after this number of failed connects no further one is tried
Address = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One kind of slow client. sent: bytes of each connection. receive_buffer: bytes of SO_RCVBUF; None: default.

    answers: whether each connection reads one complete answer before it rests.
    """

    name: str
    sent: bytes
    receive_buffer: int | None = None
    answers: bool = False


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """A complete HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def slow_lines(large: str) -> list[Line]:
    """The four kinds. large: path of a large file."""
    part = b'{"model_type": "vae"'
    head = request("POST", "/v1/training-jobs", "Content-Type: application/json", "Content-Length: 900")
    return [
        Line(name="half requests", sent=b"GET /v1/training-jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "),
        Line(name="half bodies", sent=head + part),
        Line(name="stopped readers", sent=request("GET", large), receive_buffer=4096),
        Line(name="idle keep-alive connections", sent=request("GET", "/healthz"), answers=True),
    ]


@contextmanager
def held(address: Address, line: Line, count: int) -> Iterator[list[socket.socket]]:
    """`count` connections of a kind, or as many as the server accepts, open for the duration of the block."""
    opened: list[socket.socket] = []
    refused = 0
    try:
        while len(opened) + refused < count and refused < REFUSALS:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            if line.receive_buffer is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, line.receive_buffer)
            connection.settimeout(CONNECT_TIMEOUT_S)
            try:
                connection.connect(address)
                connection.sendall(line.sent)
                if line.answers:
                    connection.recv(65536)
            except OSError:
                connection.close()
                refused += 1
            else:
                opened.append(connection)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def probe(address: Address, seconds: float) -> list[float]:
    """Milliseconds of each `GET /healthz` on a new connection, one after another; a failure counts as the time-out."""
    taken = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.perf_counter()
        is_answered = _is_healthy(address)
        elapsed = time.perf_counter() - started
        taken.append(1e3 * (elapsed if is_answered else max(elapsed, PROBE_TIMEOUT_S)))
        time.sleep(PROBE_PAUSE_S)
    return taken


def _is_healthy(address: Address) -> bool:
    try:
        with socket.create_connection(address, timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(request("GET", "/healthz", "Connection: close"))
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def summary(milliseconds: list[float]) -> dict[str, Any]:
    """Number, p50, p99 and maximum."""
    ordered = sorted(milliseconds)
    return {
        "count": len(ordered),
        "p50": round(statistics.median(ordered), 2),
        "p99": round(percentile(ordered, 0.99), 2),
        "max": round(ordered[-1], 2),
    }


def percentile(ordered: list[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
