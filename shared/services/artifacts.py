"""Files for download: samples of a training, outputs of a generation."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from shared.db.tables import Artifact, Job
from shared.errors import NotFound, SpecError
from shared.ids import is_id
from shared.services.paging import MAX_LIMIT

_BY_JOB = select(Artifact).where(Artifact.job_id.in_(bindparam("job_ids", expanding=True))).order_by(Artifact.id)


def get(session: Session, artifact_id: str) -> Artifact:
    """An artifact. Raises NotFound."""
    # The join leaves out the artifacts of other owners' jobs.
    query = select(Artifact).join(Job, Job.id == Artifact.job_id).where(Artifact.id == artifact_id)
    row = session.scalars(query).one_or_none() if is_id(artifact_id, "art") else None
    if row is None:
        raise NotFound("There is no artifact with that id.")
    return row


def list_for_job(
    session: Session, job_id: str, *, kind: str | None = None, limit: int = MAX_LIMIT, after: str | None = None
) -> tuple[list[Artifact], bool]:
    """A job's artifacts, oldest first, and whether there are more. Raises SpecError for a bad `after`."""
    query = select(Artifact).where(Artifact.job_id == job_id)
    if kind is not None:
        query = query.where(Artifact.kind == kind)
    if after is not None:
        if not is_id(after, "art"):
            raise SpecError.at("?after", "Give the last id of the previous page (art_…).", "invalid")
        query = query.where(Artifact.id > after)
    rows = list(session.scalars(query.order_by(Artifact.id).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def by_job(session: Session, job_ids: Sequence[str]) -> dict[str, list[Artifact]]:
    """The artifacts of several jobs at once, oldest first, by job; jobs without any are left out."""
    found: dict[str, list[Artifact]] = {}
    for row in session.scalars(_BY_JOB, {"job_ids": job_ids}) if job_ids else ():
        found.setdefault(row.job_id, []).append(row)
    return found
