"""What a worker does with a notification of a job that only another worker can run."""

from dataclasses import replace

import pytest

from shared.broker import NullBroker
from shared.db.session import SessionFactory, reading
from shared.db.tables import Worker
from shared.settings import Settings
from tests import jobs
from tests.heartbeats import beat
from worker.context import WorkerContext
from worker.devices import Device
from worker.tasks.claim import claim
from worker.tasks.notification_relay import NotificationRelay
from worker.worker_heartbeat import WorkerHeartbeat


@pytest.fixture
def on_cpu(context: WorkerContext) -> WorkerContext:
    return replace(context, devices=[Device(id="cpu:here", type="cpu", total_bytes=1 << 30)])


def gpu_is_alive(database: SessionFactory) -> None:
    beat(database, "wrk_gpu", "cuda")


def test_notification_is_passed_on_where_an_idle_worker_can_run_the_job(
    on_cpu: WorkerContext, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    job_id = jobs.submitted(database, settings, device="cuda")
    relay = NotificationRelay(on_cpu)
    assert claim(on_cpu) is None
    relay.pass_on()
    assert broker.sent == []

    gpu_is_alive(database)
    relay.pass_on()
    relay.pass_on()
    assert [each.job_id for each in broker.sent] == [job_id, job_id]
    jobs.set_values(database, job_id, status="running", worker="wrk_gpu")
    NotificationRelay(on_cpu).pass_on()
    assert len(broker.sent) == 2, "the job is claimed"


def test_stopping_worker_passes_nothing_on(
    on_cpu: WorkerContext, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    jobs.submitted(database, settings, device="cuda")
    gpu_is_alive(database)
    on_cpu.stopping.set()
    NotificationRelay(on_cpu).pass_on()
    assert broker.sent == []


def test_relay_is_needed_once_a_job_has_a_placement(
    on_cpu: WorkerContext, database: SessionFactory, settings: Settings
) -> None:
    relay = NotificationRelay(on_cpu)
    jobs.submitted(database, settings, device="cpu")
    assert not relay.is_needed()
    jobs.submitted(database, settings, requires=["a100"])
    assert relay.is_needed()


def test_worker_with_the_labels_claims_the_job_and_shows_them(
    context: WorkerContext, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, requires=["a100"])
    assert claim(context) is None
    labelled = replace(context, settings=settings.model_copy(update={"worker_labels": ("a100", "large")}))
    with WorkerHeartbeat(labelled) as heartbeat:
        heartbeat._write()
        with reading(database) as session:
            assert session.get_one(Worker, context.id).labels == "a100,large"
    job = claim(labelled)
    assert job is not None
    assert job.id == job_id
