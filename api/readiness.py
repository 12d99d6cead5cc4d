"""Checks of the servers that requests need, with one line of reason for each that fails."""

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.runtime import Runtime
from api.schemas.resources import Check

PROBE_KEY = "probe/readyz"


def check_database(runtime: Runtime) -> Check:
    """Check that the database answers and has Mimeo's tables."""
    try:
        with runtime.reading() as session:
            session.execute(text("SELECT 1 FROM jobs WHERE id = ''"))
    except SQLAlchemyError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        return Check(name="database", ok=False, detail=f"The database check failed: {reason}")
    return Check(name="database", ok=True, detail=None)


def check_redis(runtime: Runtime) -> Check:
    """Check that Redis answers. Without it jobs are still accepted, and start later."""
    if runtime.broker.ping():
        return Check(name="redis", ok=True, detail=None)
    return Check(
        name="redis", ok=False, detail="Redis does not answer; jobs are accepted and start when it is available again."
    )


def check_storage(runtime: Runtime) -> Check:
    """Check that the file store answers."""
    try:
        runtime.storage.exists(PROBE_KEY)
    except OSError as error:
        return Check(name="storage", ok=False, detail=f"The file store does not answer: {error.strerror or error}")
    return Check(name="storage", ok=True, detail=None)
