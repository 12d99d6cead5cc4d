"""The playgrounds of ACGAN and GAN, on a real stack. Images are compared with onnxruntime's from the same graph."""

import numpy as np
import onnxruntime
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.studio.conftest import Studio, Trained
from tests.studio.pixels import SIDE, differ, graph, images, latent, shown, tile, wait_until, wait_until_shown

pytestmark = pytest.mark.slow
ELEMENT = "m-play-generator"
CLASSES = list(range(10))


@pytest.fixture(scope="module")
def generator(trained: Trained) -> onnxruntime.InferenceSession:
    return graph(trained.url, trained.models["acgan"]["id"])


def opened(play: Studio, trained: Trained, query: str = "", model_type: str = "acgan") -> Page:
    page = play.open(f"/play/{trained.models[model_type]['id']}{query}")
    page.wait_for_selector(".sliders[data-ranked=yes]")
    return page


def strip(session: onnxruntime.InferenceSession, z: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The images of all classes from one latent, side by side."""
    return np.concatenate(list(images(session, [z] * len(CLASSES), CLASSES)), axis=1)


def test_typing_2026_shows_its_four_tiles(
    play: Studio, trained: Trained, generator: onnxruntime.InferenceSession
) -> None:
    page = opened(play, trained, "?draw=")
    expect(page.locator("canvas.wanted")).to_have_attribute("data-count", "0")
    page.locator("input.draw").press_sequentially("2026")
    expect(page.locator("canvas.wanted")).to_have_attribute("data-count", "4")
    z = latent(page, ELEMENT, "z")
    tiles = images(generator, [z] * 4, [2, 0, 2, 6])
    wait_until_shown(page, "canvas.wanted", np.concatenate(list(tiles), axis=1))
    page.locator("input.draw").press_sequentially("7")
    expect(page.locator("canvas.wanted")).to_have_attribute("aria-label", "The number 20267")


def test_slider_changes_one_coordinate_for_all_classes(
    play: Studio, trained: Trained, generator: onnxruntime.InferenceSession
) -> None:
    page = opened(play, trained)
    z = latent(page, ELEMENT, "z")
    wait_until_shown(page, "canvas.classes", strip(generator, z))
    strongest = page.locator(".sliders label").first
    place = int(strongest.get_attribute("data-place") or "-1")
    for value in np.linspace(-0.9, 0.9, 100):
        strongest.locator("input").evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }",
            round(float(value), 2),
        )
    moved = [0.9 if i == place else value for i, value in enumerate(z)]
    assert latent(page, ELEMENT, "z") == pytest.approx(moved)
    wait_until_shown(page, "canvas.classes", strip(generator, moved))
    measures = page.evaluate("performance.getEntriesByName('picture').map(({ duration }) => duration)")
    print(f"\nslider to picture: p50 {np.median(measures):.1f} ms, p95 {np.percentile(measures, 95):.1f} ms")


def test_sliders_are_ordered_by_the_change_of_the_image(
    play: Studio, trained: Trained, generator: onnxruntime.InferenceSession
) -> None:
    page = opened(play, trained)
    z = np.array(latent(page, ELEMENT, "z"))
    shifted = np.tile(z, (len(z), 1)) + np.diag(np.where(z > 0, -1, 1))
    feeds = {"z": np.vstack([z, shifted]).astype(np.float32), "label": np.zeros(len(z) + 1, np.int64)}
    (made,) = generator.run(None, feeds)
    change = ((np.asarray(made)[1:] - np.asarray(made)[0]) ** 2).sum((1, 2, 3))
    order = page.eval_on_selector(ELEMENT, "element => element.order")
    ranked = change[order]
    assert (np.diff(ranked) <= 1e-4 * ranked[:-1]).all()
    expect(page.locator(".sliders label")).to_have_count(8)
    page.get_by_text(f"All {len(z)}").click()
    expect(page.locator(".sliders label")).to_have_count(len(z))


def test_random_reset_and_the_address(
    play: Studio, trained: Trained, browser: Browser, generator: onnxruntime.InferenceSession
) -> None:
    page = opened(play, trained)
    first = latent(page, ELEMENT, "z")
    page.get_by_text("Random", exact=True).click()
    drawn = latent(page, ELEMENT, "z")
    assert drawn != first
    page.locator(".sliders input").nth(2).fill("0.5")
    drawn = latent(page, ELEMENT, "z")
    with browser.new_context() as fresh:
        other = opened(Studio(fresh.new_page(), trained.url), trained, "?" + page.url.partition("?")[2])
        assert latent(other, ELEMENT, "z") == pytest.approx(drawn)
        wait_until_shown(other, "canvas.classes", strip(generator, drawn))
    page.get_by_text("Reset", exact=True).click()
    assert set(latent(page, ELEMENT, "z")) == {0.0}


def test_latents_have_the_prior_of_the_model(play: Studio, trained: Trained) -> None:
    page = opened(play, trained)
    z = np.array(
        page.eval_on_selector(ELEMENT, "element => [...Array(200)].map((_, i) => element.prior(i).next().value)")
    )
    is_uniform = page.eval_on_selector(ELEMENT, "element => element.isUniform")
    assert abs(z.mean()) < 0.05
    assert z.std() == pytest.approx(1 / np.sqrt(3) if is_uniform else 1, abs=0.05)
    assert (np.abs(z).max() <= 1) == is_uniform


def test_sheet_has_a_row_for_each_class_and_a_click_takes_a_latent(
    play: Studio, trained: Trained, generator: onnxruntime.InferenceSession
) -> None:
    page = opened(play, trained, "?n=4")
    wait_until(page, "document.querySelector('canvas.contacts').width === 112")
    sheet = shown(page, "canvas.contacts")
    assert sheet.shape == (10 * SIDE, 4 * SIDE)
    box = page.locator("canvas.contacts").bounding_box()
    assert box is not None
    page.locator("canvas.contacts").click(position={"x": box["width"] * 0.6, "y": box["height"] * 0.35})
    z = latent(page, ELEMENT, "z")
    assert np.abs(tile(sheet, 3, 2) - images(generator, [z], [3])[0]).max() <= 1


def test_gan_draws_any_number_of_images_without_classes(play: Studio, trained: Trained) -> None:
    page = opened(play, trained, "?n=9", "gan")
    session = graph(trained.url, trained.models["gan"]["id"])
    wait_until(page, "document.querySelector('canvas.contacts').width === 84")
    wait_until_shown(page, "canvas.classes", images(session, [latent(page, ELEMENT, "z")])[0])
    page.fill("input[name=n]", "16")
    page.keyboard.press("Tab")
    wait_until(page, "document.querySelector('canvas.contacts').width === 112")
    expect(page.locator("input.draw")).to_have_count(0)


def test_real_images_stand_beside_the_generated_ones_in_the_same_rows(play: Studio, trained: Trained) -> None:
    page = play.open(f"/play/{trained.models['acgan']['id']}")
    page.wait_for_selector("m-real-rows canvas")
    first = shown(page, "m-real-rows canvas")
    assert first.shape == (10 * 28, 8 * 28)
    page.get_by_role("button", name="Other real ones").click()
    for _ in range(100):
        if differ(first, shown(page, "m-real-rows canvas")):
            return
        page.wait_for_timeout(100)
    raise AssertionError("the real images stayed the same")
