"""Rows of the database as API resources."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from api.queue_places import QueuePlace
from api.schemas import jobs as shown
from api.schemas import resources
from api.urls import url
from shared import outputs
from shared.db import tables as rows
from shared.job_status import JobStatus, Priority
from shared.model_types import REGISTRY
from shared.services import imported_models
from shared.services.queue_stats import COUNTED_POSITIONS
from shared.services.training_estimates import TrainingEstimate


def training_job(job: rows.TrainingJob, *, place: QueuePlace) -> shown.TrainingJob:
    """A training job."""
    path = url(f"/v1/training-jobs/{job.id}")
    init_from = job.spec.get("init_from")
    return shown.TrainingJob(
        **_common(job, place),
        dataset=job.spec["dataset"],
        preset=job.spec["preset"],
        hyperparameters=job.spec["hyperparameters"],
        init_from=init_from["id"] if init_from else None,
        evaluation=job.spec.get("evaluation", "full"),  # absent from jobs of earlier versions
        requested_device=job.spec.get("device", "auto"),
        requires=job.spec.get("requires", []),
        timeout_s=job.timeout_s,
        preemptible=job.preemptible,
        progress=_progress(job),
        metrics=job.metrics,
        estimated_finish_at=_estimated_finish(job),
        model=job.model.id if job.model else None,
        warnings=_warnings(job),
        urls=shown.TrainingJobUrls(
            self=path,
            cancel=f"{path}/cancel",
            pause=f"{path}/pause",
            resume=f"{path}/resume",
            retry=f"{path}/retry",
            metrics=f"{path}/metrics",
            events=f"{path}/events",
            checkpoints=f"{path}/checkpoints",
            samples=f"{path}/samples",
            artifacts=f"{path}/artifacts",
        ),
    )


def training_estimate(found: TrainingEstimate) -> shown.TrainingEstimate:
    """The costs of a training request."""
    spec = found.admitted.spec
    return shown.TrainingEstimate(
        model_type=found.admitted.model_type.name,
        dataset=spec["dataset"],
        preset=spec["preset"],
        hyperparameters=spec["hyperparameters"],
        init_from=spec["init_from"]["id"] if spec["init_from"] else None,
        evaluation=spec["evaluation"],
        requested_device=spec["device"],
        requires=spec["requires"],
        steps=found.steps,
        examples_per_step=found.examples_per_step,
        seconds=None if found.seconds is None else round(found.seconds, 1),
        basis=found.basis,
        memory_bytes=found.admitted.memory_bytes,
        queue_position=min(found.queue_position, COUNTED_POSITIONS),
        queue_position_is_exact=found.queue_position <= COUNTED_POSITIONS,
        warnings=[shown.JobWarning(**asdict(warning)) for warning in found.warnings],
    )


def generation_job(
    job: rows.GenerationJob, artifacts: Iterable[rows.Artifact], *, place: QueuePlace
) -> shown.GenerationJob:
    """A generation job with its artifacts."""
    output = None if job.output is None else outputs.head(job.output)
    if output and output.get("texts"):
        output = {"text": output["texts"][0], **output}
    return shown.GenerationJob(**_generation(job, artifacts, place), sampling=job.spec["sampling"], output=output)


def listed_generation_job(
    job: rows.GenerationJob, artifacts: Iterable[rows.Artifact], *, place: QueuePlace
) -> shown.ListedGenerationJob:
    """A generation job as lists show it. Its output is not read."""
    sampling = {
        name: value for name, value in job.spec["sampling"].items() if len(json.dumps(value)) <= outputs.MAX_LISTED
    }
    return shown.ListedGenerationJob(**_generation(job, artifacts, place), sampling=sampling)


def _generation(job: rows.GenerationJob, artifacts: Iterable[rows.Artifact], place: QueuePlace) -> dict[str, Any]:
    path = url(f"/v1/generation-jobs/{job.id}")
    return {
        **_common(job, place),
        "model": job.spec.get("model_id") or job.spec["checkpoint_id"],
        "checkpoint": job.spec["checkpoint_id"],
        "format": job.spec["format"],
        "artifacts": [artifact(row) for row in artifacts],
        "warnings": _warnings(job),
        "urls": shown.GenerationJobUrls(self=path, cancel=f"{path}/cancel", events=f"{path}/events"),
    }


def _common(job: rows.Job, place: QueuePlace) -> dict[str, Any]:
    finished, position = job.finished_at, place.position
    return {
        "id": job.id,
        "status": job.status,
        "is_terminal": job.status.is_terminal,
        "model_type": job.model_type,
        "name": job.name,
        "priority": Priority.of_rank(job.priority),
        "metadata": job.labels,
        "seed": job.seed,
        "device": job.device,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "queue_position": None if position is None else min(position, COUNTED_POSITIONS),
        "queue_position_is_exact": position is None or position <= COUNTED_POSITIONS,
        "waiting_for": place.waiting_for,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": finished,
        "duration_s": (finished - job.started_at).total_seconds() if finished and job.started_at else None,
        "error": shown.JobError(**job.error) if job.error else None,
        "webhook": shown.Webhook(**job.webhook) if job.webhook else None,
    }


def _progress(job: rows.TrainingJob) -> shown.Progress:
    """The last report of the worker, with values of the request before the first one."""
    known = job.progress
    done = job.status is JobStatus.SUCCEEDED
    return shown.Progress(
        epoch=known.get("epoch", 0),
        epochs=known.get("epochs", job.spec["hyperparameters"].get("epochs")),
        step=known.get("step", 0),
        steps=known.get("steps"),
        fraction=1.0 if done else known.get("fraction", 0.0),
        eta_s=known.get("eta_s") if job.status is JobStatus.RUNNING else None,
        examples_per_s=known.get("examples_per_s"),
    )


def _warnings(job: rows.Job) -> list[shown.JobWarning]:
    return [shown.JobWarning(**warning) for warning in job.warnings or ()]


def _estimated_finish(job: rows.TrainingJob) -> datetime | None:
    """The end that the worker last estimated, from the time of the row's last change."""
    eta_s = job.progress.get("eta_s")
    if job.status is not JobStatus.RUNNING or eta_s is None:
        return None
    return job.updated_at + timedelta(seconds=eta_s)


