"""Request handling shared by the routes of training and generation jobs."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response
from sqlalchemy.orm import Session

from api import serializers
from api.dispatch import notify
from api.idempotency import Accepted
from api.parameters import EventsQuery
from api.responses import json_response, page_response
from api.runtime import runtime
from api.schemas.jobs import GenerationJob, TrainingJob
from api.schemas.pages import EventPage
from shared.job_status import JobStatus
from shared.services import job_history, jobs
from shared.services.jobs import JobT

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


def delete(of: type[JobT], job_id: str) -> Response:
    """Delete a job that has ended."""
    with runtime().writing() as session:
        jobs.delete(session, of, job_id)
    return Response(status=204)


def events_response(of: type[JobT], job_id: str, query: EventsQuery) -> Response:
    """A page of a job's history, oldest first."""
    with runtime().reading() as session:
        jobs.get(session, of, job_id)
        found, has_more = job_history.list_for_job(session, job_id, after=query.after, limit=query.limit)
    page = EventPage(data=[serializers.event(row) for row in found], has_more=has_more)
    return page_response(page, next_after=found[-1].id if has_more else None)
