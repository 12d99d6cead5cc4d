"""Queue positions of one job and of a page of jobs, counted up to a limit."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, select

from shared.db.clock import db_now
from shared.db.session import SessionFactory, reading
from shared.db.tables import Job
from shared.job_status import JobKind
from shared.services import queue_stats
from shared.settings import Settings
from tests import jobs

COUNTED = 3


def positions(database: SessionFactory, ids: list[str], counted: int = COUNTED) -> list[int | None]:
    """Positions of these jobs; the result must be the same for single jobs and for a page."""
    with reading(database) as session:
        rows = [session.get_one(Job, job_id) for job_id in ids]
        page = queue_stats.queue_positions(session, rows, counted=counted)
        single = [queue_stats.queue_position(session, row, counted=counted) for row in rows]
    assert [page.get(job_id) for job_id in ids] == single
    return single


def test_positions_are_counted_up_to_the_limit(database: SessionFactory, settings: Settings) -> None:
    ids = [jobs.submitted(database, settings) for _ in range(6)]
    assert positions(database, ids) == [1, 2, 3, 4, 4, 4]
    assert positions(database, ids, counted=1_000) == [1, 2, 3, 4, 5, 6]


def test_pages_before_and_behind_the_limit_have_consistent_positions(
    database: SessionFactory, settings: Settings
) -> None:
    ids = [jobs.submitted(database, settings) for _ in range(6)]
    assert positions(database, ids[3:]) == [4, 4, 4]
    assert positions(database, ids[:2]) == [1, 2]


def test_jobs_of_higher_priority_are_counted_first(database: SessionFactory, settings: Settings) -> None:
    wanted = ["low", "normal", "normal", "normal", "high", "low"]
    ids = [jobs.submitted(database, settings, priority=priority) for priority in wanted]
    assert positions(database, ids) == [4, 2, 3, 4, 1, 4]


@pytest.mark.parametrize(("place", "expected"), [(0, [1, 1, 2, 3, 4]), (4, [1, 2, 3, 4, 4])])
def test_job_in_its_back_off_has_its_later_position(
    database: SessionFactory, settings: Settings, place: int, expected: list[int]
) -> None:
    ids = [jobs.submitted(database, settings) for _ in range(5)]
    later = jobs.read_job(database, ids[place]).created_at + timedelta(hours=1)
    jobs.set_values(database, ids[place], not_before=later)
    assert positions(database, ids) == expected


def test_jobs_of_the_same_millisecond_at_the_limit_are_ordered_by_id(
    database: SessionFactory, settings: Settings
) -> None:
    ids = sorted(jobs.submitted(database, settings) for _ in range(5))
    with reading(database) as session:
        moment = session.execute(select(db_now())).scalar_one()
    for job_id in ids:
        jobs.set_values(database, job_id, created_at=moment)
    assert positions(database, ids) == [1, 2, 3, 4, 4]


def test_running_job_has_no_position(database: SessionFactory, settings: Settings) -> None:
    running = jobs.running(database, settings).job_id
    ids = [jobs.submitted(database, settings) for _ in range(2)]
    assert positions(database, [running, *ids]) == [None, 1, 2]


def test_positions_are_read_from_the_index_of_the_owners(
    database: SessionFactory, engine: Engine, settings: Settings
) -> None:
    """The query plan has no sort and no table scan: of a queue of 3,000 only the first part of its index is read."""
    first = jobs.submitted(database, settings)
    jobs.copy_behind(engine, first, 3_000)
    statements: list[tuple[str, object]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    with reading(database) as session:
        newest = session.scalars(select(Job).order_by(Job.id.desc()).limit(20)).all()
        oldest = session.scalars(select(Job).order_by(Job.id).limit(20)).all()
        statements.clear()
        assert set(queue_stats.queue_positions(session, newest).values()) == {1_001}
        assert sorted(queue_stats.queue_positions(session, oldest).values()) == list(range(1, 21))
        assert queue_stats.queue_position(session, newest[0]) == 1_001
        asked = list(statements)
        explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        for statement, parameters in asked:
            plan = [str(row[-1]) for row in session.connection().exec_driver_sql(explain + statement, parameters)]  # type: ignore[arg-type]
            text = "\n".join(plan)
            assert "ix_jobs_share" in text, text
            assert "Seq Scan on jobs" not in text, text
            assert "SCAN jobs" not in text, text
            assert "Sort" not in text, text
            assert "TEMP B-TREE" not in text, text
    assert len(asked) == 6


@pytest.mark.parametrize("before", range(1, 5))
def test_job_that_leaves_the_queue_between_two_statements_of_a_read_is_no_error(
    database: SessionFactory, engine: Engine, settings: Settings, before: int
) -> None:
    ids = [jobs.submitted(database, settings) for _ in range(3)]
    seen = [0]

    with reading(database) as session:
        rows = [session.get_one(Job, job_id) for job_id in ids]

        def cancel(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            """Another transaction cancels a job before a statement of the read."""
            seen[0] += statement.lstrip().upper().startswith(("SELECT", "WITH"))
            if seen[0] == before:
                seen[0] = 1_000  # its own statements come here, too
                jobs.cancel(database, ids[0])

        event.listen(engine, "before_cursor_execute", cancel)
        first = queue_stats.first_in_queue(session, JobKind.TRAINING, 10)
        found = queue_stats.queue_positions(session, rows)
        event.remove(engine, "before_cursor_execute", cancel)

    assert set(first) in ({*ids}, {*ids[1:]})
    assert set(found) == set(ids)
