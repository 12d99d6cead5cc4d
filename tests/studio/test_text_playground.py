"""The playground of a text model, on a real stack."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.studio.conftest import Studio, Trained
from tests.studio.pixels import graph, wait_until

pytestmark = pytest.mark.slow
CHANGED = """text => {
    const shown = document.querySelector("m-surprise[data-bits] pre");
    return shown !== null && shown.textContent !== text;
}"""


class Exported:
    """The exported step graph in onnxruntime."""

    def __init__(self, trained: Trained) -> None:
        self.session = graph(trained.url, trained.models["lstm"]["id"])
        self.facts = self.session.get_modelmeta().custom_metadata_map
        self.ids = {character: index for index, character in enumerate(self.facts["vocabulary"])}

    def logits(self, text: str) -> np.ndarray[Any, Any]:
        """Logits of the character after each of a text, [T, V]."""
        state = {
            each.name: np.zeros((1, each.shape[1]), np.float32)
            for each in self.session.get_inputs()
            if each.name != "ids"
        }
        rows = []
        for character in text:
            given = {"ids": np.array([self.ids[character]]), **state}
            values = dict(
                zip([each.name for each in self.session.get_outputs()], self.session.run(None, given), strict=True)
            )
            rows.append(values.pop("logits")[0])
            state = {name.removesuffix("_after"): value for name, value in values.items()}
        return np.array(rows, np.float64)


@pytest.fixture(scope="module")
def exported(trained: Trained) -> Exported:
    return Exported(trained)


def opened(play: Studio, trained: Trained, query: str = "") -> Page:
    page = play.open(f"/play/{trained.models['lstm']['id']}{query}")
    page.wait_for_selector("ol.bars")
    return page


def bars(page: Page) -> dict[int, float]:
    """Probabilities of the shown characters by id, in the shown order."""
    items = page.eval_on_selector_all("ol.bars li", "items => items.map((item) => [item.dataset.id, item.dataset.p])")
    return {int(number): float(value) for number, value in items}


def log_softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    shifted = logits - logits.max(-1, keepdims=True)
    normalized: np.ndarray[Any, Any] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return normalized


def written(page: Page) -> str:
    """Write, and return the first column's text once it is tinted."""
    page.click("button.write")
    page.wait_for_selector("m-surprise[data-bits]")
    return page.text_content("m-surprise pre") or ""


def test_bars_are_the_softmax_of_the_exported_graph_and_their_order_never_changes(
    play: Studio, trained: Trained, exported: Exported
) -> None:
    page = opened(play, trained, "?prompt=import+&t=1")
    expected = np.exp(log_softmax(exported.logits("import ")[-1]))
    at_one = bars(page)
    assert {number: pytest.approx(expected[number], abs=1e-4) for number in at_one} == at_one
    assert list(at_one) == list(np.argsort(-expected, kind="stable")[: len(at_one)])
    for temperature in ("0", "0.3", "1.6", "2"):
        page.locator("input[aria-label='Temperature 1']").fill(temperature)
        wait_until(page, "t => location.search.includes(`t=${t}`)", arg=temperature)
        expect(page.locator(".next p")).to_contain_text(f"T = {float(temperature):.2f}")
        assert list(bars(page)) == list(at_one)
    assert max(bars(page).values()) < max(at_one.values())


def test_bars_follow_the_prompt_and_grey_what_top_k_and_top_p_cut(
    play: Studio, trained: Trained, exported: Exported
) -> None:
    page = opened(play, trained, "?t=1")
    page.fill("textarea", "def ")
    expected = np.exp(log_softmax(exported.logits("def ")[-1]))
    wait_until(page, "p => Math.abs(document.querySelector('ol.bars li').dataset.p - p) < 1e-4", arg=expected.max())
    page.locator("label:has-text('top-k') input").fill("3")
    page.keyboard.press("Tab")
    expect(page.locator("ol.bars li:not(.cut)")).to_have_count(3)
    page.locator("label:has-text('top-p') input").fill("0.0001")
    page.keyboard.press("Tab")
    expect(page.locator("ol.bars li:not(.cut)")).to_have_count(1)


