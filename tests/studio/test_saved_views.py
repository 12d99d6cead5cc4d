"""Files that playgrounds save: the facts in them, and the view that they open when they are dropped."""

import base64
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.studio.conftest import Studio, Trained

pytestmark = pytest.mark.slow

DROP = """([name, type, content]) => {
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def drop(page: Page, path: Path, media_type: str) -> None:
    page.evaluate(DROP, [path.name, media_type, base64.b64encode(path.read_bytes()).decode()])


def test_a_saved_plane_has_its_facts_and_opens_its_view_when_dropped(
    play: Studio, trained: Trained, tmp_path: Path
) -> None:
    vae, gan = trained.models["vae"], trained.models["gan"]
    page = play.open(f"/play/{vae['id']}?range=2&points=5")
    page.wait_for_selector("canvas.plane[data-drawn]")
    address = page.url
    with page.expect_download() as download:
        page.get_by_role("button", name="Save PNG").click()
    download.value.save_as(tmp_path / "plane.png")
    with Image.open(tmp_path / "plane.png") as picture:
        lines = dict(line.split(": ", 1) for line in picture.info["mimeo"].splitlines())
    assert (lines["model"], lines["checkpoint"]) == (vae["id"], vae["checkpoint"]["id"])

    page = play.open(f"/play/{gan['id']}")
    expect(page.locator("main h1")).to_be_visible()
    drop(page, tmp_path / "plane.png", "image/png")

    page.wait_for_url(address)


def test_another_file_is_refused_with_a_sentence(play: Studio, trained: Trained, tmp_path: Path) -> None:
    page = play.open(f"/play/{trained.models['vae']['id']}")
    expect(page.locator("main h1")).to_be_visible()
    (tmp_path / "other.txt").write_text("view: https://example.org/play/mdl_1")

    drop(page, tmp_path / "other.txt", "text/plain")

    expect(page.locator(".notice[role=status]")).to_contain_text("other.txt was not saved by a playground")
