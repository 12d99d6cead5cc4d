"""What a browser transfers for the first view of a page, and how long it takes."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.api.live import Server
from tests.api.worker_hands import WorkerWrites
from tests.studio.conftest import Studio
from tests.studio.filling import claim, epochs, submit

MOST_BYTES = 120_000
ENGINE = "/vendor/onnxruntime-web/"
PAGES = ("/", "/jobs", "/jobs/new", "/jobs/{job}", "/models", "/play/{model}", "/compare?job={job}", "/data/digits")
NOT_SCRIPT = {"image"}  # pictures are what the page is for


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
        with browser.new_context(viewport={"width": 1440, "height": 900}) as context:  # a fresh cache for each
            page = context.new_page()
            finished: list[Request] = []
            page.on("requestfinished", _into(finished))
            page.goto(server.url + path.format(job=job, model=model))
            expect(page.locator("main h1")).to_be_visible()
            painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
            seen = page.evaluate("performance.now()")
            page.wait_for_timeout(500)  # requests of the first view that end after it
            counted = [each for each in finished if ENGINE not in each.url and each.resource_type not in NOT_SCRIPT]
            sent = [each.sizes() for each in counted]
            sizes[path] = sum(each["responseBodySize"] + each["responseHeadersSize"] for each in sent)
            print(
                f"{path}: {sizes[path] / 1000:.1f} kB, first paint {painted or 0:.0f} ms, heading after {seen:.0f} ms"
            )
    assert {path: size for path, size in sizes.items() if size >= MOST_BYTES} == {}


def _into(finished: list[Request]) -> Callable[[Request], None]:
    """A listener that keeps requests. Playwright marks its listeners, which a method of a list does not permit."""
    return lambda request: finished.append(request)  # noqa: PLW0108


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
