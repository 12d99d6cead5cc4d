"""Records of a training job: curves, events, checkpoints, samples, files."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api import serializers
from api.job_requests import events_response
from api.openapi import answers
from api.parameters import ArtifactsQuery, EventsQuery, FilesQuery, MetricsQuery, TrainingJobPath
from api.responses import json_response, page_response
from api.runtime import runtime
from api.schemas.jobs import MetricPoint, MetricSeries, MetricsOfJob
from api.schemas.pages import ArtifactPage, CheckpointPage, EventPage
from api.tags import TRAINING_JOBS
from shared.db.tables import TrainingJob
from shared.services import artifacts, checkpoints, metrics, training_jobs

routes = APIBlueprint("training_job_records", __name__, url_prefix="/v1/training-jobs/<id>", abp_tags=[TRAINING_JOBS])


@routes.get("/metrics", responses=answers({200: MetricsOfJob}, 404, 422))
def get_training_job_metrics(path: TrainingJobPath, query: MetricsQuery) -> Response:
    """Read the curves of a training job, reduced to about `max_points` each.

    A reduced curve keeps the lowest and the highest point of each range of steps: a spike of one point stays visible.
    """
    steps = metrics.StepRange(first=query.from_step, last=query.to_step)
    with runtime().reading() as session:
        training_jobs.get(session, path.id)
        curves = metrics.series(session, path.id, name=query.name, steps=steps, max_points=query.max_points)
    data = [
        MetricSeries(
            name=name,
            points=[MetricPoint(step=at.step, epoch=at.epoch, value=at.value, at=at.at) for at in points],
        )
        for name, points in curves.items()
    ]
    return json_response(MetricsOfJob(data=data))


@routes.get("/events", responses=answers({200: EventPage}, 404, 422, headers=("Link",)))
def list_training_job_events(path: TrainingJobPath, query: EventsQuery) -> Response:
    """List the events of a training job, oldest first: transitions, retries, warnings."""
    return events_response(TrainingJob, path.id, query)


@routes.get("/checkpoints", responses=answers({200: CheckpointPage}, 404))
def list_training_job_checkpoints(path: TrainingJobPath) -> Response:
    """List the kept checkpoints, newest first. Each can be sampled from or trained further."""
    with runtime().reading() as session:
        training_jobs.get(session, path.id)
        rows = checkpoints.list_for_job(session, path.id)
    page = CheckpointPage(data=[serializers.checkpoint(row) for row in rows], has_more=False)
    return page_response(page, next_after=None)


@routes.get("/samples", responses=answers({200: ArtifactPage}, 404, 422, headers=("Link",)))
def list_training_job_samples(path: TrainingJobPath, query: ArtifactsQuery) -> Response:
    """List the samples of a training job, oldest first."""
    return _artifact_page(path.id, query, kind="sample")


@routes.get("/artifacts", responses=answers({200: ArtifactPage}, 404, 422, headers=("Link",)))
def list_training_job_artifacts(path: TrainingJobPath, query: FilesQuery) -> Response:
    """List the files of a training job, oldest first."""
    return _artifact_page(path.id, query, kind=query.kind)


def _artifact_page(job_id: str, query: ArtifactsQuery, *, kind: str | None) -> Response:
    with runtime().reading() as session:
        training_jobs.get(session, job_id)
        rows, has_more = artifacts.list_for_job(session, job_id, kind=kind, after=query.after, limit=query.limit)
    page = ArtifactPage(data=[serializers.artifact(row) for row in rows], has_more=has_more)
    return page_response(page, next_after=rows[-1].id if has_more else None)
