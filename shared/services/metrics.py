"""Metric curves, thinned for plots."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from shared.db.tables import Metric


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a curve. at: when it was recorded."""

    step: int
    epoch: int
    value: float
    at: datetime


def names(session: Session, job_id: str) -> list[str]:
    """Names of a job's curves."""
    return list(session.scalars(select(Metric.name).where(Metric.job_id == job_id).distinct().order_by(Metric.name)))


def series(session: Session, job_id: str, *, name: str | None = None, max_points: int = 1000) -> dict[str, list[Point]]:
    """A job's curves by name, by rising step, each thinned evenly to about `max_points`; the last point stays."""
    wanted = [name] if name is not None else names(session, job_id)
    curves = {wanted_name: _curve(session, job_id, wanted_name, max_points) for wanted_name in wanted}
    return {curve_name: points for curve_name, points in curves.items() if points}


def _curve(session: Session, job_id: str, name: str, max_points: int) -> list[Point]:
    of_curve = (Metric.job_id == job_id, Metric.name == name)
    count = session.execute(select(func.count()).select_from(Metric).where(*of_curve)).scalar_one()
    stride = max(1, -(-count // max_points))
    place = func.row_number().over(order_by=Metric.step)
    numbered = (
        select(Metric.step, Metric.epoch, Metric.value, Metric.created_at, place.label("place"))
        .where(*of_curve)
        .subquery()
    )
    columns = numbered.c
    kept = or_(columns.place % stride == 0, columns.place == count)
    rows = session.execute(
        select(columns.step, columns.epoch, columns.value, columns.created_at).where(kept).order_by(columns.step)
    )
    return [Point(step=step, epoch=epoch, value=value, at=at) for step, epoch, value, at in rows]
