"""What a browser transfers for the first view of a page, and how long it takes."""

import pytest
from playwright.sync_api import Browser, expect

from tests.api.live import Server
from tests.api.worker_hands import WorkerWrites
from tests.studio.conftest import Studio
from tests.studio.filling import claim, epochs, submit
from tests.studio.first_view import first_view

MOST_BYTES = 120_000
PAGES = ("/", "/jobs", "/jobs/new", "/jobs/{job}", "/models", "/play/{model}", "/compare?job={job}", "/data/digits")


@pytest.mark.slow
def test_first_view_transfers_less_than_120_kb_before_the_inference_engine(
    browser: Browser, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "first")["id"]
    lease = claim(worker)
    epochs(worker, lease, 3)
    model = worker.publish(lease)
    sizes = {}
    for path in PAGES:
        found = first_view(browser, server.url + path.format(job=job, model=model))
        sizes[path] = found.size
        times = f"first paint {found.paint_ms:.0f} ms, heading after {found.heading_ms:.0f} ms"
        print(f"{path}: {found.size / 1000:.1f} kB, {times}")
    assert {path: size for path, size in sizes.items() if size >= MOST_BYTES} == {}


def test_page_names_its_modules_so_that_they_load_at_once(studio: Studio) -> None:
    fetched: list[str] = []
    studio.page.on("request", lambda request: fetched.append(request.url))
    page = studio.open("/jobs")
    expect(page.locator("main h1")).to_be_visible()
    named = page.locator("link[rel=modulepreload]").evaluate_all("links => links.map(link => link.href)")
    page_or_worker = ("/pages/", "-worker.js")
    scripts = {url for url in fetched if url.endswith(".js") and not any(part in url for part in page_or_worker)}
    assert scripts == set(named)
    assert len(fetched) == len(set(fetched)), "no file is fetched twice"
