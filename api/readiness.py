"""Checks of the servers that requests need, with one line of reason for each that fails."""

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.runtime import Runtime
from api.schemas.resources import Check
from shared import disk_space
from shared.storage import BucketMissing, StorageDenied

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
    """Check that Redis answers and accepts writes. Without it jobs are still accepted, and start later."""
    problem = runtime.broker.problem()
    if problem is None:
        return Check(name="redis", ok=True, detail=None)
    detail = f"{problem} Jobs are accepted and start when it is available again."
    return Check(name="redis", ok=False, detail=detail)


def check_storage(runtime: Runtime) -> Check:
    """Check that the file store answers."""
    try:
        runtime.storage.exists(PROBE_KEY)
    except (BucketMissing, StorageDenied) as error:
        return Check(name="storage", ok=False, detail=str(error))
    except OSError as error:
        return Check(name="storage", ok=False, detail=f"The file store does not answer: {error.strerror or error}")
    return Check(name="storage", ok=True, detail=None)


def check_disk(runtime: Runtime) -> Check:
    """Check that the local disks accept writes and have the least free space. Otherwise no job is accepted or started.

    Jobs that wait start when there is space.
    """
    problem = disk_space.write_problem(runtime.settings) or disk_space.shortage(runtime.settings)
    if problem is None:
        return Check(name="disk", ok=True, detail=None)
    return Check(name="disk", ok=False, detail=f"{problem} Jobs wait until there is space.")
