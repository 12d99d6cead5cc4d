"""The device of a training worker, its room for further jobs, and the threads of a job."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.db.session import SessionFactory, transaction
from shared.db.tables import Job
from shared.job_status import JobKind, JobStatus
from shared.services import device_leases, workers
from shared.settings import Settings
from tests import jobs
from tests.worker.attempts.harness import behaving
from worker import host
from worker.attempts.training import run_attempt
from worker.context import WorkerContext
from worker.devices import Device, Usage
from worker.held_device import HeldDevice
from worker.tasks import training
from worker.tasks.claim import claim
from worker.tasks.training import claim_with_room
from worker.worker_heartbeat import WorkerHeartbeat

GPU = Device(id="GPU-a", type="cuda", total_bytes=1000)
SECOND = Device(id="GPU-b", type="cuda", total_bytes=1000)
CPU = Device(id="cpu:here", type="cpu", total_bytes=1)


def worker(context: WorkerContext, number: int = 1, seen: tuple[Device, ...] = (GPU,), **changes: Any) -> HeldDevice:
    """A worker that holds a device, unless none is free."""
    settings = context.settings.model_copy(update={"jobs_per_device": 2, "worker_memory_bytes": 1000, **changes})
    own = replace(context, id=f"wrk_{number}", devices=seen, settings=settings)
    held = HeldDevice(own, WorkerHeartbeat(own))
    held.take()
    return held


def claimed(held: HeldDevice) -> Job | None:
    return claim(held._context, held=held)


def queued(database: SessionFactory, settings: Settings, *sizes: int) -> list[str]:
    """Jobs that need as many bytes of memory."""
    ids = [jobs.submitted(database, settings) for _ in sizes]
    for job_id, size in zip(ids, sizes, strict=True):
        jobs.set_values(database, job_id, memory_bytes=size)
    return ids


def lose(database: SessionFactory, held: HeldDevice) -> None:
    """Give the lease of a worker to another one, as after a long stop."""
    assert held.device is not None
    with transaction(database) as session:
        device_leases.release(session, held._context.id)
        device_leases.take(session, "wrk_thief", [held.device.id], slots=None, settings=held._context.settings)


def test_worker_without_a_free_device_claims_nothing_and_logs_it_once(
    context: WorkerContext, database: SessionFactory, settings: Settings
) -> None:
    [job_id] = queued(database, settings, 1)
    worker(context, jobs_per_device=1)
    with capture_logs() as logged:
        second = worker(context, 2, jobs_per_device=1)
        assert not second.take()
        assert claimed(second) is None

    assert jobs.status_of(database, job_id) is JobStatus.QUEUED
    assert [line["event"] for line in logged] == ["no job is claimed; other workers hold every device"]


def test_worker_that_lost_its_device_takes_another_one(
    context: WorkerContext, database: SessionFactory, settings: Settings
) -> None:
    [job_id] = queued(database, settings, 1)
    held = worker(context, seen=(GPU, SECOND), jobs_per_device=1)
    lose(database, held)

    assert claimed(held) is None
    assert jobs.status_of(database, job_id) is JobStatus.QUEUED
    assert claim_with_room(held._context, held) is not None
    assert held.device == SECOND


def test_worker_that_lost_its_device_waits_for_another_one(
    context: WorkerContext, database: SessionFactory, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(database, settings, 1)
    held = worker(context, jobs_per_device=1)
    lose(database, held)

    def end_the_thief(_timeout: float) -> bool:
        with transaction(database) as session:
            device_leases.release(session, "wrk_thief")
        return False

    monkeypatch.setattr(context.stopping, "wait", end_the_thief)
    assert claim_with_room(held._context, held) is not None
    assert held.device == GPU


@pytest.mark.parametrize("device", [GPU, CPU])
def test_job_is_claimed_only_where_it_fits_beside_the_others(
    context: WorkerContext, database: SessionFactory, settings: Settings, device: Device
) -> None:
    held = [worker(context, number, seen=(device,), jobs_per_device=3) for number in range(3)]
    ids = queued(database, settings, 600, 401, 10)

    assert claimed(held[0]) is not None
    assert (claimed(held[1]), held[1].is_full) == (None, True)  # 1001 bytes of 1000
    assert [jobs.read_job(database, job_id).attempt for job_id in ids] == [1, 0, 0]  # no smaller job overtakes it
    jobs.set_values(database, ids[1], memory_bytes=400)
    assert claimed(held[1]) is not None
    assert (claimed(held[2]), held[2].is_full) == (None, True)


def test_job_that_is_alone_on_its_device_is_always_claimed(
    context: WorkerContext, database: SessionFactory, settings: Settings
) -> None:
    queued(database, settings, 10**9, 10**9)
    assert claimed(worker(context, 1, seen=(GPU,))) is not None
    assert claimed(worker(context, 2, seen=(SECOND,))) is not None


def test_simultaneous_claims_do_not_overfill_a_device(
    context: WorkerContext, database: SessionFactory, settings: Settings
) -> None:
    queued(database, settings, *[300] * 8)
    held = [worker(context, number, jobs_per_device=8) for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(claimed, held))

    assert sum(job is not None for job in found) == 3
    assert sum(each.is_full for each in held) == 5


@pytest.mark.parametrize(
    ("usage", "is_claimed"),
    [
        (Usage(free_bytes=500, utilization=0.5), True),
        (Usage(free_bytes=500, utilization=None), True),
        (None, True),
        (Usage(free_bytes=500, utilization=0.9), False),
        (Usage(free_bytes=99, utilization=0.1), False),
    ],
)
def test_automatic_number_of_jobs_follows_the_measured_use(
    context: WorkerContext, database: SessionFactory, settings: Settings, usage: Usage | None, is_claimed: bool
) -> None:
    context = replace(context, measure=lambda _: usage)
    first, second = (worker(context, number, jobs_per_device="auto") for number in range(2))
    running, _ = queued(database, settings, 100, 100)
    assert claimed(first) is not None
    assert claimed(second) is None  # the measured use does not include the new job yet
    row = jobs.read_job(database, running)
    assert row.claimed_at is not None
    jobs.set_values(database, running, claimed_at=row.claimed_at.replace(year=2020))

    assert (claimed(second) is not None) is is_claimed
    assert second.is_full is not is_claimed


def test_worker_waits_for_room_and_then_claims(
    context: WorkerContext, database: SessionFactory, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (worker(context, number) for number in range(2))
    running, waiting = queued(database, settings, 900, 900)
    assert claimed(first) is not None

    def end_the_first(_timeout: float) -> bool:
        jobs.set_values(database, running, status=JobStatus.SUCCEEDED)
        return False

    monkeypatch.setattr(context.stopping, "wait", end_the_first)
    job = claim_with_room(second._context, second)
    assert job is not None
    assert job.id == waiting


def test_stop_ends_the_wait_for_a_device(context: WorkerContext, worker_heartbeat: WorkerHeartbeat) -> None:
    worker(context, seen=tuple(context.devices), jobs_per_device=1)
    second = replace(context, settings=context.settings.model_copy(update={"jobs_per_device": 1}))
    context.stopping.set()
    with ExitStack() as background, pytest.raises(SystemExit):
        training.prepare(second, worker_heartbeat, background)


def test_first_attempt_records_the_threads_and_later_ones_keep_them(
    context: WorkerContext, database: SessionFactory, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(host, "cores", lambda: 7)
    [job_id] = queued(database, settings, 1)
    held = worker(context, jobs_per_device="auto")
    with transaction(database) as session:
        for number in range(2):
            workers.record_heartbeat(
                session, worker_id=f"wrk_other{number}", kind=JobKind.TRAINING, host="other", pid=1, device="cpu",
                job_id=None, jobs_done=0, examples_per_s=None, machine=context.machine, device_id=CPU.id,
            )  # fmt: skip
    assert claimed(held) is not None
    assert jobs.read_job(database, job_id).threads == 2  # of seven cores for three workers

    jobs.set_values(database, job_id, status=JobStatus.QUEUED)
    monkeypatch.setattr(host, "cores", lambda: 70)
    assert claimed(held) is not None
    assert jobs.read_job(database, job_id).threads == 2


def test_trainer_gets_the_gpu_and_the_threads(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings,
    tmp_path: Path,
) -> None:  # fmt: skip
    queued(database, settings, 1)
    found = tmp_path / "found.json"
    code = (
        "import json, os, sys; spec = json.load(open(sys.argv[1]));"
        f"json.dump([os.environ.get('CUDA_VISIBLE_DEVICES'), spec['threads']], open({str(found)!r}, 'w'))"
    )
    held = worker(context, jobs_per_device=1)
    job = claim_with_room(held._context, held)
    assert job is not None
    own = replace(behaving(context, "train"), trainer=[sys.executable, "-c", code])
    run_attempt(own, job, worker_heartbeat, device=held.device)

    assert json.loads(found.read_text()) == [GPU.id, job.threads]
    assert job.threads is not None
