"""Datasets in the browser: previews, description, replacement, deletion."""

import re

import httpx
from playwright.sync_api import FilePayload, Locator, expect

from tests.api.live import Server
from tests.studio.conftest import Studio

TEXT = "It was the best of times, it was the worst of times.\n" * 400


def upload(url: str, name: str, text: str = TEXT) -> None:
    files = {"file": ("text.txt", text.encode())}
    form = {"name": name, "kind": "text"}
    httpx.post(f"{url}/v1/datasets", data=form, files=files, trust_env=False).raise_for_status()


def file(content: bytes) -> FilePayload:
    """A file as a person chooses it."""
    return {"name": "a.txt", "mimeType": "text/plain", "buffer": content}


def brightness(canvas: Locator) -> float:
    """The mean grey of a canvas."""
    script = """canvas => {
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return data.reduce((sum, value, i) => sum + (i % 4 === 0 ? value : 0), 0) / (data.length / 4);
    }"""
    value: float = canvas.evaluate(script)
    return value


def test_images_are_shown_by_class_and_their_address_restores_the_view(studio: Studio) -> None:
    page = studio.open("/data/digits")
    sheets = page.locator("canvas.sheet")
    expect(sheets).to_have_count(10)
    assert all(brightness(sheets.nth(i)) > 10 for i in range(10))

    page.get_by_role("button", name=re.compile("^7")).click()
    expect(sheets).to_have_count(1)
    expect(sheets).to_have_attribute("data-count", "100")
    page.get_by_role("button", name="More").click()
    expect(page.get_by_text(re.compile("^101 to 1"))).to_be_visible()
    shown = brightness(sheets)
    page.reload()

    expect(page.get_by_text(re.compile("^101 to 1"))).to_be_visible()
    assert brightness(sheets) == shown


def test_text_shows_passages_and_characters(studio: Studio, server: Server) -> None:
    upload(server.url, "dickens")
    page = studio.open("/data/dickens")
    expect(page.locator("pre.passage")).to_have_text(re.compile("^It was the best"))
    expect(page.locator("ol.characters li").first).to_contain_text("space")

    page.get_by_role("button", name="Random passage").click()

    expect(page).to_have_url(re.compile("seed="))
    expect(page.get_by_role("heading", name=re.compile("From byte"))).to_be_visible()
    passage = page.locator("pre.passage").inner_text()
    page.reload()
    expect(page.locator("pre.passage")).to_have_text(passage)


def test_absent_images_say_what_makes_them_appear(studio: Studio) -> None:
    studio.expected.add(409)
    page = studio.open("/data/mnist")
    expect(page.get_by_text("The first training that uses it downloads it.")).to_be_visible()


def test_upload_is_described_replaced_and_deleted(studio: Studio, server: Server) -> None:
    upload(server.url, "dickens")
    page = studio.open("/data")
    page.get_by_role("link", name="dickens").click()
    page.get_by_label("description").fill("A tale <b>of</b> two cities")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main > * > p").first).to_have_text("A tale <b>of</b> two cities")

    page.get_by_label("new contents").set_input_files(file(b"ab" * 500))
    expect(page.locator("pre.passage")).to_have_text(re.compile("^abab"))
    expect(page.get_by_text("2 characters")).to_be_visible()

    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete for ever").click()

    page.wait_for_url(f"{server.url}/data")
    expect(page.locator("tr[data-dataset=digits]")).to_be_visible()
    expect(page.locator("tr[data-dataset=dickens]")).to_have_count(0)
    assert httpx.get(f"{server.url}/v1/datasets/dickens", trust_env=False).status_code == 404


def test_bad_replacement_shows_its_sentence_and_keeps_the_text(studio: Studio, server: Server) -> None:
    upload(server.url, "dickens")
    studio.expected.add(422)
    page = studio.open("/data/dickens")

    page.get_by_label("new contents").set_input_files(file(b"\xff" * 500))

    expect(page.get_by_role("alert")).to_contain_text("not UTF-8")
    expect(page.locator("pre.passage")).to_have_text(re.compile("^It was the best"))
