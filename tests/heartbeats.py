"""Heartbeats of workers that do not run."""

from typing import Any

from shared.db.session import SessionFactory, transaction
from shared.job_status import JobKind
from shared.services import workers


def beat(database: SessionFactory, worker_id: str, device: str = "cpu", **values: Any) -> None:
    """A heartbeat of an idle training worker. values: of other arguments of `workers.record_heartbeat`."""
    known: dict[str, Any] = {"host": "here", "pid": 1, "job_id": None, "jobs_done": 0, "examples_per_s": None}
    known |= {"kind": JobKind.TRAINING, "device": device, **values}
    with transaction(database) as session:
        workers.record_heartbeat(session, worker_id=worker_id, **known)
