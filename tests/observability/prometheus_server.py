"""A Prometheus server on the project's configuration."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.observability.conftest import CONFIGURATION, program
from tests.servers import free_port
from tests.waiting import PATIENCE_S

SCRAPE_S = 1


class Prometheus:
    """A running server."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False, timeout=PATIENCE_S)

    def close(self) -> None:
        """Close the connection to it."""
        self._client.close()

    def answers(self) -> bool:
        """Whether it is ready."""
        try:
            return self._client.get("/status/buildinfo").is_success
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now. Raises AssertionError for an invalid one."""
        body = self._client.get("/query", params={"query": expression}).json()
        assert body["status"] == "success", f"{expression}: {body.get('error')}"
        result = body["data"]["result"]
        return result if isinstance(result, list) else [result]

    def rules(self) -> list[dict[str, Any]]:
        """Its alert rules with their health."""
        groups = self._client.get("/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """A server with the project's configuration, which scrapes `target` (host:port) every second."""
    configuration = yaml.safe_load((CONFIGURATION / "prometheus" / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"}
    configuration["rule_files"] = [str(CONFIGURATION / "prometheus" / "alerts.yml")]
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    path, port = folder / "prometheus.yml", free_port()
    path.write_text(yaml.safe_dump(configuration))
    command = [
        program("prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        server, deadline = Prometheus(port), time.monotonic() + PATIENCE_S
        try:
            while not server.answers():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield server
        finally:
            server.close()
            process.terminate()
            process.wait(PATIENCE_S)
