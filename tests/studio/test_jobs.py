"""The list of jobs."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from shared.db.session import SessionFactory, transaction
from shared.db.tables import TrainingJob
from shared.ids import new_id
from shared.job_status import JobKind, JobStatus
from shared.services import new_jobs
from tests.api.live import Server
from tests.api.worker_hands import WorkerWrites
from tests.studio.conftest import Studio
from tests.studio.filling import claim, epochs, submit

COUNT_SHIFTS = """() => {
  window.shifts = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
  }).observe({ type: "layout-shift" });
}"""


def test_the_list_changes_with_the_jobs_without_a_reload(studio: Studio, server: Server, worker: WorkerWrites) -> None:
    page = studio.open("/jobs")
    expect(page.get_by_text("Nothing has been trained yet.")).to_be_visible()
    job = submit(server.url, "first")
    row = page.locator(f'tr[data-job="{job["id"]}"]')
    expect(row.locator(".status")).to_have_text("queued")
    lease = claim(worker)
    epochs(worker, lease, 3)
    expect(row.locator(".status")).to_have_text("running")
    expect(row).to_contain_text("30 %")
    worker.publish(lease)
    expect(row.locator(".status")).to_have_text("succeeded")


def test_filters_and_search_are_in_the_address_and_survive_a_reload(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    for name in ("apple", "pear", "apricot"):
        submit(server.url, name)
    claim(worker)
    page = studio.open("/jobs")
    page.get_by_label("Search").fill("ap")
    page.get_by_label("queued").check()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert "q=ap" in page.url
    assert "status=queued" in page.url
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_label("Search")).to_have_value("ap")
    expect(page.locator("tbody tr")).to_contain_text("apricot")


def test_twenty_jobs_of_two_hundred_are_cancelled_at_once_without_a_reload(studio: Studio, server: Server) -> None:
    for number in range(200):
        submit(server.url, f"job-{number:03d}")
    page = studio.open("/jobs?q=job-01")
    expect(page.locator("tbody tr")).to_have_count(10)
    page.get_by_label("Search").fill("job-0")
    expect(page.locator("tbody tr")).to_have_count(100)
    page.evaluate(COUNT_SHIFTS)
    for number in range(20):
        page.get_by_label(f"Choose job-{number:03d}").check()
    page.get_by_role("button", name="Cancel 20").click()
    page.get_by_label("cancelled").check()
    expect(page.locator("tbody tr")).to_have_count(20)
    assert page.evaluate("window.shifts") == 0


def test_only_the_jobs_that_wait_are_cancelled(studio: Studio, server: Server, worker: WorkerWrites) -> None:
    running = submit(server.url, "runs")
    claim(worker)
    submit(server.url, "waits-1")
    submit(server.url, "waits-2")
    page = studio.open("/jobs")
    page.get_by_role("button", name="Cancel the 2 that wait").click()
    expect(page.locator(".status.cancelled")).to_have_count(2)
    expect(page.locator(f'tr[data-job="{running["id"]}"] .status')).to_have_text("running")


def test_a_job_is_sent_to_the_front_of_the_queue(studio: Studio, server: Server, worker: WorkerWrites) -> None:
    worker.heartbeat(JobKind.TRAINING)
    for name in ("first", "second", "third"):
        submit(server.url, name)
    page = studio.open("/jobs")
    row = page.locator("tbody tr", has_text="third")
    expect(row).to_contain_text("3rd in the queue")
    page.get_by_label("Choose third").check()
    page.get_by_role("button", name="To the front").click()
    expect(row).to_contain_text("1st in the queue")
    queue = httpx.get(f"{server.url}/v1/queue", trust_env=False).json()
    assert queue["positions"][0] == row.get_attribute("data-job")


def test_a_job_has_a_small_curve_that_grows_and_is_there_after_a_reload(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "curve")
    lease = claim(worker)
    epochs(worker, lease, 3)
    page = studio.open("/jobs")
    line = page.locator(f'tr[data-job="{job["id"]}"] .spark polyline')
    expect(line).to_have_attribute("points", re.compile(r"^(\S+,\S+ ?){3}$"))
    epochs(worker, lease, 1, first=4)
    expect(line).to_have_attribute("points", re.compile(r"^(\S+,\S+ ?){4}$"))
    page.reload()
    expect(line).to_have_attribute("points", re.compile(r"^(\S+,\S+ ?){4}$"))


@pytest.mark.slow
def test_search_finds_jobs_that_are_not_loaded(studio: Studio, server: Server, database: SessionFactory) -> None:
    oldest = submit(server.url, "needle")
    httpx.post(f"{server.url}/v1/training-jobs/{oldest['id']}/cancel", trust_env=False)
    spec = {"dataset": "digits", "preset": "fast", "hyperparameters": oldest["hyperparameters"], "init_from": None}
    with transaction(database) as session:
        for number in range(520):
            job = new_jobs.add(
                *(session, TrainingJob),
                id=new_id("trn"),
                model_type="vae",
                spec=spec,
                seed=1,
                timeout_s=60,
                max_attempts=3,
                name=f"hay-{number}",
            )
            job.status = JobStatus.CANCELLED
    page = studio.open("/jobs")
    expect(page.get_by_text("The newest 500 jobs")).to_be_visible()
    expect(page.get_by_text("needle")).to_have_count(0)
    page.get_by_label("Search").fill("needle")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("needle")
