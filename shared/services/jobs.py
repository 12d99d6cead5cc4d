"""Operations of the API on all kinds of job: submit, find, list, change, delete."""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session, defer, joinedload

from shared.db.owned_rows import check_may_change, is_own
from shared.db.tables import GenerationJob, Job, Model, TrainingJob
from shared.errors import NotFound
from shared.ids import Prefix, is_id, new_id
from shared.job_status import JobKind, JobStatus
from shared.placement import ANYWHERE
from shared.services import deletion, job_search, new_jobs, paging
from shared.services.job_search import JobSort
from shared.services.job_warnings import JobWarning
from shared.services.paging import DEFAULT_LIMIT
from shared.specs import GenerationRequest, TrainingRequest

JobT = TypeVar("JobT", TrainingJob, GenerationJob)

_PREFIXES: Mapping[type[Job], Prefix] = {TrainingJob: "trn", GenerationJob: "gen"}
_KINDS: Mapping[type[Job], JobKind] = {TrainingJob: JobKind.TRAINING, GenerationJob: JobKind.GENERATION}
_SEARCHED: Mapping[type[Job], tuple[str, ...]] = {TrainingJob: ("dataset",), GenerationJob: ("model",)}
_QUERIES: Mapping[type[Job], Select[Any]] = {
    TrainingJob: select(TrainingJob).options(joinedload(TrainingJob.model).joinedload(Model.checkpoint)),
    GenerationJob: select(GenerationJob),
}


def submit(
    session: Session,
    of: type[JobT],
    request: TrainingRequest | GenerationRequest,
    *,
    model_type: str,
    spec: Mapping[str, Any],
    warnings: Iterable[JobWarning] = (),
    is_quick: bool = False,
    memory_bytes: int | None = None,
    placement: str = ANYWHERE,
) -> JobT:
    """Insert the row of a job. Send its notification after the commit."""
    return new_jobs.add(
        session,
        of,
        id=new_id(_PREFIXES[of]),
        model_type=model_type,
        name=request.name,
        spec=spec,
        labels=request.metadata,
        priority=request.priority,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        max_attempts=request.max_attempts,
        timeout_s=request.timeout_s,
        warnings=warnings,
        is_quick=is_quick,
        memory_bytes=memory_bytes,
        placement=placement,
        preemptible=isinstance(request, TrainingRequest) and request.preemptible,
        webhook=request.webhook.model_dump() if request.webhook else None,
    )


def get(session: Session, of: type[JobT], job_id: str) -> JobT:
    """A job, a training job with its model. Raises NotFound."""
    job: JobT | None = None
    if is_id(job_id, _PREFIXES[of]):
        job = session.scalars(_QUERIES[of].where(of.id == job_id)).one_or_none()
    if job is None:
        raise NotFound(f"There is no {_KINDS[of]} job with that id.")
    return job


def list_page(
    session: Session,
    of: type[JobT],
    *,
    status: Collection[JobStatus] = (),
    model_type: str | None = None,
    q: str | None = None,
    sort: JobSort = JobSort.NEWEST,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> tuple[list[JobT], bool]:
    """Jobs without their outputs, and whether there are more. Raises SpecError for a bad page.

    status: any of these; empty: all. q: words that must all occur in the job's texts.
    """
    paging.check(limit, after, _PREFIXES[of])
    query = _QUERIES[of].options(defer(of.output, raiseload=True))
    # One status is compared by equality, so that an index gives the order too.
    conditions: list[ColumnElement[bool]] = (
        [of.status == one for one in status] if len(status) == 1 else [of.status.in_(status)] if status else []
    )
    if model_type is not None:
        conditions.append(of.model_type == model_type)
    if q:
        conditions.append(job_search.matches(session, q, _SEARCHED[of]))
    if after is not None:
        conditions.append(job_search.follows(session, sort, of.id, after))
    conditions += [is_own(session, of.owner), of.kind == _KINDS[of]]
    return paging.page(session, query, of.id, conditions=conditions, order=job_search.order(sort, of.id), limit=limit)


def change(session: Session, of: type[JobT], job_id: str, transition: Callable[[Session, str], JobStatus]) -> JobT:
    """Apply a transition of `shared.services.transitions` that a user requests, and return the changed job.

    If it is queued then, send its notification after the commit. Raises NotFound, Forbidden, Conflict.
    """
    check_may_change(session, get(session, of, job_id).owner)
    transition(session, job_id)
    session.expire_all()
    return get(session, of, job_id)


def delete(session: Session, of: type[JobT], job_id: str) -> None:
    """Delete an ended job with its files, a training job with its model too. Raises NotFound, Forbidden, Conflict."""
    check_may_change(session, get(session, of, job_id).owner)
    deletion.delete_job(session, job_id)
