"""The page of one job."""

import re
import signal

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Route, expect

from shared.job_status import JobKind
from shared.services.job_warnings import JobWarning
from shared.settings import Settings
from tests.api.live import Server, serve
from tests.api.worker_hands import WorkerWrites
from tests.studio.conftest import Studio
from tests.studio.filling import claim, epochs, picture, submit
from tests.studio.pixels import differ, shown
from tests.waiting import wait_until

POINTS = """() => {
  const page = document.querySelector("m-job");
  const pairs = (points) => [...points.values()].map(({ step, value }) => [step, value]);
  return Object.fromEntries(Object.entries(page.records.curves).map(([name, points]) => [name, pairs(points)]));
}"""


def test_the_film_moves_pictures_and_crosshair_with_the_keyboard(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "film")
    lease = claim(worker)
    epochs(worker, lease, 4)
    page = studio.open(f"/jobs/{job['id']}")
    place = page.locator("m-film .place")
    expect(place).to_contain_text("epoch 4")
    page.locator("m-film").focus()
    page.keyboard.press("Home")
    expect(place).to_contain_text("epoch 1")
    first = page.locator("m-film img").get_attribute("src")
    page.keyboard.press("ArrowRight")
    expect(place).to_contain_text("epoch 2")
    assert page.locator("m-film img").get_attribute("src") != first
    expect(page.locator(".chart .u-legend")).to_contain_text("20")  # the step under the crosshair
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    expect(place).to_contain_text("epoch 4")  # played to the end


def test_a_new_epoch_does_not_move_a_film_that_is_not_at_its_end(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "film")
    lease = claim(worker)
    epochs(worker, lease, 2)
    page = studio.open(f"/jobs/{job['id']}")
    place = page.locator("m-film .place")
    expect(place).to_contain_text("epoch 2")
    epochs(worker, lease, 1, first=3)
    expect(place).to_contain_text("epoch 3")  # it was at the newest, and follows
    page.locator("m-film").focus()
    page.keyboard.press("Home")
    epochs(worker, lease, 1, first=4)
    expect(page.locator('m-film input[type="range"]')).to_have_attribute("max", "3")
    expect(place).to_contain_text("epoch 1")


def test_a_queued_job_shows_why_it_waits_and_is_repeated_with_what_it_asks_for(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    worker.heartbeat(JobKind.TRAINING)
    job = submit(server.url, "rare", device="cuda", requires=["a100"])
    page = studio.open(f"/jobs/{job['id']}")
    expect(page.get_by_text("no running worker has cuda, a100")).to_be_visible()
    again = studio.open(f"/jobs/new?from={job['id']}")
    expect(again.get_by_text("--device 'cuda' --requires 'a100'")).to_be_visible()


RECONNECT = """() => document.querySelector("m-job").stream.dispatchEvent(
  new CustomEvent("state", { detail: { open: true, refused: false } })
)"""


@pytest.mark.slow
def test_a_page_survives_a_killed_server_without_lost_or_doubled_points(
    studio: Studio, server: Server, settings: Settings, worker: WorkerWrites
) -> None:
    job = submit(server.url, "survivor")
    lease = claim(worker)
    epochs(worker, lease, 2)
    page = studio.open(f"/jobs/{job['id']}")
    expect(page.locator("m-film .place")).to_contain_text("epoch 2")
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    expect(page.locator("m-bar")).to_contain_text("does not answer", timeout=3000)
    epochs(worker, lease, 3, first=3)
    with serve(settings, port=int(server.url.rsplit(":", 1)[1])):
        expect(page.locator("m-bar")).to_be_empty()
        expect(page.locator("m-film .place")).to_contain_text("epoch 5")
        epochs(worker, lease, 1, first=6)
        expect(page.locator("m-film .place")).to_contain_text("epoch 6")
        read = httpx.get(f"{server.url}/v1/training-jobs/{job['id']}/metrics", trust_env=False).json()["data"]
        stored = {curve["name"]: [[point["step"], point["value"]] for point in curve["points"]] for curve in read}
        shown = {name: sorted(points) for name, points in page.evaluate(POINTS).items()}
        assert shown == stored
    studio.messages.clear()  # requests to the killed server


def test_what_is_recorded_before_the_stream_opens_is_shown(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "late")
    lease = claim(worker)
    epochs(worker, lease, 2)
    held: list[Route] = []
    studio.page.add_init_script("delete globalThis.SharedWorker")  # the tab opens its streams itself
    studio.page.route("**/v1/training-jobs/*/stream*", lambda route: held.append(route))  # noqa: PLW0108
    page = studio.open(f"/jobs/{job['id']}")
    expect(page.locator("m-film .place")).to_contain_text("epoch 2")
    epochs(worker, lease, 2, first=3)
    held[0].continue_()
    expect(page.locator("m-film .place")).to_contain_text("epoch 4")
    wait_until(lambda: [step for step, _ in page.evaluate(POINTS)["loss"]] == [10, 20, 30, 40])


def test_records_that_a_lost_server_did_not_send_are_read_when_it_is_back(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "unread")
    epochs(worker, claim(worker), 2)
    is_lost = True
    studio.page.route("**/metrics?*", lambda route: route.abort() if is_lost else route.continue_())
    page = studio.open(f"/jobs/{job['id']}")
    expect(page.locator("h1 + .status")).to_have_text("running")
    page.wait_for_timeout(1000)
    is_lost = False
    page.evaluate(RECONNECT)
    expect(page.locator("m-chart")).to_have_attribute("aria-label", re.compile("val_loss"))
    assert [step for step, _ in page.evaluate(POINTS)["loss"]] == [10, 20]


def test_a_job_is_paused_and_cancelled_from_its_page(studio: Studio, server: Server) -> None:
    job = submit(server.url, "control")
    page = studio.open(f"/jobs/{job['id']}")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("h1 + .status")).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("h1 + .status")).to_have_text("queued")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 + .status")).to_have_text("cancelled")


