"""The form of a new training."""

import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from shared.errors import JobFailure
from shared.job_status import ErrorCode, JobKind
from tests.api.live import Server
from tests.api.worker_hands import WorkerWrites
from tests.studio.conftest import Studio
from tests.studio.filling import claim, submit

ROOT = Path(__file__).parents[2]
MOST_ESTIMATE_MS = 500
# Milliseconds from an input to the new number of steps.
TIMED_CHANGE = """async ([selector, text]) => {
  const steps = document.querySelector(".estimate dd"), input = document.querySelector(selector);
  const before = steps.textContent, start = performance.now();
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  while (steps.textContent === before || steps.textContent === "…") await new Promise(requestAnimationFrame);
  return performance.now() - start;
}"""


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


def fact(page: Page, name: str) -> Any:
    """The value of a line of the estimate."""
    return page.locator(".estimate dt", has_text=name).locator("xpath=following-sibling::dd[1]")


def test_the_estimate_follows_a_change_within_half_a_second(studio: Studio, server: Server) -> None:
    page = studio.open("/jobs/new?type=vae&dataset=digits")
    expect(fact(page, "steps")).not_to_have_text("…")
    times = [page.evaluate(TIMED_CHANGE, ["#hp-epochs", str(epochs)]) for epochs in (20, 30, 40, 50, 60)]

    assert statistics.median(times) < MOST_ESTIMATE_MS
    expect(fact(page, "steps")).to_have_text("14,100")  # 60 epochs of 235
    expect(fact(page, "memory")).to_contain_text("MB")
    expect(fact(page, "place in the queue")).to_have_text("1st")
    expect(page.locator(".estimate")).to_contain_text("No worker has measured the speed of vae models")
    expect(page.locator(".estimate .warned")).to_contain_text("No training worker is running. Start one: mimeo up")
    assert jobs(server) == []


def test_the_estimate_states_the_time_by_a_speed_that_was_measured_here(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    submit(server.url, "measured")
    worker.report(claim(worker), progress={"step": 5, "examples_per_s": 18_000.0}, device="cpu")
    page = studio.open("/jobs/new?type=vae&dataset=digits")

    expect(fact(page, "time")).to_have_text("about 60 s")  # 18 epochs of 60,160 images
    expect(page.locator(".estimate")).to_contain_text("trained 18,000 examples a second")


def test_a_refusal_of_the_estimate_stands_at_its_field_and_leaves_the_focus(studio: Studio, server: Server) -> None:
    studio.expected = {422}
    page = studio.open("/jobs/new?type=gan&dataset=usps")
    page.locator("#hp-network").focus()
    page.locator("#hp-network").select_option("book")

    expect(page.locator('[data-field="network"] .error')).to_contain_text("28×28")
    expect(page.locator("#hp-network")).to_be_focused()
    expect(fact(page, "steps")).to_have_text("The settings have errors.")
    page.locator("#hp-network").select_option("compact")
    expect(page.locator('[data-field="network"] .error')).to_have_count(0)
    expect(fact(page, "steps")).to_contain_text(",")
    assert jobs(server) == []


def test_the_printed_command_and_body_give_the_settings_of_the_form(studio: Studio, server: Server) -> None:
    page = studio.open("/jobs/new?type=vae&dataset=digits")
    for name, text in {"hidden": "64, 32", "learning_rate": "0.002", "examples_per_epoch": ""}.items():
        page.locator(f"#hp-{name}").fill(text)
    page.locator("#hp-activation").select_option("relu")
    page.locator("#name").fill("it's a name")
    page.locator("#seed").fill("7")
    page.locator("#priority").select_option("high")
    commands = page.locator("pre", has_text="mimeo train").inner_text()
    line, curl = commands.replace("\\\n", "").split("\n\n")  # as a shell continues lines
    body = json.loads(shlex.split(curl)[-1])

    environment = {**os.environ, "MIMEO_URL": server.url, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "client.cli", *shlex.split(line)[1:], "--dry-run", "--json"]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    by_command = json.loads(done.stdout)
    by_body = httpx.post(f"{server.url}/v1/training-jobs", json={**body, "dry_run": True}, trust_env=False).json()
    assert by_command == by_body
    changed = {"hidden": [64, 32], "learning_rate": 0.002, "examples_per_epoch": None, "activation": "relu"}
    assert changed.items() <= by_command["hyperparameters"].items()
    assert "--name" in line
    assert "--priority high" in line.replace("'", "")


def test_the_address_alone_restores_the_form(studio: Studio, server: Server) -> None:
    page = studio.open("/jobs/new?type=vae")
    page.locator("#dataset").select_option("digits")
    page.locator("#hp-epochs").fill("5")
    page.locator("#hp-examples_per_epoch").fill("")
    page.locator("#name").fill("a name")
    expect(fact(page, "steps")).to_have_text("30")

    again = studio.open(page.url.removeprefix(studio.url))

    expect(again.locator("#dataset")).to_have_value("digits")
    expect(again.locator("#hp-epochs")).to_have_value("5")
    expect(again.locator("#hp-examples_per_epoch")).to_have_value("")
    expect(again.locator("#name")).to_have_value("a name")
    expect(again.locator(".field.changed")).to_have_count(2)
    expect(fact(again, "steps")).to_have_text("30")


def test_a_job_is_continued_from_its_page(studio: Studio, server: Server, worker: WorkerWrites) -> None:
    job = submit(server.url, "first", hyperparameters={"epochs": 3})
    model = worker.publish(worker.claim(JobKind.TRAINING))
    page = studio.open(f"/jobs/{job['id']}")
    page.get_by_role("link", name="Continue").click()
    expect(page.get_by_role("heading", name="Continue: first")).to_be_visible()
    expect(page.locator(".difference dt")).to_have_text(["init_from"])
    page.locator("#hp-epochs").fill("9")
    expect(page.locator(".difference dt")).to_have_text(["init_from", "epochs"])
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url("**/jobs/trn_*")

    made = jobs(server)[0]
    assert made["init_from"] == model
    assert made["hyperparameters"] == {**job["hyperparameters"], "epochs": 9}


def test_a_diverged_job_is_trained_again_with_a_third_of_its_learning_rate(
    studio: Studio, server: Server, worker: WorkerWrites
) -> None:
    job = submit(server.url, "wild", hyperparameters={"learning_rate": 0.3})
    failure = JobFailure(ErrorCode.DIVERGED, "The loss is not finite at step 12.", "Lower the learning rate.")
    worker.fail(claim(worker), failure)
    page = studio.open(f"/jobs/{job['id']}")
    expect(page.get_by_role("alert")).to_contain_text("Lower the learning rate.")
    page.get_by_role("link", name="Train again with a third of the learning rate").click()

    expect(page.locator("#hp-learning_rate")).to_have_value("0.1")
    expect(page.locator(".difference dt")).to_have_text(["learning_rate"])
