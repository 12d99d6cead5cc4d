"""The page of models: import from a file, and the marks of models that were not trained here."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.model_files import model_file
from tests.studio.conftest import Studio

pytestmark = pytest.mark.slow


def test_chosen_file_is_imported_marked_and_deleted(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "clothes.safetensors"
    path.write_bytes(model_file("vae", about={"dataset": "fashion-mnist", "license": "Fashion-MNIST: MIT"}))
    page = studio.open("/models")
    expect(page.get_by_text("A finished training publishes its model here")).to_be_visible()

    page.get_by_label("file").set_input_files(path)

    card = page.locator(".card[data-source=imported]")
    expect(card).to_have_count(1)
    expect(card.locator(".tag")).to_have_text("imported")
    expect(card).to_contain_text("Trained on Fashion-MNIST: MIT")
    expect(page.get_by_role("status").filter(has_text="was imported")).to_be_visible()
    expect(card.get_by_role("link", name="Training")).to_have_count(0)

    page.on("dialog", lambda dialog: dialog.accept())
    card.get_by_role("button", name="Delete").click()
    expect(card).to_have_count(0)


def test_dropped_file_of_another_program_is_refused_with_its_sentence(studio: Studio) -> None:
    studio.expected.add(422)
    page = studio.open("/models")
    expect(page.get_by_role("heading", name="Import")).to_be_visible()

    page.evaluate("""() => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array([0x80, 2, 0x7d, 0x71, 0, 0x58, 5, 0, 0, 0])], "model.pt"));
      document.querySelector("m-models").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }""")

    expect(page.get_by_role("alert")).to_contain_text("This is a pickle")
    expect(page.locator(".card")).to_have_count(0)


def test_first_page_leads_to_the_playground_of_a_model_that_is_there(studio: Studio) -> None:
    files = {"file": ("m.safetensors", model_file("gan"))}
    model = httpx.post(f"{studio.url}/v1/models", files=files, trust_env=False).json()
    page = studio.open("/")
    expect(page.locator(".card[data-type=gan]").get_by_role("link")).to_have_attribute("href", f"/play/{model['id']}")
    expect(page.locator(".card[data-type=vae]").get_by_role("link")).to_have_count(0)
