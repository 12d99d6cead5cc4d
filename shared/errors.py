"""The errors that users see, as one tree. HTTP and the command line each translate them in one place.

MimeoError
├── SpecError        the request is invalid: 422
├── Unauthorized     the request has no valid API key: 401
├── Forbidden        the API key does not permit the operation: 403
├── NotFound         the resource does not exist: 404
├── Conflict         the current state does not permit the operation: 409
│   └── QuotaExceeded    the owner's files exceed the quota: 409
├── TooManyJobs      as many jobs of the owner wait as the quota permits: 429
├── TooLarge         the request exceeds a size limit: 413
├── StorageFull      the disk has too little space: 507
├── Unavailable      a required server does not answer: 503
│   └── ExportPending    the file is being created: 503, repeat the request
├── ExportFailed     the file could not be created: 500
├── Damaged          a stored file differs from its checksum: 500
├── SetupError       the configuration does not permit a start: one line, exit code 2
├── LeaseLost        another worker has the job: the attempt stops at once
└── JobFailure       a training or generation run failed
    ├── OutOfMemory            the run needs more memory: once more with each batch in two parts, if it can be split
    └── DependencyUnavailable  a server is unavailable: the job waits, and the attempt does not count
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.job_status import ErrorCode

MAX_ERRORS = 50  # of one response
_IN_DETAIL = 3  # errors that the detail repeats


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One invalid field.

    pointer: RFC 6901 pointer into the request body (`/hyperparameters/epochs`), `?name` for a query parameter, or the
    name of a header.
    """

    pointer: str
    detail: str
    code: str


class MimeoError(Exception):
    """Base of every error of Mimeo."""

    code = "error"

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.detail)


class SpecError(MimeoError):
    """The request is not valid.

    errors: at most MAX_ERRORS are kept.
    """

    code = "invalid_request"

    def __init__(self, detail: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors[:MAX_ERRORS])

    @classmethod
    def at(cls, pointer: str, detail: str, code: str = "invalid") -> "SpecError":
        """A SpecError for one field. detail: the error and its remedy."""
        return cls(detail, [FieldError(pointer=pointer, detail=detail, code=code)])

    @classmethod
    def of(cls, errors: Sequence[FieldError], *, total: int | None = None) -> "SpecError":
        """A SpecError for several fields. Its detail has the first errors and the number of the others.

        total: number of all errors, if `errors` are the first of them.
        """
        shown = [f"{error.pointer or '/'}: {error.detail}" for error in errors[:_IN_DETAIL]]
        more = (len(errors) if total is None else total) - len(shown)
        return cls(" ".join(shown) + (f" And {more:,} more." if more else ""), errors)


class Unauthorized(MimeoError):
    """The request has no valid API key."""

    code = "unauthorized"


class Forbidden(MimeoError):
    """The API key does not permit the operation."""

    code = "forbidden"


class NotFound(MimeoError):
    """The resource does not exist."""

    code = "not_found"


class Conflict(MimeoError):
    """The current state does not permit the operation."""

    code = "conflict"


class QuotaExceeded(Conflict):
    """The owner's files exceed the quota."""

    code = "quota_exceeded"


class TooManyJobs(MimeoError):
    """As many jobs of the owner wait as the quota permits."""

    code = "too_many_jobs"


class TooLarge(MimeoError):
    """The request is larger than this server accepts."""

    code = "too_large"


class StorageFull(MimeoError):
    """The disk is full."""

    code = "storage_full"

    def __init__(self, detail: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class Unavailable(MimeoError):
    """A required server does not answer."""

    code = "unavailable"


class ExportPending(Unavailable):
    """The file is still being created."""

    code = "export_pending"


class ExportFailed(MimeoError):
    """The file could not be created."""

    code = "export_failed"


class Damaged(MimeoError):
    """A stored file differs from its checksum."""

    code = "damaged"


class SetupError(MimeoError):
    """The configuration does not permit a start."""

    code = "setup"


class LeaseLost(MimeoError):
    """Another worker has this job now."""

    code = "lease_lost"


class JobFailure(MimeoError):
    """The run failed.

    hint: advice for the user.
    """

    def __init__(self, code: ErrorCode, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.error_code = code
        self.hint = hint

    def as_dict(self) -> dict[str, str | None]:
        """The `error` object of a job."""
        return {"code": self.error_code.value, "message": self.detail, "hint": self.hint}


class OutOfMemory(JobFailure):
    """The run needs more memory than is available.

    available_bytes: that the run could use in all, as its memory estimate counts; None where it is not known.
    """

    def __init__(self, message: str, hint: str | None = None, *, available_bytes: int | None = None) -> None:
        super().__init__(ErrorCode.OUT_OF_MEMORY, message, hint)
        self.available_bytes = available_bytes


class DependencyUnavailable(JobFailure):
    """A server that the run needs is unavailable."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.INTERNAL, message, "Check the server; /readyz reports which servers respond.")
