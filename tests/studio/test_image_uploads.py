"""The upload of images on the page of the datasets."""

from playwright.sync_api import expect

from tests.pictures import class_folders
from tests.studio.conftest import Studio


def choose(studio: Studio, name: str, data: bytes) -> None:
    file = {"name": name, "mimeType": "application/zip", "buffer": data}
    studio.page.locator('input[type="file"]').set_input_files(file)  # type: ignore[arg-type]


def test_archive_of_images_is_uploaded_with_a_size_and_described_in_words(studio: Studio) -> None:
    page = studio.open("/data")
    choose(studio, "My Pets.zip", class_folders())
    expect(page.locator('input[name="name"]')).to_have_value("my-pets")
    page.locator('select[name="size"]').select_option("48")
    page.get_by_role("button", name="Add", exact=True).click()
    said = page.locator("main .notice")
    expect(said).to_contain_text("10 uploaded images in 2 classes, 48×48, colour")
    expect(said).to_contain_text("8 are for training and 2 for the test")
    expect(page.locator('tr[data-dataset="my-pets"]')).to_contain_text("10 images in 2 classes")


def test_uploaded_images_are_shown_and_chosen_for_a_training_before_they_are_prepared(studio: Studio) -> None:
    studio.expected = {409}
    page = studio.open("/data")
    choose(studio, "pets.zip", class_folders())
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("main .notice img.pixels")).to_have_js_property("naturalWidth", 8 * 66 - 2)
    page.locator('tr[data-dataset="pets"]').get_by_role("link", name="pets").click()
    expect(page.locator("m-preview-images img.pixels")).to_have_js_property("naturalWidth", 8 * 66 - 2)
    expect(page.get_by_text("what was done")).to_be_visible()
    page.get_by_role("link", name="Train on it").click()
    expect(page.locator('[name="dataset"]')).to_have_value("pets")


def test_refused_archive_shows_its_sentence_and_can_be_sent_again(studio: Studio) -> None:
    studio.expected = {422}
    page = studio.open("/data")
    choose(studio, "pets.zip", class_folders(bad=b"no picture"))
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("pets/cat/bad.png")
    choose(studio, "pets.zip", class_folders())
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator('tr[data-dataset="pets"]')).to_be_visible()


def test_text_is_still_uploaded_at_once(studio: Studio) -> None:
    page = studio.open("/data")
    choose(studio, "verses.txt", b"But soft, what light through yonder window breaks? " * 20)
    expect(page.locator('tr[data-dataset="verses"]')).to_contain_text("1,020 characters")
