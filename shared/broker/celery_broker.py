"""The broker on Redis: hints as Celery messages, ends of jobs as publish/subscribe."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import redis
import structlog
from kombu.exceptions import OperationalError
from kombu.transport.redis import Channel
from redis.client import PubSub

from shared.broker.celery_settings import KEY_PREFIX, PRIORITY_STEPS, make_celery, message_priority, task_name
from shared.broker.protocol import Kind
from shared.job_status import Priority
from shared.settings import Settings

log = structlog.get_logger()

_REST_S = 1.0  # after a failure, requests do not each wait for the time-out again
_FAILURES = (OperationalError, redis.RedisError, OSError)


class CeleryBroker:
    """Hints through Celery on the Redis of the settings. Safe to share between threads; connects when first used."""

    def __init__(self, settings: Settings) -> None:
        self._celery = make_celery(settings)
        self._redis = redis.Redis.from_url(
            settings.resolved_redis_url,
            socket_timeout=1.0,
            health_check_interval=10,
            **({} if settings.resolved_redis_url.startswith("unix") else {"socket_connect_timeout": 1.0}),
        )
        self._resting_until = 0.0

    def send(self, kind: Kind, job_id: str, priority: Priority) -> bool:
        """Wake a worker of a kind. False, within about a second, where Redis does not take it."""
        if time.monotonic() < self._resting_until:
            return False
        try:
            self._celery.send_task(
                task_name(kind), args=[job_id], queue=kind, priority=message_priority(priority), retry=False
            )
        except _FAILURES as error:
            self._resting_until = time.monotonic() + _REST_S
            log.warning("hint not sent; the reconciler will", job_id=job_id, reason=str(error))
            return False
        return True

    def depth(self, kind: Kind) -> int | None:
        """Hints waiting for a worker of a kind; None where Redis does not answer."""
        suffixes = ["" if step == 0 else f"{Channel.sep}{step}" for step in PRIORITY_STEPS]
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for suffix in suffixes:
                    pipeline.llen(f"{KEY_PREFIX}{kind}{suffix}")
                return sum(int(length) for length in pipeline.execute())
        except _FAILURES:
            return None

    def publish_done(self, job_id: str) -> bool:
        """Tell whoever waits that a job has ended. False where Redis does not take it."""
        try:
            self._redis.publish(_channel(job_id), "done")
        except _FAILURES as error:
            log.warning("end of job not published; waiters poll", job_id=job_id, reason=str(error))
            return False
        return True

    @contextmanager
    def wait_done(self, job_id: str) -> Iterator["RedisWaiter"]:
        """Listen for a job's end from here on."""
        with RedisWaiter(self._redis, _channel(job_id)) as waiter:
            yield waiter

    def ping(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._redis.ping())
        except _FAILURES:
            return False


class RedisWaiter:
    """A subscription to one channel that degrades to sleeping where Redis is away."""

    def __init__(self, connection: "redis.Redis", channel: str) -> None:
        self._pubsub: PubSub | None = connection.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._channel = channel

    def __enter__(self) -> "RedisWaiter":
        try:
            if self._pubsub is not None:
                self._pubsub.subscribe(self._channel)
        except _FAILURES:
            self._give_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_up()

    def wait(self, timeout: float) -> bool:
        """True as soon as a message came; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        try:
            while self._pubsub is not None and (left := deadline - time.monotonic()) > 0:
                if self._pubsub.get_message(timeout=left) is not None:
                    return True
        except _FAILURES:
            self._give_up()
        time.sleep(max(0.0, deadline - time.monotonic()))
        return False

    def _give_up(self) -> None:
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None


def _channel(job_id: str) -> str:
    return f"{KEY_PREFIX}done:{job_id}"
