"""Metric curves, thinned for plots."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from shared.db.tables import Metric


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a curve. at: when it was recorded."""

    step: int
    epoch: int
    value: float
    at: datetime


@dataclass(frozen=True, kw_only=True)
class StepRange:
    """Steps of a curve, both ends included; None: no bound."""

    first: int | None = None
    last: int | None = None

    def condition(self) -> ColumnElement[bool]:
        """The condition on a point's step."""
        bounds = [Metric.step >= self.first] if self.first is not None else []
        bounds += [Metric.step <= self.last] if self.last is not None else []
        return and_(True, *bounds)


WHOLE = StepRange()


def names(session: Session, job_id: str) -> list[str]:
    """Names of a job's curves."""
    return list(session.scalars(select(Metric.name).where(Metric.job_id == job_id).distinct().order_by(Metric.name)))


def series(
    session: Session, job_id: str, *, name: str | None = None, steps: StepRange = WHOLE, max_points: int = 1000
) -> dict[str, list[Point]]:
    """A job's curves by name, by rising step, each thinned to about `max_points` of its points.

    A thinned curve has the lowest and the highest point of each of `max_points` / 2 equal ranges of steps, and its last
    point. A spike of one point therefore stays.
    """
    wanted = [name] if name is not None else names(session, job_id)
    curves = {wanted_name: _curve(session, job_id, wanted_name, steps, max_points) for wanted_name in wanted}
    return {curve_name: points for curve_name, points in curves.items() if points}


def _curve(session: Session, job_id: str, name: str, steps: StepRange, max_points: int) -> list[Point]:
    of_curve = and_(Metric.job_id == job_id, Metric.name == name, steps.condition())
    ends = select(func.count(), func.min(Metric.step), func.max(Metric.step)).select_from(Metric).where(of_curve)
    count, first, last = session.execute(ends).one()
    if count <= max_points:
        query = select(Metric.step, Metric.epoch, Metric.value, Metric.created_at).where(of_curve)
        rows = session.execute(query.order_by(Metric.step)).all()
    else:
        ranges = max(1, max_points // 2)
        place = (Metric.step - first) * ranges // (last - first + 1)
        extremes = (
            select(place.label("place"), func.min(Metric.value).label("low"), func.max(Metric.value).label("high"))
            .where(of_curve)
            .group_by(place)
            .subquery()
        )
        kept = or_(Metric.value == extremes.c.low, Metric.value == extremes.c.high, Metric.step == last)
        step = func.min(Metric.step).label("step")  # the first of several equal points
        query = (
            select(step, func.min(Metric.epoch), Metric.value, func.min(Metric.created_at))
            .join(extremes, place == extremes.c.place)
            .where(of_curve, kept)
            .group_by(place, Metric.value, Metric.step == last)
        )
        rows = session.execute(query.order_by(step)).all()
    return [Point(step=step, epoch=epoch, value=value, at=at) for step, epoch, value, at in rows]
