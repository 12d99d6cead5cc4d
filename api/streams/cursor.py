"""The id of a stream's event: the position up to which a client has read a job's records."""

import re
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.db.tables import Artifact, JobEvent, Metric
from shared.errors import SpecError

_PATTERN = re.compile(r"m(\d{1,18})\.e(\d{1,18})\.s(-?\d{1,18})\Z")


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Row ids of the last point and the last event, and the step of the last sample (-1: none)."""

    metric: int = 0
    event: int = 0
    sample_step: int = -1

    def __str__(self) -> str:
        """The form in `id:` and in `Last-Event-ID`, such as `m120.e7.s300`."""
        return f"m{self.metric}.e{self.event}.s{self.sample_step}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The cursor in its text form. Raises SpecError."""
        found = _PATTERN.match(text)
        if found is None:
            detail = "This is not the id of an event of this stream; leave `after` and Last-Event-ID out."
            raise SpecError.at("?after", detail, "invalid")
        metric, event, step = map(int, found.groups())
        return cls(metric=metric, event=event, sample_step=step)

    @classmethod
    def newest(cls, session: Session, job_id: str) -> "Cursor":
        """The position after all records of a job."""
        metric = session.scalar(select(func.max(Metric.id)).where(Metric.job_id == job_id))
        event = session.scalar(select(func.max(JobEvent.id)).where(JobEvent.job_id == job_id))
        is_sample = (Artifact.job_id == job_id, Artifact.kind == "sample")
        step = session.scalar(select(func.max(Artifact.step)).where(*is_sample))
        return cls(metric=metric or 0, event=event or 0, sample_step=-1 if step is None else step)
