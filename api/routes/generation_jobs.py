"""Generation jobs: submit (and wait), list, show, cancel, delete."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from sqlalchemy.orm import Session

from api import queue_places, serializers
from api.dispatch import notify, notify_and_wait
from api.headers import ConditionalHeaders, PreferHeaders
from api.idempotency import Submission, accept
from api.job_requests import (
    OTHER_METHODS,
    accepted_response,
    cancel_all,
    change,
    delete,
    edit,
    events_response,
    refuse_other_methods,
    state_response,
)
from api.json_body import read_json
from api.openapi import answers, body
from api.parameters import EventsQuery, GenerationJobPath, GenerationJobsQuery
from api.responses import conditional_response, page_response
from api.runtime import Runtime, runtime
from api.schemas.jobs import CancelledJobs, GenerationJob
from api.schemas.pages import EventPage, GenerationJobPage
from api.tags import GENERATION_JOBS
from shared.db import tables as rows
from shared.job_status import JobKind
from shared.services import artifacts, generation_jobs, jobs, transitions
from shared.specs import parse_generation

ShownT = TypeVar("ShownT")

routes = APIBlueprint("generation_jobs", __name__, url_prefix="/v1/generation-jobs", abp_tags=[GENERATION_JOBS])


@routes.post(
    "",
    request_body=body("GenerationRequest"),
    responses=answers(
        {200: GenerationJob, 202: GenerationJob},
        400,
        404,
        413,
        415,
        422,
        headers=("Location", "Preference-Applied", "Idempotency-Replayed"),
    ),
)
def create_generation_job(header: PreferHeaders) -> Response:
    """Submit a generation job.

    With `Prefer: wait=N` the response follows the end of the job (200) or N seconds (202), and `Preference-Applied`
    confirms the wait. While too many requests wait, the answer is 202 at once, without that header. A repeated
    request with the same `Idempotency-Key` returns the same job.
    """
    current = runtime()
    given = read_json()
    request = parse_generation(given)
    submission = Submission(
        kind=JobKind.GENERATION,
        submit=lambda session: generation_jobs.submit(session, request, settings=current.settings),
        get=generation_jobs.get,
    )
    with current.may_wait(header.wait_s) as waits:
        accepted = accept(current, submission, header.idempotency_key, given, _not_yet if waits else _shown_one)
        if waits:
            notify_and_wait(current, accepted.job, header.wait_s, is_notified=accepted.is_replay)
        elif not accepted.is_replay:
            notify(current, accepted.job)
    answer = accepted.answer or _look_at(current, accepted.job.id)
    response = accepted_response(accepted, answer)
    if waits:
        response.headers["Preference-Applied"] = f"wait={header.wait_s}"
    return response


@routes.get("", responses=answers({200: GenerationJobPage}, 422, headers=("Link",)))
def list_generation_jobs(query: GenerationJobsQuery) -> Response:
    """List generation jobs without their outputs, in the order of `sort`."""
    with runtime().reading() as session:
        found, has_more = jobs.list_page(session, rows.GenerationJob, **query.model_dump())
        data = _shown(session, found, serializers.listed_generation_job)
    page = GenerationJobPage(data=data, has_more=has_more)
    return page_response(page, next_after=data[-1].id if has_more else None)


@routes.get("/<id>", responses=answers({200: GenerationJob, 304: None}, 404, headers=("ETag",)))
def get_generation_job(path: GenerationJobPath, header: ConditionalHeaders) -> Response:
    """Show a generation job. Its ETag changes with the job: poll with `If-None-Match`."""
    with runtime().reading() as session:
        job = generation_jobs.get(session, path.id)
        answer = _shown_one(session, job)
    return conditional_response(answer, job.version, header.if_none_match)


@routes.patch(
    "/<id>",
    request_body=body("JobChanges"),
    responses=answers({200: GenerationJob}, 400, 404, 409, 413, 415, 422),
)
def change_generation_job(path: GenerationJobPath) -> Response:
    """Change the priority, the name or the metadata of a generation job that waits: queued or paused."""
    return edit(rows.GenerationJob, path.id, _shown_one)


# Before the route itself, so that its OPTIONS is the one that answers.
routes.add_url_rule("/cancel", "other_methods_of_cancel", refuse_other_methods, methods=OTHER_METHODS)


@routes.post("/cancel", request_body=body("Cancellation"), responses=answers({200: CancelledJobs}, 400, 413, 415, 422))
def cancel_generation_jobs() -> Response:
    """Cancel the generation jobs of a status, by default the queued ones, of a model type, or with the given ids."""
    return cancel_all(JobKind.GENERATION, "gen")


@routes.post("/<id>/cancel", responses=answers({200: GenerationJob, 202: GenerationJob}, 404, 409))
def cancel_generation_job(path: GenerationJobPath) -> Response:
    """Cancel a generation job. 200: it is cancelled; 202: its worker is ending the attempt. Idempotent."""
    answer = change(rows.GenerationJob, path.id, transitions.cancel, _shown_one)
    return state_response(answer, is_reached=answer.is_terminal)


@routes.delete("/<id>", responses=answers({204: None}, 404, 409))
def delete_generation_job(path: GenerationJobPath) -> Response:
    """Delete an ended generation job with its output."""
    return delete(rows.GenerationJob, path.id)


@routes.get("/<id>/events", responses=answers({200: EventPage}, 404, 422, headers=("Link",)))
def list_generation_job_events(path: GenerationJobPath, query: EventsQuery) -> Response:
    """List the events of a generation job, oldest first."""
    return events_response(rows.GenerationJob, path.id, query)


def _not_yet(_session: Session, _job: rows.GenerationJob) -> None:
    """The job, read again after the wait of `Prefer: wait`."""


def _look_at(current: Runtime, job_id: str) -> GenerationJob:
    with current.reading() as session:
        return _shown_one(session, generation_jobs.get(session, job_id))


def _shown(session: Session, jobs: Sequence[rows.GenerationJob], serialize: Callable[..., ShownT]) -> list[ShownT]:
    """The jobs with their artifacts, in one query."""
    files = artifacts.by_job(session, [job.id for job in jobs])
    places = queue_places.places(session, jobs)
    return [serialize(job, files.get(job.id, ()), place=places[job.id]) for job in jobs]


def _shown_one(session: Session, job: rows.GenerationJob) -> GenerationJob:
    return _shown(session, [job], serializers.generation_job)[0]
