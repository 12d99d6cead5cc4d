"""A user's requests over HTTP (train, watch, fetch, generate), and the overlap of jobs in time."""

import hashlib
import io
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from PIL import Image

Json = dict[str, Any]
POLL_S = 0.5


def submit(http: httpx.Client, request: Json) -> str:
    """POST a training job; its id."""
    response = http.post("/v1/training-jobs", json=request)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def wait_for(http: httpx.Client, job_id: str, *, timeout_s: float) -> Json:
    """Poll a training job until it has succeeded; the job."""
    deadline = time.monotonic() + timeout_s
    job: Json = {}
    while time.monotonic() < deadline:
        response = http.get(f"/v1/training-jobs/{job_id}")
        assert response.status_code == 200, response.text
        job = response.json()
        if job["is_terminal"]:
            assert job["status"] == "succeeded", f"{job_id} {job['status']}: {job['error']}"
            return job
        time.sleep(POLL_S)
    raise AssertionError(f"{job_id} has not ended after {timeout_s} s: {job}")


def samples(http: httpx.Client, job: Json) -> list[bytes]:
    """Contents of a training job's samples, each checked against its sha256."""
    listed = http.get(f"/v1/training-jobs/{job['id']}/samples", params={"limit": 100})
    assert listed.status_code == 200, listed.text
    return [content(http, artifact) for artifact in listed.json()["data"]]


def generate(http: httpx.Client, request: Json) -> list[bytes]:
    """POST a generation job, wait for it, fetch its artifacts."""
    response = http.post("/v1/generation-jobs", json=request, headers={"Prefer": "wait=60"})
    assert response.is_success, response.text
    job = response.json()
    assert job["status"] == "succeeded", job
    return [content(http, artifact) for artifact in job["artifacts"]]


def content(http: httpx.Client, artifact: Json) -> bytes:
    """An artifact's bytes."""
    response = http.get(f"/v1/artifacts/{artifact['id']}/content")
    assert response.status_code == 200, response.text
    assert hashlib.sha256(response.content).hexdigest() == artifact["sha256"]
    return response.content


def image_size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG that decodes."""
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


@dataclass(frozen=True, kw_only=True)
class Run:
    """The start and end of one job."""

    job_id: str
    model_type: str
    started: datetime
    finished: datetime

    @classmethod
    def of(cls, job: Json) -> "Run":
        """The run of a finished job document."""
        return cls(
            job_id=job["id"],
            model_type=job["model_type"],
            started=datetime.fromisoformat(job["started_at"]),
            finished=datetime.fromisoformat(job["finished_at"]),
        )


def all_at_once(runs: list[Run]) -> float:
    """Seconds during which all runs overlapped; 0 or less if they did not."""
    return (min(run.finished for run in runs) - max(run.started for run in runs)).total_seconds()


def table(runs: list[Run]) -> str:
    """The runs beside one another, in seconds since the first start."""
    zero = min(run.started for run in runs)
    lines = [f"  {'job':<32} {'model':<8} {'started':>9} {'finished':>9}"]
    for run in sorted(runs, key=lambda run: run.started):
        started, finished = (run.started - zero).total_seconds(), (run.finished - zero).total_seconds()
        lines.append(f"  {run.job_id:<32} {run.model_type:<8} {started:>7.1f} s {finished:>7.1f} s")
    return "\n".join(lines)
