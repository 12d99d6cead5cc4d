"""The first view of a page: what a browser transfers, and when its heading is shown."""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Browser, Request

ENGINE = "/vendor/onnxruntime-web/"
NOT_COUNTED = {"image"}  # pictures are what the page is for
# The next animation frame after the heading is in the document shows it.
HEADING = """new MutationObserver((_, observer) => {
    if (!document.querySelector("main h1")) return;
    observer.disconnect();
    requestAnimationFrame(() => performance.mark("heading"));
}).observe(document, { childList: true, subtree: true });"""
TIMES = """() => ["first-contentful-paint", "heading"].map(
    (name) => performance.getEntriesByName(name)[0]?.startTime ?? 0
)"""


@dataclass(frozen=True, kw_only=True)
class FirstView:
    """size: bytes without pictures and the inference engine. Times in ms after the navigation."""

    size: int
    paint_ms: float
    heading_ms: float


def first_view(browser: Browser, address: str) -> FirstView:
    """Open a page in a profile without a cache."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.add_init_script(HEADING)
        finished: list[Request] = []
        page.on("requestfinished", _into(finished))
        page.goto(address)
        page.wait_for_selector("main h1")
        page.wait_for_timeout(500)  # requests of the first view that end after it
        counted = [each for each in finished if ENGINE not in each.url and each.resource_type not in NOT_COUNTED]
        sent = [each.sizes() for each in counted]
        paint, heading = page.evaluate(TIMES)
    size = sum(each["responseBodySize"] + each["responseHeadersSize"] for each in sent)
    return FirstView(size=size, paint_ms=paint, heading_ms=heading)


def _into(finished: list[Request]) -> Callable[[Request], None]:
    """A listener that keeps requests. Playwright marks its listeners, which a method of a list does not permit."""
    return lambda request: finished.append(request)  # noqa: PLW0108
