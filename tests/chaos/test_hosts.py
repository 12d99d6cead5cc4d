"""Worker hosts apart from the servers: network namespaces, whose links are cut, slowed or made lossy.

The API, the reconciler, PostgreSQL and Redis run on one host, and a worker on each of three others. The clocks of the
hosts differ by up to hours.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.job_status import JobStatus
from tests.chaos import hosts
from tests.chaos.hosts import Host, Network
from tests.chaos.processes import Process, is_running, processes_of
from tests.chaos.rig import STEPS, MakeRig, Rig
from tests.servers import Valkey
from tests.waiting import wait_until

WORKERS = 3
JOBS = 4
LONG = 60  # steps: a host is cut off before the end of its job, also on a busy machine
CLOCKS_S = (-7200.0, 0.0, 3600.0)


@pytest.fixture(scope="module")
def joined() -> Iterator[Network]:
    reason = hosts.missing()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(f"Hosts as network namespaces: {reason}.")
        pytest.skip(f"hosts as network namespaces: {reason}")
    with hosts.network() as made:
        yield made


@pytest.fixture
def valkey(joined: Network) -> Iterator[Valkey]:
    with hosts.redis_at(joined.address) as server:
        yield server


@pytest.fixture
def database_url(joined: Network) -> Iterator[str]:
    with hosts.database_at(joined.address) as server:
        yield server.fresh_database()


@pytest.fixture
def database_kind() -> str:
    """Hosts share a database, so it is PostgreSQL."""
    return "postgresql"


@pytest.fixture
def cluster(make_rig: MakeRig, joined: Network, tmp_path: Path) -> Iterator["Cluster"]:
    rig = make_rig(storage_url=f"file://{tmp_path / 'storage'}")  # a file system that the hosts share
    with hosts.hosts(joined, WORKERS, tmp_path / "hosts") as made:
        cluster = Cluster(rig, made)
        try:
            yield cluster
            for host in made:
                host.heal()
            rig.end()
        finally:
            cluster.stop()


class Cluster:
    """A rig whose workers run on hosts."""

    def __init__(self, rig: Rig, made: list[Host]) -> None:
        self.rig, self.hosts = rig, made
        rig.reconciler()
        self.workers: dict[str, Process] = {}
        for host, clock_s in zip(made, CLOCKS_S, strict=True):
            worker = rig.worker(launcher=host.prefix, clock_s=clock_s, env=host.environment)
            self.workers[host.name] = worker
        for worker in self.workers.values():
            wait_until(lambda worker=worker: worker.has_logged("ready."))  # type: ignore[misc]

    def host_of(self, job_id: str) -> Host:
        """The host that runs a job."""
        holder = self.rig.holder(job_id)
        name = next(name for name, worker in self.workers.items() if worker is holder)
        return next(host for host in self.hosts if host.name == name)

    def stop(self) -> None:
        """End every process of the hosts."""
        for worker in self.workers.values():
            if worker.is_alive:
                worker.kill()
        wait_until(lambda: not any(processes_of(host.home) for host in self.hosts))

    @contextmanager
    def fault(self, chance: random.Random) -> Iterator[tuple[str, Host]]:
        """A job in the middle of its work, and its host; the block makes a fault."""
        job_ids = [self.rig.submit(LONG if number < WORKERS else STEPS) for number in range(JOBS)]
        job_id = chance.choice(job_ids[:WORKERS])
        self.rig.reaches(job_id, chance.randint(1, 20))
        yield job_id, self.host_of(job_id)


def test_host_that_cannot_send(cluster: Cluster, chance: random.Random) -> None:
    with cluster.fault(chance) as (job_id, host):
        host.drop(outgoing=1)
        taken_over(cluster, job_id, host)
        host.heal()
    cluster.rig.end()


def test_host_that_cannot_receive(cluster: Cluster, chance: random.Random) -> None:
    with cluster.fault(chance) as (job_id, host):
        host.drop(incoming=1)
        taken_over(cluster, job_id, host)
        host.heal()
    cluster.rig.end()


def test_unplugged_host_returns(cluster: Cluster, chance: random.Random) -> None:
    with cluster.fault(chance) as (job_id, host):
        host.unplug()
        taken_over(cluster, job_id, host)
        time.sleep(chance.uniform(0, 3))
        host.heal()
    cluster.rig.end()
    later = cluster.rig.submit()
    cluster.rig.end(later)


def test_host_that_does_not_return(cluster: Cluster, chance: random.Random) -> None:
    with cluster.fault(chance) as (job_id, host):
        host.unplug()
        taken_over(cluster, job_id, host)
    cluster.rig.end()


def test_short_cut_within_a_lease(cluster: Cluster, chance: random.Random) -> None:
    with cluster.fault(chance) as (job_id, host):
        host.drop(outgoing=1, incoming=1)
        time.sleep(chance.uniform(0.2, 1.0))
        host.heal()
    cluster.rig.end()
    assert cluster.rig.status(job_id) is JobStatus.SUCCEEDED


def test_lossy_link(cluster: Cluster, chance: random.Random) -> None:
    with cluster.fault(chance) as (_, host):
        host.drop(outgoing=0.3, incoming=0.3)
        time.sleep(chance.uniform(4, 8))
        host.heal()
    cluster.rig.end()


def test_slow_link(cluster: Cluster, chance: random.Random) -> None:
    with cluster.fault(chance) as (_, host):
        host.slow()
        time.sleep(chance.uniform(4, 8))
        host.heal()
    cluster.rig.end()


def test_all_hosts_are_cut_off_at_once(cluster: Cluster, chance: random.Random) -> None:
    with cluster.fault(chance):
        for host in cluster.hosts:
            host.unplug()
        time.sleep(cluster.rig.settings.lease_s + chance.uniform(1, 3))
        for host in cluster.hosts:
            host.heal()
    cluster.rig.end()


def taken_over(cluster: Cluster, job_id: str, host: Host) -> None:
    """Wait until another host has the job of a host that is cut off, whose trainer has ended by then."""
    worker = cluster.workers[host.name]
    trainer = worker.trainer()
    assert trainer is not None
    wait_until(lambda: cluster.rig.read_job(job_id).fencing_token > 1)
    wait_until(lambda: not is_running(trainer))
    wait_until(lambda: cluster.rig.status(job_id).is_terminal)
    assert cluster.rig.status(job_id) is JobStatus.SUCCEEDED
    assert "reaped" in cluster.rig.events(job_id)
