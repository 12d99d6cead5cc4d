"""The way of a point from a worker to a stream: a real API process and a real Valkey."""

import threading
import time

import pytest
from pydantic import SecretStr

from client.http import Client
from shared import trainer_protocol
from shared.broker import CeleryBroker, NullBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import serve
from tests.api.worker_hands import WorkerWrites
from tests.servers import Valkey
from worker.attempts.live_reports import PERIOD_S, LivePoints

GOAL_S = 0.5
STEPS = 60


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Messages do not pass through the database."""
    return str(request.param)


@pytest.mark.slow
def test_a_measured_point_reaches_a_stream_within_half_a_second(
    settings: Settings, database: SessionFactory, storage: Storage, valkey: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    live = settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
    worker = WorkerWrites(live, database, storage, NullBroker())
    with serve(live) as server, Client(server.url) as client:
        job = client.train({"model_type": "vae", "dataset": "digits"})
        lease = worker.claim(JobKind.TRAINING)
        seen: dict[int, float] = {}
        is_open = threading.Event()

        def follow() -> None:
            with client.stream(f"/v1/training-jobs/{job['id']}/stream") as events:
                for event in events:
                    is_open.set()
                    if event.name == "metrics" and event.id is None:
                        seen.update({point["step"]: time.monotonic() for point in event.data["points"]})
                    if event.name == "end":
                        return

        thread = threading.Thread(target=follow)
        thread.start()
        assert is_open.wait(10)
        time.sleep(0.5)  # the subscription in Redis
        measured = measure(LivePoints(CeleryBroker(live), lease.job_id))
        worker.publish(lease)
        thread.join(30)
    delays = sorted(seen[step] - at for step, at in measured.items() if step in seen)
    p95 = delays[int(0.95 * len(delays))]
    with capsys.disabled():
        print(f"\nmetric to event: p50 {1000 * delays[len(delays) // 2]:.0f} ms, p95 {1000 * p95:.0f} ms")
    assert len(delays) >= 0.95 * STEPS
    assert p95 < GOAL_S


def measure(points: LivePoints) -> dict[int, float]:
    """Report a point every 30 ms, with the monitor's rhythm of publishing. Returns its moment by step."""
    measured = {}
    for step in range(STEPS):
        points.add(trainer_protocol.Metrics(epoch=1, step=step, values={"loss": 1.0 / (step + 1)}))
        measured[step] = time.monotonic()
        points.publish_when_due()
        time.sleep(0.03)
    time.sleep(PERIOD_S)
    points.publish_when_due()
    return measured


def test_messages_are_dropped_while_redis_is_away(settings: Settings) -> None:
    broker = CeleryBroker(settings)  # its Redis does not exist
    points = LivePoints(broker, "trn_1")
    points.add(trainer_protocol.Metrics(epoch=1, step=1, values={"loss": 1.0}))
    points.publish_when_due()
    points.stored()
