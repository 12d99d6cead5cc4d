"""The list of jobs."""

from playwright.sync_api import expect

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
