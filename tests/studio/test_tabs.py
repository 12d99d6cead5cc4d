"""Several tabs of one browser, which opens at most six connections to a server."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, expect
from pydantic import SecretStr

from shared.broker import CeleryBroker
from shared.db.session import SessionFactory
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import Server, serve
from tests.api.worker_hands import WorkerWrites
from tests.servers import Valkey
from tests.studio.conftest import Studio
from tests.studio.filling import claim, epochs, submit

JOBS = 7  # with the list eight tabs
SLEEP = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
SHOWN = "() => [...document.querySelector('m-job').records.curves.loss.keys()].sort((a, b) => a - b)"

pytestmark = pytest.mark.slow


@contextmanager
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile. Its tabs share their connections."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        context.set_default_timeout(20_000)
        yield context


def opened(context: BrowserContext, server: Server, path: str) -> Studio:
    """A new tab on a page. Its messages are for the end of the test."""
    tab = Studio(context.new_page(), server.url)
    tab.page.goto(server.url + path, wait_until="commit")  # the next tab opens before this one is loaded
    return tab


def test_eight_tabs_at_once_show_their_changes(browser: Browser, server: Server, worker: WorkerWrites) -> None:
    jobs = [submit(server.url, f"tab-{number}") for number in range(JOBS)]
    leases = [claim(worker) for _ in jobs]
    for lease in leases:
        epochs(worker, lease, 2)
    with profile(browser) as context:
        tabs = [opened(context, server, path) for path in ("/jobs", *(f"/jobs/{job['id']}" for job in jobs))]
        for tab in tabs[1:]:
            expect(tab.page.locator("m-film .place")).to_contain_text("epoch 2")
        for lease in leases:
            epochs(worker, lease, 1, first=3)
        for tab in tabs[1:]:
            expect(tab.page.locator("m-film .place")).to_contain_text("epoch 3")
        for job in jobs:
            expect(tabs[0].page.locator(f'tr[data-job="{job["id"]}"]')).to_contain_text("30 %")
        for lease in leases:
            worker.publish(lease)
        for tab in tabs[1:]:
            expect(tab.page.locator("h1 + .status")).to_have_text("succeeded")
        assert [message for tab in tabs for message in tab.messages] == []


def test_a_tab_without_a_stream_receives_one_when_another_tab_closes(
    browser: Browser, server: Server, worker: WorkerWrites
) -> None:
    jobs = [submit(server.url, f"tab-{number}") for number in range(4)]
    leases = [claim(worker) for _ in jobs]
    for lease in leases:
        epochs(worker, lease, 2)
    with profile(browser) as context:
        tabs = [opened(context, server, f"/jobs/{job['id']}") for job in jobs]
        for tab in tabs:
            expect(tab.page.locator("m-film .place")).to_contain_text("epoch 2")
        # Streams are given in the order of the pages' first reads, so any one of the tabs may be the one that polls.
        polls = {tab: Polls(tab, job["id"]) for tab, job in zip(tabs, jobs, strict=True)}
        tabs[0].page.wait_for_timeout(5000)
        [waiting] = [tab for tab in tabs if polls[tab].count]
        next(tab for tab in tabs if tab is not waiting).page.close()
        waiting.page.wait_for_timeout(3000)
        polls[waiting].count = 0
        waiting.page.wait_for_timeout(5000)
        assert polls[waiting].count == 0
        epochs(worker, leases[tabs.index(waiting)], 1, first=3)
        expect(waiting.page.locator("m-film .place")).to_contain_text("epoch 3")
        assert [message for tab in tabs for message in tab.messages] == []


class Polls:
    """Counts the reads of a job by its page."""

    def __init__(self, tab: Studio, job_id: str) -> None:
        self.count = 0
        self._path = f"/v1/training-jobs/{job_id}"
        tab.page.on("request", lambda request: self._add(request.url))

    def _add(self, url: str) -> None:
        self.count += url.endswith(self._path)


def test_a_hidden_tab_closes_its_streams_and_catches_up(
    browser: Browser, database: SessionFactory, storage: Storage, settings: Settings, valkey: Valkey
) -> None:
    two = settings.model_copy(update={"max_streams": 2, "redis_url": SecretStr(valkey.url)})
    worker = WorkerWrites(two, database, storage, CeleryBroker(two))
    with serve(two) as server, profile(browser) as context:
        job = submit(server.url, "sleeper")
        lease = claim(worker)
        epochs(worker, lease, 2)
        tab = opened(context, server, f"/jobs/{job['id']}")
        expect(tab.page.locator("m-film .place")).to_contain_text("epoch 2")
        expect(tab.page.locator("m-connection")).not_to_contain_text("connecting")
        tab.page.wait_for_timeout(500)
        assert status(server) == 503, "the tab has both streams"
        tab.page.evaluate(SLEEP, True)
        tab.page.wait_for_timeout(2000)
        assert status(server) == 200, "a hidden tab has none"
        epochs(worker, lease, 3, first=3)
        tab.page.wait_for_timeout(500)
        expect(tab.page.locator("m-film .place")).to_contain_text("epoch 2")
        tab.page.evaluate(SLEEP, False)
        expect(tab.page.locator("m-film .place")).to_contain_text("epoch 5")
        assert tab.page.evaluate(SHOWN) == [10, 20, 30, 40, 50]
        assert tab.messages == []


def status(server: Server) -> int:
    """The status of one more stream."""
    with httpx.stream("GET", f"{server.url}/v1/jobs/stream", trust_env=False) as response:
        return response.status_code
