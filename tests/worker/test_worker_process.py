"""Whole worker processes: Celery, a real Valkey, a real child process. The trainer has no model, so they are quick."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.broker import CeleryBroker
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Worker
from shared.job_status import JobKind, JobStatus, Priority
from shared.services import placements, workers
from shared.settings import Settings
from tests import jobs
from tests.servers import Valkey
from tests.waiting import PATIENCE_S, wait_until
from tests.worker.attempts.harness import event_types, has_checkpoint, history
from worker.reconciler import Reconciler

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """One database is enough: the differences between them are tested at lower levels."""
    return str(request.param)


@pytest.fixture
def redis_settings(settings: Settings, valkey: Valkey) -> Settings:
    return settings.model_copy(update={"redis_url": SecretStr(valkey.url)})


@pytest.fixture
def notifications(redis_settings: Settings) -> CeleryBroker:
    return CeleryBroker(redis_settings)


@pytest.fixture
def start_worker(redis_settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts worker processes, and kills the remaining ones at the end."""
    started: list[subprocess.Popen[bytes]] = []
    environment = dict(os.environ)
    for name in ("home", "lease_s", "heartbeat_s", "control_poll_s", "stop_grace_s", "backoff_s"):
        environment[f"MIMEO_{name.upper()}"] = str(getattr(redis_settings, name))
    environment["MIMEO_REDIS_URL"] = redis_settings.resolved_redis_url
    environment["MIMEO_DATABASE_URL"] = redis_settings.resolved_database_url

    def start(behaviour: str, *, labels: str = "") -> subprocess.Popen[bytes]:
        log = (tmp_path / f"worker-{len(started)}.log").open("wb")
        command = [sys.executable, "-m", "tests.worker.worker_process", behaviour]
        started.append(
            subprocess.Popen(command, env={**environment, "MIMEO_WORKER_LABELS": labels}, stdout=log, stderr=log)
        )
        log.close()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def submit(database: SessionFactory, settings: Settings, notifications: CeleryBroker, **body: object) -> str:
    job_id = jobs.submitted(database, settings, **body)
    assert notifications.send(JobKind.TRAINING, job_id, Priority.NORMAL)
    return job_id


def ended(database: SessionFactory, *job_ids: str) -> Callable[[], bool]:
    return lambda: all(jobs.status_of(database, job_id).is_terminal for job_id in job_ids)


@pytest.mark.parametrize("module", [["worker", "training"], ["worker", "generation"], ["worker.reconciler"]])
def test_invalid_settings_are_one_line_and_status_2(module: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "MIMEO_HOME": str(tmp_path), "MIMEO_DATABASE_URL": "mysql://somewhere/db"}
    command = [sys.executable, "-m", *module]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("mimeo: MIMEO_DATABASE_URL names mysql")


def test_notified_worker_runs_job_after_job(
    database: SessionFactory, redis_settings: Settings, notifications: CeleryBroker, start_worker: Start
) -> None:
    ids = [submit(database, redis_settings, notifications) for _ in range(3)]
    start_worker("train")

    wait_until(ended(database, *ids))

    assert [jobs.status_of(database, job_id) for job_id in ids] == [JobStatus.SUCCEEDED] * 3
    with reading(database) as session:
        [worker] = workers.list_alive(session, redis_settings)
    assert (worker.kind, worker.device) == ("training", "cpu")


@pytest.mark.slow
def test_jobs_run_on_the_workers_that_have_their_labels(
    database: SessionFactory, redis_settings: Settings, notifications: CeleryBroker, start_worker: Start
) -> None:
    labelled = start_worker("train", labels="a100,large")
    start_worker("train")
    wait_until(lambda: len(alive(database, redis_settings)) == 2)
    reconciler = Reconciler(redis_settings, database, notifications)

    a100 = [submit(database, redis_settings, notifications, requires=["a100"]) for _ in range(2)]
    plain = [submit(database, redis_settings, notifications) for _ in range(2)]
    rare = submit(database, redis_settings, notifications, requires=["rare"])

    wait_until(after_a_round(reconciler, ended(database, *a100, *plain)))
    assert {claimed_by(database, job_id) for job_id in a100} == {f"wrk_{labelled.pid}"}
    job = jobs.read_job(database, rare)
    with reading(database) as session:
        assert placements.waiting_for(session, [job], redis_settings) == {rare: "able_worker"}
    late = start_worker("train", labels="rare")
    wait_until(after_a_round(reconciler, ended(database, rare)))
    assert claimed_by(database, rare) == f"wrk_{late.pid}"


