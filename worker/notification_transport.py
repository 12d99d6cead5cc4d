"""Kombu's Redis transport with checked messages, which are never put back (docs/decisions/0017-bad-messages.md)."""

from collections.abc import Callable
from typing import Any

import structlog
from kombu.transport import redis

from shared.job_status import JobKind
from worker.notification_messages import InvalidMessage, checked

log = structlog.get_logger(__name__)

_SHOWN_BYTES = 200


def install(kind: JobKind, record_dropped: Callable[[JobKind], object]) -> None:
    """Make the consumers of this process read checked messages only.

    record_dropped: called with the kind after each dropped message.
    """

    def check(reply: list[bytes] | None, **_: Any) -> tuple[bytes, bytes] | None:
        if not reply:
            return None
        queue, message = reply
        try:
            return queue, checked(message, kind)
        except InvalidMessage as error:
            head = repr(message[:_SHOWN_BYTES])
            log.warning("message dropped", kind=kind, reason=str(error), size_bytes=len(message), head=head)
            record_dropped(kind)
            return None  # kombu then reads the next message

    class Channel(redis.Channel):
        """Removes a message from Redis when it is read. Nothing is kept for a second delivery."""

        ack_emulation = False
        do_restore = False

        def _create_client(self, asynchronous: bool = False) -> Any:
            client = super()._create_client(asynchronous)  # type: ignore[no-untyped-call]  # the library has no types
            client.set_response_callback("BRPOP", check)
            return client

    redis.Transport.Channel = Channel
