"""Headless Chromium on the studio of a real API process, filled by the writes of a worker."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Playwright, Response, expect, sync_playwright

from shared import model_types
from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.settings import Settings
from shared.storage import Storage
from tests.acceptance.stack import running_stack, wait_for_job
from tests.api.live import Server, serve
from tests.api.worker_hands import WorkerWrites

OPTIONS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EXPECTED_STATUS = 400  # answers from this status on are messages of the console


def chromium() -> str | None:
    """Path of an installed Chromium or Chrome; None without one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("MIMEO_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    path = chromium()
    if path is None:
        message = "No Chromium was found. Install the package `chromium`, or set MIMEO_CHROMIUM to its path."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    expect.set_options(timeout=20_000)  # of each expectation; five seconds are too few on a busy machine
    running = playwright.chromium.launch(executable_path=path, args=OPTIONS)
    yield running
    running.close()


class Studio:
    """One browser page on the studio. messages: of the console, and failed requests."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.messages: list[str] = []
        self.expected: set[int] = set()
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)
        page.on("response", self._on_response)

    def open(self, path: str) -> Page:
        """Open a page and wait for its first content."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector("main > :defined")
        return self.page

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.messages.append(f"{message.type}: {message.text}")

    def _on_error(self, error: Error) -> None:
        self.messages.append(f"uncaught: {error}")

    def _on_response(self, response: Response) -> None:
        if response.status >= EXPECTED_STATUS and response.status not in self.expected:
            self.messages.append(f"{response.status}: {response.url}")


@pytest.fixture
def server(settings: Settings, database: SessionFactory) -> Iterator[Server]:
    with serve(settings) as running:
        yield running


@pytest.fixture
def worker(settings: Settings, database: SessionFactory, storage: Storage, broker: NullBroker) -> WorkerWrites:
    return WorkerWrites(settings, database, storage, broker)


@pytest.fixture
def studio(browser: Browser, server: Server) -> Iterator[Studio]:
    """A page in a profile of its own. The test fails if its console has a message."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        context.set_default_timeout(20_000)
        made = Studio(context.new_page(), server.url)
        yield made
        assert made.messages == []


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Pages do not depend on the database; streams are tested on both in tests/api."""
    return str(request.param)


@dataclass(frozen=True)
class Trained:
    """A real stack with a small trained model of each type. models: the models by type."""

    url: str
    models: dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """The stack of all playground tests. Each model type is trained once, as small as its contract permits."""
    with (
        running_stack(tmp_path_factory.mktemp("playgrounds") / "home") as stack,
        httpx.Client(base_url=stack.url, timeout=70, trust_env=False) as http,
    ):
        jobs = {}
        for name, kind in model_types.REGISTRY.items():
            body = {"model_type": name, "dataset": kind.fallback_dataset, "hyperparameters": dict(kind.small)}
            jobs[name] = http.post("/v1/training-jobs", json={**body, "seed": 7}).raise_for_status().json()["id"]
        models = {}
        for name, job_id in jobs.items():
            job = wait_for_job(http, f"/v1/training-jobs/{job_id}")
            assert job["status"] == "succeeded", job["error"]
            models[name] = http.get(f"/v1/models/{job['model']}").raise_for_status().json()
        yield Trained(url=stack.url, models=models)


@pytest.fixture
def play(browser: Browser, trained: Trained) -> Iterator[Studio]:
    """A page on the stack with trained models. The test fails if its console has a message."""
    with browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True) as context:
        context.set_default_timeout(60_000)  # the first visit of a model waits for its export
        made = Studio(context.new_page(), trained.url)
        yield made
        assert made.messages == []
