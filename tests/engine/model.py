"""The specification of the queue: a dict of jobs and a few rules, against which the real queue is compared.

Times are milliseconds of the fake clock. Jobs have numbers, in the order in which they were accepted.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.db.tables import DEFAULT_OWNER
from shared.job_status import ErrorCode, JobKind
from shared.job_status import JobStatus as S
from shared.settings import Settings
from tests import transition_table
from tests.engine import fair_queue

RUNNING_LIMIT = {JobKind.TRAINING: 2, JobKind.GENERATION: None}  # held jobs of an owner
HELD = {S.RUNNING, S.PAUSING, S.CANCELLING}
ENDED = {S.SUCCEEDED, S.FAILED, S.CANCELLED}
RETRIED = {ErrorCode.WORKER_LOST, ErrorCode.INTERNAL}

# The user's actions and their results. All others are refused and change nothing.
ACTIONS: dict[str, dict[S, S]] = {
    action: {before: after for before, after in moves.items() if after is not None}
    for action, moves in transition_table.documented().items()
    if action != "delete"
}


@dataclass
class ModelJob:
    """One job.

    checkpoints: step → whether it is the best. published: step of the published checkpoint. reads: job and step of the
    weights that it needs. requires: labels of its worker. error: code of the visible failure.
    """

    number: int
    kind: JobKind
    rank: int
    max_attempts: int
    reads: tuple[int, int] | None = None
    owner: str = DEFAULT_OWNER
    requires: frozenset[str] = frozenset()
    status: S = S.QUEUED
    attempt: int = 0
    token: int = 0
    heartbeat_ms: int | None = None
    claimed_ms: int = 0
    not_before_ms: int | None = None
    error: str | None = None
    published: int | None = None
    checkpoints: dict[int, bool] = field(default_factory=dict)
    metrics: dict[int, float] = field(default_factory=dict)

    @property
    def place(self) -> tuple[int, int]:
        """The sort key of the jobs of a kind."""
        return self.rank, self.number


class Model:
    """All jobs by number. Deleted ones are gone; their numbers are in `deleted`."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self._settings, self.now_ms = settings, now_ms
        self._ledger = fair_queue.Ledger()
        self.jobs: dict[int, ModelJob] = {}
        self.deleted: set[int] = set()

    # --- submitting and claiming --------------------------------------------------------------------------------

    def submit(
        self,
        kind: JobKind,
        rank: int,
        max_attempts: int,
        reads: tuple[int, int] | None = None,
        *,
        owner: str = DEFAULT_OWNER,
        requires: frozenset[str] = frozenset(),
    ) -> ModelJob:
        number = len(self.jobs) + len(self.deleted)
        job = self.jobs[number] = ModelJob(number, kind, rank, max_attempts, reads, owner, requires)
        return job

    def is_due(self, job: ModelJob, now_ms: int) -> bool:
        return job.status is S.QUEUED and (job.not_before_ms is None or job.not_before_ms <= now_ms)

    def first(self, kind: JobKind, labels: frozenset[str], now_ms: int) -> ModelJob | None:
        """The job that a worker with these labels claims next."""
        due = [job for job in self.jobs.values() if job.kind == kind and self.is_due(job, now_ms)]
        limit = RUNNING_LIMIT[kind]
        able = [job for job in due if limit is None or self._held(kind)[job.owner] < limit]
        able = [job for job in able if job.requires <= labels]
        order = self._claims(able, kind, now_ms)
        return order[0] if order else None

    def position(self, job: ModelJob, now_ms: int) -> int | None:
        if job.status is not S.QUEUED:
            return None
        due = [other for other in self.jobs.values() if other.kind == job.kind and self.is_due(other, now_ms)]
        return 1 + self._claims([*due, *([] if job in due else [job])], job.kind, now_ms).index(job)

    def _claims(self, due: list[ModelJob], kind: JobKind, now_ms: int) -> list[ModelJob]:
        use_ms = Counter({job.owner: self._ledger.use_ms(job.owner, kind, now_ms) for job in due})
        for job in self.jobs.values():
            if job.kind == kind and job.status in HELD:
                use_ms[job.owner] += max(fair_queue.EXPECTED_MS[kind], now_ms - job.claimed_ms)
        return fair_queue.claims(due, use_ms, self._held(kind), kind, RUNNING_LIMIT[kind])

    def _held(self, kind: JobKind) -> Counter[str]:
        return Counter(job.owner for job in self.jobs.values() if job.kind == kind and job.status in HELD)

    def claim(self, job: ModelJob, now_ms: int) -> None:
        job.claimed_ms = now_ms
        job.status, job.attempt, job.token = S.RUNNING, job.attempt + 1, job.token + 1
        job.heartbeat_ms, job.not_before_ms, job.error = now_ms, None, None

    # --- leases and ends of attempts ---------------------------------------------------------------------------------

    def holds(self, number: int, token: int) -> bool:
        """Whether a lease is valid."""
        job = self.jobs.get(number)
        return job is not None and job.token == token and job.status in HELD

    def add_checkpoint(self, job: ModelJob, step: int, *, is_best: bool) -> None:
        """Add a checkpoint and prune; the newest two, the best, the published and those of unfinished jobs stay."""
        if is_best:
            job.checkpoints = dict.fromkeys(job.checkpoints, False)
        job.checkpoints[step] = is_best
        needed = {other.reads for other in self.jobs.values() if other.status not in ENDED}
        for old in sorted(job.checkpoints)[:-2]:
            if not job.checkpoints[old] and job.published != old and (job.number, old) not in needed:
                del job.checkpoints[old]

    def succeed(self, job: ModelJob) -> S:
        return self._end(job, S.CANCELLED if job.status is S.CANCELLING else S.SUCCEEDED)

    def fail(self, job: ModelJob, code: ErrorCode) -> S:
        if job.status is S.CANCELLING:
            return self._end(job, S.CANCELLED)
        if code in RETRIED and job.attempt < job.max_attempts:
            if job.status is S.PAUSING:
                return self._give_back_attempt(job, S.PAUSED)
            return self._leave(job, S.QUEUED)
        job.error = code.value
        return self._end(job, S.FAILED)

    def release(self, job: ModelJob) -> S:
        if job.status is S.CANCELLING:
            return self._end(job, S.CANCELLED)
        return self._give_back_attempt(job, S.PAUSED if job.status is S.PAUSING else S.QUEUED)

    def expired(self, now_ms: int) -> list[ModelJob]:
        """Jobs whose heartbeat is older than a lease."""
        oldest = now_ms - round(1000 * self._settings.lease_s)
        return [job for job in self.jobs.values() if job.heartbeat_ms is not None and job.heartbeat_ms < oldest]

    def reap(self, job: ModelJob) -> S:
        if job.status is S.CANCELLING:
            return self._end(job, S.CANCELLED)
        if job.attempt >= job.max_attempts:
            job.error = ErrorCode.WORKER_LOST.value
            return self._end(job, S.FAILED)
        return self._leave(job, S.PAUSED if job.status is S.PAUSING else S.QUEUED)

    def backoff_ms(self, attempt: int) -> tuple[int, int]:
        """Least and longest wait after an attempt that failed."""
        longest = 1000 * min(self._settings.backoff_max_s, self._settings.backoff_s * 2 ** (attempt - 1))
        return round(longest / 2), round(longest)

    def _end(self, job: ModelJob, status: S) -> S:
        return self._leave(job, status)

    def _give_back_attempt(self, job: ModelJob, status: S) -> S:
        job.attempt -= 1
        return self._leave(job, status)

    def _leave(self, job: ModelJob, status: S) -> S:
        assert job.heartbeat_ms is not None
        self._ledger.charge(job.owner, job.kind, job.heartbeat_ms - job.claimed_ms, self.now_ms())
        job.status, job.heartbeat_ms = status, None
        return status

    # --- actions of users --------------------------------------------------------------------------------------------

    def apply(self, job: ModelJob, action: str) -> S | None:
        """The new status; None: refused."""
        after = ACTIONS[action].get(job.status)
        if after is None or after is job.status:
            return after
        job.status = after
        if after is S.QUEUED:
            job.not_before_ms = None
        if action == "retry":
            job.attempt, job.error = 0, None
        return after

    def delete(self, job: ModelJob) -> bool:
        """False: refused, because the job is not terminal or an unfinished job reads its weights."""
        readers = [other for other in self.jobs.values() if other.reads and other.reads[0] == job.number]
        if job.status not in ENDED or any(
            reader.status not in ENDED and reader.reads is not None and reader.reads[1] in job.checkpoints
            for reader in readers
        ):
            return False
        del self.jobs[job.number]
        self.deleted.add(job.number)
        return True
