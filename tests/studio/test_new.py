"""The form of a new training."""

from typing import Any

import httpx
from playwright.sync_api import expect

from tests.api.live import Server
from tests.studio.conftest import Studio
from tests.studio.filling import submit


def jobs(server: Server) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = httpx.get(f"{server.url}/v1/training-jobs", trust_env=False).json()["data"]
    return data


def test_one_click_on_a_card_of_an_empty_stack_makes_a_job(studio: Studio, server: Server) -> None:
    page = studio.open("/")
    expect(page.locator(".card")).to_have_count(4)
    expect(page.get_by_text("No training worker is running")).to_be_visible()
    page.locator('.card[data-type="vae"]').get_by_role("button").click()
    page.wait_for_url("**/jobs/trn_*")
    expect(page.locator("h1 + .status")).to_have_text("queued")
    assert len(jobs(server)) == 1


def test_a_wrong_value_puts_its_message_and_the_focus_at_the_field_and_makes_no_job(
    studio: Studio, server: Server
) -> None:
    studio.expected = {422}
    page = studio.open("/jobs/new?type=vae")
    field = page.locator('[data-field="epochs"]')
    field.locator("input").fill("0")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(field.locator(".error")).to_contain_text("greater than or equal to 1")
    expect(field.locator("input")).to_be_focused()
    field.locator("input").fill("many")
    expect(field.locator(".error")).to_have_text("Give a number.")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(field.locator("input")).to_be_focused()
    assert jobs(server) == []


def test_a_changed_value_is_marked_and_can_be_reset(studio: Studio) -> None:
    page = studio.open("/jobs/new?type=vae")
    field = page.locator('[data-field="learning_rate"]')
    usual = field.locator("input").input_value()
    field.locator("input").fill("0.01")
    expect(field.locator(".mark")).to_have_text("changed")
    field.get_by_role("button", name="Reset learning_rate").click()
    expect(field.locator("input")).to_have_value(usual)
    expect(field.locator(".mark")).to_have_count(0)


def test_train_again_shows_exactly_the_edited_settings(studio: Studio, server: Server) -> None:
    job = submit(server.url, "first", hyperparameters={"epochs": 3})
    page = studio.open(f"/jobs/new?from={job['id']}")
    expect(page.get_by_text("None yet")).to_be_visible()
    page.locator('[data-field="epochs"] input').fill("5")
    page.locator('[data-field="hidden"] input').fill("64, 32")
    expect(page.locator(".difference dt")).to_have_text(["epochs", "hidden"])
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url("**/jobs/trn_*")
    made = jobs(server)[0]
    assert made["hyperparameters"] | {"epochs": 3, "hidden": job["hyperparameters"]["hidden"]} == job["hyperparameters"]
