"""One request and its answer on a socket of its own."""

import http.client
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.fuzz import EOF_S

INCOMPLETE_S = 0.5
READ_BYTES = 1 << 16


@dataclass(kw_only=True)
class Request:
    """A request.

    operation: method and path template of the document. extra: statuses that the mutation permits beyond those of the
    document. head: sent as it is, in place of method, target and headers.
    """

    operation: tuple[str, str]
    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    head: bytes | None = None
    extra: frozenset[int] = frozenset()

    def to_bytes(self, host: str) -> bytes:
        """The request as it is sent."""
        if self.head is not None:
            return self.head + self.body
        fields = {"Host": host, "Connection": "close", "Content-Length": str(len(self.body)), **self.headers}
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + self.body


@dataclass(frozen=True)
class Answer:
    """An answer. status: None when the server closed the connection without one."""

    status: int | None
    media_type: str
    body: bytes


def exchange(url: str, request: Request) -> Answer:
    """Send a request and read its answer, of a stream the first piece. Raises TimeoutError when none comes."""
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}"
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=EOF_S) as connection:
        try:
            connection.sendall(request.to_bytes(host))
            if request.head is not None:  # its length may be wrong; the server then waits for more
                connection.settimeout(INCOMPLETE_S)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has answered before the end of the request
        response = http.client.HTTPResponse(connection, method=request.method)
        try:
            response.begin()
            kind = response.headers.get_content_type()
            is_endless = kind == "text/event-stream"
            return Answer(response.status, kind, response.read1(READ_BYTES) if is_endless else response.read())
        except TimeoutError:
            if request.head is None:
                raise
            return Answer(None, "", b"")
        except (http.client.HTTPException, ConnectionResetError, ValueError):
            return Answer(None, "", b"")
