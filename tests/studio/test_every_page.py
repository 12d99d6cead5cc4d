"""Every page, in both themes and both widths."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from shared.errors import JobFailure
from shared.job_status import ErrorCode
from tests.api.live import Server
from tests.api.worker_hands import WorkerWrites
from tests.studio.conftest import Studio
from tests.studio.filling import claim, epochs, submit

PAGES = (
    "/",
    "/jobs",
    "/jobs/new",
    "/jobs/{job}",
    "/jobs/{failed}",
    "/jobs/{other}",
    "/models",
    "/play",
    "/play/{model}",
    "/play/{other}",
    "/compare",
    "/compare?job={job}&job={other}",
    "/data",
    "/data/digits",
    "/data/digits?label=3",
    "/data/python-source",
    "/workers",
)
SERIOUS = {"serious", "critical"}


def serious_findings(page: Page) -> list[str]:
    """Serious findings of axe with their first element, and a horizontal scroll."""
    found = Axe().run(page).response["violations"]
    serious = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in SERIOUS]
    return serious + ["scrolls horizontally"] * page.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_pages_have_no_serious_accessibility_finding_and_no_horizontal_scroll(
    browser: Browser, server: Server, worker: WorkerWrites, theme: str, width: int
) -> None:
    job, other = (submit(server.url, name)["id"] for name in ("first", "second"))
    lease = claim(worker)
    epochs(worker, lease, 3)
    model = worker.publish(lease, quality={"reconstruction_accuracy": 0.2, "elbo": -20.0})
    failed = submit(server.url, "failed", priority="high")["id"]
    worker.fail(claim(worker), JobFailure(ErrorCode.DIVERGED, "The loss is not finite.", hint="Lower `learning_rate`."))
    findings = {}
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme) as context:  # type: ignore[arg-type]
        made = Studio(context.new_page(), server.url)
        for path in PAGES:
            page = made.open(path.format(job=job, other=other, failed=failed, model=model))
            expect(page.locator("main h1")).to_be_visible()
            if serious := serious_findings(page):
                findings[path] = serious
    assert made.messages == []
    assert findings == {}


def test_pages_send_a_policy_that_permits_no_foreign_or_inline_script(studio: Studio) -> None:
    response = studio.page.request.get(f"{studio.url}/jobs")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert (
        "'wasm-unsafe-eval'" in studio.page.request.get(f"{studio.url}/play/mdl_x").headers["content-security-policy"]
    )
