"""One checkout of Mimeo as a running API on a home of its own, with an embedded Redis and no workers."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.servers import free_port
from tests.slow_clients import Address, probe

LAUNCH = Path(__file__).parent / "launch.py"
SEED = Path(__file__).parent / "seed.py"
STREAM_PATH = "/benchmark/stream"
COMMANDS = (
    "import json; from shared.settings import Settings; from stack.programs import programs; "
    "print(json.dumps({p.name: p.command for p in programs(Settings())}))"
)
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Side:
    """A running API. large: path of a file of 64 MiB."""

    name: str
    address: Address
    process: "subprocess.Popen[bytes]"
    jobs: list[str]
    model: str
    large: str

    def memory(self) -> dict[str, float]:
        """MiB of all processes of the API: RSS, and PSS, which counts shared pages once."""
        members = self._members()
        rss = sum(one.memory_info().rss for one in members)
        pss = sum(one.memory_full_info().pss for one in members)
        return {"rss_mib": round(rss / 2**20, 1), "pss_mib": round(pss / 2**20, 1)}

    def descriptors(self) -> int:
        """Open descriptors of all processes of the API."""
        return sum(one.num_fds() for one in self._members())

    def threads(self) -> int:
        """Threads of all processes of the API."""
        return sum(one.num_threads() for one in self._members())

    def _members(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def running(name: str, checkout: Path, python: Path, *, jobs: int = 100, has_streams: bool = False) -> Iterator[Side]:
    """Start the API of a checkout with its own interpreter, on a filled database.

    has_streams: the server of this checkout with one more route, `STREAM_PATH`.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mimeo-load-")))
        port = free_port()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MIMEO_")}
        environment |= {"MIMEO_HOME": str(home), "MIMEO_PORT": str(port), "PYTHONPATH": str(checkout)}
        environment |= {"MIMEO_LOG_LEVEL": "warning", "MIMEO_OFFLINE": "1"}

        def output(*command: str) -> str:
            done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            return done.stdout

        (home / "run").mkdir()
        output(str(python), "-m", "migrations", "upgrade")
        seeded = json.loads(output(str(python), str(SEED), str(jobs)))
        commands = json.loads(output(str(python), "-c", COMMANDS))
        stack.enter_context(_process(commands["valkey"], checkout, environment, home / "valkey.log"))
        api = [str(python), str(LAUNCH)] if has_streams else commands["api"]
        process = stack.enter_context(_process(api, checkout, environment, home / "api.log"))
        address = ("127.0.0.1", port)
        _wait(address, process, home / "api.log")
        yield Side(
            name=name,
            address=address,
            process=process,
            jobs=seeded["jobs"],
            model=seeded["model"],
            large=f"/v1/artifacts/{seeded['large']}/content",
        )


@contextmanager
def _process(
    command: list[str], folder: Path, environment: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with (
        log.open("wb") as stream,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=stream, stderr=stream) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                for member in psutil.Process(process.pid).children(recursive=True):
                    member.kill()
                process.kill()


def _wait(address: Address, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if probe(address, 0.01)[0] < 1000:
            return
        time.sleep(0.1)
    raise RuntimeError(f"the API does not start:\n{log.read_text(errors='replace')}")
