"""The result of an attempt, from the trainer's exit status and its last reports."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import DependencyUnavailable, JobFailure
from shared.job_status import ErrorCode
from shared.storage import StorageUnavailable
from shared.trainer_protocol import EXIT_FAILED, EXIT_FINISHED, EXIT_STOPPED, Failed, Finished

OOM_COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),  # cgroup 2: this container
    Path("/sys/fs/cgroup/memory/memory.oom_control"),  # cgroup 1
    Path("/proc/vmstat"),  # the whole machine
)


@dataclass(frozen=True, kw_only=True)
class TrainerExit:
    """What is known when the trainer is gone. status: as the operating system says, negative for a signal.

    killed_for: the failure that the supervisor killed it for, if it did. overran_stop: it did not stop in time when
    asked to and was killed; its last checkpoint is what it leaves.
    """

    status: int
    finished: Finished | None
    failed: Failed | None
    killed_for: JobFailure | None
    was_asked_to_stop: bool
    overran_stop: bool
    ran_out_of_memory: bool


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The trainer ended because it was asked to; the job can go on from its last checkpoint."""


def classify(trainer_exit: TrainerExit) -> Finished | Stopped | JobFailure:
    """What became of the attempt."""
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
    """Files could not be read or written, here or in the store. message: what to call it, unless it is an outage."""
    if isinstance(error, StorageUnavailable):
        return storage_unavailable(error)
    return JobFailure(ErrorCode.INTERNAL, f"{message}: {error.strerror or error}.")


def storage_unavailable(error: StorageUnavailable) -> DependencyUnavailable:
    """The store is away."""
    return DependencyUnavailable(f"The file store does not answer: {error}.")


def _has_stopped(trainer_exit: TrainerExit) -> bool:
    obeyed = trainer_exit.status == EXIT_STOPPED and trainer_exit.was_asked_to_stop
    return obeyed or (trainer_exit.status == -signal.SIGKILL and trainer_exit.overran_stop)


def _as_failure(failed: Failed) -> JobFailure:
    known = {code.value for code in ErrorCode}
    code = ErrorCode(failed.code) if failed.code in known else ErrorCode.INTERNAL
    return JobFailure(code, failed.message, failed.hint)


def _killed(trainer_exit: TrainerExit) -> JobFailure:
    if trainer_exit.ran_out_of_memory:
        return JobFailure(
            ErrorCode.OUT_OF_MEMORY,
            "The system killed the trainer because memory ran out.",
            "Use a smaller batch_size or a smaller model, or a worker with more memory.",
        )
    return JobFailure(ErrorCode.WORKER_LOST, "The trainer was killed (SIGKILL).", "See the worker's log.")


def _crashed(trainer_exit: TrainerExit) -> JobFailure:
    if trainer_exit.status < 0:
        cause = f"ended by signal {-trainer_exit.status} ({signal.strsignal(-trainer_exit.status)})"
    else:
        cause = f"ended with status {trainer_exit.status} and without a result"
    return JobFailure(ErrorCode.INTERNAL, f"The trainer {cause}.", "The worker's log has its last words.")


def oom_kills(counters: Sequence[Path] = OOM_COUNTERS) -> int:
    """Kills for want of memory so far, of the container or the machine; compare two readings.

    counters: files with a line `oom_kill N`; missing ones count nothing.
    """
    return sum(_count(path) for path in counters)


def _count(path: Path) -> int:
    try:
        words = [line.split() for line in path.read_text().splitlines()]
    except OSError:  # not this kind of system
        return 0
    return sum(int(parts[1]) for parts in words if len(parts) == 2 and parts[0] == "oom_kill")
