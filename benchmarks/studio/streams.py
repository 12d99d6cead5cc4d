"""Reads of a job beside as many open streams as the settings permit."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser

from benchmarks.studio.surroundings import Api, api, summary
from shared import trainer_protocol
from shared.services.job_queue import Lease
from tests.studio.filling import claim, submit
from worker.attempts.live_reports import LivePoints

ROOT = Path(__file__).parents[2]
JOBS = 20
READS = 600
GAP_S = 0.02
POINT_EVERY_S = 0.5  # of each job
STORED_EVERY = 4  # points between two writes to the database


def measure(_browser: Browser) -> dict[str, Any]:
    """Read one job without streams, then with all of them, of 20 jobs that report."""
    with api() as running:
        url, most = running.server.url, running.settings.max_streams
        jobs = [submit(url, f"streams-{number}")["id"] for number in range(JOBS)]
        leases = [claim(running.worker) for _ in jobs]
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            path = f"/v1/training-jobs/{jobs[0]}"
            with _reports(running, leases):
                alone = summary("read of a job, no stream", _reads(http, path), 99)
            before = _memory(running)
            paths = [f"/v1/training-jobs/{jobs[number % JOBS]}/stream" for number in range(most)]
            with _readers(running, paths) as readers, _reports(running, leases):
                beside = summary(f"read of a job, {most} streams", _reads(http, path), 99)
                after = _memory(running)
                refused = http.get(f"{path}/stream")
                received = json.loads(readers.communicate()[0])
        one_more = {
            "status": refused.status_code,
            "retry_after": refused.headers.get("Retry-After"),
            "detail": refused.json()["detail"],
        }
        print(f"  memory of the API: {before['rss_mb']} MB, with the streams {after['rss_mb']} MB", flush=True)
        print(f"  events received: {received['events']}, by the slowest stream {received['fewest']}", flush=True)
        print(f"  stream {most + 1}: {one_more['status']}, {one_more['detail']}", flush=True)
    return {
        "streams": most,
        "read alone": alone,
        "read beside the streams": beside,
        "memory before": before,
        "memory with the streams": after,
        "received": received,
        "one stream more": one_more,
    }


def _reads(http: httpx.Client, path: str) -> list[float]:
    times = []
    for _ in range(READS):
        began = time.perf_counter()
        http.get(path).raise_for_status()
        times.append(1000 * (time.perf_counter() - began))
        time.sleep(GAP_S)
    return times


def _memory(running: Api) -> dict[str, float]:
    process = running.server.resources()
    with process.oneshot():
        return {"rss_mb": round(process.memory_info().rss / 1e6, 1), "threads": process.num_threads()}


@contextmanager
def _readers(running: Api, paths: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """A process that reads all streams; the block begins when they are open."""
    host, port = running.server.address
    command = [sys.executable, "-m", "benchmarks.studio.readers", host, str(port), json.dumps(paths)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "open\n":
            raise RuntimeError("the streams did not open")
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _reports(running: Api, leases: list[Lease]) -> Iterator[None]:
    """Points of all jobs until the block ends, as their workers would report them."""
    is_over = threading.Event()

    def report() -> None:
        jobs = [(lease, LivePoints(running.broker, lease.job_id)) for lease in leases]
        rounds = 0
        while not is_over.is_set():
            rounds += 1
            for lease, points in jobs:
                step = int(1000 * time.time())
                points.add(trainer_protocol.Metrics(epoch=1, step=step, values={"loss": 1.0}))
                points.publish_when_due()
                if rounds % STORED_EVERY == 0:
                    running.worker.point(lease, "loss", epoch=1, step=step, value=1.0)
                    running.worker.report(lease, metrics={"loss": 1.0})
                    points.stored()
                if is_over.wait(POINT_EVERY_S / JOBS):
                    return

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
