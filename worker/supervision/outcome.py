"""How an attempt ended, from the trainer's exit status and what it said before."""

import signal
from dataclasses import dataclass

from shared.errors import JobFailure, Outage
from shared.events import EXIT_FAILED, EXIT_FINISHED, EXIT_STOPPED, Failed, Finished
from shared.job_status import ErrorCode
from shared.storage import StoreAway


@dataclass(frozen=True, kw_only=True)
class Ending:
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


def judge(ending: Ending) -> Finished | Stopped | JobFailure:
    """What became of the attempt."""
    if ending.killed_for is not None:
        return ending.killed_for
    if ending.status == EXIT_FINISHED and ending.finished is not None:
        return ending.finished
    if _has_stopped(ending):
        return Stopped()
    if ending.status == EXIT_FAILED and ending.failed is not None:
        return _as_failure(ending.failed)
    return _killed(ending) if ending.status == -signal.SIGKILL else _crashed(ending)


def of_files(error: OSError, message: str) -> JobFailure:
    """Files could not be read or written, here or in the store. message: what to call it, unless it is an outage."""
    if isinstance(error, StoreAway):
        return of_store(error)
    return JobFailure(ErrorCode.INTERNAL, f"{message}: {error.strerror or error}.")


def of_store(error: StoreAway) -> Outage:
    """The store is away."""
    return Outage(f"The file store does not answer: {error}.")


def _has_stopped(ending: Ending) -> bool:
    obeyed = ending.status == EXIT_STOPPED and ending.was_asked_to_stop
    return obeyed or (ending.status == -signal.SIGKILL and ending.overran_stop)


def _as_failure(failed: Failed) -> JobFailure:
    known = {code.value for code in ErrorCode}
    code = ErrorCode(failed.code) if failed.code in known else ErrorCode.INTERNAL
    return JobFailure(code, failed.message, failed.hint)


def _killed(ending: Ending) -> JobFailure:
    if ending.ran_out_of_memory:
        return JobFailure(
            ErrorCode.OUT_OF_MEMORY,
            "The system killed the trainer because memory ran out.",
            "Use a smaller batch_size or a smaller model, or a worker with more memory.",
        )
    return JobFailure(ErrorCode.WORKER_LOST, "The trainer was killed (SIGKILL).", "See the worker's log.")


def _crashed(ending: Ending) -> JobFailure:
    if ending.status < 0:
        cause = f"ended by signal {-ending.status} ({signal.strsignal(-ending.status)})"
    else:
        cause = f"ended with status {ending.status} and without a result"
    return JobFailure(ErrorCode.INTERNAL, f"The trainer {cause}.", "The worker's log has its last words.")
