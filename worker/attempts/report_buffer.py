"""A buffer of trainer reports, written to the database in one fenced transaction."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from shared import trainer_protocol
from shared.services import attempt_writes, checkpoints, job_queue, pending_deletions, storage_holds
from shared.services import job_history as events_service
from shared.services.attempt_writes import MetricPoint, StoredCheckpoint, StoredFile
from shared.services.job_queue import FencedSession, Lease
from shared.services.job_warnings import JobWarning


@dataclass(kw_only=True)
class Pending:
    """Reports that are not written yet."""

    points: list[MetricPoint] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    checkpoints: list[StoredCheckpoint] = field(default_factory=list)
    events: list[tuple[str, str, dict[str, Any], bool]] = field(default_factory=list)  # the last: once at its step
    warnings: list[JobWarning] = field(default_factory=list)
    is_changed: bool = False


class ReportBuffer:
    """Buffers one attempt's reports. After a failed write they are written again with the next one."""

    def __init__(self, lease: Lease, metrics: dict[str, float]) -> None:
        self._lease = lease
        self._pending = Pending()
        self._metrics = dict(metrics)
        self._progress: dict[str, Any] = {}
        self._device: str | None = None
        self._started: trainer_protocol.Started | None = None
        self._started_at = 0.0
        self.examples_per_s: float | None = None
        self._obsolete: list[str] = []

    @property
    def has_pending(self) -> bool:
        """Whether there is anything to write."""
        return self._pending.is_changed

    @property
    def device(self) -> str | None:
        """The trainer's device; None before it has reported its start."""
        return self._device

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the trainer's libraries; empty before it has reported its start."""
        return self._started.versions if self._started else {}

    # --- gathering ----------------------------------------------------------------------------------------------

    def started(self, event: trainer_protocol.Started) -> None:
        """Add the start of the run, or its continuation from a checkpoint."""
        self._started, self._started_at, self._device = event, time.monotonic(), event.device
        self._move(event.epoch, event.step)
        verb = f"Resumes at step {event.step:,} of {event.steps:,}" if event.step else "Starts"
        data = event.model_dump(exclude={"type"})
        self._add_event("started", f"{verb} on {event.device} in {event.precision}.", data)

    def progress(self, event: trainer_protocol.Progress) -> None:
        """Update the position of the run."""
        self.examples_per_s = event.examples_per_s
        self._metrics |= _finite(event.metrics)
        self._move(event.epoch, event.step)

    def metrics(self, event: trainer_protocol.Metrics) -> None:
        """Add points of the training curves."""
        self._metrics |= _finite(event.values)
        for name, value in event.values.items():
            self._pending.points.append(MetricPoint(name=name, epoch=event.epoch, step=event.step, value=value))
        self._pending.is_changed = True

    def notice(self, event: trainer_protocol.Notice) -> None:
        """Add an event for the user."""
        message = f"{event.message} {event.hint}" if event.hint else event.message
        optional = {"hint": event.hint, "step": event.step}
        data = event.data | {name: value for name, value in optional.items() if value is not None}
        self._add_event(event.code, message, data, once=event.step is not None)
        if event.is_warning:
            warning = JobWarning(code=event.code, message=event.message, hint=event.hint, step=event.step)
            self._pending.warnings.append(warning)

    def file(self, stored: StoredFile) -> None:
        """Add a sample or an event file that is in storage."""
        self._pending.files.append(stored)
        self._pending.is_changed = True

    def checkpoint(self, stored: StoredCheckpoint) -> None:
        """Add a checkpoint that is in storage."""
        self._pending.checkpoints.append(stored)
        self._pending.is_changed = True

    def _add_event(self, name: str, message: str, data: dict[str, Any], *, once: bool = False) -> None:
        self._pending.events.append((name, message, data, once))
        self._pending.is_changed = True

    def _move(self, epoch: int, step: int) -> None:
        started = self._started
        if started is None:
            return
        elapsed = time.monotonic() - self._started_at
        done = step - started.step
        self._progress = {
            "epoch": epoch,
            "epochs": started.epochs,
            "step": step,
            "steps": started.steps,
            "fraction": step / started.steps if started.steps else 0.0,
            "eta_s": round(elapsed / done * (started.steps - step), 1) if done > 0 else None,
            "examples_per_s": self.examples_per_s,
        }
        self._pending.is_changed = True

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, session: Session) -> FencedSession:
        """Renew the lease and write all buffered reports. Call `written` after the commit. Raises LeaseLost."""
        values: dict[str, Any] = {"metrics": self._metrics}
        if self._started is not None:
            values |= {"progress": self._progress, "device": self._device}
        fenced = job_queue.renew_lease(session, self._lease, visible=True, **values)
        attempt_writes.add_metrics(fenced, self._pending.points)
        self._obsolete = attempt_writes.add_artifacts(fenced, self._pending.files)
        for stored in self._pending.checkpoints:
            self._obsolete += attempt_writes.add_checkpoint(fenced, stored)
        for name, message, data, once in self._pending.events:
            if not (once and events_service.is_known_at(session, self._lease.job_id, event=name, step=data["step"])):
                attempt_writes.add_event(fenced, event=name, message=message, data=data)
        if self._pending.warnings:
            attempt_writes.add_warnings(fenced, self._pending.warnings)
        if self._pending.checkpoints:
            self._obsolete += checkpoints.prune(session, self._lease.job_id)
        if self._obsolete and storage_holds.is_held(session):
            for key in self._obsolete:  # the sweeper removes them after the backup
                pending_deletions.add(session, key)
            self._obsolete = []
        return fenced

    def written(self) -> list[str]:
        """Clear the buffer after the commit; returns storage keys that no row refers to any more."""
        obsolete, self._obsolete = self._obsolete, []
        self._pending = Pending()
        return obsolete


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
