"""Faults of a file store that is elsewhere."""

import random
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests import servers
from tests.chaos.network import Proxy
from tests.chaos.rig import MakeRig


@pytest.fixture
def road(object_store_server: servers.ObjectStore) -> Iterator[Proxy]:
    """The way to an object store, which this process and those that it starts take."""
    made = Proxy(object_store_server.port)
    with servers.s3_at(object_store_server.environment_at(made.port)):
        yield made
    made.close()


def test_object_store_away_mid_training(road: Proxy, make_rig: MakeRig, chance: random.Random, outage_s: float) -> None:
    rig = make_rig(storage_url=f"{servers.ObjectStore.url}/{uuid4().hex}")
    rig.reconciler()
    worker = rig.worker(step_s=max(0.1, outage_s / 20))
    running, waiting = rig.submit(), rig.submit(5)
    rig.reaches(running, 1)
    time.sleep(chance.uniform(0, 1))

    road.go_away()
    time.sleep(outage_s)
    road.is_transient = False
    rig.end()

    assert [rig.look(job_id).attempt for job_id in (running, waiting)] == [1, 1]
    assert worker.is_alive
