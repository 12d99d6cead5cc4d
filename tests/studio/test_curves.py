"""The curves of a job."""

from playwright.sync_api import expect

from tests.api.live import Server
from tests.api.worker_hands import WorkerWrites
from tests.studio.conftest import Studio
from tests.studio.filling import claim, epochs, submit

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
