"""Request handling shared by the routes of training and generation jobs."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from flask import Response, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import MethodNotAllowed

from api import serializers
from api.authentication import identity
from api.dispatch import notify
from api.idempotency import Accepted
from api.json_body import read_json
from api.parameters import EventsQuery
from api.responses import json_response, page_response
from api.runtime import runtime
from api.schemas.jobs import CancelledJobs, GenerationJob, TrainingJob
from api.schemas.pages import EventPage
from api.streams.hub import hub
from shared import model_types
from shared.ids import Prefix, new_id
from shared.job_status import JobKind, JobStatus
from shared.services import job_history, jobs, transitions
from shared.services.jobs import JobT
from shared.specs import Cancellation, JobChanges, parse

AnswerT = TypeVar("AnswerT", GenerationJob, TrainingJob)


def accepted_response(accepted: Accepted[Any, Any], answer: AnswerT) -> Response:
    """The response to a submission: 202 with the job's `Location`, 200 when the job has ended."""
    response = state_response(answer, is_reached=answer.is_terminal)
    response.headers["Location"] = answer.urls.self
    return accepted.mark(response)


def state_response(answer: AnswerT, *, is_reached: bool) -> Response:
    """The job, with 200 when it has reached the requested state, else with 202."""
    return json_response(answer, 200 if is_reached else 202)


def change(
    of: type[JobT],
    job_id: str,
    transition: Callable[[Session, str], JobStatus],
    show: Callable[[Session, JobT], AnswerT],
) -> AnswerT:
    """Apply a transition that a user requests, and notify a worker if the job is queued then."""
    current = runtime()
    with current.writing() as session:
        job = jobs.change(session, of, job_id, transition)
        answer = show(session, job)
    notify(current, job)
    return answer


def edit(of: type[JobT], job_id: str, show: Callable[[Session, JobT], AnswerT]) -> Response:
    """Change a job that waits by the JSON body, and show it."""
    changes = parse(JobChanges, read_json())
    with runtime().writing() as session:
        job = jobs.change(session, of, job_id, partial(transitions.edit, changes=changes))
        return json_response(show(session, job))


def cancel_all(kind: JobKind, prefix: Prefix) -> Response:
    """Cancel the jobs that the JSON body selects, in transactions of bounded size, and count them.

    Jobs that are submitted meanwhile are not cancelled, so the request ends.
    """
    chosen = parse(Cancellation, read_json())
    if chosen.model_type is not None:
        model_types.get(chosen.model_type)
    until = new_id(prefix)
    statuses = [chosen.status] if chosen.status else ["queued", "paused", "running"] if chosen.ids else ["queued"]
    count = sum(_cancel_of_status(kind, JobStatus(status), chosen, until=until) for status in statuses)
    return json_response(CancelledJobs(count=count))


def _cancel_of_status(kind: JobKind, status: JobStatus, chosen: Cancellation, *, until: str) -> int:
    count, after = 0, ""
    while True:
        with runtime().writing() as session:
            ids = transitions.cancel_all(
                session, kind, status, after=after, until=until, model_type=chosen.model_type, among=chosen.ids
            )
        count += len(ids)
        if len(ids) < transitions.CANCELLED_AT_ONCE:
            return count
        after = ids[-1]


CANCEL_METHODS = ["OPTIONS", "POST"]
OTHER_METHODS = ["OPTIONS", "GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE"]


def refuse_other_methods() -> Response:
    """405 for the other methods of `/cancel`, which would be those of a job of that id."""
    if request.method != "OPTIONS":
        raise MethodNotAllowed(CANCEL_METHODS)
    return Response(headers={"Allow": ", ".join(CANCEL_METHODS)})


def delete(of: type[JobT], job_id: str) -> Response:
    """Delete a job that has ended."""
    with runtime().writing() as session:
        jobs.delete(session, of, job_id)
    hub().job_deleted(job_id, identity().owner)
    return Response(status=204)


def events_response(of: type[JobT], job_id: str, query: EventsQuery) -> Response:
    """A page of a job's history, oldest first."""
    with runtime().reading() as session:
        jobs.get(session, of, job_id)
        found, has_more = job_history.list_for_job(session, job_id, after=query.after, limit=query.limit)
    page = EventPage(data=[serializers.event(row) for row in found], has_more=has_more)
    return page_response(page, next_after=found[-1].id if has_more else None)
