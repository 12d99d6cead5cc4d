"""The Python client of the HTTP API: one method for each endpoint.

with Client("http://127.0.0.1:8000") as mimeo:
    job = mimeo.train({"model_type": "vae", "seed": 7})
    job = mimeo.wait(job["id"])
    images = mimeo.generate({"model": job["model"], "sampling": {"mode": "grid"}})
    png = mimeo.content(images["artifacts"][0]["id"])
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from tenacity import Retrying, retry_if_exception, wait_fixed

from client.dataset_requests import DatasetRequests
from client.errors import ApiError, BadInput
from client.event_stream import StreamRefused
from client.files import ExportedFile, file_name
from client.polling import Change, changes, streamed
from client.schema import (
    Artifact,
    Checkpoint,
    DiskSpace,
    Event,
    Job,
    MetricSeries,
    Model,
    ModelType,
    PageOf,
    Pruned,
    TrainingEstimate,
    WebhookDelivery,
    Worker,
)

MAX_WAIT_S = 60  # upper limit of `Prefer: wait`
Query = str | int | Sequence[str] | None
EXPORT_POLL_S = 1.0


def default_url() -> str:
    """`MIMEO_URL`, or this machine at `MIMEO_PORT` (8000)."""
    return os.environ.get("MIMEO_URL") or f"http://127.0.0.1:{os.environ.get('MIMEO_PORT') or 8000}"


def default_api_key() -> str | None:
    """`MIMEO_API_KEY`, or the content of the file `MIMEO_API_KEY_FILE`. Raises BadInput where it cannot be read."""
    if key := os.environ.get("MIMEO_API_KEY"):
        return key
    path = os.environ.get("MIMEO_API_KEY_FILE")
    if not path:
        return None
    try:
        return Path(path).expanduser().read_text().strip() or None
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise BadInput(f"MIMEO_API_KEY_FILE={path} cannot be read ({error})") from error


def job_path(job_id: str) -> str:
    """Path of a job, by its id's prefix."""
    return f"/v1/{'generation' if job_id.startswith('gen_') else 'training'}-jobs/{job_id}"


