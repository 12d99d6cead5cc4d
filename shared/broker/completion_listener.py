"""News of jobs that have ended, heard over one subscription by all who wait in a process."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import redis
import structlog

from shared.broker.failures import FAILURES, REST_S

log = structlog.get_logger(__name__)

LINGER_S = 10.0  # how long nothing is heard, and nobody waits, until the subscription ends
_STARTING_S = 1.0


class CompletionListener:
    """Who waits for the end of which job, and a thread that hears of ends while somebody does.

    One subscription for all: to make one takes a new connection and four round trips, which each request would wait
    for. While Redis is away nothing is heard, and who waits sleeps.
    """

    def __init__(self, connection: "redis.Redis", channel: str) -> None:
        self._redis, self._channel = connection, channel
        self._waiting: dict[str, list[threading.Event]] = defaultdict(list)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_tried = threading.Event()  # ends are heard from here on, or Redis is away

    @contextmanager
    def subscribe(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set when the job's end is published, from here on."""
        ended = threading.Event()
        with self._lock:
            self._waiting[job_id].append(ended)
            if self._thread is None or not self._thread.is_alive():  # as in a process that was forked from this one
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
                log.warning("ends of jobs not heard; waiters poll", reason=str(error))
                self._has_tried.set()
                time.sleep(REST_S)
                is_over = self._is_over()

    def _receive(self) -> None:
        """Subscribe, and pass on what is heard until nothing is and nobody waits."""
        with self._redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(self._channel)
            while (message := pubsub.get_message(timeout=LINGER_S)) is not None or not self._is_over():
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._has_tried.set()
                elif message["type"] == "message":
                    self._set_events(message["data"].decode())

    def _set_events(self, job_id: str) -> None:
        with self._lock:
            for ended in self._waiting.get(job_id, ()):
                ended.set()

    def _is_over(self) -> bool:
        """Whether nobody waits any more; whoever waits next starts a thread of his own."""
        with self._lock:
            if self._waiting:
                return False
            self._thread = None
            return True
