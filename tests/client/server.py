"""A small real HTTP server with scripted answers, for responses that a healthy API cannot give."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from api.model_type_listing import listed
from shared.model_types import REGISTRY


@dataclass
class Reply:
    """One answer. body: JSON unless it is bytes. dropped: close the connection without an answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    dropped: bool = False


@dataclass
class Request:
    """One received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A running server: its address and its requests."""

    url: str
    requests: list[Request]


@contextmanager
def serving(answer: Callable[[Request], Reply]) -> Iterator[Server]:
    """Serve on a free port until the block ends. Requests for the (real) model types are not recorded."""
    seen: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(self.command, self.path, dict(self.headers), self.rfile.read(length))
            if request.path == "/v1/model-types":  # independent of the script
                reply = Reply(body=model_types())
            else:
                seen.append(request)
                reply = answer(request)
            if reply.dropped:
                self.close_connection = True
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if reply.status != 304:
                self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815  names that http.server requires

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's own name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}", seen)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def model_types() -> dict[str, Any]:
    """The model types as the API answers them."""
    data = [listed(contract).model_dump(mode="json") for _, contract in sorted(REGISTRY.items())]
    return {"data": data, "has_more": False}


def training_job(**changes: Any) -> dict[str, Any]:
    """A training job as the API answers it."""
    job = {
        "id": "trn_1",
        "object": "training_job",
        "status": "running",
        "is_terminal": False,
        "model_type": "vae",
        "dataset": "digits",
        "preset": "fast",
        "hyperparameters": {"epochs": 10},
        "name": None,
        "priority": "normal",
        "seed": 7,
        "device": "cpu",
        "attempt": 1,
        "max_attempts": 3,
        "queue_position": None,
        "queue_position_is_exact": True,
        "progress": {
            "epoch": 3,
            "epochs": 10,
            "step": 705,
            "steps": 2350,
            "fraction": 0.3,
            "eta_s": 42.0,
            "examples_per_s": 22000.0,
        },
        "metrics": {"loss": 28.41},
        "created_at": "2026-11-23T04:05:06.789Z",
        "started_at": "2026-11-23T04:05:07.000Z",
        "finished_at": None,
        "duration_s": None,
        "model": None,
        "error": None,
    }
    return {**job, **changes}
