"""Training jobs: submit, list, look, cancel."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api import serializers
from api.bodies import read_json
from api.documents import answers, body
from api.parameters import ConditionalHeaders, TrainingJobPath, TrainingJobsQuery
from api.responses import conditional_response, json_response, page_response
from api.runtime import runtime
from api.schemas.jobs import TrainingJob
from api.schemas.pages import TrainingJobPage
from api.submission import announce
from api.tags import TRAINING_JOBS
from shared.services import figures, job_queue, training_jobs
from shared.specs import parse_training

routes = APIBlueprint("training_jobs", __name__, url_prefix="/v1/training-jobs", abp_tags=[TRAINING_JOBS])


@routes.post(
    "",
    request_body=body("TrainingRequest"),
    responses=answers({202: TrainingJob}, 400, 413, 415, 422, headers=("Location",)),
)
def create_training_job() -> Response:
    """Submit a training job.

    It is accepted, and will run, even when no worker and no Redis is there at the moment.
    """
    current = runtime()
    accepted = parse_training(read_json())
    with current.writing() as session:
        job = training_jobs.submit(session, accepted, settings=current.settings)
        answer = serializers.training_job(job, queue_position=job_queue.queue_position(session, job))
    announce(current, job)
    response = json_response(answer, 202)
    response.headers["Location"] = answer.urls.self
    return response


@routes.get("", responses=answers({200: TrainingJobPage}, 422, headers=("Link",)))
def list_training_jobs(query: TrainingJobsQuery) -> Response:
    """List training jobs, newest first."""
    with runtime().reading() as session:
        rows, has_more = training_jobs.list_page(
            session, status=query.status, model_type=query.model_type, limit=query.limit, after=query.after
        )
        positions = figures.queue_positions(session, rows)
    data = [serializers.training_job(row, queue_position=positions.get(row.id)) for row in rows]
    return page_response(TrainingJobPage(data=data, has_more=has_more), next_after=data[-1].id if has_more else None)


@routes.get(
    "/<id>",
    responses=answers({200: TrainingJob, 304: None}, 404, headers=("ETag",)),
)
def get_training_job(path: TrainingJobPath, header: ConditionalHeaders) -> Response:
    """Look at a training job. Its ETag changes when it does: poll with `If-None-Match`."""
    with runtime().reading() as session:
        job = training_jobs.get(session, path.id)
        answer = serializers.training_job(job, queue_position=job_queue.queue_position(session, job))
    return conditional_response(answer, job.version, header.if_none_match)


@routes.post("/<id>/cancel", responses=answers({200: TrainingJob, 202: TrainingJob}, 404, 409))
def cancel_training_job(path: TrainingJobPath) -> Response:
    """Cancel a training job. 200: it is cancelled; 202: its worker is letting go. Asking again changes nothing."""
    with runtime().writing() as session:
        answer = serializers.training_job(training_jobs.cancel(session, path.id), queue_position=None)
    return json_response(answer, 200 if answer.is_terminal else 202)
