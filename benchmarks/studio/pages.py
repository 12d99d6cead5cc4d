"""The first view of each page: bytes without pictures and the inference engine, and time until its heading is shown."""

import statistics
from typing import Any

from playwright.sync_api import Browser

from benchmarks.studio.surroundings import api
from tests.studio.filling import claim, epochs, submit
from tests.studio.first_view import first_view
from tests.studio.test_first_view import PAGES

VISITS = 5


def measure(browser: Browser) -> dict[str, Any]:
    """Visit each page in five fresh profiles; times are medians."""
    figures = {}
    with api() as running:
        job = submit(running.server.url, "first")["id"]
        lease = claim(running.worker)
        epochs(running.worker, lease, 3)
        model = running.worker.publish(lease)
        for path in PAGES:
            address = running.server.url + path.format(job=job, model=model)
            visits = [first_view(browser, address) for _ in range(VISITS)]
            size = max(each.size for each in visits)
            paint = round(statistics.median(each.paint_ms for each in visits))
            heading = round(statistics.median(each.heading_ms for each in visits))
            times = f"first paint {paint:4d} ms   heading {heading:4d} ms"
            print(f"  {path:26} {size / 1000:6.1f} kB   {times}", flush=True)
            figures[path] = {"bytes": size, "first_paint_ms": paint, "heading_ms": heading}
    return figures
