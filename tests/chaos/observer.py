"""A thread that reads all jobs repeatedly, and records violations of invariants."""

import threading

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import SessionFactory, reading
from shared.db.tables import Job
from shared.job_status import JobStatus
from tests.waiting import PATIENCE_S

_EVERY_S = 0.1


class Observer:
    """Observes tokens, versions and ends. violations: one line for each violation.

    may_return: jobs that the test retries, whose end is therefore not final.
    """

    def __init__(self, sessions: SessionFactory) -> None:
        self.violations: list[str] = []
        self.may_return: set[str] = set()
        self._sessions = sessions
        self._seen: dict[str, tuple[JobStatus, int, int, int]] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read once more, and end."""
        self._ending.set()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._ending.wait(_EVERY_S)
            try:
                with reading(self._sessions) as session:
                    columns = (Job.id, Job.status, Job.fencing_token, Job.attempt, Job.version)
                    found = session.execute(select(*columns)).all()
            except SQLAlchemyError:
                continue  # the database is unavailable, which may be the fault under test
            for job_id, status, token, attempt, version in found:
                self._compare(job_id, (status, token, attempt, version))

    def _compare(self, job_id: str, now: tuple[JobStatus, int, int, int]) -> None:
        before = self._seen.get(job_id, now)
        self._seen[job_id] = now
        status, token, _, version = before
        if now[1] < token or now[3] < version:
            self.violations.append(f"{job_id}: token or version fell, {before} → {now}")
        if status.is_terminal and now[:3] != before[:3] and job_id not in self.may_return:
            self.violations.append(f"{job_id}: changed after its end, {before} → {now}")
