"""Training jobs: submit, list, show, cancel, pause, resume, retry, delete."""

from functools import partial

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from sqlalchemy.orm import Session

from api import queue_places, serializers
from api.dispatch import notify
from api.headers import ConditionalHeaders, SubmitHeaders
from api.idempotency import Submission, accept
from api.job_requests import (
    OTHER_METHODS,
    accepted_response,
    cancel_all,
    change,
    delete,
    edit,
    refuse_other_methods,
    state_response,
)
from api.json_body import read_json
from api.openapi import answers, body
from api.parameters import TrainingJobPath, TrainingJobsQuery
from api.responses import conditional_response, json_response, page_response
from api.runtime import runtime
from api.schemas.jobs import CancelledJobs, TrainingEstimate, TrainingJob
from api.schemas.pages import TrainingJobPage
from api.tags import TRAINING_JOBS
from shared.db import tables as rows
from shared.job_status import JobKind, JobStatus
from shared.services import jobs, training_estimates, training_jobs, transitions
from shared.specs import parse_training

routes = APIBlueprint("training_jobs", __name__, url_prefix="/v1/training-jobs", abp_tags=[TRAINING_JOBS])


@routes.post(
    "",
    request_body=body("TrainingRequest"),
    responses=answers(
        {200: (TrainingJob, TrainingEstimate), 202: TrainingJob},
        400,
        413,
        415,
        422,
        headers=("Location", "Idempotency-Replayed"),
    ),
)
def create_training_job(header: SubmitHeaders) -> Response:
    """Submit a training job.

    The job is stored and will run even when all workers and Redis are down. A repeated request with the same
    `Idempotency-Key` returns the same job, with 200 when that job has ended. With `dry_run` the answer is an estimate,
    with 200, and nothing is stored.
    """
    current = runtime()
    given = read_json()
    request = parse_training(given)
    if request.dry_run:
        with current.reading() as session:
            found = training_estimates.estimate(session, request, current.settings)
        return json_response(serializers.training_estimate(found))
    submission = Submission(
        kind=JobKind.TRAINING,
        submit=lambda session: training_jobs.submit(session, request, settings=current.settings),
        get=training_jobs.get,
    )
    accepted = accept(current, submission, header.idempotency_key, given, _shown)
    if not accepted.is_replay:
        notify(current, accepted.job)
    return accepted_response(accepted, accepted.answer)


@routes.get("", responses=answers({200: TrainingJobPage}, 422, headers=("Link",)))
def list_training_jobs(query: TrainingJobsQuery) -> Response:
    """List training jobs, in the order of `sort`."""
    with runtime().reading() as session:
        found, has_more = jobs.list_page(session, rows.TrainingJob, **query.model_dump())
        places = queue_places.places(session, found)
    data = [serializers.training_job(row, place=places[row.id]) for row in found]
    return page_response(TrainingJobPage(data=data, has_more=has_more), next_after=data[-1].id if has_more else None)


@routes.get(
    "/<id>",
    responses=answers({200: TrainingJob, 304: None}, 404, headers=("ETag",)),
)
def get_training_job(path: TrainingJobPath, header: ConditionalHeaders) -> Response:
    """Show a training job. Its ETag changes with the job: poll with `If-None-Match`."""
    with runtime().reading() as session:
        job = training_jobs.get(session, path.id)
        answer = _shown(session, job)
    return conditional_response(answer, job.version, header.if_none_match)


@routes.patch(
    "/<id>",
    request_body=body("JobChanges"),
    responses=answers({200: TrainingJob}, 400, 404, 409, 413, 415, 422),
)
def change_training_job(path: TrainingJobPath) -> Response:
    """Change the priority, the name or the metadata of a training job that waits: queued or paused."""
    return edit(rows.TrainingJob, path.id, _shown)


# Before the route itself, so that its OPTIONS is the one that answers.
routes.add_url_rule("/cancel", "other_methods_of_cancel", refuse_other_methods, methods=OTHER_METHODS)


@routes.post("/cancel", request_body=body("Cancellation"), responses=answers({200: CancelledJobs}, 400, 413, 415, 422))
def cancel_training_jobs() -> Response:
    """Cancel the training jobs of a status, by default the queued ones, of a model type, or with the given ids."""
    return cancel_all(JobKind.TRAINING, "trn")


@routes.post("/<id>/cancel", responses=answers({200: TrainingJob, 202: TrainingJob}, 404, 409))
def cancel_training_job(path: TrainingJobPath) -> Response:
    """Cancel a training job. 200: it is cancelled; 202: its worker is ending the attempt. Idempotent."""
    answer = change(rows.TrainingJob, path.id, transitions.cancel, _shown)
    return state_response(answer, is_reached=answer.is_terminal)


@routes.post("/<id>/pause", responses=answers({200: TrainingJob, 202: TrainingJob}, 404, 409))
def pause_training_job(path: TrainingJobPath) -> Response:
    """Pause a queued or running training job.

    200: it is paused; 202: its worker is writing a checkpoint. Idempotent.
    """
    answer = change(rows.TrainingJob, path.id, transitions.pause, _shown)
    return state_response(answer, is_reached=answer.status is JobStatus.PAUSED)


@routes.post("/<id>/resume", responses=answers({202: TrainingJob}, 404, 409))
def resume_training_job(path: TrainingJobPath) -> Response:
    """Resume a paused training job exactly where it stopped. It keeps its place in the queue."""
    resume = partial(training_jobs.resume, settings=runtime().settings)
    return json_response(change(rows.TrainingJob, path.id, resume, _shown), 202)


@routes.post("/<id>/retry", responses=answers({202: TrainingJob}, 404, 409))
def retry_training_job(path: TrainingJobPath) -> Response:
    """Retry a failed or cancelled training job from its last valid checkpoint, with all its attempts."""
    retry = partial(training_jobs.retry, settings=runtime().settings)
    return json_response(change(rows.TrainingJob, path.id, retry, _shown), 202)


@routes.delete("/<id>", responses=answers({204: None}, 404, 409))
def delete_training_job(path: TrainingJobPath) -> Response:
    """Delete an ended training job with its events, samples, checkpoints and model."""
    return delete(rows.TrainingJob, path.id)


def _shown(session: Session, job: rows.TrainingJob) -> TrainingJob:
    return serializers.training_job(job, place=queue_places.place(session, job))
