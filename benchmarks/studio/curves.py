"""A curve of 1,000,000 points on the page of its job."""

from typing import Any

from playwright.sync_api import Browser

from benchmarks.studio.surroundings import api, fresh_page, summary
from tests.studio import long_curve
from tests.studio.filling import claim, submit

VISITS = 10


def measure(browser: Browser) -> dict[str, Any]:
    """Open the page in ten fresh profiles, and zoom by a drag over a tenth of the curve."""
    paints, zooms = [], []
    with api() as running:
        job = submit(running.server.url, "long")["id"]
        claim(running.worker)
        long_curve.record(running.sessions, job)
        for _ in range(VISITS):
            with fresh_page(browser) as page:
                paints.append(long_curve.first_paint(page, f"{running.server.url}/jobs/{job}"))
                zooms.append(long_curve.zoom(page))
    return {
        "points": long_curve.COUNT,
        "navigation to data": summary("navigation to data", [each.data_ms for each in paints]),
        "data to first paint": summary("data to first paint", [each.paint_ms for each in paints]),
        "zoom to finer points": summary("zoom to finer points", zooms),
    }
