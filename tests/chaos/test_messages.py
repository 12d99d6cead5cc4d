"""Notifications that are repeated, late or not received."""

import random
import signal

import pytest

from shared.job_status import QUEUED_KINDS, JobKind, JobStatus, Priority
from tests.bad_messages import BAD_MESSAGES, push, valid_envelope
from tests.chaos.rig import MakeRig, Rig
from tests.waiting import wait_until


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """These faults expire no lease, also on a busy machine."""
    return make_rig(lease_s=60.0)


def test_same_message_ten_times(rig: Rig, chance: random.Random) -> None:
    rig.worker()
    rig.worker()
    job_id = rig.submit(chance.randint(1, 10))
    for _ in range(9):
        rig.notify(job_id)

    rig.end()
    wait_until(lambda: rig.broker.depth(JobKind.TRAINING) == 0)

    assert (rig.status(job_id), rig.read_job(job_id).fencing_token) == (JobStatus.SUCCEEDED, 1)


def test_old_messages(rig: Rig, chance: random.Random) -> None:
    # Given: notifications of an ended job, a running job and a job that never existed
    rig.worker()
    rig.worker()
    ended = rig.submit(1)
    rig.end()
    running = rig.submit(20)
    rig.reaches(running, chance.randint(1, 10))
    old = [ended, running, "trn_" + "0" * 26]
    chance.shuffle(old)

    for job_id in old:
        rig.broker.send(JobKind.TRAINING, job_id, Priority.HIGH)
    wait_until(lambda: rig.broker.depth(JobKind.TRAINING) == 0)
    rig.end()

    assert [rig.read_job(job_id).fencing_token for job_id in (ended, running)] == [1, 1]


def test_worker_with_a_stalled_consumer_restarts_itself(make_rig: MakeRig, chance: random.Random) -> None:
    rig = make_rig(consumer_stall_s=6.0, lease_s=60.0)
    rig.reconciler()
    worker = rig.worker()
    rig.end(rig.submit(1))

    worker.signal(signal.SIGUSR2)  # alive, connected and idle, but without a consumer
    wait_until(lambda: worker.has_logged("consumer stopped"))
    # The worker's last blocking read has to end, or the worker receives the first notification.
    with rig.valkey.client() as client:
        wait_until(lambda: client.info("clients")["blocked_clients"] == 0)
    ids = [rig.submit(3) for _ in range(chance.randint(1, 4))]
    wait_until(lambda: not worker.is_alive)
    assert worker.popen.returncode == 75
    assert worker.has_logged("ending this worker")
    worker.start()
    rig.end()

    assert [rig.read_job(job_id).attempt for job_id in ids] == [1] * len(ids)


@pytest.mark.parametrize("kind", QUEUED_KINDS)
def test_bad_messages_are_dropped_and_the_next_job_runs(rig: Rig, chance: random.Random, kind: JobKind) -> None:
    # Given: a worker, with bad messages before its start and while it is idle
    names = list(BAD_MESSAGES)
    chance.shuffle(names)
    early = chance.randint(1, 9)
    for name in names[:early]:
        push(rig.valkey, kind, BAD_MESSAGES[name](valid_envelope(kind)))
    worker = rig.worker() if kind is JobKind.TRAINING else rig.real_worker(kind)
    pid = worker.pid
    for name in names[early:]:
        push(rig.valkey, kind, BAD_MESSAGES[name](valid_envelope(kind)))

    # Then: each is counted, none is left or kept for a second delivery, and the same process takes the next message
    wait_until(lambda: rig.broker.count_dropped(kind) == len(names))
    if kind is JobKind.TRAINING:
        job_id = rig.submit(1)
        rig.end()
        assert rig.read_job(job_id).attempt == 1
    else:
        rig.broker.send(kind, "gen_" + "0" * 26, Priority.NORMAL)
        wait_until(lambda: worker.has_logged("notification received"))
    assert (worker.is_alive, worker.pid, rig.broker.depth(kind)) == (True, pid, 0)
    with rig.valkey.client() as client:
        assert client.keys("*unacked*") == []
    text = worker.log.read_text()
    assert text.count("message dropped") == len(names)
    assert "Traceback" not in text
    assert "\x1b" not in text.replace("\\x1b", "")
    assert max(len(line) for line in text.splitlines() if "message dropped" in line) < 2_000


def test_worker_survives_a_list_of_another_type(rig: Rig) -> None:
    worker = rig.worker()
    rig.end(rig.submit(1))
    with rig.valkey.client() as client:
        client.set("mimeo:training", "hi")
        wait_until(lambda: worker.has_logged("WRONGTYPE"))
        client.delete("mimeo:training")

    job_id = rig.submit(1)
    rig.end()

    assert (worker.is_alive, rig.read_job(job_id).attempt) == (True, 1)
