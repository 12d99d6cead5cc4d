"""The kinds of job and the life of a job, as a user sees them."""

from enum import StrEnum


class JobKind(StrEnum):
    """The work that a job is. Each kind has its own queue and its own workers."""

    TRAINING = "training"
    GENERATION = "generation"


class JobStatus(StrEnum):
    """Where a job stands. `cancelled`, `succeeded` and `failed` are terminal, and terminal is final.

    Final for the engine: no worker, reaper or late message changes it. A user may retry what failed or was cancelled.
    """

    QUEUED = "queued"  # accepted; waits for a worker, or for its back-off to pass
    RUNNING = "running"  # a worker holds its lease
    PAUSING = "pausing"  # a pause was asked for; the worker still writes its checkpoint
    PAUSED = "paused"  # no worker holds it; resumes from its checkpoint
    CANCELLING = "cancelling"  # a cancel was asked for; the worker has not let go yet
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """True where nothing more happens by itself."""
        return self in TERMINAL

    @property
    def is_held(self) -> bool:
        """True where a worker holds a lease on the job."""
        return self in HELD


TERMINAL = frozenset({JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.FAILED})
HELD = frozenset({JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.CANCELLING})


class Priority(StrEnum):
    """Who goes first among queued jobs; first come, first served within a priority."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """Sort key: 0 runs first. Times three it is the Redis priority step (0, 3, 6)."""
        return {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}[self]


class ErrorCode(StrEnum):
    """Why a job failed, as its `error.code` says."""

    INVALID_DATA = "invalid_data"
    DATASET_UNAVAILABLE = "dataset_unavailable"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"

    @property
    def is_retried(self) -> bool:
        """True where another attempt may end differently."""
        return self in {ErrorCode.WORKER_LOST, ErrorCode.INTERNAL}
