"""Claims of jobs that interrupt a running one."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from shared.db.session import SessionFactory, read_connection, transaction
from shared.job_status import JobKind, Priority
from shared.services import job_queue
from shared.services.claim_statements import Urgency
from shared.settings import Settings
from tests import jobs

RUNNING = Urgency(rank=Priority.NORMAL.rank, room=100, takes_quick=True)


@pytest.mark.parametrize(
    ("values", "is_claimed"),
    [
        ({"priority": 0, "memory_bytes": 100}, True),
        ({"priority": 1, "memory_bytes": 100}, False),
        ({"priority": 1, "memory_bytes": 100, "is_quick": True}, True),
        ({"priority": 2, "memory_bytes": 100, "is_quick": True}, False),
        ({"priority": 0, "memory_bytes": 101}, False),
        ({"priority": 0, "memory_bytes": None}, False),
        ({"priority": 1, "memory_bytes": 101, "is_quick": True}, False),
    ],
)
def test_running_job_is_interrupted_by_a_higher_priority_and_by_quick_jobs_of_its_own(
    database: SessionFactory, settings: Settings, values: dict[str, Any], is_claimed: bool
) -> None:
    job_id = jobs.submitted(database, settings)
    jobs.set_values(database, job_id, **values)

    with read_connection(database) as connection:
        is_due = job_queue.is_interruption_due(connection, JobKind.TRAINING, RUNNING)
    with transaction(database) as session:
        claimed = job_queue.claim_next(session, JobKind.TRAINING, "wrk_test", RUNNING)

    assert (is_due, claimed is not None) == (is_claimed, is_claimed)


def test_quick_job_of_equal_priority_waits_where_none_is_taken(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings)
    jobs.set_values(database, job_id, memory_bytes=1, is_quick=True)

    with transaction(database) as session:
        assert job_queue.claim_next(session, JobKind.TRAINING, "w", replace(RUNNING, takes_quick=False)) is None


def test_interruptions_are_found_in_an_index_behind_many_long_jobs(
    database: SessionFactory, settings: Settings, engine: Engine
) -> None:
    jobs.copy_behind(engine, jobs.submitted(database, settings), 3_000)
    plans = []
    statements: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _r, sql, values, *_: statements.append((sql, values)))
    with read_connection(database) as connection:
        job_queue.is_interruption_due(connection, JobKind.TRAINING, RUNNING)
        asked = [each for each in statements if "EXISTS" in each[0]]
        explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        for sql, values in asked:
            plans.append("\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + sql, values)))
    assert "ix_jobs_queue" in plans[0]
    assert "ix_jobs_quick" in plans[1]
