"""Outages of an object store."""

import random
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests import servers
from tests.chaos.network import Proxy
from tests.chaos.rig import MakeRig


@pytest.fixture
def proxy(object_store_server: servers.ObjectStore) -> Iterator[Proxy]:
    """A proxy to an object store, which this process and its children use."""
    made = Proxy(object_store_server.port)
    with servers.s3_at(object_store_server.environment_at(made.port)):
        yield made
    made.close()


def test_object_store_unavailable_during_training(
    proxy: Proxy, make_rig: MakeRig, chance: random.Random, outage_s: float
) -> None:
    rig = make_rig(storage_url=f"{servers.ObjectStore.url}/{uuid4().hex}")
    rig.reconciler()
    worker = rig.worker(step_s=max(0.1, outage_s / 20))
    running, waiting = rig.submit(), rig.submit(5)
    rig.reaches(running, 1)
    time.sleep(chance.uniform(0, 1))

    proxy.refuse()
    time.sleep(outage_s)
    proxy.is_refusing = False
    rig.end()

    assert [rig.read_job(job_id).attempt for job_id in (running, waiting)] == [1, 1]
    assert worker.is_alive
