"""Streams without a browser: curl and `mimeo follow`, on a real API process and a real Valkey."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from client.event_stream import StreamEvent, events
from client.http import Client
from shared.broker import CeleryBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind
from shared.services.job_queue import Lease
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import Server, serve
from tests.api.worker_hands import WorkerWrites
from tests.servers import Valkey
from worker.attempts.live_reports import LiveTexts

pytestmark = pytest.mark.slow
TRAINING = {"model_type": "vae", "dataset": "digits"}
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """The contents of streams are tested on both databases in test_streams.py."""
    return str(request.param)


@dataclass(frozen=True)
class Stack:
    """An API process, and what a worker needs to write beside it."""

    server: Server
    settings: Settings
    broker: CeleryBroker
    worker: WorkerWrites


@pytest.fixture
def stack(settings: Settings, database: SessionFactory, storage: Storage, valkey: Valkey) -> Iterator[Stack]:
    live = settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
    broker = CeleryBroker(live)
    with serve(live) as server:
        yield Stack(server, live, broker, WorkerWrites(live, database, storage, broker))


@contextmanager
def curl(address: str, *options: str) -> Iterator[Iterator[StreamEvent]]:
    """The events that `curl -N` prints."""
    command = ["curl", "--no-progress-meter", "--fail", "--noproxy", "*", "-N", *options, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield events(line.rstrip("\n") for line in process.stdout)
        finally:
            process.kill()


def until(found: Iterator[StreamEvent], name: str) -> StreamEvent:
    """The next event of a name."""
    return next(event for event in found if event.name == name)


@needs_curl
def test_curl_reads_a_job_and_continues_from_the_last_id(stack: Stack) -> None:
    with Client(stack.server.url) as client:
        job = client.train(TRAINING)["id"]
    lease = stack.worker.claim(JobKind.TRAINING)
    address = f"{stack.server.url}/v1/training-jobs/{job}/stream"
    with curl(address) as found:
        assert until(found, "job").data["id"] == job
        stack.worker.point(lease, "loss", epoch=1, step=1, value=2.0)
        stack.worker.report(lease, metrics={"loss": 2.0})
        last = until(found, "metrics")
        assert [point["step"] for point in last.data["points"]] == [1]
    for step in (2, 3):
        stack.worker.point(lease, "loss", epoch=1, step=step, value=1.0)
    with curl(address, "-H", f"Last-Event-ID: {last.id}") as found:
        assert [point["step"] for point in until(found, "metrics").data["points"]] == [2, 3]
        stack.worker.publish(lease)
        names = [event.name for event in takewhile(lambda event: event.name != "end", found)]
        assert names[-1] == "job"


@needs_curl
def test_curl_reads_all_jobs_and_continues_from_the_last_id(stack: Stack) -> None:
    address = f"{stack.server.url}/v1/jobs/stream"
    with Client(stack.server.url) as client:
        with curl(address) as found:
            last = until(found, "queue")
        missed = client.train(TRAINING)["id"]
        with curl(address, "-H", f"Last-Event-ID: {last.id}") as found:
            assert until(found, "job").data["id"] == missed
            later = client.train(TRAINING)["id"]
            # A change may be sent twice, and the queue is read at its own times.
            assert any(event.name == "job" and event.data["id"] == later for event in found)
            assert any(event.name == "queue" and event.data["positions"] == [missed, later] for event in found)


@needs_curl
def test_curl_reads_a_text_as_it_is_written(stack: Stack) -> None:
    with Client(stack.server.url) as client:
        client.train(TRAINING)
        model = stack.worker.publish(stack.worker.claim(JobKind.TRAINING))
        generation = client.request("POST", "/v1/generation-jobs", json={"model": model}).json()["id"]
    address = f"{stack.server.url}/v1/generation-jobs/{generation}/stream"
    lease = stack.worker.claim(JobKind.GENERATION)
    texts = LiveTexts(stack.broker, lease.job_id)
    with curl(address) as found:
        last = until(found, "job")
        assert last.data["status"] == "running"
        written = ""
        for event in _while_writing(texts, found):
            written = written[: event.data["start"]] + event.data["texts"][0]
        assert "To be or not to be".startswith(written)
        assert written
        stack.worker.finish(lease, output={"texts": ["To be or not to be"]})
        until(found, "end")
    with curl(address, "-H", f"Last-Event-ID: {last.id}") as found:
        assert until(found, "job").data["output"]["texts"] == ["To be or not to be"]
        assert next(found).name == "end"


def _while_writing(texts: LiveTexts, found: Iterator[StreamEvent]) -> Iterator[StreamEvent]:
    """Publish three lengths of a text until the stream has sent one of them; then the events of the others."""
    is_read = threading.Event()

    def write() -> None:
        while not is_read.wait(0.15):
            for length in (2, 8, 18):
                texts.publish_when_due(["To be or not to be"[:length]])
                is_read.wait(0.15)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield until(found, "text")
        yield until(found, "text")
    finally:
        is_read.set()
        thread.join()


def test_mimeo_follow_reads_the_stream_and_survives_a_restart_of_the_api(stack: Stack, tmp_path: Path) -> None:
    with Client(stack.server.url) as client:
        job = client.train(TRAINING)["id"]
    lease = stack.worker.claim(JobKind.TRAINING)
    with following(stack.server.url, job, tmp_path) as lines:
        assert next(lines)["status"] == "running"
        progress(stack.worker, lease, 1)
        assert next(each for each in lines if each["progress"]["epoch"] == 1)
        stack.server.process.send_signal(signal.SIGKILL)
        stack.server.process.wait()
        log = stack.server.log.read_text()
        progress(stack.worker, lease, 2)
        with serve(stack.settings, port=stack.server.address[1]) as again:
            assert next(each for each in lines if each["progress"]["epoch"] == 2)
            stack.worker.publish(lease)
            assert [each["status"] for each in lines][-1] == "succeeded"
            again_log = again.log.read_text()
    polls = f'"/v1/training-jobs/{job}"'
    assert polls not in log + again_log


def progress(worker: WorkerWrites, lease: Lease, epoch: int) -> None:
    """Report an epoch."""
    value = {"epoch": epoch, "epochs": 5, "step": 10 * epoch, "steps": 50, "fraction": epoch / 5, "eta_s": 5.0}
    worker.report(lease, progress=value, device="cpu")


@contextmanager
def following(url: str, job: str, folder: Path) -> Iterator[Iterator[dict[str, Any]]]:
    """The jobs that `mimeo follow --json` prints."""
    command = [str(Path(sys.executable).parent / "mimeo"), "--url", url, "follow", job, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stdout is not None
        try:
            read = (json.loads(line) for line in process.stdout)
            yield (each["job"] for each in read if each["type"] == "job")
        finally:
            process.kill()
