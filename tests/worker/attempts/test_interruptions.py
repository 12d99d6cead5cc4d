"""Generations that are interrupted, cancelled, timed out, stopped or killed between two blocks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from shared.broker import NullBroker
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Checkpoint, GenerationJob
from shared.job_status import JobStatus
from shared.services import artifacts, job_history, reaping
from shared.services import jobs as job_service
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.waiting import PATIENCE_S, wait_until
from tests.worker.attempts.harness import event_types, generate_next, workdirs
from worker.context import WorkerContext
from worker.generation.engine import GenerationEngine
from worker.worker_heartbeat import WorkerHeartbeat

pytestmark = pytest.mark.slow_on_postgresql

LONG, OTHER = 1, 2  # seeds, by which the engine below recognises jobs
Pause = Callable[[], None]


class Scripted(GenerationEngine):
    """An engine that runs a step once, after the first block of the generation with a given seed."""

    def __init__(self, context: WorkerContext) -> None:
        super().__init__(context.settings, context.storage)
        self.steps: dict[int, Callable[[Pause], None]] = {}

    def generate(self, *arguments: Any, **options: Any) -> Any:
        seed, between_blocks = arguments[2], options["between_blocks"]

        def paused(texts: Sequence[str] = (), /) -> None:
            if seed in self.steps:
                self.steps.pop(seed)(between_blocks)
            between_blocks(texts)

        return super().generate(*arguments, **options | {"between_blocks": paused})


@pytest.fixture
def scripted(generating: WorkerContext) -> Scripted:
    return Scripted(generating)


class Submit:
    """Submits generations from the checkpoint: long ones of three blocks, and quick ones."""

    def __init__(self, database: SessionFactory, settings: Settings, model: str) -> None:
        self._database, self._settings, self._model = database, settings, model

    def long(self, seed: int = LONG, **body: Any) -> str:
        job_id = self.quick(seed, sampling={"n": 1200}, format="npy", **body)
        jobs.set_values(self._database, job_id, is_quick=False)
        return job_id

    def quick(self, seed: int = OTHER, **body: Any) -> str:
        return jobs.generated(self._database, self._settings, **{"model": self._model, "seed": seed, **body})


@pytest.fixture
def submit(database: SessionFactory, settings: Settings, checkpoint: Checkpoint) -> Submit:
    return Submit(database, settings, checkpoint.id)


def run_next(context: WorkerContext, scripted: Scripted) -> None:
    assert generate_next(context, WorkerHeartbeat(context), scripted)


def until(pause: Pause, condition: Callable[[], bool]) -> None:
    """Compute one block after another until the condition is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        pause()
        time.sleep(0.01)


def for_s(pause: Pause, seconds: float) -> None:
    ends = time.monotonic() + seconds
    until(pause, lambda: time.monotonic() > ends)


def digests(database: SessionFactory, job_id: str) -> list[str]:
    with reading(database) as session:
        return [file.sha256 for file in artifacts.list_for_job(session, job_id)[0]]


@pytest.mark.parametrize("urgent", [{"priority": "high", "sampling": {"n": 1200}}, {}], ids=["high", "quick"])
def test_urgent_job_runs_between_two_blocks_and_changes_no_byte(
    generating: WorkerContext, scripted: Scripted, submit: Submit, database: SessionFactory, urgent: dict[str, Any]
) -> None:
    alone = submit.long()
    run_next(generating, scripted)
    interrupted = submit.long()
    others: list[str] = []

    def step(pause: Pause) -> None:
        others.append(submit.quick(**urgent))
        until(pause, lambda: jobs.status_of(database, others[0]).is_terminal)
        assert jobs.status_of(database, interrupted) is JobStatus.RUNNING

    scripted.steps[LONG] = step
    run_next(generating, scripted)

    assert jobs.status_of(database, others[0]) is JobStatus.SUCCEEDED
    assert jobs.status_of(database, interrupted) is JobStatus.SUCCEEDED
    assert digests(database, interrupted) == digests(database, alone) != []
    assert workdirs(generating) == []


@pytest.mark.parametrize("other", [{}, {"priority": "low"}], ids=["equal", "low"])
def test_long_job_of_equal_and_quick_job_of_lower_priority_wait(
    generating: WorkerContext, scripted: Scripted, submit: Submit, database: SessionFactory, other: dict[str, Any]
) -> None:
    running = submit.long()
    waiting: list[str] = []

    def step(pause: Pause) -> None:
        waiting.append(submit.quick(**other) if other else submit.long(OTHER))
        for_s(pause, 1.0)
        assert jobs.status_of(database, waiting[0]) is JobStatus.QUEUED

    scripted.steps[LONG] = step
    run_next(generating, scripted)

    assert jobs.status_of(database, running) is JobStatus.SUCCEEDED
    run_next(generating, scripted)
    assert jobs.status_of(database, waiting[0]) is JobStatus.SUCCEEDED


