"""Requests as they arrive: their limits, and answers to those that never reach the application."""

import copy
import re
from http import HTTPStatus
from typing import Any

import structlog
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import FixedStreamReceiver
from waitress.task import ErrorTask
from waitress.utilities import BadRequest, RequestEntityTooLarge

from api.errors import HTTP_CODES, problem

UPLOADS = re.compile("POST /v1/(datasets|models)|PUT /v1/datasets/[^/]+")  # requests with a file
DISCARD_BYTES = 256 << 20
log = structlog.get_logger(__name__)


class RequestTimeout(BadRequest):
    """The request was not complete in time."""

    code = 408
    reason = "Request Timeout"


class Limits(Adjustments):
    """Waitress' settings, with the limit of bodies that are not uploads."""

    max_json_body_size = 0


class Discarded:
    """A body that is received and not kept."""

    def __len__(self) -> int:
        return 0

    def append(self, data: bytes) -> None:
        """Drop the data."""

    def close(self) -> None:
        """Nothing to close."""


class RequestParser(HTTPRequestParser):
    """Parses one request. A request without a valid `Host` is refused, and so is a body above the limit of its path.

    A body that is too large is received and dropped, up to `DISCARD_BYTES`, before the answer: a connection that is
    closed with unread data loses the answer. A client that waits for `100 Continue` gets the answer at once.
    """

    adj: Any
    error: Any = None
    expect_continue: bool = False
    path = ""
    body_limit = 0
    is_too_large = False

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and the headers. Raises ParsingError."""
        super().parse_header(header_plus)
        hosts = self.headers.get("HOST", "")
        if (self.version == "1.1" and not hosts) or "," in hosts:
            raise ParsingError("HTTP/1.1 requires one Host header.")
        is_upload = UPLOADS.fullmatch(f"{self.command} {self.path}")
        limit = self.adj.max_request_body_size if is_upload else self.adj.max_json_body_size
        self.body_limit = limit
        self.adj = copy.copy(self.adj)
        self.adj.max_request_body_size = limit + 1  # waitress refuses this length itself
        if limit < self.content_length <= DISCARD_BYTES and not self.expect_continue:
            self.is_too_large = True
            self.adj.max_request_body_size = DISCARD_BYTES + 1
            self.body_rcv = FixedStreamReceiver(self.content_length, Discarded())

    def received(self, data: bytes) -> int:
        """Take the next bytes of the connection. Returns the number consumed."""
        consumed = super().received(data)
        if self.completed and self.is_too_large and not self.error:
            self.error = RequestEntityTooLarge("")
        if self.error:
            self.expect_continue = False  # a refused request is not continued
        return int(consumed)


class ProblemTask(ErrorTask):
    """Answers a request that the server refuses with an RFC 9457 problem, and closes the connection."""

    def execute(self) -> None:
        """Write the answer."""
        error = self.request.error
        status = HTTPStatus(error.code)
        code = HTTP_CODES.get(status, status.name.lower())
        detail = error.body
        if isinstance(error, RequestEntityTooLarge):
            detail = f"The body is larger than the limit of {self.request.body_limit:,} bytes."
        elif status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            detail = f"The request line and headers are larger than {self.channel.adj.max_request_header_size:,} bytes."
        answer = problem(status, code, detail)
        request_id = str(answer.get_json()["instance"]).rsplit(":", 1)[-1]
        log.info("request_refused", status=int(status), reason=detail, request_id=request_id)
        self.status = f"{int(status)} {status.phrase}"
        self.response_headers += [*answer.headers.to_wsgi_list(), ("X-Request-Id", request_id)]
        self.set_close_on_finish()
        body = answer.get_data()
        self.content_length = len(body)
        self.write(body)
