"""Warnings about the model that a job trains: a failed health check, adapted weights, missing classes, little data."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from shared.db.tables import Job, table_of

_KNOWN = select(Job.warnings).where(Job.id == bindparam("job_id"))
_WRITE = update(table_of(Job)).where(Job.id == bindparam("job_id"))


@dataclass(frozen=True, kw_only=True)
class JobWarning:
    """One warning.

    code: for programs; a job has at most one warning of each code, the last one. message: one sentence with the
    figures. hint: a suggested remedy. step: optimizer step, where the warning is about one.
    """

    code: str
    message: str
    hint: str | None = None
    step: int | None = None


def add(session: Session, job_id: str, warnings: Iterable[JobWarning]) -> None:
    """Add warnings to a job in this transaction. A worker renews its lease first, which locks the row."""
    known = {each["code"]: each for each in session.execute(_KNOWN, {"job_id": job_id}).scalar_one() or []}
    for warning in warnings:
        known.pop(warning.code, None)
        known[warning.code] = asdict(warning)
    session.execute(_WRITE.values(warnings=list(known.values())), {"job_id": job_id})