def test_an_unknown_job_says_so_with_the_id_of_the_request(studio: Studio) -> None:
    studio.expected = {404}
    page = studio.open("/jobs/trn_00000000000000000000000000")
    expect(page.get_by_role("alert")).to_contain_text("There is no training job with that id.")
    expect(page.get_by_role("alert")).to_contain_text("request rqs_")


def test_warnings_of_a_job_are_shown_with_their_hints(studio: Studio, server: Server, worker: WorkerWrites) -> None:
    job = submit(server.url, "warned")
    warning = JobWarning(code="memorising", message="The loss of held-out data rises.", hint="Train less.", step=120)
    worker.warn(claim(worker), warning)
    page = studio.open(f"/jobs/{job['id']}")

    expect(page.get_by_role("note", name="Warnings")).to_contain_text("The loss of held-out data rises. Train less.")
    expect(page.get_by_role("note", name="Warnings")).to_contain_text("step 120")


def test_a_film_starts_before_training_and_its_address_shows_the_same_frame(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "from-noise")
    lease = claim(worker)
    worker.file(lease, "samples/epoch-000.png", picture(1), epoch=0, step=0)
    epochs(worker, lease, 3)
    page = studio.open(f"/jobs/{job['id']}")
    place = page.locator("m-film .place")
    expect(place).to_contain_text("epoch 3")
    page.locator("m-film").focus()
    page.keyboard.press("Home")
    expect(place).to_contain_text("before training")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**epoch=1**")
    page.reload()
    expect(place).to_contain_text("epoch 1")


def test_quality_figures_have_a_sentence_and_a_band_where_one_holds_for_any_dataset(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "judged")
    worker.publish(claim(worker), quality={"reconstruction_accuracy": 0.6, "elbo": -20.0})
    page = studio.open(f"/jobs/{job['id']}")
    judged = page.locator("[data-quality=reconstruction_accuracy]")
    expect(judged.locator(".band")).to_have_text("usual")
    expect(judged).to_contain_text("Share of real test images")
    expect(page.locator("[data-quality=elbo]")).to_contain_text("-20")
    expect(page.locator("[data-quality=elbo] .band")).to_have_count(0)


def test_fixed_real_examples_stand_beside_the_film_while_it_moves(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "real")
    epochs(worker, claim(worker), 3)
    page = studio.open(f"/jobs/{job['id']}")
    real = page.locator("section[aria-label=Samples] m-real-examples canvas")
    expect(real).to_be_visible()
    expect(real).to_have_attribute("aria-label", "Images of digits")
    before = shown(page, "m-real-examples canvas")
    assert before.max() > 0
    page.locator("m-film").focus()
    page.keyboard.press("Home")
    expect(page.locator("m-film .place")).to_contain_text("epoch 1")
    assert not differ(before, shown(page, "m-real-examples canvas"))


def test_a_film_is_saved_as_an_animated_png_of_its_frames(studio: Studio, server: Server, worker: WorkerWrites) -> None:
    job = submit(server.url, "saved")
    epochs(worker, claim(worker), 3)
    page = studio.open(f"/jobs/{job['id']}")
    expect(page.locator("m-film .place")).to_contain_text("epoch 3")
    with page.expect_download() as download:
        page.locator("m-film button.save").click()
    assert download.value.suggested_filename == f"{job['id']}-film.png"
    with Image.open(download.value.path()) as film:
        assert (film.n_frames, film.info["loop"], film.size) == (3, 0, (476, 476))  # type: ignore[attr-defined]
        greys = []
        for frame in range(3):
            film.seek(frame)
            greys.append(film.convert("L").getpixel((0, 0)))
    assert greys == [20, 40, 60]
