"""The playground of a VAE, on a real stack. Images are compared with onnxruntime's from the same exported graph."""

import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import onnxruntime
import pytest
from playwright.sync_api import Page, expect

from tests.studio.conftest import Studio, Trained
from tests.studio.pixels import graph, images, latent, shown, tile, wait_until, wait_until_shown
from worker.data.digits import builtin_digits

pytestmark = pytest.mark.slow
ELEMENT = "m-play-vae"
MOVES = 200


@pytest.fixture(scope="module")
def decoder(trained: Trained) -> onnxruntime.InferenceSession:
    return graph(trained.url, trained.models["vae"]["id"])


def opened(play: Studio, trained: Trained, query: str = "?points=5&start=-2&end=2") -> Page:
    page = play.open(f"/play/{trained.models['vae']['id']}{query}")
    page.wait_for_selector("canvas.plane[data-drawn]")
    return page


def address(page: Page) -> dict[str, float]:
    """Numbers in the address of the page."""
    return {name: float(value) for name, (value,) in parse_qs(urlsplit(page.url).query).items()}


def square(page: Page) -> tuple[float, float, float]:
    """Left, top and side of the plane."""
    box = page.locator(".square").bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"]


def test_plane_shows_the_decoded_grid_from_left_to_right_and_upwards(
    play: Studio, trained: Trained, decoder: onnxruntime.InferenceSession
) -> None:
    page = opened(play, trained)
    z = [0.0] * trained.models["vae"]["hyperparameters"]["latent_size"]
    sheet = shown(page, "canvas.plane")
    for row, y in enumerate((2.0, 1.0, 0.0, -1.0, -2.0)):
        for column, x in enumerate((-2.0, -1.0, 0.0, 1.0, 2.0)):
            (expected,) = images(decoder, [[x, y, *z[2:]]])
            assert np.abs(tile(sheet, row, column) - expected).max() <= 1


def test_image_follows_the_pointer_over_200_moves(
    play: Studio, trained: Trained, decoder: onnxruntime.InferenceSession
) -> None:
    page = opened(play, trained)
    left, top, side = square(page)
    for move in range(MOVES):
        page.mouse.move(left + side * (0.1 + 0.8 * move / MOVES), top + side * (0.5 + 0.4 * np.sin(move / 9)))
    point = latent(page, ELEMENT, "point")
    wait_until_shown(page, "canvas.one", images(decoder, [point])[0])
    measures = page.evaluate("performance.getEntriesByName('picture').map(({ duration }) => duration)")
    print(f"\npointer to pixels: p50 {np.median(measures):.1f} ms, p95 {np.percentile(measures, 95):.1f} ms")
    assert len(measures) > MOVES / 4


def test_arrow_keys_move_the_point_and_the_address_keeps_it(
    play: Studio, trained: Trained, decoder: onnxruntime.InferenceSession
) -> None:
    page = opened(play, trained)
    page.locator(".square").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    point = latent(page, ELEMENT, "point")
    assert point[:2] == pytest.approx([0.2, 0.1])
    page.reload()
    page.wait_for_selector("canvas.plane[data-drawn]")
    assert latent(page, ELEMENT, "point") == pytest.approx(point)
    wait_until_shown(page, "canvas.one", images(decoder, [point])[0])


def test_drag_moves_the_plane_with_the_pointer(play: Studio, trained: Trained) -> None:
    page = opened(play, trained)
    left, top, side = square(page)
    before = shown(page, "canvas.plane")
    page.mouse.move(left + side / 2, top + side / 2)
    page.mouse.down()
    page.mouse.move(left + side / 2 + side / 5, top + side / 2, steps=4)
    page.mouse.up()
    wait_until(page, "document.querySelector('canvas.plane').dataset.drawn === location.search")
    assert address(page)["x"] == pytest.approx(-1, abs=0.02)
    after = shown(page, "canvas.plane")
    # One image to the right: the second column shows the images of the first.
    assert np.abs(tile(after, 2, 1) - tile(before, 2, 0)).mean() < 3


