"""Idempotency keys: the first request with a key creates the job, and repetitions get the same job."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.owned_rows import owner_of
from shared.db.tables import IdempotencyKey
from shared.errors import FieldError, MimeoError, SpecError

KEPT_S = 24 * 3600


class KeyReused(SpecError):
    """The idempotency key was used for another request."""

    code = "idempotency_key_reused"


class KeyTaken(MimeoError):
    """Another request with this key was committed first; read its job."""

    code = "idempotency_key_taken"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request with a key. body_sha256: of its body in canonical JSON."""

    key: str
    body_sha256: str

    @classmethod
    def of(cls, key: str, kind: str, body: Mapping[str, Any]) -> "Request":
        """kind: of the job. Bodies that are equal as JSON have the same hash, whatever their formatting."""
        canonical = json.dumps([kind, body], sort_keys=True, separators=(",", ":"))
        return cls(key=key, body_sha256=hashlib.sha256(canonical.encode()).hexdigest())


def find(session: Session, request: Request) -> str | None:
    """Id of the job that an earlier request with the key created, or None. Raises KeyReused when the bodies differ."""
    row = session.get(IdempotencyKey, (owner_of(session), request.key))
    if row is None:
        return None
    if row.body_sha256 != request.body_sha256:
        detail = "This Idempotency-Key was sent before with another body. Use a new key for a new request."
        raise KeyReused(detail, [FieldError(pointer="Idempotency-Key", detail=detail, code=KeyReused.code)])
    return row.job_id


def remember(session: Session, request: Request, job_id: str) -> None:
    """Record the job that the request creates, in the same transaction. Raises KeyTaken: roll back and read again."""
    try:
        with session.begin_nested():
            row = IdempotencyKey(owner=owner_of(session), key=request.key)
            row.body_sha256, row.job_id = request.body_sha256, job_id
            session.add(row)
    except IntegrityError as error:
        raise KeyTaken from error


def expire(session: Session) -> None:
    """Delete the keys older than a day."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < db_now() - KEPT_S * 1000))
