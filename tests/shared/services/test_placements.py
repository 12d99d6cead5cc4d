"""Claims, preemption and the reasons of a wait where workers differ, on SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, delete, event

from shared.broker import NullBroker
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Job, Placement
from shared.job_status import JobKind, Priority
from shared.placement import Ability
from shared.services import fair_share, job_queue, placements, preemption
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.engine.fake_clock import FakeClock
from tests.heartbeats import beat
from tests.waiting import PATIENCE_S
from worker.context import WorkerContext
from worker.reconciler import Reconciler
from worker.tasks.claim import claim

CPU = Ability(device="cpu")
GPU = Ability(device="cuda")
A100 = Ability(device="cuda", labels=frozenset({"a100"}))


@pytest.fixture
def context(settings: Settings, database: SessionFactory, storage: Storage, broker: NullBroker) -> WorkerContext:
    """A training worker without labels."""
    return WorkerContext(settings=settings, kind=JobKind.TRAINING, sessions=database, storage=storage, broker=broker)


def claimed(database: SessionFactory, ability: Ability, worker: str = "wrk_test", limit: int | None = None) -> str:
    lease = jobs.claimed(database, worker=worker, ability=ability, running_limit=limit)
    return "" if lease is None else lease.job_id


def reason(database: SessionFactory, settings: Settings, job_id: str) -> str | None:
    with reading(database) as session:
        return placements.waiting_for(session, [session.get_one(Job, job_id)], settings).get(job_id)


# --- claims ---------------------------------------------------------------------------------------------------------


def test_worker_claims_the_first_job_that_it_can_run(database: SessionFactory, settings: Settings) -> None:
    cuda = jobs.submitted(database, settings, device="cuda", priority="high")
    labelled = jobs.submitted(database, settings, device="cuda", requires=["a100"])
    cpu = jobs.submitted(database, settings, device="cpu", priority="low")

    assert claimed(database, CPU) == cpu
    assert claimed(database, CPU) == ""
    assert claimed(database, A100) == cuda
    assert claimed(database, GPU) == ""
    assert claimed(database, A100) == labelled


def test_job_of_an_earlier_release_runs_anywhere(database: SessionFactory, settings: Settings) -> None:
    earlier = jobs.submitted(database, settings)
    jobs.submitted(database, settings, device="cuda")
    jobs.set_values(database, earlier, memory_bytes=None)
    assert claimed(database, CPU) == earlier


def test_owner_whose_jobs_the_worker_cannot_run_has_no_turn(database: SessionFactory, settings: Settings) -> None:
    jobs.submitted(database, settings, owner="ada", device="cuda")
    with transaction(database) as session:
        fair_share.charge(session, JobKind.TRAINING, {"emmy": 3_600_000})
    second = jobs.submitted(database, settings, owner="emmy")
    assert claimed(database, CPU) == second
    assert claimed(database, CPU) == ""


def test_fair_share_holds_among_the_jobs_that_a_worker_can_run(database: SessionFactory, settings: Settings) -> None:
    jobs.submitted(database, settings, owner="ada", device="cuda")
    ada = [jobs.submitted(database, settings, owner="ada") for _ in range(2)]
    emmy = jobs.submitted(database, settings, owner="emmy")
    assert [claimed(database, CPU, limit=2) for _ in range(4)] == [ada[0], emmy, ada[1], ""]


def test_job_keeps_its_placement_when_it_is_queued_again(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings, device="cuda", requires=["a100"])
    lease = jobs.claimed(database, ability=A100)
    assert lease is not None
    with transaction(database) as session:
        job_queue.release(job_queue.renew_lease(session, lease))
    assert claimed(database, GPU) == ""
    assert claimed(database, A100) == job_id


def test_claim_is_unchanged_where_the_worker_meets_every_placement(
    engine: Engine, database: SessionFactory, settings: Settings
) -> None:
    statements: list[str] = []
    listener = lambda *given: statements.append(given[2])  # noqa: E731 - the signature of the event
    event.listen(engine, "before_cursor_execute", listener)
    try:
        jobs.submitted(database, settings)
        statements.clear()
        assert jobs.claimed(database)
        plain = list(statements)
        jobs.submitted(database, settings, device="cuda")
        statements.clear()
        assert claimed(database, GPU)
    finally:
        event.remove(engine, "before_cursor_execute", listener)
    assert [each for each in statements if "FROM placements" not in each] == plain


def test_job_with_a_placement_that_appears_during_a_claim_is_not_claimed(
    database: SessionFactory, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = jobs.submitted(database, settings, device="cuda")
    with monkeypatch.context() as patch:
        patch.setattr(placements, "names", lambda _session: [])
        with pytest.raises(placements.NewPlacement):
            claimed(database, CPU)
    assert jobs.read_job(database, job_id).attempt == 0
    assert claimed(database, CPU) == ""


def test_placement_that_is_not_recorded_is_recorded_by_the_claim(
    context: WorkerContext, database: SessionFactory, settings: Settings
) -> None:
    jobs.submitted(database, settings, requires=["a100"])
    with transaction(database) as session:
        session.execute(delete(Placement))
    assert claim(context) is None
    with reading(database) as session:
        assert placements.names(session) == ["any,a100"]


def test_placements_without_jobs_are_pruned(
    database: SessionFactory, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, cancelled, _ = (jobs.submitted(database, settings, requires=[label]) for label in ("a", "b", "c"))
    with transaction(database) as session:
        placements.prune(session)
        assert len(placements.names(session)) == 3, "a few are kept"
    monkeypatch.setattr(placements, "_KEPT", 1)
    jobs.set_values(database, ended, status="succeeded")
    jobs.set_values(database, cancelled, status="cancelled")
    with transaction(database) as session:
        placements.prune(session)
        assert sorted(placements.names(session)) == ["any,b", "any,c"], "a cancelled job may be retried"
    jobs.submitted(database, settings, requires=["a"])
    with reading(database) as session:
        assert len(placements.names(session)) == 3


def test_job_that_is_submitted_during_a_prune_keeps_its_placement(
    database: SessionFactory, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placements, "_KEPT", 0)
    jobs.set_values(database, jobs.submitted(database, settings, requires=["a"]), status="succeeded")
    with ThreadPoolExecutor(1) as pool:
        with transaction(database) as session:
            placements.prune(session)
            submitted = pool.submit(jobs.submitted, database, settings, requires=["a"])
        submitted.result(PATIENCE_S)
    with reading(database) as session:
        assert placements.names(session) == ["any,a"]


# --- reasons of a wait ----------------------------------------------------------------------------------------------


def test_reason_of_a_wait(database: SessionFactory, settings: Settings) -> None:
    anywhere = jobs.submitted(database, settings)
    labelled = jobs.submitted(database, settings, requires=["a100"])
    assert reason(database, settings, anywhere) == "able_worker", "no worker is alive"
    beat(database, "wrk_cpu")
    beat(database, "wrk_generation", kind=JobKind.GENERATION, labels="a100")
    assert reason(database, settings, anywhere) == "worker"
    assert reason(database, settings, labelled) == "able_worker"
    beat(database, "wrk_labelled", labels="a100,large")
    assert reason(database, settings, labelled) == "worker"

    limited = settings.model_copy(update={"quota_running_jobs": 1})
    assert claimed(database, CPU) == anywhere
    assert reason(database, limited, labelled) == "running_quota"
    assert reason(database, limited, anywhere) is None, "it runs"
    jobs.set_values(database, labelled, not_before=datetime.now(UTC) + timedelta(hours=1))
    assert reason(database, settings, labelled) is None, "it is in a back-off"


# --- preemption -----------------------------------------------------------------------------------------------------


def test_preemptible_job_gives_way_only_to_a_job_that_its_worker_can_run(
    database: SessionFactory, settings: Settings, engine: Engine
) -> None:
    clock = FakeClock(engine)
    running = jobs.submitted(database, settings, priority="low", preemptible=True)
    assert claimed(database, CPU, worker="wrk_cpu") == running
    clock.advance(round(1000 * settings.preempt_after_s))
    jobs.submitted(database, settings, priority="high", device="cuda")
    clock.advance(round(1000 * settings.heartbeat_s))
    beat(database, "wrk_cpu")
    with transaction(database) as session:
        assert preemption.preempt(session, settings) is None

    waiting = jobs.submitted(database, settings, priority="normal")
    clock.advance(round(1000 * settings.heartbeat_s))
    beat(database, "wrk_cpu")
    with transaction(database) as session:
        assert preemption.preempt(session, settings) == running, "the first job that its worker can run"
    assert jobs.read_job(database, running).preempted_by == waiting
    with transaction(database) as session:
        assert preemption.preempt(session, settings) is None


def test_idle_worker_that_cannot_run_the_job_does_not_prevent_a_preemption(
    database: SessionFactory, settings: Settings, engine: Engine
) -> None:
    clock = FakeClock(engine)
    running = jobs.submitted(database, settings, priority="low", preemptible=True)
    assert claimed(database, A100, worker="wrk_a100") == running
    clock.advance(round(1000 * settings.preempt_after_s))
    jobs.submitted(database, settings, priority="high", requires=["a100"])
    clock.advance(round(1000 * settings.heartbeat_s))
    beat(database, "wrk_a100", "cuda", labels="a100")
    beat(database, "wrk_idle", "cuda")
    with transaction(database) as session:
        assert preemption.preempt(session, settings) == running


# --- notifications --------------------------------------------------------------------------------------------------


def test_reconciler_notifies_first_about_jobs_that_an_idle_worker_can_run(
    database: SessionFactory, settings: Settings, broker: NullBroker, engine: Engine
) -> None:
    clock = FakeClock(engine)
    for _ in range(20):
        jobs.submitted(database, settings, device="cuda")
    cpu, later = (jobs.submitted(database, settings) for _ in range(2))
    clock.advance(round(1000 * settings.notification_stale_s) - 100)
    beat(database, "wrk_cpu")
    reconciler = Reconciler(settings, database, broker, monotonic=clock.monotonic)
    for job_id in (cpu, later):
        jobs.set_values(database, job_id, notified_at=None)
    reconciler.round()
    assert [each.job_id for each in broker.sent] == [cpu], "as many as there are idle workers"
    clock.advance(1000)
    beat(database, "wrk_cpu")
    reconciler.round()
    [_, again, other] = [each.job_id for each in broker.sent]
    assert again == later
    assert jobs.read_job(database, other).placement == "cuda", "one that no idle worker can run"


def test_notification_is_passed_on_to_an_idle_worker_alone(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings, device="cuda", priority="high")

    def found() -> tuple[str, Priority] | None:
        with reading(database) as session:
            return placements.first_for_others(session, CPU, settings, worker="wrk_cpu")

    beat(database, "wrk_cpu")
    assert found() is None
    beat(database, "wrk_gpu", "cuda")
    assert found() == (job_id, Priority.HIGH)
    jobs.set_values(database, jobs.submitted(database, settings), status="running", worker="wrk_gpu")
    assert found() is None, "the worker with a GPU is busy"