def test_wheel_zooms_towards_the_pointer(play: Studio, trained: Trained) -> None:
    page = opened(play, trained)
    left, top, side = square(page)
    page.mouse.move(left + side * 0.75, top + side * 0.5)
    page.mouse.wheel(0, -100)
    wait_until(page, "location.search.includes('start=-1.6')")
    wait_until(page, "document.querySelector('canvas.plane').dataset.drawn === location.search")
    seen = address(page)
    assert seen["end"] == 1.6
    # (0.75 − 0.5) of a side of 5 is 1.25; a zoom by 0.8 keeps it where it is.
    assert seen["x"] == pytest.approx(0.25, abs=0.01)
    page.get_by_text("Reset").click()
    expect(page.locator("input[name=start]")).to_have_value("-4")
    assert "x" not in address(page)


def test_any_two_dimensions_are_shown(play: Studio, trained: Trained, decoder: onnxruntime.InferenceSession) -> None:
    size = trained.models["vae"]["hyperparameters"]["latent_size"]
    z = [0.25] * size
    page = opened(play, trained, f"?points=3&start=-2&end=2&dx={size - 1}&dy=0&z={','.join(map(str, z))}")
    z[size - 1], z[0] = 2.0, -2.0
    assert np.abs(tile(shown(page, "canvas.plane"), 2, 2) - images(decoder, [z])[0]).max() <= 1


def test_test_images_are_dots_by_class(play: Studio, trained: Trained) -> None:
    page = opened(play, trained)
    page.check("input[name=dots]")
    page.wait_for_selector(".legend")
    dots = page.eval_on_selector(ELEMENT, "element => element.cloud.dots")
    labels = builtin_digits().test_labels.tolist()
    assert [dot["label"] for dot in dots] == labels[: len(dots)]
    assert len(dots) == 300
    assert page.locator(".legend span").all_text_contents() == [f" {name}" for name in builtin_digits().class_names]
    expect(page.locator(".near")).to_have_text(re.compile(r"^\d$"))


def test_two_marked_points_are_morphed(play: Studio, trained: Trained, decoder: onnxruntime.InferenceSession) -> None:
    page = opened(play, trained)
    left, top, side = square(page)
    ends = []
    for name, share in (("A", 0.2), ("B", 0.8)):
        page.mouse.click(left + side * share, top + side * 0.4)
        page.get_by_text(f"Mark {name}").click()
        ends.append([float(value) for value in parse_qs(urlsplit(page.url).query)[name.lower()][0].split(",")])
    page.locator(".walk input").fill("0.5")
    middle = np.mean(ends, axis=0).tolist()
    assert latent(page, ELEMENT, "point") == pytest.approx(middle)
    wait_until_shown(page, "canvas.one", images(decoder, [middle])[0])
    page.click("button.morph")
    wait_until(page, "document.querySelector('.walk input').value > 0.6")
    page.click("button.morph")
    stopped = page.input_value(".walk input")
    page.wait_for_timeout(200)
    assert page.input_value(".walk input") == stopped


def test_a_drawing_is_encoded_and_the_point_becomes_its_latent(play: Studio, trained: Trained) -> None:
    encoder = graph(trained.url, trained.models["vae"]["id"], "encoder")
    page = opened(play, trained)
    page.get_by_text("Draw your own").click()
    box = page.locator("canvas.pad").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    page.mouse.up()

    drawing = shown(page, "canvas.pad") / 255
    assert 0.02 < drawing.mean() < 0.3
    mean, _ = encoder.run(None, {"images": drawing[None, None].astype(np.float32)})
    near = "z => z.every((value, i) => Math.abs(value - document.querySelector('m-play-vae').point[i]) < 1e-3)"
    wait_until(page, near, arg=mean[0].tolist())
    assert "z" in parse_qs(urlsplit(page.url).query)
