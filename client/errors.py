"""The errors of a client.

ClientError
├── ServerUnreachable   the server does not answer
├── ApiError            the server responded with an error
└── BadInput            the command line is invalid
"""

from client.schema import ProblemError


class ClientError(Exception):
    """The request could not be carried out."""


class ServerUnreachable(ClientError):
    """The server does not answer."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no Mimeo server answers at {url} ({reason}): start one with `mimeo up`, or set MIMEO_URL")
        self.url = url


class ApiError(ClientError):
    """The server's problem document (RFC 9457).

    status: HTTP status. code: the problem's name. errors: the invalid fields, each with its pointer.
    """

    def __init__(self, status: int, code: str, detail: str, errors: list[ProblemError]) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors

    @property
    def is_the_users(self) -> bool:
        """True when the request is at fault; False when the server is."""
        return self.status < 500

    def lines(self) -> list[str]:
        """The problem as text: one line for each invalid field, or the detail."""
        fields = [f"{field_name(error['pointer'])}: {error['detail']}" for error in self.errors]
        return fields or [self.detail]


class BadInput(ClientError):
    """The command line is invalid."""


def field_name(pointer: str) -> str:
    """A JSON pointer as a dotted name: `/hyperparameters/epochs` is `hyperparameters.epochs`."""
    parts = (part.replace("~1", "/").replace("~0", "~") for part in pointer.removeprefix("/").split("/"))
    return ".".join(parts).removeprefix("?") or "request"
