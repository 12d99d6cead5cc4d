"""Every state of the playgrounds, in both themes and both widths."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page

from tests.studio.conftest import Studio, Trained
from tests.studio.pixels import wait_until
from tests.studio.test_every_page import serious_findings

pytestmark = pytest.mark.slow


def vae(page: Page) -> None:
    """Dots, two marks and a point."""
    page.wait_for_selector("canvas.plane[data-drawn]")
    page.wait_for_selector(".legend")


def generator(page: Page) -> None:
    """All sliders."""
    page.wait_for_selector(".sliders[data-ranked=yes]")
    page.get_by_text("All ").first.click()


def text(page: Page) -> None:
    """Two texts, and the alternatives of a character."""
    page.wait_for_selector("ol.bars")
    page.click("button.write")
    wait_until(page, "document.querySelectorAll('m-surprise[data-bits]').length === 2")
    page.locator("m-surprise pre span").nth(5).click()


STATES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "vae": ("?dots=1&a=1,1{zeros}&b=-1,-1{zeros}&points=10", vae),
    "acgan": ("", generator),
    "gan": ("", generator),
    "lstm": ("?t=0.5,1&k=8&length=200", text),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_playgrounds_have_no_serious_accessibility_finding_and_no_horizontal_scroll(
    browser: Browser, trained: Trained, theme: str, width: int
) -> None:
    zeros = ",0" * (trained.models["vae"]["hyperparameters"]["latent_size"] - 2)
    findings = {}
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme) as context:  # type: ignore[arg-type]
        made = Studio(context.new_page(), trained.url)
        for name, (query, reach) in STATES.items():
            page = made.open(f"/play/{trained.models[name]['id']}{query.format(zeros=zeros)}")
            reach(page)
            if serious := serious_findings(page):
                findings[name] = serious
    assert made.messages == []
    assert findings == {}


def test_playground_says_that_its_model_is_being_prepared_without_a_message_in_the_console(
    browser: Browser, trained: Trained
) -> None:
    with browser.new_context() as context:
        made = Studio(context.new_page(), trained.url)
        pending = {"status": "queued", "queue_position": 2}
        made.page.route(
            "**/export?*",
            lambda route: route.fulfill(status=202, json=pending, headers={"Retry-After": "5"}),
            times=2,
        )
        page = made.open(f"/play/{trained.models['acgan']['id']}")
        page.wait_for_selector("text=The export waits for a generation worker: 2nd in the queue")
        page.wait_for_selector(".sliders[data-ranked=yes]")
    assert made.messages == []
