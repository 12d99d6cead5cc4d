"""A stack with object storage that is open to worker hosts, and a second project in the place of such a host."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network

from tests.compose.engine import docker
from tests.compose.project import Project, deployed

PORT = 18333
HOST_NAME = "worker-host"
START_TIMEOUT_S = 30.0
STACK = ("docker-compose.yml", "docker-compose.hosts.yml")


@contextmanager
def stack_and_worker_host() -> Iterator[Project]:
    """The stack without a training worker of its own, and a training worker that joins it by published addresses.

    The engine's bridge is the network between both. An S3 server of the tests replaces the one of the profile `s3`.
    """
    subnet = docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "bridge").strip()
    address = str(ip_network(subnet)[1])
    variables = {
        "MIMEO_PRIVATE_ADDRESS": address,
        "MIMEO_STORAGE_URL": "s3://mimeo/stack",
        "AWS_ENDPOINT_URL": f"http://{address}:{PORT}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MIMEO_WORKER_NAME": HOST_NAME,
        "MIMEO_DATABASE_URL": f"postgresql+psycopg://mimeo@{address}:5432/mimeo",
        "MIMEO_REDIS_URL": f"redis://{address}:6379/0",
    }
    services = ("api", "generation-worker", "reconciler")
    with (
        _object_store(address),
        deployed(*services, name="mimeo-compose-test-hosts", files=STACK, variables=variables) as stack,
        deployed(
            "training-worker",
            name="mimeo-compose-test-worker",
            files=("docker-compose.worker.yml",),
            variables=variables,
        ),
    ):
        yield stack


@contextmanager
def _object_store(address: str) -> Iterator[None]:
    """An S3 server with the bucket `mimeo` on the engine's bridge."""
    command = [sys.executable, "-m", "moto.server", "-H", address, "-p", str(PORT)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        request = urllib.request.Request(f"http://{address}:{PORT}/mimeo", method="PUT")
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                urllib.request.urlopen(request, timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the S3 server does not start"
                time.sleep(0.2)
        yield
    finally:
        server.kill()
        server.wait()
