"""The broker on Redis: notifications as Celery messages, ends of jobs as publish/subscribe."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import redis
import structlog
from kombu.transport.redis import Channel

from shared.broker.celery_settings import KEY_PREFIX, PRIORITY_STEPS, make_celery, message_priority, task_name
from shared.broker.completion_listener import CompletionListener
from shared.broker.failures import FAILURES, RETRY_AFTER_S
from shared.broker.live_messages import LiveMessage, LivePublisher, LiveReceiver
from shared.broker.protocol import Waiter
from shared.job_status import JobKind, Priority
from shared.settings import Settings

log = structlog.get_logger()

_ENDS = f"{KEY_PREFIX}done"
_LIVE = f"{KEY_PREFIX}live"
_LIVE_TIMEOUT_S = 0.25  # a trainer's monitor must not wait longer for a message that may be lost
_PROBE, _PROBE_MS = f"{KEY_PREFIX}probe", 10_000
_DROPPED = f"{KEY_PREFIX}dropped"


class CeleryBroker:
    """Notifications through Celery on the Redis of the settings. Thread-safe; connects when first used."""

    def __init__(self, settings: Settings) -> None:
        self._celery = make_celery(settings)
        self._redis = _connection(settings.resolved_redis_url, timeout_s=1.0)
        self._ends = CompletionListener(self._redis, _ENDS)
        self._live = LivePublisher(_connection(settings.resolved_redis_url, timeout_s=_LIVE_TIMEOUT_S), _LIVE)
        self._receiver = LiveReceiver(self._redis, _LIVE, _ENDS)
        self._resting_until = 0.0

    def send(self, kind: JobKind, job_id: str, priority: Priority) -> bool:
        """Notify the workers of a kind. False, within about a second, when Redis is unavailable."""
        if time.monotonic() < self._resting_until:
            return False
        try:
            self._celery.send_task(
                task_name(kind), args=[job_id], queue=kind, priority=message_priority(priority), retry=False
            )
        except FAILURES as error:
            self._resting_until = time.monotonic() + RETRY_AFTER_S
            log.warning("notification not sent; the reconciler retries", job_id=job_id, reason=str(error))
            return False
        return True

    def depth(self, kind: JobKind) -> int | None:
        """Notifications waiting for a worker of a kind; None when Redis does not answer."""
        suffixes = ["" if step == 0 else f"{Channel.sep}{step}" for step in PRIORITY_STEPS]
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for suffix in suffixes:
                    pipeline.llen(f"{KEY_PREFIX}{kind}{suffix}")
                return sum(int(length) for length in pipeline.execute())
        except FAILURES:
            return None

    def record_dropped(self, kind: JobKind) -> bool:
        """Count a message that a worker of a kind has dropped. False when Redis is unavailable."""
        try:
            self._redis.hincrby(_DROPPED, kind, 1)
        except FAILURES as error:
            log.warning("dropped message not counted", kind=kind, reason=str(error))
            return False
        return True

    def count_dropped(self, kind: JobKind) -> int | None:
        """Messages that workers of a kind have dropped since Redis started; None when Redis does not answer."""
        try:
            return int(self._redis.hget(_DROPPED, kind) or 0)
        except (*FAILURES, ValueError):
            return None

    def publish_done(self, job_id: str) -> bool:
        """Publish that a job has ended. False when Redis is unavailable."""
        try:
            self._redis.publish(_ENDS, job_id)
        except FAILURES as error:
            log.warning("end of job not published; waiters poll", job_id=job_id, reason=str(error))
            return False
        return True

    def wait_done(self, job_id: str) -> AbstractContextManager[Waiter]:
        """Subscribe to the end of a job, until the block ends."""
        return self._ends.subscribe(job_id)

    def publish_live(self, message: LiveMessage) -> bool:
        """Publish a message of a running job. False where it was dropped."""
        return self._live.publish(message)

    def receiving(self, deliver: Callable[[LiveMessage], None]) -> AbstractContextManager[None]:
        """Within the block, call `deliver` for each message of running and ended jobs, on a thread of its own."""
        return self._receiver.delivering(deliver)

    def problem(self) -> str | None:
        """One sentence if Redis does not answer or accepts no write, else None.

        A Redis whose memory is full, or that is a read-only replica, answers and refuses every notification.
        """
        try:
            self._redis.set(_PROBE, "", px=_PROBE_MS)
        except redis.OutOfMemoryError:
            return "The memory of Redis is full (maxmemory)."
        except redis.ReadOnlyError:
            return "Redis is a read-only replica."
        except redis.ResponseError as error:
            return f"Redis accepts no write: {error}."
        except FAILURES:
            return "Redis does not answer."
        return None


def _connection(url: str, *, timeout_s: float) -> "redis.Redis":
    """Connections to Redis, opened when first used."""
    limits: dict[str, float] = {"socket_timeout": timeout_s}
    if not url.startswith("unix"):
        limits["socket_connect_timeout"] = timeout_s
    return redis.Redis.from_url(url, health_check_interval=10, **limits)
