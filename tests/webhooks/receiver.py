"""A receiver of webhooks on loopback."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What has been received, and how to answer. statuses: of the next requests; then 204."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    headers: Sequence[tuple[str, str]] = ()
    delay_s: float = 0.0
    body: bytes = b""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def url(self, host: str = "127.0.0.1") -> str:
        """Its address, with a secret in the path."""
        return f"http://{host}:{self.port}/hook/token-in-path?key=secret-in-query"

    @property
    def ids(self) -> list[str]:
        """The ids of the received messages."""
        return [headers["webhook-id"] for _, headers, _ in self.requests]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.path, headers, content))
            time.sleep(state.delay_s)
            self.send_response(state.statuses.pop(0) if state.statuses else 204)
            for name, value in state.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
            """Print nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the sender has hung up
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
