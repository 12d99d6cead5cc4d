"""A real web server on this machine, with optional range support, dropped connections and wrong content."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import ClassVar

import pytest


@dataclass
class FileServer:
    """The server's content and received requests.

    break_after: bytes after which it drops the connection, once per entry. ranges: whether it supports ranges. hold:
    while it is clear, a response stops halfway, and `held` is set.
    """

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    break_after: list[int] = field(default_factory=list)
    ranges: bool = True
    fenced: Event = field(default_factory=Event)
    held: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.fenced.set()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    files: ClassVar[FileServer]

    def do_GET(self) -> None:
        state = self.files
        wanted = self.headers.get("Range")
        state.requests.append((self.path, wanted))
        body = state.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "") if state.ranges else None
        start = int(match[1]) if match else 0
        if match and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if match else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + state.break_after.pop(0) if state.break_after else None
        middle = (start + len(body)) // 2
        if not state.fenced.is_set():
            self.wfile.write(body[start:middle])
            self.wfile.flush()
            state.held.set()
            state.fenced.wait(60)
            start = middle
        with suppress(BrokenPipeError, ConnectionResetError):  # the client may have disconnected
            self.wfile.write(body[start:end])

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[FileServer]:
    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Handler.files = FileServer(running.server_address[1])
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Handler.files
        running.shutdown()
        thread.join()
