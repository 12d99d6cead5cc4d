"""What the server permits the request in progress. Under another WSGI server there are no slots."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, cast

from flask import request

SLOTS = "mimeo.slots"  # of the WSGI environment


class Slots(Protocol):
    """The slots of the server, one for each request that is processed."""

    def yielded(self) -> AbstractContextManager[None]:
        """Give up the slot of the current thread for the duration of the block."""
        ...


def yielded() -> AbstractContextManager[None]:
    """Give up the slot of the current request while it waits for an event, and take one again after."""
    slots = cast(Slots | None, request.environ.get(SLOTS))
    return slots.yielded() if slots else nullcontext()


def has_hung_up() -> bool:
    """Whether the client of the current request has closed the connection, as far as the server can tell."""
    return hang_up_check()()


def hang_up_check() -> Callable[[], bool]:
    """`has_hung_up` of the current request, for use after its view has returned."""
    check = cast(Callable[[], bool] | None, request.environ.get("waitress.client_disconnected"))
    return check or (lambda: False)


def sends_files() -> bool:
    """Whether the server sends `Content-Length` bytes of a wrapped file from its position, and needs no thread for it.

    The file must be local and seekable.
    """
    return SLOTS in request.environ