def test_surprise_is_the_sum_of_the_tooltips_and_of_the_exported_graph(
    play: Studio, trained: Trained, exported: Exported
) -> None:
    page = opened(play, trained, "?length=30&t=1")
    text = written(page)
    assert len(text) == 30
    shown = []
    page.locator("m-surprise pre").focus()
    for place in range(30):
        page.locator("m-surprise pre span").nth(place).hover()
        shown.append(float(page.get_attribute(".alternatives p", "data-bits") or "nan"))
        page.mouse.move(0, 0)
    total = float(page.get_attribute("m-surprise", "data-bits") or "nan")
    seed_text = exported.facts["seed_text"]
    rows = log_softmax(exported.logits(seed_text + text[:-1])[len(seed_text) - 1 :])
    expected = [-rows[place, exported.ids[character]] / np.log(2) for place, character in enumerate(text)]
    assert shown == pytest.approx(expected, abs=1e-3)
    assert total == pytest.approx(sum(shown), abs=1e-9)


def test_branch_from_another_character_keeps_its_prefix(play: Studio, trained: Trained) -> None:
    page = opened(play, trained, "?length=40&t=1")
    text = written(page)
    page.locator("m-surprise pre span").nth(12).click()
    other = page.locator(".alternatives button").nth(1)
    character = other.get_attribute("data-character") or ""
    assert character != text[12]
    other.click()
    wait_until(page, CHANGED, arg=text)
    branch = page.text_content("m-surprise pre") or ""
    assert branch[:13] == text[:12] + character
    assert len(branch) == 40


def test_alternatives_open_and_branch_with_the_keyboard(play: Studio, trained: Trained) -> None:
    page = opened(play, trained, "?length=20&t=1")
    text = written(page)
    page.locator("m-surprise pre").press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    wait_until(page, CHANGED, arg=text)
    assert (page.text_content("m-surprise pre") or "")[:18] == text[:18]


def test_columns_write_at_their_temperatures_and_a_saved_file_repeats_the_text(play: Studio, trained: Trained) -> None:
    page = opened(play, trained, "?length=25&t=0,0.5,1&prompt=class+")
    page.get_by_text("Another temperature").click()
    page.click("button.write")
    expect(page.locator("m-surprise[data-bits]")).to_have_count(4)
    texts = page.locator("m-surprise pre").all_text_contents()
    assert [len(text) for text in texts] == [25] * 4
    with page.expect_download() as download:
        page.locator("button.save").nth(1).click()
    head, text = Path(download.value.path()).read_text().split("\n\n", 1)
    facts = dict(re.findall(r"^(\w+): (.*)$", head, re.MULTILINE))
    model = trained.models["lstm"]
    assert (text, facts["model"], facts["checkpoint"]) == (texts[1], model["id"], model["checkpoint"]["id"])
    request = {"model": facts["model"], "sampling": json.loads(facts["sampling"]), "seed": int(facts["seed"])}
    answer = httpx.post(
        f"{trained.url}/v1/generation-jobs", json=request, headers={"Prefer": "wait=60"}, timeout=90, trust_env=False
    )
    assert answer.json()["output"]["text"] == text


def test_stop_cancels_the_job(play: Studio, trained: Trained) -> None:
    page = opened(play, trained, "?length=10000&t=1,1,1,1")
    page.click("button.write")
    page.click("button.stop")
    expect(page.locator("section.column .error").first).to_have_text("Stopped.")
    expect(page.locator("button.write")).to_be_enabled()


def test_random_passage_is_a_part_of_the_data(play: Studio, trained: Trained, exported: Exported) -> None:
    page = opened(play, trained)
    page.get_by_text("Random passage").click()
    passage = page.input_value("textarea")
    assert passage
    assert passage in exported.facts["seed_text"]


def test_text_appears_while_it_is_written_and_stop_keeps_what_is_there(play: Studio, trained: Trained) -> None:
    page = opened(play, trained, "?length=100000&t=1&prompt=class+")
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url) if "/generation-jobs/gen_" in request.url else None)
    page.click("button.write")
    wait_until(page, "(document.querySelector('pre.live')?.textContent ?? '') !== ''")
    first = page.text_content("pre.live") or ""
    wait_until(page, "text => document.querySelector('pre.live').textContent.length > text.length", arg=first)
    assert (page.text_content("pre.live") or "").startswith(first)
    expect(page.locator("section.column .bar .muted").first).to_contain_text("of 100,000")
    job = page.get_attribute("section.column", "data-job")
    page.click("button.stop")
    expect(page.locator("section.column .error")).to_have_text("Stopped.")
    kept = page.text_content("section.column pre") or ""
    assert kept.startswith(first)
    read = httpx.get(f"{trained.url}/v1/generation-jobs/{job}", trust_env=False).json()
    assert read["status"] == "cancelled"
    assert [url for url in polls if not url.endswith(("/cancel", "/stream"))] == []
