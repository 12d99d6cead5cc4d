"""API keys: `mimeo_<id>_<secret>`. The table holds the SHA-256 of a key, and its id to find the row."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import ApiKey, Owner
from shared.errors import NotFound, SpecError
from shared.identity import Identity, Scope

_ID_BYTES = 6
_SECRET_BYTES = 32  # 256 bits, so that a fast hash is enough
_OWNER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_KEY = re.compile(r"mimeo_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A new key. secret: the whole key, which cannot be read again."""

    row: ApiKey
    secret: str


def create(
    session: Session, owner: str, scopes: Collection[Scope], *, name: str | None = None, days: float | None = None
) -> NewKey:
    """Create a key of an owner, who is created with the first key. days: until it expires. Raises SpecError."""
    if not _OWNER.fullmatch(owner):
        detail = "Use 1 to 64 lower-case letters, digits, dots, dashes or underscores, starting with a letter or digit."
        raise SpecError.at("/owner", detail, "invalid")
    if not scopes:
        raise SpecError.at("/scopes", f"Give at least one scope: {', '.join(Scope)}.", "invalid")
    if session.get(Owner, owner) is None:
        session.add(Owner(name=owner))
        session.flush()
    key_id = secrets.token_hex(_ID_BYTES)
    secret = f"mimeo_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    row = ApiKey(id=key_id, owner=owner, name=name, sha256=_digest(secret), scopes=" ".join(sorted(set(scopes))))
    if days is not None:
        row.expires_at = _now(session) + timedelta(days=days)
    session.add(row)
    session.flush()
    session.refresh(row)
    return NewKey(row=row, secret=secret)


def list_keys(session: Session, owner: str | None = None) -> list[ApiKey]:
    """The keys by owner and age, also revoked and expired ones. owner: of this one alone."""
    query = select(ApiKey).order_by(ApiKey.owner, ApiKey.created_at, ApiKey.id)
    return list(session.scalars(query if owner is None else query.where(ApiKey.owner == owner)))


def revoke(session: Session, key_id: str) -> ApiKey:
    """Revoke a key and the browser sessions that were opened with it. Idempotent. Raises NotFound."""
    row = session.get(ApiKey, key_id.removeprefix("mimeo_").partition("_")[0])
    if row is None:
        raise NotFound("There is no API key with that id; `mimeo keys list` shows the ids.")
    if row.revoked_at is None:
        row.revoked_at = _now(session)
        session.flush()
    return row


def identify(session: Session, key: str) -> Identity | None:
    """The identity of a key; None for one that is unknown, revoked or expired. The comparison takes constant time."""
    match = _KEY.fullmatch(key)
    row = session.get(ApiKey, match[1]) if match else None
    if row is None or not hmac.compare_digest(row.sha256, _digest(key)):
        return None
    return identity_of(session, row)


def identity_of(session: Session, row: ApiKey) -> Identity | None:
    """The identity of a key's row; None where the key is revoked or expired."""
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= _now(session)):
        return None
    scopes = frozenset(Scope(scope) for scope in row.scopes.split())
    return Identity(owner=row.owner, scopes=scopes, key_id=row.id, expires_at=row.expires_at)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _now(session: Session) -> datetime:
    moment: datetime = session.execute(select(db_now())).scalar_one()
    return moment
