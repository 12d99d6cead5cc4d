"""The generations that a worker has begun: one runs, and each of the others is interrupted by the next."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import is_transient, read_connection
from shared.db.tables import GenerationJob
from shared.errors import JobFailure
from shared.job_status import ErrorCode, JobStatus
from shared.services import job_queue
from shared.services.admission import memory_limit
from shared.services.claim_statements import Urgency
from worker.attempts.commit import settle
from worker.attempts.lease_heartbeat import LeaseHeartbeat
from worker.attempts.live_reports import LiveTexts
from worker.context import WorkerContext

log = structlog.get_logger(__name__)

RunUrgent = Callable[[Urgency], bool]
"""Claim one job that interrupts a running one, and run it to its end. False: none was due."""

_FIRST_S = 0.25  # most generations have ended by then
_POLL_S = 0.1
_QUICK_S = 0.5  # of quick jobs in a row, and at most of the work before the next ones
_STOP_S = 5.0  # after `stop_grace_s`, for the end of a block
_EXIT_STOPPED = 0
_EXIT_STUCK = 75


class Reason(StrEnum):
    """Why an attempt ends before its generation does."""

    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    LEASE_LOST = "lease lost"


class GenerationEnded(Exception):
    """Raised between two blocks: the attempt ends. `OpenGeneration.settle` writes the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class OpenGenerations:
    """The generations of one worker that have begun, the running one last. All run on one thread."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._limit = memory_limit(context.settings)
        self._stack: list[OpenGeneration] = []

    def make(self, job: GenerationJob, run_urgent: RunUrgent) -> "OpenGeneration":
        """The attempt at a claimed job."""
        return OpenGeneration(self._context, job, self, run_urgent)

    @contextmanager
    def opened(self, generation: "OpenGeneration") -> Iterator[None]:
        """Within the block a generation runs and is watched."""
        self._stack.append(generation)
        try:
            with generation.watched():
                yield
        finally:
            self._stack.remove(generation)

    def room(self) -> int:
        """Bytes of memory that a further generation may need. Without an estimate a generation leaves no room."""
        needed = (each.job.memory_bytes for each in list(self._stack))
        return self._limit - sum(self._limit if each is None else each for each in needed)

    def is_running(self, generation: "OpenGeneration") -> bool:
        """Whether a generation computes. The others wait for its end."""
        return self._stack[-1:] == [generation]

    def end_process(self, reason: Reason) -> None:
        """Settle every open generation and end this process. The running one has not ended between two blocks."""
        try:
            running, *interrupted = reversed(self._stack)
            log.error("ending this worker to end its generation", job_id=running.job.id, reason=reason.value)
            running.settle(reason)
            for each in interrupted:
                each.settle(Reason.STOPPED)
        finally:  # the reaper ends an attempt that could not be ended here
            os._exit(_EXIT_STOPPED if reason is Reason.STOPPED else _EXIT_STUCK)


class OpenGeneration:
    """One attempt. Between two blocks it ends or is interrupted; a block that never ends, ends this process.

    The time of interruptions does not count towards `timeout_s`. The lease is first renewed, and the
    queue first read, after `_FIRST_S`.
    """

    def __init__(
        self, context: WorkerContext, job: GenerationJob, all_open: OpenGenerations, run_urgent: RunUrgent
    ) -> None:
        self.job, self.lease = job, job_queue.lease_of(job)
        self._context, self._all, self._run_urgent = context, all_open, run_urgent
        self._lock = threading.RLock()
        self._over, self._is_urgent_due = threading.Event(), threading.Event()
        self._is_settled = False
        self._heartbeat: LeaseHeartbeat | None = None
        self._fail_at = time.monotonic() + job.timeout_s
        self._stopping_since: float | None = None
        self._ending_since: float | None = None
        self._quick_from = 0.0
        self._live = LiveTexts(context.broker, job.id)

    def between_blocks(self, texts: Sequence[str] = (), /) -> None:
        """End the attempt if there is a reason, else run the jobs that interrupt it. Raises GenerationEnded.

        texts: the texts so far, which are published to streams of the job.
        """
        self._raise_if_ending()
        self._live.publish_when_due(texts)
        if self._is_urgent_due.is_set():
            self._run_urgent_jobs()
            self._raise_if_ending()

    def settle(self, reason: Reason) -> None:
        """Write the end of the attempt, once."""
        with self._lock:
            if not self._is_settled:
                settle(self._context, self.lease, lambda fenced: _end(fenced, reason, self._context, self.job))
                self._is_settled = True

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Renew the lease and read the job's status within the block."""
        threading.Thread(target=self._watch, name="generation", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:  # an end that is being written completes first
                self._over.set()

    def _raise_if_ending(self) -> None:
        reason = Reason.CANCELLED if self._is_settled else self._reason()
        if reason is not None:
            raise GenerationEnded(reason)

    def _reason(self) -> Reason | None:
        now, heartbeat = time.monotonic(), self._heartbeat
        if heartbeat is not None and heartbeat.is_lost:
            return Reason.LEASE_LOST
        if heartbeat is not None and heartbeat.status is JobStatus.CANCELLING:
            return Reason.CANCELLED
        if self._context.stopping.is_set():
            self._stopping_since = now if self._stopping_since is None else self._stopping_since
            if now - self._stopping_since > self._context.settings.stop_grace_s:
                return Reason.STOPPED
        return Reason.TIMEOUT if now > self._fail_at and self._all.is_running(self) else None

    # --- interruptions -------------------------------------------------------------------------------------------

    def _run_urgent_jobs(self) -> None:
        """Run what is more urgent. Quick jobs of this priority get `_QUICK_S`, and this job as much afterwards."""
        self._is_urgent_due.clear()
        began = time.monotonic()
        try:
            while self._run_urgent(self._urgency(takes_quick=time.monotonic() - began < _QUICK_S)):
                log.debug("generation interrupted", job_id=self.job.id)
        except Exception:  # a fault of the other job; its lease expires
            log.exception("interrupting job not ended", job_id=self.job.id)
        ended = time.monotonic()
        self._fail_at += ended - began
        self._quick_from = ended + min(_QUICK_S, ended - began)

    def _urgency(self, *, takes_quick: bool) -> Urgency:
        return Urgency(rank=self.job.priority, room=self._all.room(), takes_quick=takes_quick and not self.job.is_quick)

    # --- in the watching thread ----------------------------------------------------------------------------------

    def _watch(self) -> None:
        if not self._over.wait(_FIRST_S):
            with LeaseHeartbeat(self._context.sessions, self.lease, self._context.settings, _nothing) as heartbeat:
                self._heartbeat = heartbeat
                while not self._over.is_set():
                    self._check()
                    self._over.wait(_POLL_S)

    def _check(self) -> None:
        reason = self._reason()
        if self._all.is_running(self):
            self._end_process_if_stuck(reason)
            self._look_for_urgent()
        elif reason is Reason.CANCELLED:  # another generation runs, possibly for long
            self.settle(reason)

    def _end_process_if_stuck(self, reason: Reason | None) -> None:
        now, settings = time.monotonic(), self._context.settings
        if reason is None:
            self._ending_since = None
            return
        self._ending_since = now if self._ending_since is None else self._ending_since
        longest_s = settings.block_timeout_s if reason is not Reason.STOPPED else min(_STOP_S, settings.block_timeout_s)
        if now - self._ending_since > longest_s:
            with self._lock:
                if not self._over.is_set():
                    self._all.end_process(reason)

    def _look_for_urgent(self) -> None:
        urgency = self._urgency(takes_quick=time.monotonic() >= self._quick_from)
        if urgency.room <= 0:
            return
        try:
            with read_connection(self._context.sessions) as connection:
                if job_queue.is_interruption_due(connection, self._context.kind, urgency):
                    self._is_urgent_due.set()
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise


def _nothing(_: LeaseHeartbeat) -> None:
    """Do nothing: the watching thread reads the state of the heartbeat."""


def _end(fenced: job_queue.FencedSession, reason: Reason, context: WorkerContext, job: GenerationJob) -> JobStatus:
    if reason is Reason.TIMEOUT:
        message = f"The generation took longer than timeout_s = {job.timeout_s} s."
        failure = JobFailure(ErrorCode.TIMEOUT, message, "Raise timeout_s, or request fewer samples at once.")
        return job_queue.finish_failed(fenced, failure, context.settings)
    if reason is Reason.CANCELLED:
        return job_queue.finish_cancelled(fenced)
    # A generation has no checkpoint: another worker starts it again.
    return job_queue.release(fenced)
