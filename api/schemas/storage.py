"""Answers about disk space."""

from pydantic import Field

from api.schemas.base import Answer, Time
from shared.job_status import JobStatus


class DiskSpace(Answer):
    """Space on the disk, and of Mimeo's stored files."""

    free: int | None = Field(description="Bytes free on the fullest local disk; null where none is local.")
    total: int | None = Field(description="Bytes of that disk.")
    min_free: int = Field(description="`MIMEO_MIN_FREE_BYTES`: with less, no job is accepted or started.")
    used: dict[str, int] = Field(description="Bytes of stored files by kind, without exports.")


class PrunedJob(Answer):
    """A job that was or would be deleted, or whose files were."""

    id: str
    status: JobStatus
    finished_at: Time
    files: int | None = Field(description="Number of its files that were removed; null where the job was.")
    size: int = Field(description="Bytes of these files, without exports.")


class Pruned(Answer):
    """The jobs that were deleted or lost files, or would."""

    dry_run: bool
    jobs: list[PrunedJob] = Field(description="The earliest first, at most 500.")
    size: int = Field(description="Bytes of their files.")
    has_more: bool = Field(description="Whether another request would find more.")
