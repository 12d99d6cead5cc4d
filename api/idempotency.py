"""The `Idempotency-Key` header: repetitions of a request submit one job."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flask import Response
from sqlalchemy.orm import Session

from api.runtime import Runtime
from api.schemas.base import Answer
from shared.db.tables import Job
from shared.job_status import JobKind
from shared.services import idempotency
from shared.services.idempotency import KeyTaken, Request

REPLAYED = "Idempotency-Replayed"
JobT = TypeVar("JobT", bound=Job)
AnswerT = TypeVar("AnswerT", bound=Answer | None)


@dataclass(frozen=True, kw_only=True)
class Submission(Generic[JobT]):
    """How one kind of job is created and read. Each function gets the session of one transaction."""

    kind: JobKind
    submit: Callable[[Session], JobT]
    get: Callable[[Session, str], JobT]


@dataclass(frozen=True, kw_only=True)
class Accepted(Generic[JobT, AnswerT]):
    """A job, and the answer that was built from it. is_replay: an earlier request with the same key created it."""

    job: JobT
    answer: AnswerT
    is_replay: bool

    def mark(self, response: Response) -> Response:
        """The response, with a header that marks the job of an earlier request."""
        if self.is_replay:
            response.headers[REPLAYED] = "true"
        return response


def accept(
    runtime: Runtime,
    submission: Submission[JobT],
    key: str | None,
    body: Mapping[str, Any],
    show: Callable[[Session, JobT], AnswerT],
) -> Accepted[JobT, AnswerT]:
    """Submit the job, or find the one that the key created before. Raises KeyReused and the errors of `submit`."""
    request = None if key is None else Request.of(key, submission.kind, body)
    while True:
        try:
            with runtime.writing() as session:
                known = idempotency.find(session, request) if request else None
                job = submission.get(session, known) if known else submission.submit(session)
                if request and not known:
                    idempotency.remember(session, request, job.id)
                return Accepted(job=job, answer=show(session, job), is_replay=known is not None)
        except KeyTaken:
            continue  # the other request has committed its job, which the next round finds