def test_urgent_job_without_room_in_memory_waits(
    generating: WorkerContext, scripted: Scripted, submit: Submit, database: SessionFactory
) -> None:
    submit.long()
    waiting: list[str] = []

    def step(pause: Pause) -> None:
        waiting.append(submit.quick(priority="high"))
        jobs.set_values(database, waiting[0], memory_bytes=1 << 50)
        for_s(pause, 1.0)
        assert jobs.status_of(database, waiting[0]) is JobStatus.QUEUED

    scripted.steps[LONG] = step
    run_next(generating, scripted)
    assert jobs.status_of(database, waiting[0]) is JobStatus.QUEUED


def test_quick_jobs_of_equal_priority_get_at_most_about_half_of_the_time(
    generating: WorkerContext, scripted: Scripted, submit: Submit, database: SessionFactory
) -> None:
    submit.long()
    quick: list[str] = []

    def step(pause: Pause) -> None:
        def slow(_: Pause) -> None:
            time.sleep(0.4)

        for seed in range(OTHER, OTHER + 6):
            scripted.steps[seed] = slow
            quick.append(submit.quick(seed, sampling={"n": 501}))
        computed, began = 0.0, time.monotonic()
        while not all(jobs.status_of(database, job_id).is_terminal for job_id in quick):
            block = time.monotonic()
            time.sleep(0.05)
            computed += time.monotonic() - block
            pause()
        assert computed >= (time.monotonic() - began) / 4

    scripted.steps[LONG] = step
    run_next(generating, scripted)
    assert quick


def test_cancel_during_a_block_ends_the_generation_and_keeps_the_model(
    generating: WorkerContext, scripted: Scripted, submit: Submit, database: SessionFactory, broker: NullBroker
) -> None:
    job_id = submit.long()

    def step(pause: Pause) -> None:
        jobs.cancel(database, job_id)
        for_s(pause, PATIENCE_S)

    scripted.steps[LONG] = step
    run_next(generating, scripted)

    assert event_types(database, job_id) == ["queued", "running", "cancelling", "cancelled"]
    assert (job_id in broker.done, workdirs(generating), digests(database, job_id)) == (True, [], [])
    assert len(scripted._models) == 1
    with transaction(database) as session:
        job_service.delete(session, GenerationJob, job_id)


def test_timeout_during_a_block_fails_the_job_and_keeps_the_model(
    generating: WorkerContext, scripted: Scripted, submit: Submit, database: SessionFactory
) -> None:
    job_id = submit.long(timeout_s=1)
    scripted.steps[LONG] = lambda pause: for_s(pause, PATIENCE_S)

    run_next(generating, scripted)

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt, job.error and job.error["code"]) == (JobStatus.FAILED, 1, "timeout")
    assert (workdirs(generating), len(scripted._models)) == ([], 1)


def test_time_of_interruptions_does_not_count_towards_the_timeout(
    generating: WorkerContext, scripted: Scripted, submit: Submit, database: SessionFactory
) -> None:
    job_id = submit.long(timeout_s=2)

    def step(pause: Pause) -> None:
        scripted.steps[OTHER] = lambda _: time.sleep(2.5)
        other = submit.long(OTHER, priority="high")
        until(pause, lambda: jobs.status_of(database, other).is_terminal)

    scripted.steps[LONG] = step
    run_next(generating, scripted)

    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED


def test_cancel_of_an_interrupted_job_does_not_wait_for_the_running_one(
    generating: WorkerContext, scripted: Scripted, submit: Submit, database: SessionFactory
) -> None:
    interrupted = submit.long()
    others: list[str] = []

    def other_step(_: Pause) -> None:
        jobs.cancel(database, interrupted)
        wait_until(lambda: jobs.status_of(database, interrupted) is JobStatus.CANCELLED)

    def step(pause: Pause) -> None:
        others.append(submit.long(OTHER, priority="high"))
        for_s(pause, PATIENCE_S)

    scripted.steps |= {LONG: step, OTHER: other_step}
    run_next(generating, scripted)

    assert jobs.status_of(database, others[0]) is JobStatus.SUCCEEDED
    assert event_types(database, interrupted) == ["queued", "running", "cancelling", "cancelled"]
    assert digests(database, interrupted) == []


@pytest.mark.parametrize("lost", [LONG, OTHER], ids=["interrupted", "running"])
def test_lost_lease_of_one_job_does_not_end_the_other(
    generating: WorkerContext, scripted: Scripted, submit: Submit, database: SessionFactory, lost: int
) -> None:
    ids = {LONG: submit.long()}

    def other_step(pause: Pause) -> None:
        jobs.set_values(database, ids[lost], fencing_token=9)
        for_s(pause, 1.5 if lost == LONG else PATIENCE_S)

    def step(pause: Pause) -> None:
        ids[OTHER] = submit.long(OTHER, priority="high")
        until(pause, lambda: OTHER not in scripted.steps)

    scripted.steps |= {LONG: step, OTHER: other_step}
    run_next(generating, scripted)

    [kept] = {LONG, OTHER} - {lost}
    assert jobs.status_of(database, ids[kept]) is JobStatus.SUCCEEDED
    assert (jobs.status_of(database, ids[lost]), digests(database, ids[lost])) == (JobStatus.RUNNING, [])


