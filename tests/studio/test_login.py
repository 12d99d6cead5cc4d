"""The login of the studio, on a server with authentication."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from shared.db.session import SessionFactory, transaction
from shared.services import api_keys
from shared.settings import Settings
from tests import jobs
from tests.api.live import Server, serve
from tests.api.tenants import new_key
from tests.studio.conftest import Studio
from tests.studio.test_every_page import serious_findings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def server(settings: Settings, database: SessionFactory) -> Iterator[Server]:
    with serve(settings.model_copy(update={"auth": "required"})) as running:
        yield running


def test_a_page_leads_to_the_login_and_the_key_back_to_the_page(studio: Studio, database: SessionFactory) -> None:
    studio.expected |= {401}
    key = new_key(database, "ada")
    page = studio.open("/jobs?status=failed")
    assert page.url.endswith("/login?next=%2Fjobs%3Fstatus%3Dfailed")

    page.get_by_label("API key").fill("mimeo_wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown, revoked or expired")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{studio.url}/jobs?status=failed")
    expect(page.get_by_role("button", name="ada · Log out")).to_be_visible()
    assert page.evaluate("document.cookie") == ""

    for other in ("https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "/\n\\evil.example"):
        page.goto(f"{studio.url}/login?next={quote(other, safe='')}")
        expect(page).to_have_url(f"{studio.url}/")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{studio.url}/login")
    page.goto(f"{studio.url}/jobs")
    assert "/login" in page.url


def test_owners_see_their_own_jobs_and_changes(
    studio: Studio, database: SessionFactory, settings: Settings, browser: Browser
) -> None:
    studio.expected |= {401}
    jobs.submitted(database, settings, name="of local")
    page = studio.open("/jobs")
    page.get_by_label("API key").fill(new_key(database, "local"))
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("of local")).to_be_visible()

    with browser.new_context() as context:
        other = context.new_page()
        other.goto(f"{studio.url}/jobs")
        other.get_by_label("API key").fill(new_key(database, "ada"))
        other.get_by_role("button", name="Log in").click()
        expect(other.get_by_role("button", name="ada · Log out")).to_be_visible()
        jobs.submitted(database, settings, name="another of local")
        expect(page.get_by_text("another of local")).to_be_visible()
        expect(other.get_by_text("of local")).to_have_count(0)


def test_page_whose_key_is_revoked_leads_to_the_login(studio: Studio, database: SessionFactory) -> None:
    studio.expected |= {401}
    key = new_key(database, "ada")
    page = studio.open("/jobs/new")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("0 running · 0 waiting").or_(page.get_by_text("no worker is running"))).to_be_visible()
    with transaction(database) as session:
        api_keys.revoke(session, key)
    page.evaluate("() => dispatchEvent(new Event('pagehide'))")  # the stream ends, and starts again
    page.evaluate("() => dispatchEvent(new Event('pageshow'))")
    expect(page).to_have_url(f"{studio.url}/login?next=%2Fjobs%2Fnew")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_login_is_accessible_in_each_theme_and_width(studio: Studio, theme: str, width: int, tmp_path: Path) -> None:
    studio.expected |= {401}
    studio.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    studio.page.set_viewport_size({"width": width, "height": 800})
    page = studio.open("/login")
    assert serious_findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=str(tmp_path / "login.png"))