def alive(database: SessionFactory, settings: Settings) -> list[Worker]:
    with reading(database) as session:
        return workers.list_alive(session, settings)


def claimed_by(database: SessionFactory, job_id: str) -> str:
    [event] = [event for event in history(database, job_id) if event.type == "running"]
    return str(event.data["worker"])


@pytest.mark.slow
def test_repeated_and_late_notifications_have_no_effect(
    database: SessionFactory, redis_settings: Settings, notifications: CeleryBroker, start_worker: Start
) -> None:
    job_id = submit(database, redis_settings, notifications)
    for _ in range(10):
        notifications.send(JobKind.TRAINING, job_id, Priority.NORMAL)
    start_worker("train")
    start_worker("train")

    wait_until(lambda: notifications.depth(JobKind.TRAINING) == 0 and ended(database, job_id)())
    notifications.send(JobKind.TRAINING, "trn_" + "0" * 26, Priority.NORMAL)
    wait_until(lambda: notifications.depth(JobKind.TRAINING) == 0)

    assert jobs.read_job(database, job_id).attempt == 1
    assert event_types(database, job_id).count("running") == 1


def test_sigterm_releases_the_job_and_another_worker_finishes_it(
    database: SessionFactory, redis_settings: Settings, notifications: CeleryBroker, start_worker: Start
) -> None:
    job_id = submit(database, redis_settings, notifications, max_attempts=1)
    first = start_worker("work")
    wait_until(lambda: has_checkpoint(database, job_id))

    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE_S) == 0

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
    with reading(database) as session:
        assert workers.list_alive(session, redis_settings) == []
    start_worker("train")
    Reconciler(redis_settings, database, notifications).round()
    wait_until(ended(database, job_id))
    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED


@pytest.mark.slow
def test_trainer_ends_with_a_killed_worker_and_another_worker_finishes_the_job(
    database: SessionFactory, redis_settings: Settings, notifications: CeleryBroker, start_worker: Start
) -> None:
    job_id = submit(database, redis_settings, notifications)
    first = start_worker("family")
    wait_until(lambda: has_checkpoint(database, job_id))
    trainer = trainer_of(first.pid)

    first.kill()
    first.wait()
    wait_until(lambda: not Path(f"/proc/{trainer}").exists() or is_zombie(trainer))

    second = start_worker("train")
    reconciler = Reconciler(redis_settings, database, notifications)
    wait_until(after_a_round(reconciler, ended(database, job_id)))
    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt, second.poll()) == (JobStatus.SUCCEEDED, 2, None)
    assert "reaped" in event_types(database, job_id)
    # The second worker removes its own folder and that of the first.
    wait_until(lambda: list(redis_settings.runs_path.glob("trn_*")) == [])


def after_a_round(reconciler: Reconciler, condition: Callable[[], bool]) -> Callable[[], bool]:
    """A condition that is checked after one round of the reconciler."""

    def checked() -> bool:
        reconciler.round()
        return condition()

    return checked


def trainer_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return next(int(child) for file in children for child in file.read_text().split())


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.mark.slow
def test_worker_reconnects_after_a_restart_of_redis(
    database: SessionFactory, redis_settings: Settings, notifications: CeleryBroker, start_worker: Start, valkey: Valkey
) -> None:
    # Given: a job that runs while Redis is stopped
    running = submit(database, redis_settings, notifications)
    start_worker("work")
    wait_until(lambda: has_checkpoint(database, running))
    valkey.kill()
    waiting = jobs.submitted(database, redis_settings)
    time.sleep(1)
    assert jobs.status_of(database, running) is JobStatus.RUNNING

    # When: Redis returns empty, and the running job ends
    valkey.start()
    with transaction(database):
        pass
    jobs.cancel(database, running)
    wait_until(ended(database, running))
    reconciler = Reconciler(redis_settings, database, notifications)

    # Then: the reconciler's notification reaches the worker
    wait_until(after_a_round(reconciler, lambda: jobs.status_of(database, waiting) is JobStatus.RUNNING))
