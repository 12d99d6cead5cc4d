"""The invariants after every fault."""

import hashlib
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from shared.db.session import reading
from shared.db.tables import Artifact, Checkpoint, Job, JobEvent, Metric, Model
from shared.job_status import JobKind, JobStatus
from tests.chaos import trainer
from tests.worker.attempts.harness import history
from worker.attempts import workdir
from worker.checkpoints.manifest import verify
from worker.context import WorkerContext
from worker.sweeper import Sweeper

if TYPE_CHECKING:
    from tests.chaos.rig import Accepted, Rig

_WAITING = {"running", "cancelled", "paused"}
_HELD = {"succeeded", "failed", "cancelled", "retrying", "released", "reaped", "paused", "pausing", "cancelling"}
# Permitted successions in a job's history. Events that are no transition are not listed and may come at any time.
_FOLLOWS = {
    "queued": _WAITING,
    "running": _HELD,
    "pausing": _HELD | {"resumed"},
    "cancelling": {"cancelled", "reaped"},
    "retrying": _WAITING,
    "released": _WAITING,
    "reaped": _WAITING | {"resumed", "retried"},
    "paused": {"resumed", "cancelled"},
    "resumed": _WAITING | _HELD,
    "retried": _WAITING,
    "failed": {"retried"},
    "cancelled": {"retried"},
    "succeeded": set[str](),
}


def check_jobs(rig: "Rig") -> None:
    """No accepted job is lost, each has at most one result, tokens only rise, terminal is final, results are right."""
    assert rig.observer.violations == []
    with reading(rig.sessions) as session:
        rows = {job.id: job for job in session.scalars(select(Job)) if job.id in rig.accepted}
        models = list(session.scalars(select(Model)))
    assert rows.keys() == rig.accepted.keys()
    for job_id, accepted in rig.accepted.items():
        job = rows[job_id]
        assert job.status.is_terminal, (job_id, job.status)
        published = [model for model in models if model.job_id == job_id]
        is_success = job.kind == "training" and job.status is JobStatus.SUCCEEDED
        assert len(published) == is_success, (job_id, job.status, published)
        _check_history(rig, job)
        if is_success and accepted is not None:
            _check_result(rig, job, published[0], accepted)


def _check_history(rig: "Rig", job: Job) -> None:
    events = history(rig.sessions, job.id)
    transitions = [event.type for event in events if event.type in _FOLLOWS and not _is_trainer_s(event)]
    assert transitions[0] == "queued"
    for before, after in pairwise(transitions):
        assert after in _FOLLOWS[before], (job.id, transitions)
    assert transitions.count("running") == job.fencing_token, (job.id, transitions, job.fencing_token)
    attempt = 0
    for event in events:
        attempt = event.attempt if event.type == "running" else attempt
        # A user's request does not belong to an attempt.
        assert event.attempt == attempt or "to" in event.data, (job.id, "an event of another attempt", event.type)
    assert transitions[-1] in {job.status.value, "reaped"}, (job.id, transitions, job.status)
    assert 0 <= job.attempt <= job.max_attempts


def _is_trainer_s(event: JobEvent) -> bool:
    """Whether a `resumed` event is of the trainer (from its checkpoint), not of a user (from a pause)."""
    return event.type == "resumed" and "to" not in event.data


def _check_result(rig: "Rig", job: Job, model: Model, accepted: "Accepted") -> None:
    """An interrupted run has the chain of an uninterrupted run: every point of the curve, every byte."""
    with reading(rig.sessions) as session:
        query = select(Metric).where(Metric.job_id == job.id, Metric.name == "loss")
        curve = list(session.scalars(query.order_by(Metric.step)))
        checkpoint = session.get_one(Checkpoint, model.checkpoint_id)
    losses, best, digest = trainer.expected(accepted.seed, accepted.steps, int(rig.trainer["every"]))
    assert [point.step for point in curve] == list(range(1, accepted.steps + 1)), job.id
    assert [point.value for point in curve] == losses, job.id
    assert (checkpoint.step, checkpoint.sha256) == (best, digest), job.id
    assert job.progress["step"] == accepted.steps


def check_files(rig: "Rig") -> None:
    """Each file named by a row exists and equals the row's digest; nothing of finished attempts remains."""
    with reading(rig.sessions) as session:
        checkpoints = list(session.scalars(select(Checkpoint)))
        artifacts = list(session.scalars(select(Artifact)))
        published = set(session.scalars(select(Model.checkpoint_id)))
    for row in checkpoints:
        with tempfile.TemporaryDirectory() as folder:
            rig.storage.get_tree(row.storage_key, Path(folder) / "c")
            # The sweeper removes the training state of published weights.
            assert verify(Path(folder) / "c", weights_only=row.id in published).sha256 == row.sha256
    for artifact in artifacts:
        data = rig.storage.read_bytes(artifact.storage_key)
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (artifact.sha256, artifact.size)
    # The next worker removes the workdirs of killed workers at its start, and the reconciler sweeps the storage.
    context = WorkerContext(
        settings=rig.settings, kind=JobKind.TRAINING, sessions=rig.sessions, storage=rig.storage, broker=rig.broker
    )
    workdir.sweep(context)
    assert list(rig.settings.runs_path.glob("*_*-*")) == []
    impatient = rig.settings.model_copy(update={"orphan_grace_s": 0.001})
    Sweeper(impatient, rig.sessions, rig.storage).round()
    named = {row.storage_key for row in checkpoints} | {artifact.storage_key for artifact in artifacts}
    stored = set(rig.storage.list_names("jobs", unfinished=True))
    assert {name for name in stored if not {f"jobs/{name}", f"jobs/{name}".rpartition("/")[0]} & named} == set()
