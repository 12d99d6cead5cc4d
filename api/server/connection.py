"""One connection, with its time limits."""

import time
from typing import Any

from waitress.channel import HTTPChannel

from api.server.requests import ProblemTask, RequestParser, RequestTimeout

KEEP_ALIVE_S = 30.0
# A request is complete after this time, plus one second per this number of bytes received.
REQUEST_S = 30.0
SLOWEST_BYTES_PER_S = 32 << 10
STALLED_READER_S = 60.0
# Bytes read from a file for one send. A send accepts little while its reader is slow, and the rest is read again.
SEND_BYTES = 64 << 10


class Connection(HTTPChannel):
    """A connection of a client. The event loop reads requests and sends responses; a thread runs the application."""

    parser_class = RequestParser
    error_task_class = ProblemTask
    request: Any = None  # the one that is being received
    request_started = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sendbuf_len = SEND_BYTES

    def received(self, data: bytes) -> bool:
        """Take the next bytes, and note when a request begins."""
        before = self.request
        is_received = super().received(data)
        if self.request is not before:
            self.request_started = time.time()
        return bool(is_received)

    @property
    def is_in_use(self) -> bool:
        """Whether a request is queued or in progress, or a response is not yet sent."""
        return bool(self.requests or self.total_outbufs_len)

    def enforce_limits(self, now: float) -> None:
        """Close the connection if it is idle or its reader has stalled; refuse a request that is incomplete too long.

        now: seconds since the epoch. The event loop calls it.
        """
        inactive_s = now - self.last_activity
        if self.total_outbufs_len:
            if inactive_s > STALLED_READER_S:
                self.handle_close()
        elif self.requests:
            return
        elif self.request is None:
            if inactive_s > KEEP_ALIVE_S:
                self.handle_close()
        elif now - self.request_started > REQUEST_S + self.request.body_bytes_received / SLOWEST_BYTES_PER_S:
            self._refuse_incomplete()

    def handle_close(self) -> None:
        """Close the connection, and remove the temporary file of a request that is not complete."""
        super().handle_close()
        request, self.request = self.request, None
        if request is not None:
            request.close()

    def del_channel(self, map: Any = None) -> None:  # noqa: A002  its name in waitress
        """Remove the connection from the event loop."""
        self.server.loop.forget(self)
        super().del_channel(map)

    def _refuse_incomplete(self) -> None:
        with self.requests_lock:
            request, self.request = self.request, None
            request.error = RequestTimeout("The request was not complete in time.")
            request.completed = True
            self.requests.append(request)
        self.server.add_task(self)