def test_stopping_worker_gives_back_both_jobs_without_an_attempt(
    generating: WorkerContext, submit: Submit, database: SessionFactory
) -> None:
    context = replace(generating, settings=generating.settings.model_copy(update={"stop_grace_s": 0.3}))
    scripted = Scripted(context)
    ids = [submit.long()]

    def other_step(pause: Pause) -> None:
        context.stopping.set()
        for_s(pause, PATIENCE_S)

    def step(pause: Pause) -> None:
        ids.append(submit.long(OTHER, priority="high"))
        for_s(pause, PATIENCE_S)

    scripted.steps |= {LONG: step, OTHER: other_step}
    run_next(context, scripted)

    for job_id in ids:
        job = jobs.read_job(database, job_id)
        assert (job.status, job.attempt, event_types(database, job_id)[-1]) == (JobStatus.QUEUED, 0, "released")


def test_model_of_an_interrupted_generation_may_leave_the_cache(
    generating: WorkerContext, submit: Submit, database: SessionFactory, storage: Storage
) -> None:
    context = replace(generating, settings=generating.settings.model_copy(update={"generation_cache_bytes": 1}))
    scripted = Scripted(context)
    job_id = submit.long()

    def step(pause: Pause) -> None:
        other = submit.quick()
        until(pause, lambda: jobs.status_of(database, other).is_terminal)

    scripted.steps[LONG] = step
    run_next(context, scripted)

    assert (jobs.status_of(database, job_id), len(scripted._models)) == (JobStatus.SUCCEEDED, 0)


@contextmanager
def two_open(
    settings: Settings, submit: Submit, database: SessionFactory, **running: Any
) -> "Iterator[tuple[subprocess.Popen[bytes], str, str]]":
    """A worker process with an interrupted generation, and a running one that never ends its block; their ids."""
    environment = {
        **os.environ,
        "MIMEO_HOME": str(settings.home),
        "MIMEO_DATABASE_URL": settings.resolved_database_url,
        "MIMEO_REDIS_URL": settings.resolved_redis_url,
        "MIMEO_STOP_GRACE_S": "0.5",
        "MIMEO_BLOCK_TIMEOUT_S": "0.5",
        "MIMEO_LEASE_S": str(settings.lease_s),
        "MIMEO_HEARTBEAT_S": str(settings.heartbeat_s),
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.worker.attempts.endless", "2"], env=environment)
    try:
        ids = []
        for seed, body in ((LONG, {"priority": "low"}), (OTHER, running)):
            ids.append(submit.long(seed, **body))
            wait_until(lambda: jobs.status_of(database, ids[-1]) is JobStatus.RUNNING)
        yield process, ids[0], ids[1]
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_block_that_never_ends_ends_the_worker_and_releases_the_interrupted_job(
    generating: WorkerContext, submit: Submit, database: SessionFactory
) -> None:
    with two_open(generating.settings, submit, database, timeout_s=2) as (worker, interrupted, stuck):
        assert worker.wait(PATIENCE_S) == 75

    job, other = jobs.read_job(database, stuck), jobs.read_job(database, interrupted)
    assert (job.status, job.error and job.error["code"]) == (JobStatus.FAILED, "timeout")
    assert (other.status, other.attempt, event_types(database, interrupted)[-1]) == (JobStatus.QUEUED, 0, "released")


@pytest.mark.slow
def test_stop_during_a_block_that_never_ends_releases_both_jobs(
    generating: WorkerContext, submit: Submit, database: SessionFactory
) -> None:
    with two_open(generating.settings, submit, database) as (worker, *ids):
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_S) == 0

    for job_id in ids:
        job = jobs.read_job(database, job_id)
        assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)


@pytest.mark.slow
def test_both_jobs_of_a_killed_worker_are_reaped_once(
    generating: WorkerContext, submit: Submit, database: SessionFactory
) -> None:
    with two_open(generating.settings, submit, database, max_attempts=2) as (worker, *ids):
        worker.kill()
        worker.wait()

    reaped: list[str] = []

    def all_reaped() -> bool:
        with transaction(database) as session:
            reaped.extend(reaping.reap_expired(session, generating.settings))
        return len(reaped) >= 2

    wait_until(all_reaped)
    time.sleep(0.2)
    all_reaped()
    assert sorted(reaped) == sorted(ids)
    for job_id in ids:
        assert jobs.read_job(database, job_id).attempt == 1
        with reading(database) as session:
            types = [event.type for event in job_history.list_for_job(session, job_id)[0]]
        assert types == ["queued", "running", "reaped"]
