"""Workers and trainers that are killed, suspended or stopped."""

import os
import random
import signal
import time
from pathlib import Path

from sqlalchemy import text

from shared.job_status import JobStatus
from tests.chaos.processes import is_running
from tests.chaos.rig import STEPS, Rig
from tests.waiting import wait_until


def test_worker_killed_before_its_claim(rig: Rig, chance: random.Random) -> None:
    # Given: a worker that has received the notification, and cannot claim because the database is locked
    rig.reconciler()
    worker = rig.worker()
    wait_until(lambda: worker.has_logged("ready."))
    job_id = rig.submit(notifies=False)
    with rig.engine.connect() as blocking:
        is_postgresql = rig.engine.dialect.name == "postgresql"  # the next statement takes SQLite's lock
        blocking.execute(text("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE" if is_postgresql else "SELECT 1"))
        rig.notify(job_id)
        wait_until(lambda: worker.has_logged("notification received"))
        time.sleep(chance.uniform(0, 0.2))
        worker.kill()
    assert rig.read_job(job_id).attempt == 0

    rig.worker()
    rig.end()

    assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 1)


def test_worker_killed_mid_epoch(rig: Rig, chance: random.Random) -> None:
    rig.reconciler()
    rig.worker()
    rig.worker()
    job_id = rig.submit()
    rig.reaches(job_id, chance.randint(1, 20))
    time.sleep(chance.uniform(0, 0.1))

    rig.holder(job_id).kill()
    rig.end()

    assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 2)
    assert "reaped" in rig.events(job_id)


def test_worker_killed_during_a_checkpoint(rig: Rig, chance: random.Random) -> None:
    # Given: checkpoints that take as long to write as the steps between them
    rig.reconciler()
    rig.trainer.update(save_s=0.4, every=2)
    rig.worker()
    rig.worker()
    where = chance.choice([rig.settings.runs_path, rig.settings.home_path / "storage"])

    # When: the worker is killed during the write, into the workdir or into the storage
    job_id = caught_writing(rig, where, chance)
    rig.end()

    assert rig.status(job_id) is JobStatus.SUCCEEDED


def caught_writing(rig: Rig, where: Path, chance: random.Random) -> str:
    """Kill a job's worker while an unfinished file of it exists; a copy takes milliseconds."""
    for _ in range(40):  # on a busy machine this thread may miss the moment
        job_id = rig.submit(20)
        rig.reaches(job_id, chance.randint(1, 10))
        holder = rig.holder(job_id)
        while not rig.status(job_id).is_terminal:
            if any(has_unfinished_file(where) for _ in range(200)):
                holder.kill()
                return job_id
    raise AssertionError("no checkpoint was seen being written")


def has_unfinished_file(where: Path) -> bool:
    """Whether a hidden file or folder of that kind exists at the moment."""
    return any(name.startswith(".tmp-") for _, folders, files in os.walk(where) for name in (*folders, *files))


def test_trainer_killed_alone(rig: Rig, chance: random.Random) -> None:
    rig.reconciler()
    worker, job_id = rig.worker(), rig.submit()
    rig.reaches(job_id, chance.randint(1, 20))
    trainer = worker.trainer()
    assert trainer is not None

    os.kill(trainer, signal.SIGKILL)
    rig.end()

    assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 2)
    assert worker.is_alive
    assert rig.events(job_id).count("retrying") == 1


def test_trainer_ends_with_a_killed_supervisor(rig: Rig, chance: random.Random) -> None:
    rig.reconciler()
    worker, job_id = rig.worker(), rig.submit()
    rig.reaches(job_id, chance.randint(1, 20))
    trainer = worker.trainer()
    assert trainer is not None

    worker.kill()

    wait_until(lambda: not is_running(trainer))


def test_writes_of_a_worker_suspended_past_its_lease_are_rejected(rig: Rig, chance: random.Random) -> None:
    # Given: a worker that was suspended during its job, and the job claimed by another worker
    rig.reconciler()
    worker, job_id = rig.worker(), rig.submit()
    rig.reaches(job_id, chance.randint(1, 20))
    worker.freeze()
    second = rig.worker(step_s=0.5)
    wait_until(lambda: rig.read_job(job_id).fencing_token == 2)

    # When: it continues, while the other works or after the other has finished
    is_late = chance.random() < 0.3
    if is_late:
        rig.end()
    worker.thaw()

    # Then: it writes no more, kills its trainer at once, and can run the next job
    wait_until(lambda: worker.has_logged("lease lost"))
    wait_until(lambda: worker.trainer() is None)
    assert is_late or rig.status(job_id) is JobStatus.RUNNING
    rig.end()
    assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 2)
    second.stop()
    rig.end(rig.submit(5))
    assert worker.is_alive


def test_stopping_worker_releases_its_job_without_using_an_attempt(patient_rig: Rig, chance: random.Random) -> None:
    patient_rig.reconciler()
    worker, job_id = patient_rig.worker(), patient_rig.submit(2 * STEPS, max_attempts=1)
    patient_rig.reaches(job_id, chance.randint(1, 20))

    assert worker.stop() == 0

    assert (patient_rig.status(job_id), patient_rig.read_job(job_id).attempt) == (JobStatus.QUEUED, 0)
    reached = patient_rig.step(job_id)
    patient_rig.worker()
    patient_rig.end()
    assert (patient_rig.status(job_id), patient_rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 1)
    assert patient_rig.events(job_id).count("released") == 1
    assert patient_rig.starts(job_id) == [0, reached]  # no step was repeated


def test_worker_stops_while_redis_is_down(patient_rig: Rig, chance: random.Random) -> None:
    patient_rig.reconciler()
    # Long enough that it still runs when the worker stops, also on a busy machine.
    worker, job_id = patient_rig.worker(), patient_rig.submit(4 * STEPS, max_attempts=1)
    patient_rig.reaches(job_id, chance.randint(1, 10))
    patient_rig.valkey.kill()
    time.sleep(chance.uniform(0, 2))

    worker.signal(signal.SIGTERM)

    wait_until(lambda: not worker.is_alive)
    assert (patient_rig.status(job_id), patient_rig.read_job(job_id).attempt) == (JobStatus.QUEUED, 0)
    patient_rig.valkey.start()
    patient_rig.worker()
    patient_rig.end()


def test_poison_job_fails_after_its_attempts_and_the_others_succeed(rig: Rig, chance: random.Random) -> None:
    # Given: a job whose trainer kills its worker each time, among others, and a supervisor that restarts workers
    rig.reconciler()
    at = chance.randint(1, 5)
    rig.keep(rig.worker(act="kill_worker", at=at, only_seed=666, step_s=0.02))
    others = [rig.submit(5), rig.submit(5)]
    poison = rig.submit(10, seed=666, max_attempts=2)
    others.append(rig.submit(5))

    rig.end()

    job = rig.read_job(poison)
    assert (job.status, job.attempt, job.error and job.error["code"]) == (JobStatus.FAILED, 2, "worker_lost")
    assert [rig.status(job_id) for job_id in others] == [JobStatus.SUCCEEDED] * 3
