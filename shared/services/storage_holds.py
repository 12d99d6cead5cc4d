"""Holds on storage: while a backup copies files, no file is removed that its snapshot of the database names.

A hold ends by itself, so that a backup that was killed holds nothing for long.
"""

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import StorageHold, table_of
from shared.errors import Conflict
from shared.ids import new_id

HOLD_S = 900.0  # without a renewal
_HELD = select(StorageHold.id).where(StorageHold.until > db_now()).limit(1)


def take(session: Session) -> str:
    """Begin a hold; returns its id. Call `fence` after the commit, and before the snapshot."""
    session.execute(delete(table_of(StorageHold)).where(StorageHold.until <= db_now()))
    hold_id = new_id("hld")
    session.execute(insert(table_of(StorageHold)).values(id=hold_id, until=_later()))
    return hold_id


def fence(session: Session) -> None:
    """Wait for the transactions that may have found no hold, and are about to remove rows of files.

    SQLite has one writer at a time, so none is left after the commit of `take`.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE checkpoints, artifacts IN EXCLUSIVE MODE"))


def renew(session: Session, hold_id: str) -> None:
    """Let the hold last again for HOLD_S from now. Raises Conflict where it has ended, because it was not renewed."""
    lasting = update(table_of(StorageHold)).where(StorageHold.id == hold_id, StorageHold.until > db_now())
    if session.execute(lasting.values(until=_later()).returning(StorageHold.id)).one_or_none() is None:
        raise Conflict("The files were no longer held: this process or the database stood still for too long.")


def end(session: Session, hold_id: str) -> None:
    """End a hold."""
    session.execute(delete(table_of(StorageHold)).where(StorageHold.id == hold_id))


def is_held(session: Session) -> bool:
    """Whether no file may be removed now. Ask after the rows were read or locked, in their transaction."""
    return session.scalar(_HELD) is not None


def _later() -> object:
    return db_now() + round(1000 * HOLD_S)
