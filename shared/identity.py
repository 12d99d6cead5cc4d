"""The identity of a request: the owner of its rows, and the scopes of its API key."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.db.tables import DEFAULT_OWNER


class Scope(StrEnum):
    """A permission of an API key.

    read: every GET. write: changes too. admin: the operations of the whole service, with read and write.
    metrics: `/metrics` alone.
    """

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    METRICS = "metrics"


_INCLUDED = {
    Scope.ADMIN: frozenset({Scope.READ, Scope.WRITE, Scope.METRICS}),
    Scope.WRITE: frozenset({Scope.READ}),
}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """An owner with scopes. key_id: of the API key; None while authentication is off. expires_at: of the key."""

    owner: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    expires_at: datetime | None = None

    def has(self, scope: Scope) -> bool:
        """Whether the scopes include this one: `admin` includes all, `write` includes `read`."""
        return any(scope is each or scope in _INCLUDED.get(each, ()) for each in self.scopes)


EVERYONE = Identity(owner=DEFAULT_OWNER, scopes=frozenset({Scope.ADMIN}))  # while authentication is off
