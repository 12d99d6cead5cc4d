"""The database and storage writes of a worker, made through the services that workers use."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shared.broker import Broker
from shared.db.session import SessionFactory, transaction
from shared.db.tables import Checkpoint, Job, Model
from shared.errors import JobFailure
from shared.ids import new_id
from shared.job_status import JobKind
from shared.services import attempt_writes, job_queue, workers
from shared.services.job_queue import Lease
from shared.services.job_warnings import JobWarning
from shared.settings import Settings
from shared.storage import Storage

TENSORS = b"\x00\x00\x80?\x00\x00\x00@"  # 1.0 and 2.0
_ABOUT = json.dumps({"model_type": "vae", "config": {"hyperparameters": {}, "image_shape": [1, 28, 28]}})
_HEADER = json.dumps({
    "__metadata__": {"mimeo": _ABOUT},
    "bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
}).encode()  # fmt: skip
WEIGHTS_FILE = len(_HEADER).to_bytes(8, "little") + _HEADER + TENSORS
WEIGHTS = hashlib.sha256(WEIGHTS_FILE).hexdigest()


class WorkerWrites:
    """Claims jobs and reports on them; it neither trains nor generates."""

    def __init__(self, settings: Settings, sessions: SessionFactory, storage: Storage, broker: Broker) -> None:
        self._settings, self._sessions, self._storage, self._broker = settings, sessions, storage, broker

    def heartbeat(self, kind: JobKind) -> None:
        """Record an idle worker on a CPU as live."""
        known: dict[str, Any] = {"host": "w", "pid": 1, "device": "cpu", "job_id": None, "jobs_done": 0}
        with transaction(self._sessions) as session:
            workers.record_heartbeat(session, worker_id="w:1", kind=kind, examples_per_s=None, **known)

    def claim(self, kind: JobKind) -> Lease:
        """Claim the next job."""
        lease = self.claim_if_any(kind)
        assert lease is not None
        return lease

    def claim_if_any(self, kind: JobKind) -> Lease | None:
        """Claim the next job, if there is one."""
        with transaction(self._sessions) as session:
            job = job_queue.claim_next(session, kind, "test-worker")
            return job_queue.lease_of(job) if job else None

    def report(self, lease: Lease, **values: Any) -> None:
        """Write visible values (`progress`, `metrics`, `device`) to the job."""
        with transaction(self._sessions) as session:
            job_queue.renew_lease(session, lease, visible=True, **values)

    def points(self, lease: Lease, name: str, values: list[float]) -> None:
        """Record a curve with one point per step."""
        with transaction(self._sessions) as session:
            fenced = job_queue.renew_lease(session, lease)
            attempt_writes.add_metrics(
                fenced,
                [
                    attempt_writes.MetricPoint(name=name, epoch=1, step=step, value=value)
                    for step, value in enumerate(values, start=1)
                ],
            )

    def warn(self, lease: Lease, *warnings: JobWarning) -> None:
        """Add warnings to the job."""
        with transaction(self._sessions) as session:
            attempt_writes.add_warnings(job_queue.renew_lease(session, lease, visible=True), warnings)

    def point(self, lease: Lease, name: str, *, epoch: int, step: int, value: float) -> None:
        """Record one point of a curve."""
        with transaction(self._sessions) as session:
            fenced = job_queue.renew_lease(session, lease)
            point = attempt_writes.MetricPoint(name=name, epoch=epoch, step=step, value=value)
            attempt_writes.add_metrics(fenced, [point])

    def checkpoint(self, lease: Lease, step: int = 235, config: Mapping[str, Any] | None = None) -> str:
        """Store a checkpoint's weights and record it, with the model's `config`; returns its id."""
        self._storage.put_bytes(WEIGHTS_FILE, f"jobs/{lease.job_id}/checkpoints/{step:08d}/model.safetensors")
        with transaction(self._sessions) as session:
            fenced = job_queue.renew_lease(session, lease)
            stored = attempt_writes.StoredCheckpoint(
                epoch=1,
                step=step,
                storage_key=f"jobs/{lease.job_id}/checkpoints/{step:08d}",
                sha256=WEIGHTS,
                size=7,
                is_best=True,
                metrics={"val_loss": 28.5},
                config=config or {},
            )
            attempt_writes.add_checkpoint(fenced, stored)
            return session.query(Checkpoint).filter_by(job_id=lease.job_id, step=step).one().id

    def file(
        self,
        lease: Lease,
        name: str,
        data: bytes,
        *,
        kind: str = "sample",
        media_type: str = "image/png",
        epoch: int = 1,
        step: int = 235,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Store a file and record it."""
        key = f"jobs/{lease.job_id}/{kind}/{name}"
        self._storage.put_bytes(data, key)
        with transaction(self._sessions) as session:
            fenced = job_queue.renew_lease(session, lease)
            stored = attempt_writes.StoredFile(
                kind=kind,
                name=name,
                media_type=media_type,
                storage_key=key,
                sha256=hashlib.sha256(data).hexdigest(),
                size=len(data),
                epoch=epoch,
                step=step,
                details=dict(details or {"rows": 1, "columns": 1}),
            )
            attempt_writes.add_artifacts(fenced, [stored])

    def publish(
        self, lease: Lease, config: Mapping[str, Any] | None = None, quality: Mapping[str, float] | None = None
    ) -> str:
        """Complete a training job with a model. Returns the model's id."""
        checkpoint_id = self.checkpoint(lease, config=config)
        with transaction(self._sessions) as session:
            fenced = job_queue.renew_lease(session, lease)
            job = session.get_one(Job, lease.job_id)
            model = Model(
                id=new_id("mdl"),
                job_id=job.id,
                checkpoint_id=checkpoint_id,
                model_type=job.model_type,
                dataset=job.spec["dataset"],
                name=job.name,
                hyperparameters=job.spec["hyperparameters"],
                quality=dict(quality or {"val_loss": 28.5}),
                versions={"torch": "2.13.0"},
                device="cpu",
            )
            attempt_writes.add_model(fenced, model)
            job_queue.finish_succeeded(fenced)
            return model.id

    def finish(self, lease: Lease, output: dict[str, Any] | None = None) -> None:
        """Complete a job and notify the waiting requests."""
        with transaction(self._sessions) as session:
            job_queue.finish_succeeded(job_queue.renew_lease(session, lease), output=output)
        self._broker.publish_done(lease.job_id)

    def fail(self, lease: Lease, failure: JobFailure) -> None:
        """Fail a job."""
        with transaction(self._sessions) as session:
            job_queue.finish_failed(job_queue.renew_lease(session, lease), failure, self._settings)
