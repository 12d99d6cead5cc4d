"""Training jobs side by side, and the exercises."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.api.live import Server
from tests.api.worker_hands import WorkerWrites
from tests.studio.conftest import Studio
from tests.studio.filling import claim, epochs, submit


@pytest.fixture
def pair(server: Server, worker: WorkerWrites) -> list[str]:
    """Two ended jobs that differ in a weight, and in the better figure."""
    ids = []
    for name, weight, loss in (("with", 1.0, 30.0), ("without", 0.0, 20.0)):
        ids.append(submit(server.url, name, seed=1, hyperparameters={"kl_weight": weight})["id"])
        lease = claim(worker)
        epochs(worker, lease, 3)
        worker.publish(lease, quality={"val_loss": loss})
    return ids


def places(page: Page) -> list[str]:
    return page.locator("m-film .place").all_inner_texts()


def test_a_comparison_shows_what_differs_the_best_figure_and_moves_all_films_with_one_slider(
    studio: Studio, pair: list[str]
) -> None:
    page = studio.open(f"/compare?job={pair[0]}&job={pair[1]}")
    expect(page.locator("m-film .place").nth(1)).to_contain_text("epoch 3")
    assert page.locator("[data-setting]").evaluate_all("rows => rows.map(row => row.dataset.setting)") == ["kl_weight"]
    figures = page.locator("[data-quality=val_loss] td")
    expect(figures.nth(1)).to_contain_text("best")
    expect(figures.nth(0)).not_to_contain_text("best")
    expect(page.locator(".chart .u-legend")).to_contain_text("2 without")
    page.locator("m-film").first.focus()
    page.keyboard.press("Home")
    expect(page.locator("m-film .place").nth(1)).to_contain_text("epoch 1")
    assert all("epoch 1" in place for place in places(page))


def test_the_address_of_a_comparison_alone_restores_it(studio: Studio, pair: list[str]) -> None:
    page = studio.open(f"/compare?job={pair[0]}&job={pair[1]}")
    page.get_by_label("Metric").select_option("loss")
    page.get_by_label("log").check()
    page.locator("m-film").first.focus()
    page.keyboard.press("Home")
    page.wait_for_url("**epoch=1**")
    page.goto("about:blank")
    page.go_back()
    page.reload()
    expect(page.locator("m-film .place").nth(1)).to_contain_text("epoch 1")
    expect(page.get_by_label("Metric")).to_have_value("loss")
    expect(page.get_by_label("log")).to_be_checked()


def test_an_exercise_starts_its_pair_with_one_click_and_opens_their_comparison(studio: Studio, server: Server) -> None:
    page = studio.open("/compare")
    page.locator("[data-exercise=vae] button").click()
    page.wait_for_url("**/compare?job=trn_*&job=trn_*")
    expect(page.locator("[data-setting]")).to_have_count(1)
    expect(page.locator("[data-setting=kl_weight] td")).to_have_text(["1", "0"])
    jobs = httpx.get(f"{server.url}/v1/training-jobs", trust_env=False).json()["data"]
    assert sorted(job["name"] for job in jobs) == ["with KL", "without KL"]


def test_an_exercise_that_needs_data_says_which(studio: Studio) -> None:
    page = studio.open("/compare")
    card = page.locator("[data-exercise=lstm]")
    expect(card).to_contain_text("No text but Python code is on this machine")
    expect(card.get_by_role("button")).to_be_disabled()


def test_a_comparison_follows_the_runs_that_go_on(studio: Studio, server: Server, worker: WorkerWrites) -> None:
    jobs = [submit(server.url, name)["id"] for name in ("left", "right")]
    page = studio.open(f"/compare?job={jobs[0]}&job={jobs[1]}")
    statuses = page.locator("tbody tr", has_text="status").locator(".status")
    expect(statuses).to_have_text(["queued", "queued"])

    lease = claim(worker)
    epochs(worker, lease, 3)
    expect(statuses).to_have_text(["running", "queued"])
    expect(page.locator("m-film .place").first).to_contain_text("epoch 3")
    worker.publish(lease)

    expect(statuses).to_have_text(["succeeded", "queued"])
