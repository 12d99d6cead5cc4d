"""Redis stops, loses its data, or hangs. It holds notifications only: no accepted job may depend on it."""

import random
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from shared.job_status import JobKind, JobStatus
from tests import servers
from tests.chaos.network import Proxy
from tests.chaos.rig import MakeRig, Rig
from tests.waiting import wait_until


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """These faults expire no lease, also on a busy machine."""
    return make_rig(lease_s=60.0)


def test_redis_killed_with_queued_notifications(rig: Rig, chance: random.Random) -> None:
    waiting = [rig.submit(5) for _ in range(chance.randint(2, 6))]
    assert rig.broker.depth(JobKind.TRAINING) == len(waiting)

    rig.valkey.kill()
    rig.reconciler()
    rig.worker()
    time.sleep(chance.uniform(0, 1))
    rig.valkey.start()
    rig.end()

    assert all(rig.read_job(job_id).attempt == 1 for job_id in waiting)


def test_redis_flushed(rig: Rig, chance: random.Random) -> None:
    rig.reconciler()
    worker = rig.worker()
    running = rig.submit()
    rig.reaches(running, 1)
    waiting = [rig.submit(3) for _ in range(chance.randint(2, 6))]

    rig.valkey.flush()
    rig.end()

    assert all(rig.read_job(job_id).attempt == 1 for job_id in [running, *waiting])
    assert worker.is_alive


def test_redis_down_at_submit(rig: Rig, chance: random.Random) -> None:
    rig.reconciler()
    rig.worker()
    api, client = rig.api()
    rig.valkey.kill()

    answers = [client.post("/v1/training-jobs", json=rig.body(5)) for _ in range(chance.randint(1, 3))]

    assert [answer.status_code for answer in answers] == [202] * len(answers)
    for answer in answers:
        rig.adopt(answer.json())
    time.sleep(chance.uniform(0, 1))
    rig.valkey.start()
    rig.end()
    assert api.is_alive
    client.close()


def test_redis_down_mid_training(rig: Rig, chance: random.Random, outage_s: float) -> None:
    rig.reconciler()
    worker = rig.worker(step_s=max(0.1, outage_s / 20))
    running, waiting = rig.submit(), rig.submit(5)
    rig.reaches(running, 1)

    # When: it is unavailable for minutes, and returns empty
    rig.valkey.kill()
    time.sleep(outage_s)
    assert rig.status(running) is not JobStatus.QUEUED
    rig.valkey.start()
    rig.end()

    assert [rig.read_job(job_id).attempt for job_id in (running, waiting)] == [1, 1]
    assert worker.is_alive


@pytest.fixture
def proxy(valkey: servers.Valkey) -> Iterator[Proxy]:
    made = Proxy(valkey.socket)
    yield made
    made.close()


def test_redis_connections_half_open(make_rig: MakeRig, proxy: Proxy, chance: random.Random) -> None:
    # Given: an idle worker and a reconciler whose connections silently carry no more data
    rig = make_rig(redis_url=SecretStr(proxy.url), lease_s=60.0)
    rig.reconciler()
    worker = rig.worker()
    rig.end(rig.submit(1))
    time.sleep(chance.uniform(0, 1))
    proxy.cut()

    waiting = [rig.submit(3) for _ in range(2)]

    # Then: they detect it, and the jobs run
    rig.end()
    assert all(rig.read_job(job_id).attempt == 1 for job_id in waiting)
    wait_until(lambda: worker.is_alive)


def test_redis_full(rig: Rig) -> None:
    """It answers and refuses every write: /readyz reports it, jobs are accepted, and they run when it has memory."""
    rig.valkey.limit_memory("1mb")
    rig.reconciler()
    rig.keep(rig.worker())  # Celery ends at such a refusal
    _, client = rig.api()

    ready = client.get("/readyz")
    answer = client.post("/v1/training-jobs", json=rig.body(5))

    assert ready.status_code == 503
    [failed] = [check for check in ready.json()["checks"] if not check["ok"]]
    assert (failed["name"], "memory of Redis is full" in failed["detail"]) == ("redis", True)
    assert answer.status_code == 202
    job_id = rig.adopt(answer.json())
    time.sleep(1.0)
    assert rig.status(job_id) is JobStatus.QUEUED
    rig.valkey.limit_memory("0")
    rig.end()
    assert rig.status(job_id) is JobStatus.SUCCEEDED
    assert client.get("/readyz").status_code == 200
    client.close()
