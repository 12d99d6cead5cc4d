"""A change of one job, ready to send."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from api import queue_places, serializers
from api.streams.cursor import Cursor
from shared.broker import LiveMessage
from shared.db import tables as rows
from shared.job_status import QUEUED_KINDS, JobKind, JobStatus
from shared.services import artifacts, fair_share, job_changes, queue_stats, workers
from shared.settings import Settings

POSITIONS = 200  # of waiting training jobs in a `queue` event
MOST_RECORDS = 5_000  # of one kind in one change; a client that has missed more reads the curves again


@dataclass(frozen=True, kw_only=True)
class Change:
    """A changed job. job: its JSON; None when it was deleted. Records are those since the hub's last look.

    owner: whose streams receive it; None: all. at: by the database's clock. queue: the state of the queue, in a change
    that is of no single job.
    """

    job_id: str
    at: datetime
    owner: str | None = None
    job: str | None = None
    queue: "QueueState | None" = None
    is_terminal: bool = False
    points: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # row id, point
    events: list[tuple[int, str]] = field(default_factory=list)  # row id, JSON
    samples: list[tuple[int, str, str]] = field(default_factory=list)  # step, id with sha256, JSON
    has_more: bool = False

    def end(self, start: Cursor) -> Cursor:
        """The position after this change."""
        return Cursor(
            metric=max([start.metric, *(row_id for row_id, _ in self.points)]),
            event=max([start.event, *(row_id for row_id, _ in self.events)]),
            sample_step=max([start.sample_step, *(step for step, _, _ in self.samples)]),
        )


@dataclass(frozen=True, kw_only=True)
class Live:
    """An event that a worker published before the database has its record. It has no position in the records.

    A point comes again with the records of the job; a text comes with the output of the ended job.
    """

    job_id: str
    event: str
    data: str

    @classmethod
    def of(cls, message: LiveMessage) -> "Live | None":
        """The event of a message; None for a message without content."""
        for event, key in (("metrics", "points"), ("text", "texts")):
            if key in message.content:
                data = json.dumps(message.content, separators=(",", ":"))
                return cls(job_id=message.job_id, event=event, data=data)
        return None


def read_job(session: Session, job: rows.Job) -> str:
    """A job as JSON, as its resource shows it."""
    place = queue_places.place(session, job)
    if isinstance(job, rows.TrainingJob):
        return serializers.training_job(job, place=place).model_dump_json()
    assert isinstance(job, rows.GenerationJob)
    files = artifacts.by_job(session, [job.id]).get(job.id, ())
    return serializers.generation_job(job, files, place=place).model_dump_json()


def read_change(session: Session, job: rows.Job, since: Cursor | None, *, at: datetime) -> Change:
    """A changed job, with its records after `since`; without records where `since` is None."""
    shown = read_job(session, job)
    if since is None:
        return Change(job_id=job.id, at=at, owner=job.owner, job=shown, is_terminal=job.status.is_terminal)
    limit = MOST_RECORDS + 1
    points = job_changes.metrics_after(session, job.id, since.metric, limit)
    events = job_changes.events_after(session, job.id, since.event, limit)
    samples = job_changes.samples_from(session, job.id, since.sample_step, limit)
    return Change(
        job_id=job.id,
        at=at,
        owner=job.owner,
        job=shown,
        is_terminal=job.status.is_terminal,
        points=[(row.id, _point(row)) for row in points[:MOST_RECORDS]],
        events=[(row.id, serializers.event(row).model_dump_json()) for row in events[:MOST_RECORDS]],
        samples=[
            (row.step or 0, f"{row.id} {row.sha256}", serializers.artifact(row).model_dump_json())
            for row in samples[:MOST_RECORDS]
        ],
        has_more=max(len(points), len(events), len(samples)) > MOST_RECORDS,
    )


def deleted(job_id: str, *, owner: str | None, at: datetime) -> Change:
    """The change of a job that no longer exists."""
    return Change(job_id=job_id, at=at, owner=owner, is_terminal=True)


def deleted_json(job_id: str) -> str:
    """The data of a `deleted` event."""
    return json.dumps({"id": job_id})


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """By kind of job the jobs that wait and run and the live workers; and the first training jobs with their owners."""

    kinds: Mapping[str, Mapping[str, int]]
    positions: Sequence[tuple[str, str | None]]  # id, owner

    def shown_to(self, owner: str) -> dict[str, Any]:
        """As `GET /v1/queue` shows it: a place of another owner's job is null."""
        places = [job_id if of is None or of == owner else None for job_id, of in self.positions]
        return {**self.kinds, "positions": places}

    def frame_data(self, owner: str) -> str:
        """The data of a `queue` event."""
        return json.dumps(self.shown_to(owner), separators=(",", ":"))


def read_queue(session: Session, settings: Settings) -> QueueState:
    """The state of the queue of all owners."""
    counts = queue_stats.count_active(session)
    alive = Counter(worker.kind for worker in workers.list_alive(session, settings))
    kinds = {
        kind.value: {
            "queued": counts.get((kind, JobStatus.QUEUED), 0),
            "running": counts.get((kind, JobStatus.RUNNING), 0),
            "workers": alive[kind],
        }
        for kind in QUEUED_KINDS
    }
    first = queue_stats.first_in_queue(
        session, JobKind.TRAINING, POSITIONS, running_limit=fair_share.running_limit(settings, JobKind.TRAINING)
    )
    owners = queue_stats.owners_of(session, first)
    return QueueState(kinds=kinds, positions=[(job_id, owners.get(job_id)) for job_id in first])


def _point(row: rows.Metric) -> dict[str, Any]:
    at = row.created_at.timestamp()
    return {"name": row.name, "step": row.step, "epoch": row.epoch, "value": row.value, "at": at}


def points_json(points: list[dict[str, Any]]) -> str:
    """The data of a `metrics` event: `{"points": [{name, step, epoch, value, at}]}`; `at` in seconds since 1970 UTC."""
    return json.dumps({"points": points}, separators=(",", ":"))
