"""The kinds of job, the statuses of a job and the codes of its failures."""

from enum import StrEnum


class JobKind(StrEnum):
    """The kind of a job. Each of QUEUED_KINDS has its own queue and its own workers."""

    TRAINING = "training"
    GENERATION = "generation"
    IMPORT = "import"  # of a model file: it has succeeded when its row is written


QUEUED_KINDS = (JobKind.TRAINING, JobKind.GENERATION)


class JobStatus(StrEnum):
    """State of a job. `cancelled`, `succeeded` and `failed` are terminal.

    No worker, reaper or late message changes a terminal status. A user may retry a failed or cancelled job.
    """

    QUEUED = "queued"  # accepted; waits for a worker or for the end of its back-off
    RUNNING = "running"  # a worker has its lease
    PAUSING = "pausing"  # a pause was requested; the worker writes a checkpoint
    PAUSED = "paused"  # no worker has it; it resumes from its checkpoint
    CANCELLING = "cancelling"  # a cancel was requested; the worker has not ended the attempt yet
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """True when the status changes only by a retry."""
        return self in TERMINAL

    @property
    def is_held(self) -> bool:
        """True when a worker has a lease on the job."""
        return self in HELD


TERMINAL = frozenset({JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.FAILED})
HELD = frozenset({JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.CANCELLING})


class Priority(StrEnum):
    """Order of queued jobs; first come, first served within a priority."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """Sort key: 0 runs first. Three times this rank is the Redis priority step (0, 3, 6)."""
        return _RANKED.index(self)

    @classmethod
    def of_rank(cls, rank: int) -> "Priority":
        """The priority with a rank."""
        return _RANKED[rank]


_RANKED = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


class ErrorCode(StrEnum):
    """Reason of a job's failure, its `error.code`. docs/reference/failure-codes.md describes each."""

    INVALID_REQUEST = "invalid_request"  # only the worker could find it out
    INVALID_DATA = "invalid_data"
    DATASET_UNAVAILABLE = "dataset_unavailable"
    INIT_FROM_UNUSABLE = "init_from_unusable"
    CHECKPOINT_UNUSABLE = "checkpoint_unusable"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    NOT_FINITE = "not_finite"
    EXPORT_FAILED = "export_failed"
    DEFECT = "defect"
    TIMEOUT = "timeout"
    STORAGE_FULL = "storage_full"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"

    @property
    def is_retried(self) -> bool:
        """True when another attempt may succeed."""
        return self in {ErrorCode.WORKER_LOST, ErrorCode.INTERNAL}
