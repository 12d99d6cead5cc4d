"""The state of the job machine: the services and the model, with each step taken on both."""

import sys
from collections import Counter
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine, invariant
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared.db.session import SessionFactory, read_connection, reading, transaction
from shared.db.tables import Base, Checkpoint, Job, Model
from shared.errors import LeaseLost
from shared.ids import new_id
from shared.job_status import QUEUED_KINDS, JobKind, Priority
from shared.job_status import JobStatus as S
from shared.placement import Ability
from shared.services import attempt_writes, job_queue, queue_snapshot, transitions
from shared.services.attempt_writes import StoredCheckpoint, StoredFile
from shared.services.job_queue import FencedSession, Lease
from shared.settings import Settings
from tests import jobs
from tests.engine import comparing
from tests.engine.fake_clock import FakeClock
from tests.engine.model import ENDED, RUNNING_LIMIT, ModelJob
from tests.engine.model import Model as Expectation
from tests.engine.unreliable_broker import UnreliableBroker
from worker.reconciler import Reconciler

QUIET_ROUNDS = 40
REMEMBERED_LEASES = 12
LABEL = "a100"
LABELS: dict[str, frozenset[str]] = {"wrk_a": frozenset(), "wrk_b": frozenset()}  # of workers without LABEL


class Stage(RuleBasedStateMachine):
    """One example, without its rules. A test sets the class attributes once."""

    database: ClassVar[SessionFactory]
    settings: ClassVar[Settings]
    clock: ClassVar[FakeClock]
    happened: ClassVar[Counter[str]]  # outcomes of the examples, for statistics

    def __init__(self) -> None:
        super().__init__()
        with transaction(self.database) as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
        self.broker = UnreliableBroker()
        self.reconciler = Reconciler(self.settings, self.database, self.broker)
        self.expected = Expectation(self.settings, lambda: self.clock.now_ms)
        self.ids: list[str] = []  # by number, deleted jobs included
        self.leases: list[Lease] = []  # newest last; valid, lost and released ones
        self.keys: dict[str, tuple[int, int]] = {}  # idempotency key → (job, body)
        self.observations = comparing.Observations()

    # --- invariants -------------------------------------------------------------------------------------------------

    @invariant()
    def every_row_is_as_expected(self) -> None:
        with reading(self.database) as session:
            comparing.compare(session, self.expected, self.ids, self.observations, self.clock.now_ms)
        self.clock.advance(1)  # so that no two jobs have the same time of submission

    def teardown(self) -> None:
        """Without faults, every accepted job reaches a terminal status."""
        if sys.exc_info()[0] is not None:
            return  # the example has already failed
        self.broker.is_up = True
        for _ in range(QUIET_ROUNDS):
            self._quiet_round()
            self.every_row_is_as_expected()
            if all(job.status in ENDED for job in self.expected.jobs.values()):
                return
        raise AssertionError(f"not ended: {[job for job in self.expected.jobs.values() if job.status not in ENDED]}")

    def _quiet_round(self) -> None:
        for job in list(self.expected.jobs.values()):
            if job.status is S.PAUSED:
                with transaction(self.database) as session:
                    transitions.resume(session, self.ids[job.number])
                self.expected.apply(job, "resume")
                self._notify(job)
        self.clock.advance(round(1000 * max(self.settings.lease_s, self.settings.backoff_max_s)) + 1)
        self._reconcile()
        while notification := (self.broker.take(JobKind.GENERATION) or self.broker.take(JobKind.TRAINING)):
            if lease := self._claim(notification.kind, "wrk_quiet"):
                self._finish_succeeded(lease)

    # --- steps that several rules take ----------------------------------------------------------------------------

    def _reconcile(self) -> None:
        expired = self.expected.expired(self.clock.now_ms)
        with read_connection(self.database) as connection:
            assert queue_snapshot.take_snapshot(connection, self.settings).has_expired == bool(expired)
        self.reconciler._reap()
        for job in expired:
            attempt = job.attempt
            before, after = job.status, self.expected.reap(job)
            self.happened[f"reaped: {before} → {after}"] += 1
            if after is S.QUEUED:
                self._back_off(job, attempt, waited_ms=round(1000 * self.settings.lease_s))
        with read_connection(self.database) as connection:
            due = queue_snapshot.take_snapshot(connection, self.settings).due
        for kind in QUEUED_KINDS:
            self.reconciler._notify(kind, due[kind])

    def _accepted(self, job_id: str, job: ModelJob) -> None:
        self.ids.append(job_id)
        self._notify(job)

    def _notify(self, job: ModelJob) -> None:
        priority = next(priority for priority in Priority if priority.rank == job.rank)
        self.broker.send(job.kind, self.ids[job.number], priority)

    def _claim(self, kind: JobKind, worker: str) -> Lease | None:
        labels = LABELS.get(worker, frozenset({LABEL}))
        first = self.expected.first(kind, labels, self.clock.now_ms)
        ability = Ability(device="cpu", labels=labels)
        lease = jobs.claimed(self.database, kind, worker, running_limit=RUNNING_LIMIT[kind], ability=ability)
        if first is None:
            assert lease is None
            return None
        self.expected.claim(first, self.clock.now_ms)
        assert lease == Lease(job_id=self.ids[first.number], fencing_token=first.token, attempt=first.attempt)
        self.leases = [*self.leases, lease][-REMEMBERED_LEASES:]
        return lease

    def _write(self, lease: Lease, write: Any) -> ModelJob | None:
        """Write under a lease. Returns the job if the lease was valid, None if the write was refused, as predicted."""
        number = self.ids.index(lease.job_id)
        is_valid = self.expected.holds(number, lease.fencing_token)
        try:
            with transaction(self.database) as session:
                fenced = job_queue.renew_lease(session, lease, visible=True)
                assert fenced.status is self.expected.jobs[number].status
                write(fenced)
        except LeaseLost:
            assert not is_valid
            self.happened["stale write refused"] += 1
            return None
        assert is_valid
        job = self.expected.jobs[number]
        job.heartbeat_ms = self.clock.now_ms
        return job

    def _finish_succeeded(self, lease: Lease) -> None:
        """Publish as a worker does: the result and the job's success in one transaction."""
        ended: list[S] = []
        is_training = lease.job_id.startswith("trn")
        number = self.ids.index(lease.job_id)
        known = self.expected.jobs[number].checkpoints if number in self.expected.jobs else {}
        step = next((step for step, is_best in known.items() if is_best), max(known, default=9))

        def write(fenced: FencedSession) -> None:
            if is_training and step not in known:
                attempt_writes.add_checkpoint(fenced, stored(lease, step, is_best=True))
            if fenced.status is not S.CANCELLING:
                if is_training:
                    attempt_writes.add_model(fenced, _model(fenced.session, lease, step))
                else:
                    attempt_writes.add_artifacts(fenced, [_output(lease)])
            ended.append(job_queue.finish_succeeded(fenced, output=None if is_training else {"text": "so"}))

        if job := self._write(lease, write):
            if is_training and step not in job.checkpoints:
                job.checkpoints = {**dict.fromkeys(job.checkpoints, False), step: True}
            if is_training and job.status is not S.CANCELLING:
                job.published = step
            assert ended == [self.expected.succeed(job)]
            self.happened[f"{job.kind} published" if job.status is S.SUCCEEDED else "cancelled before the end"] += 1

    def _back_off(self, job: ModelJob, attempt: int, *, waited_ms: int = 0) -> None:
        """The back-off is random: check its bounds, and copy it to the model."""
        with reading(self.database) as session:
            not_before = session.scalars(select(Job.not_before).where(Job.id == self.ids[job.number])).one()
        assert not_before is not None
        job.not_before_ms = round(not_before.timestamp() * 1000)
        least, longest = self.expected.backoff_ms(attempt)
        wait_ms = job.not_before_ms - self.clock.now_ms
        assert max(0, least - waited_ms) <= wait_ms <= max(0, longest - waited_ms)


def stored(lease: Lease, step: int, *, is_best: bool) -> StoredCheckpoint:
    return StoredCheckpoint(
        epoch=1,
        step=step,
        storage_key=f"jobs/{lease.job_id}/checkpoints/{step:08d}-{lease.fencing_token}",
        sha256="0" * 64,
        size=1,
        is_best=is_best,
        metrics={},
    )


def _output(lease: Lease) -> StoredFile:
    key = f"jobs/{lease.job_id}/output-{lease.fencing_token}-text.txt"
    return StoredFile(kind="output", name="text.txt", media_type="text/plain", storage_key=key, sha256="0" * 64, size=1)


def _model(session: Session, lease: Lease, step: int) -> Model:
    row = select(Checkpoint).where(Checkpoint.job_id == lease.job_id, Checkpoint.step == step)
    return Model(
        id=new_id("mdl"),
        job_id=lease.job_id,
        checkpoint_id=session.scalars(row).one().id,
        model_type="vae",
        dataset="digits",
        hyperparameters={},
    )
