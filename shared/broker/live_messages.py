"""Messages of running jobs through Redis publish/subscribe: points as they are measured, texts as they are written.

A message is a hint: it may be lost or arrive twice, and the database has what counts.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog

from shared.broker.failures import FAILURES, RETRY_AFTER_S

log = structlog.get_logger(__name__)

POLL_S = 0.25
REST_S = 5.0  # after a failure, nothing is published for so long: a publisher must not wait often
MOST_BYTES = 256 * 1024  # of one message; a larger one is dropped


@dataclass(frozen=True, kw_only=True)
class LiveMessage:
    """A message about a job. content: a JSON object; empty when only the job's row has changed."""

    job_id: str
    content: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The message as bytes: `{"job": …, "content": …}`."""
        return json.dumps({"job": self.job_id, "content": self.content}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> "LiveMessage | None":
        """The message in these bytes; None for bytes that are no message."""
        try:
            found = json.loads(data)
            job_id, content = found["job"], found["content"]
        except (ValueError, KeyError, TypeError):
            return None
        is_valid = isinstance(job_id, str) and isinstance(content, dict)
        return cls(job_id=job_id, content=content) if is_valid else None


class LivePublisher:
    """Publishes messages, and drops them while Redis is unavailable."""

    def __init__(self, connection: "redis.Redis", channel: str) -> None:
        self._redis, self._channel = connection, channel
        self._resting_until = 0.0

    def publish(self, message: LiveMessage) -> bool:
        """Publish a message. False where it was dropped."""
        data = message.encode()
        if len(data) > MOST_BYTES or time.monotonic() < self._resting_until:
            return False
        try:
            self._redis.publish(self._channel, data)
        except FAILURES as error:
            self._resting_until = time.monotonic() + REST_S
            log.info("live message dropped", job_id=message.job_id, reason=str(error))
            return False
        return True


class LiveReceiver:
    """Receives the messages of one channel, and the ids of ended jobs on another."""

    def __init__(self, connection: "redis.Redis", channel: str, ends: str) -> None:
        self._redis, self._channel, self._ends = connection, channel, ends

    @contextmanager
    def delivering(self, deliver: Callable[[LiveMessage], None]) -> Iterator[None]:
        """Within the block, call `deliver` for each message, on a thread of its own.

        The end of a job is a message without content. While Redis is unavailable there are none.
        """
        is_over = threading.Event()
        thread = threading.Thread(target=self._run, args=(deliver, is_over), name="live", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _run(self, deliver: Callable[[LiveMessage], None], is_over: threading.Event) -> None:
        has_failed = False
        while not is_over.is_set():
            try:
                self._receive(deliver, is_over)
            except FAILURES as error:
                if not has_failed:
                    log.warning("live messages not received; streams poll the database", reason=str(error))
                has_failed = True
                is_over.wait(RETRY_AFTER_S)

    def _receive(self, deliver: Callable[[LiveMessage], None], is_over: threading.Event) -> None:
        with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(self._channel, self._ends)
            while not is_over.is_set():
                received = pubsub.get_message(timeout=POLL_S)
                if received is None:
                    continue
                if received["channel"].decode() == self._ends:
                    deliver(LiveMessage(job_id=received["data"].decode(errors="replace")))
                elif (message := LiveMessage.decode(received["data"])) is not None:
                    deliver(message)
