"""`mimeo tensorboard`: a real TensorBoard on event files downloaded over HTTP."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from client.event_file_sync import BoardFailed, EventFolder, serving
from client.http import Client
from tests.client.server import Reply, Request, training_job
from tests.client.server import serving as api
from tests.client.test_cli import ROOT, mimeo
from tests.waiting import PATIENCE_S, wait_until


def event_file(folder: Path, first: int, last: int, losses: float, *, resumes: bool = False) -> bytes:
    path = folder / f"made-{first}"
    with path.open("wb") as file:
        records = RecordWriter(file)
        records.write(Event(file_version="brain.Event:2", wall_time=1.0).SerializeToString())
        if resumes:
            restart = SessionLog(status=SessionLog.START)
            records.write(Event(step=first, wall_time=1.0, session_log=restart).SerializeToString())
        for step in range(first, last + 1):
            value = Summary.Value(tag="loss", simple_value=losses / step)
            records.write(Event(step=step, wall_time=1.0 + step, summary=Summary(value=[value])).SerializeToString())
    return path.read_bytes()


class Job:
    """A job of the scripted server: its event files so far, and whether it has ended."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self.status = "running"

    def answer(self, request: Request) -> Reply:
        path = request.path.split("?")[0]
        if path.endswith("/artifacts"):
            assert "kind=tensorboard" in request.path
            files = [{"id": f"art_{n}", "name": f"events.out.tfevents.000001-{n:08d}"} for n in range(len(self.files))]
            return Reply(body={"data": files[::-1], "has_more": False})
        if path.endswith("/content"):
            return Reply(body=self.files[int(path.split("/")[3].removeprefix("art_"))])
        job = training_job(status=self.status, is_terminal=self.status == "succeeded", name="my run")
        return Reply(body={"data": [job], "has_more": False} if path == "/v1/training-jobs" else job)


def fetch(address: str, path: str) -> object:
    with urllib.request.urlopen(f"{address.rstrip('/')}/{path}", timeout=10) as answer:
        return json.load(answer)


def until(address: str, path: str, wanted: object) -> None:
    wait_until(lambda: fetch(address, path) == wanted, because=f"{path} never became {wanted}")


@contextmanager
def running(*arguments: str, url: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command and the address that it prints."""
    command = [sys.executable, "-m", "client.cli", "tensorboard", "--port", "0", *arguments]
    env = {**os.environ, "MIMEO_URL": url, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("TensorBoard: http://"), line
            yield process, line.removeprefix("TensorBoard: ").strip()
        finally:
            process.kill()


def is_gone(address: str) -> bool:
    try:
        fetch(address, "data/runs")
    except OSError:
        return True
    return False


def test_tensorboard_shows_the_runs_of_jobs_until_ctrl_c(tmp_path: Path) -> None:
    job = Job()
    job.files = [event_file(tmp_path, 1, 10, 10.0), event_file(tmp_path, 11, 20, 10.0)]
    with api(job.answer) as server, running("trn_1", url=server.url) as (process, address):
        until(address, "data/runs", ["trn_1 my run"])
        until(address, "data/plugin/scalars/tags", {"trn_1 my run": {"loss": {"displayName": "", "description": ""}}})
        points = fetch(address, "data/plugin/scalars/scalars?run=trn_1+my+run&tag=loss")
        assert isinstance(points, list)
        assert [step for _, step, _ in points] == list(range(1, 21))
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert is_gone(address)


def test_tensorboard_shows_each_step_of_a_killed_and_resumed_run_once(tmp_path: Path) -> None:
    run = tmp_path / "log" / "run"
    run.mkdir(parents=True)
    files = [event_file(tmp_path, 1, 10, 10.0), event_file(tmp_path, 11, 18, 99.0)]
    files.append(event_file(tmp_path, 11, 20, 10.0, resumes=True))
    for number, content in enumerate(files, start=1):
        (run / f"events.out.tfevents.{number:08d}").write_bytes(content)
    with serving(tmp_path / "log", 0) as address:
        until(address, "data/plugin/scalars/tags", {"run": {"loss": {"displayName": "", "description": ""}}})
        points = fetch(address, "data/plugin/scalars/scalars?run=run&tag=loss")
    assert isinstance(points, list)
    assert [(step, round(value, 5)) for _, step, value in points] == [(n, round(10.0 / n, 5)) for n in range(1, 21)]


def test_tensorboard_ends_with_the_command_after_any_signal(tmp_path: Path) -> None:
    job = Job()
    with api(job.answer) as server, running("--logdir", str(tmp_path / "log"), url=server.url) as (process, address):
        assert fetch(address, "data/runs") == []
        process.kill()
        process.wait(PATIENCE_S)
        wait_until(lambda: is_gone(address))


def test_only_new_event_files_are_fetched_and_none_after_the_end(tmp_path: Path) -> None:
    job = Job()
    job.files = [b"first"]
    with api(job.answer) as server, Client(server.url) as client:
        folder = EventFolder(client, tmp_path, [])
        assert folder.refresh() == 1
        assert folder.refresh() == 0
        job.files.append(b"second")
        job.status = "succeeded"
        assert folder.refresh() == 1
        asked = len(server.requests)
        assert folder.refresh() == 0
        assert [request.path.split("?")[0] for request in server.requests[asked:]] == ["/v1/training-jobs"]
    kept = {path.name: path.read_bytes() for path in (tmp_path / "trn_1 my run").iterdir()}
    assert kept == {"events.out.tfevents.000001-00000000": b"first", "events.out.tfevents.000001-00000001": b"second"}


def test_retried_job_is_followed_again(tmp_path: Path) -> None:
    job = Job()
    job.status, job.files = "succeeded", [b"first"]
    with api(job.answer) as server, Client(server.url) as client:
        folder = EventFolder(client, tmp_path, ["trn_1"])
        assert (folder.refresh(), folder.refresh()) == (1, 0)
        job.status = "running"
        job.files.append(b"second")
        assert folder.refresh() == 1


def test_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    with api(lambda _: Reply()) as taken:
        port = int(taken.url.rsplit(":", 1)[1])
        with pytest.raises(BoardFailed, match=f"{port}.*in use"), serving(tmp_path, port):
            pass


def test_job_that_is_not_a_training_is_refused() -> None:
    done = mimeo("tensorboard", "gen_1")
    assert (done.returncode, done.stderr) == (2, "mimeo: gen_1: only training jobs (trn_…) have event files\n")
