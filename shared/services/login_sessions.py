"""Browser sessions: a random token in a cookie, of which the table holds the SHA-256."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import ApiKey, LoginSession
from shared.identity import Identity
from shared.services import api_keys

LASTS = timedelta(days=7)
MOST = 50  # of a key: the oldest ends when a further browser logs in
_TOKEN_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Started:
    """A new session. token: the value of the cookie, which cannot be read again."""

    token: str
    expires_at: datetime


def start(session: Session, identity: Identity) -> Started:
    """Start a session of a key's owner. It ends with its key, after a week, with `end`, or with MOST later ones."""
    assert identity.key_id is not None
    of_key = LoginSession.key_id == identity.key_id
    newest = select(LoginSession.sha256).where(of_key).order_by(LoginSession.created_at.desc(), LoginSession.sha256)
    session.execute(delete(LoginSession).where(of_key, LoginSession.sha256.not_in(newest.limit(MOST - 1))))
    now: datetime = session.execute(select(db_now())).scalar_one()
    expires_at = min(now + LASTS, identity.expires_at or now + LASTS)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    session.add(LoginSession(sha256=_digest(token), key_id=identity.key_id, expires_at=expires_at))
    return Started(token=token, expires_at=expires_at)


def identify(session: Session, token: str) -> Identity | None:
    """The identity of a session's key; None where the session or its key has ended."""
    query = select(ApiKey).join(LoginSession, LoginSession.key_id == ApiKey.id)
    row = session.scalars(
        query.where(LoginSession.sha256 == _digest(token), LoginSession.expires_at > db_now())
    ).one_or_none()
    return None if row is None else api_keys.identity_of(session, row)


def end(session: Session, token: str) -> None:
    """End a session. Idempotent."""
    session.execute(delete(LoginSession).where(LoginSession.sha256 == _digest(token)))


def expire(session: Session) -> None:
    """Delete the sessions that have ended by time."""
    session.execute(delete(LoginSession).where(LoginSession.expires_at <= db_now()))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
