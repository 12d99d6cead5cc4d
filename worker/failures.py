"""Failures to report, from the exceptions that ended a run."""

import errno
import sys

from shared.atomic_files import DISK_FULL
from shared.errors import JobFailure
from shared.job_status import ErrorCode

# Torch's CPU allocator raises a plain RuntimeError with one of these messages.
_CPU_ALLOCATOR = ("can't allocate memory", "not enough memory")
_MAX_MESSAGE = 1_000  # characters of an unexpected exception
# Errors of the program itself: a run is deterministic, so that another attempt would end in the same way. An OSError or
# a RuntimeError, such as one of the GPU's driver, may be temporary.
_REPEATABLE = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError, ValueError)
_DEFECT_HINT = "This is a defect of Mimeo. Report it with the job's hyperparameters and the worker's log."
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}


def is_out_of_memory(error: BaseException) -> bool:
    """True where the machine, or its GPU, had too little memory."""
    torch = sys.modules.get("torch")  # not imported here, since torch takes seconds to import
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_ALLOCATOR)


def as_failure(error: Exception) -> JobFailure:
    """The failure to report.

    An unexpected exception gives `defect` where another attempt would raise it again, else `internal`.
    """
    if isinstance(error, JobFailure):
        return error
    if is_out_of_memory(error):
        return JobFailure(
            ErrorCode.OUT_OF_MEMORY,
            "The run needs more memory than is available.",
            "Use a smaller batch_size or a smaller model.",
        )
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return storage_full(_at(error))
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        return JobFailure(
            ErrorCode.INTERNAL,
            f"The run folder cannot be written{_at(error)}: {error.strerror}.",
            "Make it writable and run again: it continues from its last checkpoint.",
        )
    first_line = str(error).splitlines()[0][:_MAX_MESSAGE] if str(error) else ""
    message = f"{type(error).__name__}: {first_line}"
    if isinstance(error, _REPEATABLE):
        return JobFailure(ErrorCode.DEFECT, message, _DEFECT_HINT)
    return JobFailure(ErrorCode.INTERNAL, message)


def is_unexpected(failure: JobFailure) -> bool:
    """Whether a failure of `as_failure` is an unexpected exception, whose traceback belongs on standard error."""
    return failure.error_code is ErrorCode.DEFECT or (failure.error_code is ErrorCode.INTERNAL and failure.hint is None)


def storage_full(where: str = "") -> JobFailure:
    """The failure for a full disk. It is not retried: another attempt would fail until someone frees space."""
    return JobFailure(
        ErrorCode.STORAGE_FULL,
        f"The disk is full{where}.",
        "Free some space and retry the job: a training continues from its last checkpoint.",
    )


def diverged(name: str, value: float, step: int) -> JobFailure:
    """The failure for a training metric that is not finite."""
    return JobFailure(
        ErrorCode.DIVERGED,
        f"{name} became {value} at step {step}.",
        "Use a smaller learning_rate, or continue a healthy checkpoint with init_from.",
    )


def not_finite(output: str) -> JobFailure:
    """The failure for a model whose output, in words, is not finite."""
    return JobFailure(
        ErrorCode.NOT_FINITE,
        f"The model gives {output} that are not finite numbers.",
        "Use smaller latents, or another checkpoint: the weights of this one may have diverged.",
    )


def _at(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""