_ARTIFACT_KIND: TypeAdapter[shown.ArtifactKind] = TypeAdapter(shown.ArtifactKind)


def artifact(row: rows.Artifact) -> shown.Artifact:
    """A file."""
    path = url(f"/v1/artifacts/{row.id}")
    return shown.Artifact(
        id=row.id,
        job=row.job_id,
        kind=_ARTIFACT_KIND.validate_python(row.kind),
        name=row.name,
        media_type=row.media_type,
        size=row.size,
        sha256=row.sha256,
        epoch=row.epoch,
        step=row.step,
        details=row.details,
        created_at=row.created_at,
        urls=shown.ArtifactUrls(self=path, content=f"{path}/content", job=url(job_path(row.job_id))),
    )


def job_path(job_id: str) -> str:
    """Path of a job of either kind."""
    return f"/v1/{'generation' if job_id.startswith('gen_') else 'training'}-jobs/{job_id}"


def checkpoint(row: rows.Checkpoint) -> shown.Checkpoint:
    """A durable state of a run."""
    return shown.Checkpoint(
        id=row.id,
        job=row.job_id,
        epoch=row.epoch,
        step=row.step,
        sha256=row.sha256,
        size=row.size,
        is_best=row.is_best,
        metrics=row.metrics,
        created_at=row.created_at,
    )


def event(row: rows.JobEvent) -> shown.Event:
    """An event of a job's history."""
    return shown.Event(
        id=row.id, type=row.type, attempt=row.attempt, message=row.message, data=row.data, at=row.created_at
    )


def model(row: rows.Model) -> resources.Model:
    """A published model."""
    return resources.Model(
        id=row.id,
        name=row.name,
        model_type=row.model_type,
        dataset=row.dataset,
        **imported_models.origin(row.imported),
        training_job=row.job_id if row.imported is None else None,
        checkpoint=resources.CheckpointOfModel(
            id=row.checkpoint.id, sha256=row.checkpoint.sha256, step=row.checkpoint.step
        ),
        hyperparameters=row.hyperparameters,
        quality=row.quality,
        quality_omitted=_omitted(row),
        versions=row.versions,
        device=row.device,
        warnings=_warnings(row.job) if row.job else [],
        created_at=row.created_at,
        urls=resources.ModelUrls(
            self=url(f"/v1/models/{row.id}"),
            training_job=url(job_path(row.job_id)) if row.imported is None else None,
        ),
    )


def _omitted(row: rows.Model) -> list[str]:
    """Figures of the model type that the model lacks."""
    contract = REGISTRY.get(row.model_type)
    return [name for name in contract.quality if name not in row.quality] if contract else []


def worker(
    row: rows.Worker, *, now: datetime, lease_s: float, job_id: str | None, interrupted_jobs: Sequence[str] = ()
) -> resources.Worker:
    """A worker process. now: by the database's clock. job_id: of its current job, if the request may see it."""
    return resources.Worker(
        id=row.id,
        kind=row.kind,
        host=row.host,
        pid=row.pid,
        device=row.device,
        labels=row.labels.split(",") if row.labels else [],
        is_alive=now - row.heartbeat_at < timedelta(seconds=lease_s),
        job=job_id,
        interrupted_jobs=list(interrupted_jobs),
        jobs_done=row.jobs_done,
        examples_per_s=row.examples_per_s,
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
    )
