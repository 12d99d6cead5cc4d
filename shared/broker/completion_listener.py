"""Receives the ends of jobs over one Redis subscription for all waiting threads of a process."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import redis
import structlog

from shared.broker.failures import FAILURES, RETRY_AFTER_S

log = structlog.get_logger(__name__)

LINGER_S = 10.0  # the subscription ends after this time without a message and without waiting threads
_STARTING_S = 1.0


class CompletionListener:
    """The waiting threads by job, and a receiver thread that runs while the table has entries.

    All requests share one subscription, because a new one takes a connection and four round trips. While Redis is
    unavailable, no end is received and the waits run until their time-outs.
    """

    def __init__(self, connection: "redis.Redis", channel: str) -> None:
        self._redis, self._channel = connection, channel
        self._waiting: dict[str, list[threading.Event]] = defaultdict(list)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_tried = threading.Event()  # the subscription is active, or Redis is unavailable

    @contextmanager
    def subscribe(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set when the end of the job is published within the block."""
        ended = threading.Event()
        with self._lock:
            self._waiting[job_id].append(ended)
            if self._thread is None or not self._thread.is_alive():  # a fork keeps the object but not its thread
                self._has_tried.clear()
                self._thread = threading.Thread(target=self._listen, name="ends", daemon=True)
                self._thread.start()
        self._has_tried.wait(_STARTING_S)
        try:
            yield ended
        finally:
            with self._lock:
                self._waiting[job_id].remove(ended)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]

    def _listen(self) -> None:
        is_over = False
        while not is_over:
            try:
                self._receive()
                is_over = True
            except FAILURES as error:
                log.warning("ends of jobs not received; waiting requests poll", reason=str(error))
                self._has_tried.set()
                time.sleep(RETRY_AFTER_S)
                is_over = self._is_over()

    def _receive(self) -> None:
        """Subscribe and deliver messages until `LINGER_S` pass without a message and no thread waits."""
        with self._redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(self._channel)
            while (message := pubsub.get_message(timeout=LINGER_S)) is not None or not self._is_over():
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._has_tried.set()
                elif message["type"] == "message":
                    self._set_events(message["data"].decode(errors="replace"))

    def _set_events(self, job_id: str) -> None:
        with self._lock:
            for ended in self._waiting.get(job_id, ()):
                ended.set()

    def _is_over(self) -> bool:
        """Whether no thread waits any more; the next subscriber then starts a new receiver thread."""
        with self._lock:
            if self._waiting:
                return False
            self._thread = None
            return True
