"""The errors that users meet, as one tree. The edge (HTTP, CLI) translates them once.

MimeoError
├── SpecError        the request is understood and wrong: 422
├── NotFound         no such thing: 404
├── Conflict         the state forbids it: 409
├── TooLarge         over a size limit: 413
├── Unavailable      a server that is needed does not answer: 503
│   └── ExportPending    the file is still being made: 503, ask again
├── ExportFailed     the file could not be made: 500
├── Damaged          a stored file is not what was written: 500
├── SetupError       the stack cannot start as configured: one line, exit code 2
├── LeaseLost        another worker owns the job now: stop at once
└── JobFailure       a training or generation run cannot go on
    └── DependencyUnavailable  a server is away: the job waits, and the attempt does not count
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.job_status import ErrorCode


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One thing wrong with one field.

    pointer: RFC 6901 pointer into the request body (`/hyperparameters/epochs`), `?name` for a query parameter, or the
    name of a header.
    """

    pointer: str
    detail: str
    code: str


class MimeoError(Exception):
    """Something went wrong."""

    code = "error"

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.detail)


class SpecError(MimeoError):
    """The request is not valid."""

    code = "invalid_request"

    def __init__(self, detail: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)

    @classmethod
    def at(cls, pointer: str, detail: str, code: str = "invalid") -> "SpecError":
        """One field is wrong: say which, and what to change."""
        return cls(detail, [FieldError(pointer=pointer, detail=detail, code=code)])


class NotFound(MimeoError):
    """There is no such thing."""

    code = "not_found"


class Conflict(MimeoError):
    """The current state does not allow this."""

    code = "conflict"


class TooLarge(MimeoError):
    """The request is larger than this server accepts."""

    code = "too_large"


class Unavailable(MimeoError):
    """A server that Mimeo needs does not answer."""

    code = "unavailable"


class ExportPending(Unavailable):
    """The file is still being made."""

    code = "export_pending"


class ExportFailed(MimeoError):
    """The file could not be made."""

    code = "export_failed"


class Damaged(MimeoError):
    """A stored file is not what was written."""

    code = "damaged"


class SetupError(MimeoError):
    """Mimeo cannot start as it is configured."""

    code = "setup"


class LeaseLost(MimeoError):
    """Another worker owns this job now."""

    code = "lease_lost"


class JobFailure(MimeoError):
    """The run cannot go on.

    hint: what the user can do about it.
    """

    def __init__(self, code: ErrorCode, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.error_code = code
        self.hint = hint

    def as_dict(self) -> dict[str, str | None]:
        """The `error` object of a job."""
        return {"code": self.error_code.value, "message": self.detail, "hint": self.hint}


class DependencyUnavailable(JobFailure):
    """The run cannot go on while a server that it needs is away."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.INTERNAL, message, "See that it answers; /readyz says which servers do.")