def _is_pending(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.code == "export_pending"


def _key(given: str | None) -> dict[str, str]:
    return {"Idempotency-Key": given or str(uuid4())}


class Client(DatasetRequests):
    """A client of one Mimeo server. Every method raises ServerUnreachable and ApiError.

    base_url: the server's address; `default_url()` when None. timeout: seconds a request may take.
    api_key: for a server with authentication; `default_api_key()` when None.
    """

    def __init__(self, base_url: str | None = None, timeout: float = 30.0, *, api_key: str | None = None) -> None:
        super().__init__(base_url or default_url(), timeout, default_api_key() if api_key is None else api_key)

    # Jobs of both kinds ----------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """A training or generation job."""
        return cast("Job", self.get(job_path(job_id)))

    def job_if_changed(self, job_id: str, etag: str | None) -> Change | None:
        """The job and its new ETag, or None when it is unchanged since `etag`."""
        headers = {"If-None-Match": etag} if etag else {}
        response = self.request("GET", job_path(job_id), headers=headers)
        if response.status_code == 304:
            return None
        return Change(job=cast("Job", response.json()), etag=response.headers.get("ETag"))

    def watch(
        self,
        job_id: str,
        *,
        poll_s: float = 0.5,
        patience_s: float = 60.0,
        on_silence: Callable[[], None] = lambda: None,
    ) -> Iterator[Job]:
        """The job now and at each change, until it is terminal. Outages shorter than `patience_s` are tolerated.

        Changes come from the job's stream. Where the server refuses it, the job is polled every `poll_s` seconds.
        on_silence: called from time to time while nothing changes.
        """
        path = f"{job_path(job_id)}/stream"
        limits: dict[str, Any] = {"patience_s": patience_s, "on_silence": on_silence}
        try:
            yield from streamed(lambda after: self.stream(path, after=after), **limits)
        except StreamRefused:
            yield from changes(lambda etag: self.job_if_changed(job_id, etag), poll_s=poll_s, **limits)

    def wait(self, job_id: str, *, poll_s: float = 0.5, timeout_s: float | None = None) -> Job:
        """The job once it is terminal. Raises TimeoutError after `timeout_s`."""
        watched = changes(lambda etag: self.job_if_changed(job_id, etag), poll_s=poll_s, timeout_s=timeout_s)
        *_, last = watched
        return last

    def cancel(self, job_id: str) -> Job:
        """Cancel a job. Raises ApiError 409 when it has ended already."""
        return cast("Job", self.post(f"{job_path(job_id)}/cancel"))

    def cancel_all(self, kind: str, **selected: str | None) -> int:
        """Cancel all `training` or `generation` jobs of a `status` and a `model_type`. Returns their number."""
        return int(self.request("POST", f"/v1/{kind}-jobs/cancel", json=selected).json()["count"])

    def change(self, job_id: str, changes: Mapping[str, Any]) -> Job:
        """Change `priority`, `name` or `metadata` of a job. Raises ApiError 409 unless it is queued or paused."""
        return cast("Job", self.request("PATCH", job_path(job_id), json=changes).json())

    def delete(self, job_id: str) -> None:
        """Delete an ended job with its files. Raises ApiError 409 when it has not ended, or another job needs it."""
        self.request("DELETE", job_path(job_id))

    def deliveries(self, job_id: str) -> list[WebhookDelivery]:
        """The deliveries of a job's webhook, newest first."""
        return cast("list[WebhookDelivery]", self.all_of(f"{job_path(job_id)}/webhook-deliveries"))

    def redeliver(self, job_id: str, delivery_id: str) -> WebhookDelivery:
        """Send a delivery again, with the same id and body."""
        path = f"{job_path(job_id)}/webhook-deliveries/{delivery_id}/redeliver"
        return cast("WebhookDelivery", self.post(path))

    # Training --------------------------------------------------------------------------------------------------------

    def train(self, request: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Submit a training job.

        idempotency_key: within a day, the same key and request give the same job; a new key when None. It makes the
        request safe to repeat after a lost connection.
        """
        response = self.request(
            "POST", "/v1/training-jobs", json=request, headers=_key(idempotency_key), is_repeatable=True
        )
        return cast("Job", response.json())

    def estimate(self, request: Mapping[str, Any]) -> TrainingEstimate:
        """The costs of a training request. Nothing is submitted."""
        response = self.request("POST", "/v1/training-jobs", json={**request, "dry_run": True}, is_repeatable=True)
        return cast("TrainingEstimate", response.json())

    def pause(self, job_id: str) -> Job:
        """Pause a training job, with a checkpoint. Raises ApiError 409 when it is not queued or running."""
        return cast("Job", self.post(f"{job_path(job_id)}/pause"))

    def resume(self, job_id: str) -> Job:
        """Resume a paused training job. Raises ApiError 409 when it is not paused."""
        return cast("Job", self.post(f"{job_path(job_id)}/resume"))

    def retry(self, job_id: str) -> Job:
        """Run a training job again from its last checkpoint. Raises ApiError 409 unless it failed or was cancelled."""
        return cast("Job", self.post(f"{job_path(job_id)}/retry"))

    def training_jobs(self, **query: Query) -> PageOf[Job]:
        """A page of training jobs. query: `status` (one or several), `model_type`, `q`, `sort`, `limit`, `after`."""
        return cast("PageOf[Job]", self.get("/v1/training-jobs", **query))

    def metrics(self, job_id: str, *, name: str | None = None, max_points: int | None = None) -> list[MetricSeries]:
        """The curves of a training job."""
        body = self.get(f"{job_path(job_id)}/metrics", name=name, max_points=max_points)
        return cast("list[MetricSeries]", body["data"])

    def events(self, job_id: str, *, after: int | None = None) -> list[Event]:
        """The history of a job, oldest first; only the events after the id `after`."""
        return cast("list[Event]", self.all_of(f"{job_path(job_id)}/events", after=after))

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """The kept checkpoints, newest first."""
        return cast("list[Checkpoint]", self.get(f"{job_path(job_id)}/checkpoints")["data"])

    def samples(self, job_id: str, *, after: str | None = None) -> list[Artifact]:
        """The samples written while training, oldest first; only those after the id `after`."""
        return cast("list[Artifact]", self.all_of(f"{job_path(job_id)}/samples", after=after))

    def artifacts(self, job_id: str, *, kind: str | None = None) -> list[Artifact]:
        """The files of a training job, oldest first; with `kind` only its `sample`s or its `tensorboard` files."""
        return cast("list[Artifact]", self.all_of(f"{job_path(job_id)}/artifacts", kind=kind))

    # Generation ------------------------------------------------------------------------------------------------------

    def submit_generation(
        self, request: Mapping[str, Any], *, wait_s: int = 0, idempotency_key: str | None = None
    ) -> Job:
        """Submit a generation job; the server delays its response up to `wait_s` (at most 60) until the job ends.

        idempotency_key: as in `train`.
        """
        wait_s = min(wait_s, MAX_WAIT_S)
        response = self.request(
            "POST",
            "/v1/generation-jobs",
            json=request,
            headers=_key(idempotency_key) | ({"Prefer": f"wait={wait_s}"} if wait_s else {}),
            timeout=self._timeout + wait_s,
            is_repeatable=True,
        )
        return cast("Job", response.json())

    def generate(self, request: Mapping[str, Any]) -> Job:
        """Submit a generation job and return it once it is terminal."""
        job = self.submit_generation(request, wait_s=MAX_WAIT_S)
        return job if job["is_terminal"] else self.wait(job["id"], poll_s=0.2)

    def generation_jobs(self, **query: Query) -> PageOf[Job]:
        """A page of generation jobs. query: as of `training_jobs`."""
        return cast("PageOf[Job]", self.get("/v1/generation-jobs", **query))

    # Resources -----------------------------------------------------------------------------------------------------

    def models(
        self, *, model_type: str | None = None, limit: int | None = None, after: str | None = None
    ) -> PageOf[Model]:
        """A page of models, newest first."""
        return cast("PageOf[Model]", self.get("/v1/models", model_type=model_type, limit=limit, after=after))

    def model(self, model_id: str) -> Model:
        """One model."""
        return cast("Model", self.get(f"/v1/models/{model_id}"))

    def export(self, model_id: str, format_: str = "safetensors", *, part: str | None = None) -> ExportedFile:
        """A model as a file: `safetensors` (its weights) or `onnx` (a graph; `part` selects one of several).

        The first request for an ONNX file waits, without a limit, until a worker has created it.
        """
        query = {"format": format_} | ({"part": part} if part else {})
        # A server with free request threads delays its response; a busy one responds at once.
        pending = Retrying(retry=retry_if_exception(_is_pending), wait=wait_fixed(EXPORT_POLL_S), reraise=True)
        response = pending(self.request, "GET", f"/v1/models/{model_id}/export", params=query)
        return ExportedFile(name=file_name(response, f"{model_id}.{format_}"), content=response.content)

    def import_model(self, path: Path, *, name: str | None = None, dataset: str | None = None) -> Model:
        """Import a safetensors file that `export` returned, here or on another server."""
        return cast(
            "Model", self.send_file("POST", "/v1/models", path, "application/octet-stream", name=name, dataset=dataset)
        )

    def delete_model(self, model_id: str) -> None:
        """Delete an imported model. Raises ApiError 409 for one of a training job, or while unfinished jobs need it."""
        self.request("DELETE", f"/v1/models/{model_id}")

    def artifact(self, artifact_id: str) -> Artifact:
        """Description of a file."""
        return cast("Artifact", self.get(f"/v1/artifacts/{artifact_id}"))

    def content(self, artifact_id: str) -> bytes:
        """The bytes of a file."""
        return self.request("GET", f"/v1/artifacts/{artifact_id}/content").content

    def model_types(self) -> list[ModelType]:
        """The model types, with their schemas and presets."""
        return cast("list[ModelType]", self.get("/v1/model-types")["data"])

    def workers(self) -> list[Worker]:
        """Live workers, and some with a heartbeat within the last day."""
        return cast("list[Worker]", self.get("/v1/workers")["data"])

    def storage(self) -> DiskSpace:
        """Free space, and the space that each kind of file takes."""
        return cast("DiskSpace", self.get("/v1/storage"))

    def prune(
        self,
        *,
        older_than_days: float,
        models: bool = False,
        dry_run: bool,
        kind: str = "jobs",
        status: Sequence[str] = (),
        keep_last: int = 1,
    ) -> Pruned:
        """Delete ended jobs with their files, at most 500, or files of jobs that stay; or list them."""
        flags = {"models": str(models).lower(), "dry_run": str(dry_run).lower()}
        chosen = {"kind": kind, "status": list(status), "keep_last": keep_last}
        parameters = {"older_than_days": older_than_days, **flags, **chosen}
        answer: Pruned = self.request("POST", "/v1/storage/prune", params=parameters).json()
        return answer
