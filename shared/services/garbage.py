"""Files that nobody needs: folders whose rows were deleted, and what crashes left without ever getting a row."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared.db.models import Artifact, Checkpoint, Garbage, Job, UploadedDataset


@dataclass(frozen=True, kw_only=True)
class Belongings:
    """What a job that is there has in storage. keys: of files, and of folders that belong to it whole.

    is_held: a worker may be writing more, whose rows follow.
    """

    is_held: bool
    keys: frozenset[str]

    def include(self, key: str) -> bool:
        """Whether a row names the file, or the folder it lies in."""
        return key in self.keys or key.rpartition("/")[0] in self.keys


def add(session: Session, storage_key: str) -> None:
    """Note, in the transaction that deletes its rows, a folder of storage that is to go."""
    session.add(Garbage(storage_key=storage_key))


def list_some(session: Session, limit: int) -> list[str]:
    """Folders that are to go, oldest note first."""
    return list(session.scalars(select(Garbage.storage_key).order_by(Garbage.created_at).limit(limit)))


def forget(session: Session, storage_keys: Sequence[str]) -> None:
    """The folders are gone."""
    session.execute(delete(Garbage).where(Garbage.storage_key.in_(storage_keys)))


def belongings(session: Session, job_ids: Sequence[str]) -> dict[str, Belongings]:
    """What jobs have in storage, by job; ids without a job are left out."""
    statuses = session.execute(select(Job.id, Job.status).where(Job.id.in_(job_ids)))
    held = {job_id: status.is_held for job_id, status in statuses}
    keys: dict[str, set[str]] = {job_id: set() for job_id in held}
    for table in (Artifact, Checkpoint):
        for job_id, key in session.execute(select(table.job_id, table.storage_key).where(table.job_id.in_(job_ids))):
            keys[job_id].add(key)
    return {job_id: Belongings(is_held=held[job_id], keys=frozenset(found)) for job_id, found in keys.items()}


def dataset_keys(session: Session) -> set[str]:
    """Storage keys of all uploaded datasets."""
    return set(session.scalars(select(UploadedDataset.storage_key)))
