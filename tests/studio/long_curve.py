"""A curve of 1,000,000 points, and its page in a browser."""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page
from sqlalchemy import Integer, case, insert, literal, select

from shared.db.session import SessionFactory, transaction
from shared.db.tables import Metric
from tests.studio.pixels import wait_until

COUNT = 1_000_000
SPIKE, HEIGHT = 654_321, 9.0  # one point above all others
FIRST, LAST = 0.6, 0.7  # of the plot's width: the range of a drag; the spike is in it
MARKS = "() => ['curves-data', 'curves-painted'].map((name) => performance.getEntriesByName(name)[0]?.startTime)"
IN_VIEW = """() => {
    const { min, max } = document.querySelector("m-chart").view;
    const points = [...document.querySelector("m-job").records.curves.loss.values()];
    return points.filter(({ step }) => step >= min && step <= max);
}"""
# The time from the end of a drag to the frame after the finer points are in the chart.
AWAIT_FINER = """() => addEventListener("mouseup", () => {
    const began = performance.now(), { records } = document.querySelector("m-job");
    const known = records.curves.loss.size;
    const look = () => {
        if (records.curves.loss.size === known) requestAnimationFrame(look);
        else requestAnimationFrame(() => (window.finerMs = performance.now() - began));
    };
    look();
}, { once: true, capture: true })"""


def record(sessions: SessionFactory, job_id: str) -> None:
    """Record the curve `loss`: noise around a hyperbola, and the spike."""
    steps = select(literal(1, Integer).label("step")).cte("steps", recursive=True)
    steps = steps.union_all(select(steps.c.step + 1).where(steps.c.step < COUNT))
    noise = (steps.c.step * 7919 % 1000) / 5000.0
    value = case((steps.c.step == SPIKE, HEIGHT), else_=3000.0 / (steps.c.step + 1000) + noise)
    rows = select(literal(job_id), literal("loss"), literal(1), steps.c.step, value)
    with transaction(sessions) as session:
        session.execute(insert(Metric).from_select(["job_id", "name", "epoch", "step", "value"], rows))


@dataclass(frozen=True, kw_only=True)
class FirstPaint:
    """data_ms: from the navigation to the points in the page. paint_ms: from there to the frame that draws them."""

    data_ms: float
    paint_ms: float


def first_paint(page: Page, address: str) -> FirstPaint:
    """Open the page of a job and wait for its curves."""
    page.goto(address)
    wait_until(page, "() => performance.getEntriesByName('curves-painted').length > 0")
    data, painted = page.evaluate(MARKS)
    return FirstPaint(data_ms=data, paint_ms=painted - data)


def in_view(page: Page) -> list[dict[str, Any]]:
    """The points that the page has in the range that its chart shows."""
    points: list[dict[str, Any]] = page.evaluate(IN_VIEW)
    return points


def zoom(page: Page) -> float:
    """Drag over a tenth of the curve. Returns the ms from its end until finer points are drawn."""
    plot = page.locator(".u-over").bounding_box()
    assert plot is not None
    middle = plot["y"] + plot["height"] / 2
    page.evaluate(AWAIT_FINER)
    page.mouse.move(plot["x"] + plot["width"] * FIRST, middle)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * LAST, middle, steps=4)
    page.mouse.up()
    wait_until(page, "() => window.finerMs !== undefined")
    return float(page.evaluate("window.finerMs"))
