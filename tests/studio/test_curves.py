"""The curves of a job."""

import pytest
from playwright.sync_api import expect

from shared.db.session import SessionFactory
from tests.api.live import Server
from tests.api.worker_hands import WorkerWrites
from tests.studio import long_curve
from tests.studio.conftest import Studio
from tests.studio.filling import claim, epochs, submit

MOST_PAINT_MS = 300
VIEW = "() => document.querySelector('m-chart').view"


def test_a_drag_zooms_and_new_points_leave_the_zoom(studio: Studio, server: Server, worker: WorkerWrites) -> None:
    job = submit(server.url, "zoomed")
    lease = claim(worker)
    epochs(worker, lease, 8)
    page = studio.open(f"/jobs/{job['id']}")
    expect(page.locator("m-film .place")).to_contain_text("epoch 8")
    plot = page.locator(".u-over").bounding_box()
    assert plot is not None
    middle = plot["y"] + plot["height"] / 2
    page.mouse.move(plot["x"] + plot["width"] * 0.3, middle)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * 0.6, middle, steps=4)
    page.mouse.up()
    view = page.evaluate(VIEW)
    assert 10 < view["min"] < view["max"] < 80
    epochs(worker, lease, 1, first=9)
    expect(page.locator("m-film .place")).to_contain_text("epoch 9")
    assert page.evaluate(VIEW) == view


@pytest.mark.slow
def test_a_million_points_are_painted_within_300_ms_and_a_zoom_reads_finer_ones(
    studio: Studio, server: Server, worker: WorkerWrites, database: SessionFactory
) -> None:
    job = submit(server.url, "long")
    claim(worker)
    long_curve.record(database, job["id"])
    found = long_curve.first_paint(studio.page, f"{server.url}/jobs/{job['id']}")
    print(f"\ndata after {found.data_ms:.0f} ms, painted {found.paint_ms:.0f} ms later")
    assert found.paint_ms < MOST_PAINT_MS
    coarse = long_curve.in_view(studio.page)
    assert max(point["value"] for point in coarse) == long_curve.HEIGHT, "one point stays visible among a million"
    long_curve.zoom(studio.page)
    finer = long_curve.in_view(studio.page)
    assert max(point["value"] for point in finer) == long_curve.HEIGHT
    span = max(point["step"] for point in finer) - min(point["step"] for point in finer)
    assert span < long_curve.COUNT / 5
    assert len(finer) > 1000, "a tenth of the first 2,000 points were in this range"
