"""Unused folders of storage, recorded in the database so that their removal survives a crash.

Folders unknown to this database are not removed: they may belong to another stack with the same store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import Artifact, Checkpoint, Job, PendingDeletion
from shared.errors import Unavailable
from shared.settings import Settings

_POSTPONE_MS = 60_000


def add(session: Session, folder: str) -> None:
    """Record a folder for removal, in the transaction that deletes its rows."""
    session.add(PendingDeletion(storage_key=folder, due_at=db_now()))


def expect(session: Session, folder: str, settings: Settings) -> None:
    """Record a folder for removal before files are stored in it. `keep` cancels the removal."""
    session.add(PendingDeletion(storage_key=folder, due_at=db_now() + _grace_ms(settings)))


def keep(session: Session, folder: str, settings: Settings) -> None:
    """Cancel the removal of a folder, in the transaction that writes its rows.

    Raises Unavailable when the removal is so near that it may have begun.
    """
    in_time = PendingDeletion.due_at > db_now() + _grace_ms(settings) // 2
    kept = session.execute(
        delete(PendingDeletion)
        .where(PendingDeletion.storage_key == folder, in_time)
        .returning(PendingDeletion.storage_key)
    )
    if kept.one_or_none() is None:
        raise Unavailable("Storing the file took too long; send it again.")


def forget(session: Session, folder: str) -> None:
    """Cancel the removal of a folder that no longer exists and in which nothing can be stored any more."""
    session.execute(delete(PendingDeletion).where(PendingDeletion.storage_key == folder))


def due(session: Session, limit: int) -> list[str]:
    """Folders that are due for removal, the longest due first."""
    query = (
        select(PendingDeletion.storage_key).where(PendingDeletion.due_at <= db_now()).order_by(PendingDeletion.due_at)
    )
    return list(session.scalars(query.limit(limit)))


def removed(session: Session, folders: Sequence[str], settings: Settings) -> None:
    """Record a removal. A second one is due after the grace time, because a worker that lost its job may write late."""
    noted = PendingDeletion.storage_key.in_(folders)
    session.execute(delete(PendingDeletion).where(noted, PendingDeletion.created_at <= db_now() - _grace_ms(settings)))
    _set_due(session, noted, PendingDeletion.created_at + _grace_ms(settings))


def postpone(session: Session, folders: Sequence[str]) -> None:
    """Postpone the removal of folders after a failure."""
    _set_due(session, PendingDeletion.storage_key.in_(folders), db_now() + _POSTPONE_MS)


def _set_due(session: Session, noted: ColumnElement[bool], due_at: Any) -> None:
    session.execute(
        update(PendingDeletion).where(noted).values(due_at=due_at).execution_options(synchronize_session=False)
    )


def _grace_ms(settings: Settings) -> int:
    return round(1000 * settings.orphan_grace_s)


# --- orphans in the folders of jobs -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ReferencedKeys:
    """The storage keys of a job. keys: of files, and of folders that belong to it entirely.

    is_held: a worker may be storing further files, with rows that follow.
    """

    is_held: bool
    keys: frozenset[str]

    def include(self, key: str) -> bool:
        """Whether a row refers to the file or to its folder."""
        return key in self.keys or key.rpartition("/")[0] in self.keys


def referenced_keys(session: Session, job_ids: Sequence[str]) -> dict[str, ReferencedKeys]:
    """The storage keys of jobs, by job; ids without a job are left out."""
    statuses = session.execute(select(Job.id, Job.status).where(Job.id.in_(job_ids)))
    held = {job_id: status.is_held for job_id, status in statuses}
    keys: dict[str, set[str]] = {job_id: set() for job_id in held}
    for table in (Artifact, Checkpoint):
        for job_id, key in session.execute(select(table.job_id, table.storage_key).where(table.job_id.in_(held))):
            keys[job_id].add(key)
    return {job_id: ReferencedKeys(is_held=held[job_id], keys=frozenset(found)) for job_id, found in keys.items()}
