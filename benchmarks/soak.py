"""A steady load on a stack that trains: `python -m benchmarks.soak` (10 minutes at 300 requests a second).

Requests are sent at their times, whether or not the ones before were answered, over a fixed number of connections: a
server that falls behind shows it in the time of each answer, the wait for a free connection included. Prints p50, p99
and the longest in milliseconds, errors by status, and the memory of each process of the stack, after a first minute
and at the end.

Figures go to benchmarks/results/soak.json.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.engine import RESULTS, machine
from benchmarks.load.clients import answer
from tests.acceptance.stack import running_stack
from tests.chaos.processes import processes_of

ENDLESS = {"model_type": "vae", "dataset": "digits", "hyperparameters": {"epochs": 100_000}, "name": "endless"}
WAITING = {"model_type": "vae", "dataset": "digits", "hyperparameters": {"epochs": 1}, "priority": "low"}
# Requests of a hundred: how many of each.
MIX = (("job", 50), ("list", 20), ("queue", 10), ("metrics", 10), ("models", 8), ("submit", 2))
ANSWER_TIMEOUT_S = 60.0


def requests_of(host: str, job_id: str) -> list[bytes]:
    """A hundred requests in the proportions of MIX, spread evenly."""
    paths = {
        "job": f"/v1/training-jobs/{job_id}",
        "list": "/v1/training-jobs?limit=20",
        "queue": "/v1/queue",
        "metrics": f"/v1/training-jobs/{job_id}/metrics?max_points=100",
        "models": "/v1/models",
    }
    body = json.dumps(WAITING)
    submit = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    made = {name: f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n" for name, path in paths.items()}
    made["submit"] = f"POST /v1/training-jobs HTTP/1.1\r\nHost: {host}\r\n{submit}"
    placed = [(turn / count, made[name].encode()) for name, count in MIX for turn in range(count)]
    return [request for _, request in sorted(placed, key=lambda pair: pair[0])]


class Load:
    """Open-loop clients. taken: milliseconds of each answer. statuses: answers of 400 and above, and lost ones as 0."""

    def __init__(self, host: str, port: int, requests: list[bytes]) -> None:
        self._host, self._port, self._requests = host, port, requests
        self.taken: list[float] = []
        self.statuses: Counter[int] = Counter()

    async def run(self, rate: float, seconds: float, connections: int) -> None:
        """Send `rate` requests a second for so many seconds."""
        due: asyncio.Queue[float | None] = asyncio.Queue()
        clients = [asyncio.create_task(self._client(due, number)) for number in range(connections)]
        begin = time.perf_counter()
        for turn in range(round(rate * seconds)):
            at = begin + turn / rate
            if (wait := at - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            due.put_nowait(at)
        for _ in clients:
            due.put_nowait(None)
        await asyncio.gather(*clients)

    async def _client(self, due: "asyncio.Queue[float | None]", turn: int) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while (at := await due.get()) is not None:
            turn += 1
            try:
                if streams is None:
                    streams = await asyncio.open_connection(self._host, self._port)
                streams[1].write(self._requests[turn % len(self._requests)])
                status = await asyncio.wait_for(answer(streams[0]), ANSWER_TIMEOUT_S)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.statuses[0] += 1
                if streams is not None:
                    streams[1].close()
                streams = None
                continue
            self.taken.append(1e3 * (time.perf_counter() - at))
            if status >= 400:
                self.statuses[status] += 1
        if streams is not None:
            streams[1].close()


def memory(home: Path) -> dict[str, float]:
    """MiB of resident memory by process of the stack. Trainers and the fork server share pages, which count twice."""
    found: dict[str, float] = {}
    for process in processes_of(home):
        try:
            words = process.cmdline()
            size = process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            continue
        name = " ".join(Path(word).name for word in words[:4] if not word.startswith("-"))[:60]
        found[name] = round(max(found.get(name, 0.0), size), 1)
    return found


def figures(load: Load, before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """The results of one run."""
    ordered = sorted(load.taken)
    return {
        "answers": len(ordered),
        "errors": dict(load.statuses),
        "p50_ms": round(ordered[len(ordered) // 2], 1),
        "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))], 1),
        "max_ms": round(ordered[-1], 1),
        "memory_mib": {name: [before.get(name), size] for name, size in sorted(after.items())},
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One run on a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="mimeo-soak-") as folder, running_stack(Path(folder) / "home") as stack:
        url = httpx.URL(stack.url)
        host, port = str(url.host), int(url.port or 80)
        with httpx.Client(base_url=stack.url, trust_env=False) as client:
            accepted = client.post("/v1/training-jobs", json=ENDLESS)
            accepted.raise_for_status()
            job_id = accepted.json()["id"]
            while not client.get(f"/v1/training-jobs/{job_id}").json()["progress"]["step"]:
                time.sleep(0.2)
            load = Load(host, port, requests_of(f"{host}:{port}", job_id))
            first = min(60.0, options.seconds / 4)
            asyncio.run(load.run(options.rate, first, options.connections))
            before = memory(stack.home)
            asyncio.run(load.run(options.rate, options.seconds - first, options.connections))
            after = memory(stack.home)
            job = client.get(f"/v1/training-jobs/{job_id}").json()
            if job["status"] != "running":
                raise RuntimeError(f"the training ended as {job['status']}: {job['error']}")
            found = figures(load, before, after)
            return {**found, "training_steps": job["progress"]["step"], "attempt": job["attempt"]}


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine().replace("make bench-engine", "python -m benchmarks.soak")}
    results |= {"rate": options.rate, "seconds": options.seconds, **measure(options)}
    print(json.dumps(results, indent=1))
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "soak.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
