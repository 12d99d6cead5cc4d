"""The result of an attempt, from the trainer's exit status and its last reports."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.atomic_files import DISK_FULL
from shared.errors import DependencyUnavailable, JobFailure, OutOfMemory
from shared.job_status import ErrorCode
from shared.storage import BucketMissing, StorageDenied, StorageUnavailable
from shared.trainer_protocol import EXIT_FAILED, EXIT_FINISHED, EXIT_STOPPED, Failed, Finished
from worker.failures import storage_full

OOM_COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),  # cgroup 2: this container
    Path("/sys/fs/cgroup/memory/memory.oom_control"),  # cgroup 1
    Path("/proc/vmstat"),  # the whole machine
)


@dataclass(frozen=True, kw_only=True)
class TrainerExit:
    """The facts about a trainer that has ended. status: the process's exit status, negative for a signal.

    killed_for: the failure for which the worker killed it, or None. overran_stop: it did not stop within the grace
    period and was killed; its last checkpoint remains.
    """

    status: int
    finished: Finished | None
    failed: Failed | None
    killed_for: JobFailure | None
    was_stop_requested: bool
    overran_stop: bool
    ran_out_of_memory: bool


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The trainer ended on a stop request; the job can continue from its last checkpoint."""


def classify(trainer_exit: TrainerExit) -> Finished | Stopped | JobFailure:
    """The result of the attempt."""
    if trainer_exit.killed_for is not None:
        return trainer_exit.killed_for
    if trainer_exit.status == EXIT_FINISHED and trainer_exit.finished is not None:
        return trainer_exit.finished
    if _has_stopped(trainer_exit):
        return Stopped()
    if trainer_exit.status == EXIT_FAILED and trainer_exit.failed is not None:
        return _as_failure(trainer_exit.failed)
    return _killed(trainer_exit) if trainer_exit.status == -signal.SIGKILL else _crashed(trainer_exit)


def file_failure(error: OSError, message: str) -> JobFailure:
    """The failure for a file that could not be read or written. message: used unless storage is unavailable."""
    if isinstance(error, StorageUnavailable):
        return storage_unavailable(error)
    if error.errno in DISK_FULL:
        return storage_full()
    return JobFailure(ErrorCode.INTERNAL, f"{message}: {error.strerror or error}.")


def storage_unavailable(error: StorageUnavailable) -> DependencyUnavailable:
    """The failure for unavailable storage."""
    if isinstance(error, BucketMissing | StorageDenied):
        return DependencyUnavailable(str(error))
    return DependencyUnavailable(f"The file store does not answer: {error}.")


def _has_stopped(trainer_exit: TrainerExit) -> bool:
    stopped = trainer_exit.status == EXIT_STOPPED and trainer_exit.was_stop_requested
    return stopped or (trainer_exit.status == -signal.SIGKILL and trainer_exit.overran_stop)


def _as_failure(failed: Failed) -> JobFailure:
    known = {code.value for code in ErrorCode}
    code = ErrorCode(failed.code) if failed.code in known else ErrorCode.INTERNAL
    if code is ErrorCode.OUT_OF_MEMORY:
        return OutOfMemory(failed.message, failed.hint, available_bytes=failed.available_bytes)
    return JobFailure(code, failed.message, failed.hint)


def _killed(trainer_exit: TrainerExit) -> JobFailure:
    if trainer_exit.ran_out_of_memory:
        return OutOfMemory(
            "The system killed the trainer because memory ran out.",
            "Use a smaller batch_size or a smaller model, or a worker with more memory.",
        )
    return JobFailure(ErrorCode.WORKER_LOST, "The trainer was killed (SIGKILL).", "See the worker's log.")


def _crashed(trainer_exit: TrainerExit) -> JobFailure:
    if trainer_exit.status < 0:
        cause = f"ended by signal {-trainer_exit.status} ({signal.strsignal(-trainer_exit.status)})"
    else:
        cause = f"ended with status {trainer_exit.status} and without a result"
    return JobFailure(
        ErrorCode.INTERNAL, f"The trainer {cause}.", "The worker's log has the end of its standard error."
    )


def oom_kills(counters: Sequence[Path] = OOM_COUNTERS) -> int:
    """Number of out-of-memory kills so far, of the container or the machine; compare two readings.

    counters: files with a line `oom_kill N`; missing files count 0.
    """
    return sum(_count(path) for path in counters)


def _count(path: Path) -> int:
    try:
        words = [line.split() for line in path.read_text().splitlines()]
    except OSError:  # not this kind of system
        return 0
    return sum(int(parts[1]) for parts in words if len(parts) == 2 and parts[0] == "oom_kill")
