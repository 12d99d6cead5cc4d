"""What can go wrong between a client and its server.

ClientError
├── ServerUnreachable   nobody answers there
├── ApiError            the server said no, and why
└── BadInput            what the user typed makes no request
"""

from client.schema import ProblemError


class ClientError(Exception):
    """The request could not be carried out."""


class ServerUnreachable(ClientError):
    """Nobody answers at the server's address."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no Mimeo server answers at {url} ({reason}): start one with `mimeo up`, or set MIMEO_URL")
        self.url = url


class ApiError(ClientError):
    """The server's problem document (RFC 9457).

    status: HTTP status. code: the problem's name. errors: the fields that are wrong, each with its pointer.
    """

    def __init__(self, status: int, code: str, detail: str, errors: list[ProblemError]) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors

    @property
    def is_the_users(self) -> bool:
        """True when another request would do better; False when the server is at fault."""
        return self.status < 500

    def lines(self) -> list[str]:
        """The problem for people: one line for each wrong field, or the detail."""
        fields = [f"{field_name(error['pointer'])}: {error['detail']}" for error in self.errors]
        return fields or [self.detail]


class BadInput(ClientError):
    """What was typed is not understood."""


def field_name(pointer: str) -> str:
    """A JSON pointer as people write it: `/hyperparameters/epochs` is `hyperparameters.epochs`."""
    parts = (part.replace("~1", "/").replace("~0", "~") for part in pointer.removeprefix("/").split("/"))
    return ".".join(parts).removeprefix("?") or "request"
