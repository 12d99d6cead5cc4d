"""Random histories of jobs: users, workers, a reconciler, an unreliable broker and the clock, against the model.

Each rule does one operation with the real services on a real database, and the same with the model. The model predicts
every claim, write and request. After each rule every row is compared (tests/engine/comparing.py). At the end of an
example the faults stop, and every accepted job has to reach a terminal status.
"""

from collections.abc import Collection
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from shared.db.session import transaction
from shared.db.tables import DEFAULT_OWNER
from shared.errors import Conflict, JobFailure
from shared.job_status import ErrorCode, JobKind, Priority
from shared.job_status import JobStatus as S
from shared.services import attempt_writes, checkpoints, deletion, idempotency, job_queue, transitions
from shared.services.attempt_writes import MetricPoint
from shared.services.job_queue import FencedSession, Lease
from tests import jobs
from tests.engine.model import ACTIONS, ENDED, HELD, ModelJob
from tests.engine.stage import LABEL, Stage, stored

WORKERS = ("wrk_a", "wrk_b", "wrk_c")
OWNERS = (DEFAULT_OWNER, "ada", "emmy")
KEYS = "xy"


class JobMachine(Stage):
    """The rules of the machine."""

    # --- users --------------------------------------------------------------------------------------------------

    @initialize(first=st.lists(st.tuples(st.sampled_from(Priority), st.sampled_from(OWNERS)), min_size=2, max_size=4))
    def begin(self, first: list[tuple[Priority, str]]) -> None:
        """Submit the first jobs and claim one: most faults need a running job."""
        for priority, owner in first:
            self.submit(priority=priority, max_attempts=2, owner=owner)
        self._claim(self.broker.take_number(0).kind, WORKERS[0])

    @rule(
        priority=st.sampled_from(Priority),
        max_attempts=st.integers(1, 3),
        owner=st.sampled_from(OWNERS),
        requires=st.sampled_from(((), (LABEL,))),
    )
    def submit(self, priority: Priority, max_attempts: int, owner: str, requires: tuple[str, ...] = ()) -> None:
        body = {"priority": priority.value, "max_attempts": max_attempts, "requires": [*requires]}
        job_id = jobs.submitted(self.database, self.settings, owner=owner, **body)
        made = self.expected.submit(
            JobKind.TRAINING, priority.rank, max_attempts, owner=owner, requires=frozenset(requires)
        )
        self._accepted(job_id, made)
        self.clock.advance(1)  # so that no two jobs have the same time of submission

    @precondition(lambda self: len(self.keys) < len(KEYS) or len(self.ids) % 3 == 0)
    @rule(key=st.sampled_from(KEYS), body=st.integers(0, 1))
    def submit_with_a_key(self, key: str, body: int) -> None:
        request = idempotency.Request.of(key, JobKind.TRAINING, {"seed": body})
        with transaction(self.database) as session:
            try:
                known = idempotency.find(session, request)
            except idempotency.KeyReused:
                assert self.keys[key][1] != body
                self.happened["key refused for another body"] += 1
                return
            job_id = known or jobs.submit(session, self.settings, seed=body)
            if known is None:
                idempotency.remember(session, request, job_id)
        if known is None:
            assert key not in self.keys
            job = self.expected.submit(JobKind.TRAINING, Priority.NORMAL.rank, 3)
            self.keys[key] = (job.number, body)
            self._accepted(job_id, job)
        else:
            assert self.keys[key] == (self.ids.index(known), body)
            self.happened["key replayed"] += 1

    @precondition(lambda self: any(job.checkpoints for job in self.expected.jobs.values()))
    @rule(data=st.data(), priority=st.sampled_from(Priority))
    def generate(self, data: Any, priority: Priority) -> None:
        sources = [job for job in self.expected.jobs.values() if job.checkpoints]
        source = data.draw(st.sampled_from([job.number for job in sources]), label="of the training job")
        body = {"model": self.ids[source], "sampling": {"mode": "random", "n": 1}, "priority": priority.value}
        made = self.expected.jobs[source]
        job_id = jobs.generated(self.database, self.settings, owner=made.owner, **body)
        step = max(made.checkpoints) if made.published is None else made.published
        job = self.expected.submit(JobKind.GENERATION, priority.rank, 3, reads=(source, step), owner=made.owner)
        self._accepted(job_id, job)

    @precondition(lambda self: self.expected.jobs)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        self._request(data, "cancel")

    @precondition(lambda self: self.expected.jobs)
    @rule(data=st.data())
    def pause(self, data: Any) -> None:
        self._request(data, "pause")

    @precondition(lambda self: self.expected.jobs)
    @rule(data=st.data())
    def resume(self, data: Any) -> None:
        self._request(data, "resume")

    @precondition(lambda self: self.expected.jobs)
    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        self._request(data, "retry")

    @precondition(lambda self: self.expected.jobs)
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        job = self._some_job(data, ENDED)
        try:
            with transaction(self.database) as session:
                deletion.delete_job(session, self.ids[job.number])
        except Conflict:
            assert not self.expected.delete(job)
            self.happened[f"delete of a {job.status} job refused"] += 1
        else:
            assert self.expected.delete(job)
            self.happened["deleted"] += 1
            self.keys = {key: made for key, made in self.keys.items() if made[0] != job.number}

    # --- workers ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.broker.waiting)
    @rule(data=st.data(), worker=st.sampled_from(WORKERS))
    def take_a_notification(self, data: Any, worker: str) -> None:
        number = data.draw(st.integers(0, len(self.broker.waiting) - 1), label="notification")
        self._claim(self.broker.take_number(number).kind, worker)

    @precondition(lambda self: self.broker.waiting)
    @rule(worker=st.sampled_from(WORKERS))
    def take_the_next_notification(self, worker: str) -> None:
        if notification := self.broker.take(JobKind.GENERATION) or self.broker.take(JobKind.TRAINING):
            self._claim(notification.kind, worker)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def heartbeat(self, data: Any) -> None:
        self._write(self._some_lease(data), lambda fenced: None)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), step=st.integers(1, 4), loss=st.floats(0, 10))
    def report(self, data: Any, step: int, loss: float) -> None:
        def write(fenced: FencedSession) -> None:
            attempt_writes.add_metrics(fenced, [MetricPoint(name="loss", epoch=1, step=step, value=loss)])

        if job := self._write(self._some_lease(data), write):
            job.metrics[step] = loss

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), step=st.integers(1, 8), is_best=st.booleans())
    def checkpoint(self, data: Any, step: int, is_best: bool) -> None:
        lease = self._some_lease(data)
        if lease.job_id.startswith("gen"):
            return

        def write(fenced: FencedSession) -> None:
            attempt_writes.add_checkpoint(fenced, stored(lease, step, is_best=is_best))
            checkpoints.prune(fenced.session, lease.job_id)

        if job := self._write(lease, write):
            self.expected.add_checkpoint(job, step, is_best=is_best)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def finish_succeeded(self, data: Any) -> None:
        self._finish_succeeded(self._some_lease(data))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), code=st.sampled_from(ErrorCode))
    def finish_failed(self, data: Any, code: ErrorCode) -> None:
        lease = self._some_lease(data)
        failure = JobFailure(code, "It went wrong.")
        ended: list[S] = []
        if job := self._write(
            lease, lambda fenced: ended.append(job_queue.finish_failed(fenced, failure, self.settings))
        ):
            attempt = job.attempt
            before = job.status
            assert ended == [self.expected.fail(job, code)]
            self.happened[f"failed attempt: {before} → {job.status}"] += 1
            if ended == [S.QUEUED]:
                self._back_off(job, attempt)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        """A worker stops, or has written its checkpoint for a pause."""
        ended: list[S] = []
        if job := self._write(self._some_lease(data), lambda fenced: ended.append(job_queue.release(fenced))):
            before = job.status
            assert ended == [self.expected.release(job)]
            self.happened[f"released: {before} → {job.status}"] += 1

    # --- time, reconciler, broker -------------------------------------------------------------------------------

    @rule(ms=st.sampled_from((40, 400, 2_100, 10_000)))
    def advance_time(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule()
    def reconcile(self) -> None:
        self._reconcile()

    @precondition(lambda self: self.broker.waiting)
    @rule(data=st.data(), is_lost=st.booleans())
    def notification_is_lost_or_doubled(self, data: Any, is_lost: bool) -> None:
        number = data.draw(st.integers(0, len(self.broker.waiting) - 1), label="notification")
        if is_lost:
            self.broker.take_number(number)
        else:
            self.broker.double(number)

    @rule()
    def redis_stops_or_returns_empty(self) -> None:
        self.broker.is_up = not self.broker.is_up
        self.broker.flush()

    # --- helpers ------------------------------------------------------------------------------------------------

    def _request(self, data: Any, action: str) -> None:
        job = self._some_job(data, set(ACTIONS[action]))
        try:
            with transaction(self.database) as session:
                after: S | None = getattr(transitions, action)(session, self.ids[job.number])
        except Conflict:
            after = None
        before = job.status
        assert after is self.expected.apply(job, action)
        self.happened[f"{action}: {before} → {after or 'refused'}"] += 1
        if after is S.QUEUED:
            self._notify(job)

    def _some_job(self, data: Any, fitting: Collection[S]) -> ModelJob:
        """Any job, most often one in a fitting status."""
        numbers = sorted(self.expected.jobs)
        fit = [number for number in numbers if self.expected.jobs[number].status in fitting]
        choice = st.sampled_from(numbers)
        return self.expected.jobs[data.draw(st.sampled_from(fit) | choice if fit else choice, label="job")]

    def _some_lease(self, data: Any) -> Lease:
        """Any lease ever given: most often a valid one, or one whose job another worker has claimed."""
        held = {self.ids[job.number]: job.token for job in self.expected.jobs.values() if job.status in HELD}
        valid = [lease for lease in self.leases if held.get(lease.job_id) == lease.fencing_token]
        reclaimed = [
            lease for lease in self.leases if held.get(lease.job_id, lease.fencing_token) != lease.fencing_token
        ]
        choices = [st.sampled_from(leases) for leases in (valid, valid, reclaimed, self.leases) if leases]
        lease: Lease = data.draw(st.one_of(choices), label="lease")
        return lease
