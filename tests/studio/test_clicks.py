"""From the first page of a fresh stack to one's own samples and a playground, by clicks and typing alone.

The cards' trainings take minutes. Each test watches one to its first checkpoint, samples that, and cancels it. The
playground is that of the ready-made model.
"""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.stack import Stack, running_stack
from tests.studio.conftest import Studio
from tests.studio.pixels import differ, shown, wait_until

STARTED_MS = 300_000  # until the first checkpoint, on a machine that runs other tests beside it
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DRAWN = "() => document.querySelector('canvas.wanted').width === 4 * document.querySelector('canvas.wanted').height"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with the built-in datasets and the ready-made models."""
    folder = tmp_path_factory.mktemp("clicks")
    (folder / "datasets").mkdir()
    environment = {"MIMEO_DATASETS_DIR": str(folder / "datasets"), "MIMEO_READY_MODELS": "1"}
    with running_stack(folder / "home", environment) as stack:
        yield stack


@pytest.fixture
def first(browser: Browser, fresh: Stack) -> Iterator[Studio]:
    """The first page. The test fails if its console has a message."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        context.set_default_timeout(60_000)
        made = Studio(context.new_page(), fresh.url)
        made.open("/")
        yield made
        assert made.messages == []
    with httpx.Client(base_url=fresh.url, trust_env=False) as http:
        for job in http.get("/v1/training-jobs").json()["data"]:
            if not job["is_terminal"]:
                http.post(f"/v1/training-jobs/{job['id']}/cancel").raise_for_status()


def played(page: Page, model_type: str) -> None:
    """Train by the card of the first page, sample the first checkpoint, and open the playground of the card's model."""
    page.locator(f".card[data-type={model_type}]").get_by_role("button", name="Train in minutes").click()
    page.wait_for_url("**/jobs/trn_*")
    expect(page.locator("h1 + .status")).to_have_text("running", timeout=STARTED_MS)
    expect(page.locator("m-film .place")).to_contain_text("epoch", timeout=STARTED_MS)
    page.get_by_role("link", name="Play", exact=True).last.click()
    page.wait_for_url("**/play/trn_*")
    expect(page.locator(".following img, .following pre")).to_be_visible(timeout=STARTED_MS)
    page.get_by_role("link", name="Mimeo", exact=True).click()
    page.locator(f".card[data-type={model_type}]").get_by_role("link", name="Play").click()
    page.wait_for_url("**/play/mdl_*")


def test_digits_are_learnt_by_a_vae_and_its_plane_is_explored(first: Studio) -> None:
    page = first.page
    played(page, "vae")
    page.wait_for_selector("canvas.plane[data-drawn]")
    square = page.locator(".square").bounding_box()
    assert square is not None
    pictures = []
    for share in (0.2, 0.5, 0.8):
        before = page.locator("m-play-vae").get_attribute("data-drawn")
        page.mouse.move(square["x"] + square["width"] * share, square["y"] + square["height"] * share)
        wait_until(page, "before => document.querySelector('m-play-vae').dataset.drawn !== before", before)
        pictures.append(shown(page, "canvas.one"))
    assert differ(pictures[0], pictures[1])
    assert differ(pictures[1], pictures[2])


def test_source_code_is_learnt_and_the_temperature_moves_the_bars(first: Studio) -> None:
    page = first.page
    played(page, "lstm")
    page.wait_for_selector("ol.bars")
    likeliest = page.locator("ol.bars li .num").first
    slider = page.get_by_label("Temperature 1")
    slider.focus()
    page.keyboard.press("Home")
    expect(likeliest).to_have_text("100.0 %")
    page.keyboard.press("End")
    expect(likeliest).not_to_have_text("100.0 %")
    page.get_by_role("button", name="Write").click()
    page.wait_for_selector("m-surprise[data-bits]")
    assert len(page.text_content("m-surprise pre") or "") > 100


def test_digits_are_learnt_by_an_acgan_and_a_number_is_drawn(first: Studio) -> None:
    page = first.page
    played(page, "acgan")
    page.get_by_label("draw").fill("2026")
    wait_until(page, DRAWN)
    tiles = np.split(shown(page, "canvas.wanted"), 4, axis=1)
    assert not differ(tiles[0], tiles[2]), "both are the digit 2 of one latent"
    assert differ(tiles[0], tiles[1])
    assert differ(tiles[2], tiles[3])
