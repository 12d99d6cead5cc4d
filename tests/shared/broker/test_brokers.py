"""Notifications of queued and finished jobs: on a real Valkey, and inside one process."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from pydantic import SecretStr

from shared.broker import Broker, CeleryBroker, NullBroker, completion_listener
from shared.broker.celery_settings import make_celery
from shared.job_status import JobKind, Priority
from shared.settings import Settings
from tests.servers import Valkey
from tests.waiting import PATIENCE_S, wait_until


def settings_for(url: str, home: Path) -> Settings:
    return Settings(home=home, redis_url=SecretStr(url))


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_listener, "LINGER_S", 0.2)


@pytest.fixture
def redis_settings(valkey: Valkey, tmp_path: Path) -> Settings:
    return settings_for(valkey.url, tmp_path)


@pytest.fixture(params=["null", "celery"])
def any_broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "null":
        return NullBroker()
    return CeleryBroker(request.getfixturevalue("redis_settings"))


def test_notifications_are_counted_by_kind(any_broker: Broker) -> None:
    for priority in Priority:
        assert any_broker.send(JobKind.TRAINING, f"trn_{priority}", priority)
    assert any_broker.send(JobKind.GENERATION, "gen_1", Priority.HIGH)

    assert (any_broker.depth(JobKind.TRAINING), any_broker.depth(JobKind.GENERATION)) == (3, 1)
    assert any_broker.problem() is None


def test_dropped_messages_are_counted_by_kind(any_broker: Broker) -> None:
    assert any_broker.record_dropped(JobKind.TRAINING)
    assert any_broker.record_dropped(JobKind.TRAINING)

    assert (any_broker.count_dropped(JobKind.TRAINING), any_broker.count_dropped(JobKind.GENERATION)) == (2, 0)


def test_dropped_messages_are_unknown_without_redis(tmp_path: Path) -> None:
    broker = CeleryBroker(settings_for(f"unix://{tmp_path}/none.sock", tmp_path))

    assert not broker.record_dropped(JobKind.TRAINING)
    assert broker.count_dropped(JobKind.TRAINING) is None


def test_waiter_receives_an_end_published_while_it_waits(any_broker: Broker) -> None:
    with any_broker.wait_done("trn_1") as waiter:
        assert not waiter.wait(0.02)
        threading.Timer(0.1, any_broker.publish_done, ["trn_1"]).start()
        assert waiter.wait(PATIENCE_S)


def test_waiter_receives_an_end_published_after_its_subscription(any_broker: Broker) -> None:
    with any_broker.wait_done("trn_1") as waiter:
        any_broker.publish_done("trn_1")
        assert waiter.wait(PATIENCE_S)


def test_waiter_receives_no_ends_of_other_jobs(any_broker: Broker) -> None:
    with any_broker.wait_done("trn_1") as waiter:
        any_broker.publish_done("trn_2")
        assert not waiter.wait(0.1)


def test_waiter_receives_an_end_after_bytes_that_are_no_job_id(redis_settings: Settings, valkey: Valkey) -> None:
    broker = CeleryBroker(redis_settings)
    with broker.wait_done("trn_1") as waiter, valkey.client() as client:
        client.publish("mimeo:done", b"\xff\xfe\x1b")
        broker.publish_done("trn_1")
        assert waiter.wait(PATIENCE_S)


def test_waiters_share_one_subscription_which_ends_with_the_last(redis_settings: Settings, valkey: Valkey) -> None:
    broker = CeleryBroker(redis_settings)
    with valkey.client() as client:

        def subscriptions() -> int:
            [(_, number)] = client.pubsub_numsub("mimeo:done")
            return int(number)

        for _ in range(2):
            wait_until(lambda: subscriptions() == 0)
            waiters = (broker.wait_done("trn_1"), broker.wait_done("trn_1"), broker.wait_done("trn_2"))
            with waiters[0] as one, waiters[1] as same, waiters[2] as other:
                assert subscriptions() == 1
                broker.publish_done("trn_1")
                assert one.wait(PATIENCE_S)
                assert same.wait(PATIENCE_S)
                assert not other.wait(0.5)
                assert subscriptions() == 1
        wait_until(lambda: subscriptions() == 0)


def test_waiter_receives_ends_after_a_restart_of_redis(redis_settings: Settings, valkey: Valkey) -> None:
    broker = CeleryBroker(redis_settings)
    with broker.wait_done("trn_1") as waiter:
        valkey.kill()
        assert not waiter.wait(0.2)
        valkey.start()

        def is_received() -> bool:
            broker.publish_done("trn_1")  # lost until the subscription is restored
            return waiter.wait(0.1)

        wait_until(is_received)


def test_worker_receives_notifications_by_priority(redis_settings: Settings) -> None:
    broker = CeleryBroker(redis_settings)
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
        broker.send(JobKind.TRAINING, f"trn_{priority}", priority)

    app = make_celery(redis_settings, worker_kind=JobKind.TRAINING)
    assert [message["args"] for message in received(app, 3)] == [["trn_high"], ["trn_normal"], ["trn_low"]]
    assert broker.depth(JobKind.TRAINING) == 0


def received(app: Celery, count: int) -> Iterator[dict[str, Any]]:
    with app.connection_for_read() as connection, connection.channel() as channel:
        for _ in range(count):
            message = channel.basic_get("training", no_ack=True)
            assert message is not None
            arguments, _, _ = message.decode()
            yield {"args": arguments, "task": message.headers["task"]}


def test_message_has_only_the_job_id(redis_settings: Settings, valkey: Valkey) -> None:
    broker = CeleryBroker(redis_settings)
    broker.send(JobKind.TRAINING, "trn_1", Priority.HIGH)

    with valkey.client() as client:
        keys = {key.decode() for key in client.scan_iter("*")}
        assert "mimeo:training" in keys
        assert all(key.startswith("mimeo:") for key in keys)
        assert client.llen("mimeo:training") == 1
    [message] = received(make_celery(redis_settings, worker_kind=JobKind.TRAINING), 1)
    assert message == {"args": ["trn_1"], "task": "mimeo.training"}


def test_broker_without_redis_raises_nothing(tmp_path: Path) -> None:
    for url in (f"unix://{tmp_path / 'nobody.sock'}", "redis://127.0.0.1:1/0"):
        broker = CeleryBroker(settings_for(url, tmp_path))
        assert not broker.send(JobKind.TRAINING, "trn_1", Priority.NORMAL)
        assert not broker.send(JobKind.TRAINING, "trn_2", Priority.NORMAL)
        assert broker.depth(JobKind.TRAINING) is None
        assert not broker.publish_done("trn_1")
        assert broker.problem() == "Redis does not answer."
        with broker.wait_done("trn_1") as waiter:
            assert not waiter.wait(0.1)


def test_unresponsive_redis_times_out(redis_settings: Settings, valkey: Valkey) -> None:
    broker = CeleryBroker(redis_settings)
    assert broker.send(JobKind.TRAINING, "trn_1", Priority.NORMAL)
    valkey.freeze()
    try:
        assert not broker.send(JobKind.TRAINING, "trn_2", Priority.NORMAL)
    finally:
        valkey.thaw()


def test_broker_recovers_with_redis(redis_settings: Settings, valkey: Valkey) -> None:
    broker = CeleryBroker(redis_settings)
    assert broker.send(JobKind.TRAINING, "trn_1", Priority.NORMAL)
    valkey.kill()
    assert not broker.send(JobKind.TRAINING, "trn_2", Priority.NORMAL)
    valkey.start()

    wait_until(lambda: broker.send(JobKind.TRAINING, "trn_3", Priority.NORMAL))
    assert broker.depth(JobKind.TRAINING) == 1


def test_null_broker_that_is_down_accepts_nothing() -> None:
    broker = NullBroker()
    broker.is_up = False
    assert not broker.send(JobKind.TRAINING, "trn_1", Priority.NORMAL)
    assert not broker.publish_done("trn_1")
    assert (broker.depth(JobKind.TRAINING), broker.sent, broker.problem()) == (None, [], "Redis does not answer.")


def test_null_broker_delivers_notifications_by_priority_and_can_lose_them() -> None:
    broker = NullBroker()
    for job_id, priority in [("a", Priority.LOW), ("b", Priority.HIGH), ("c", Priority.HIGH)]:
        broker.send(JobKind.TRAINING, job_id, priority)
    taken = [broker.take(JobKind.TRAINING), broker.take(JobKind.GENERATION)]
    broker.flush()
    assert [notification and notification.job_id for notification in taken] == ["b", None]
    assert broker.take(JobKind.TRAINING) is None
