"""The playground of a training that goes on, on a real stack."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.acceptance.stack import wait_for_job
from tests.studio.conftest import Studio, Trained
from tests.studio.pixels import wait_until

pytestmark = pytest.mark.slow
SEEN = """first => {
    const section = document.querySelector(".following[data-checkpoint]");
    return section !== null && section.dataset.checkpoint !== first;
}"""


@pytest.mark.parametrize("name", ["vae", "lstm"])
def test_a_playground_draws_again_with_each_checkpoint_of_a_training(play: Studio, trained: Trained, name: str) -> None:
    model = trained.models[name]
    with httpx.Client(base_url=trained.url, timeout=70, trust_env=False) as http:
        body = {
            "model_type": name,
            "dataset": model["dataset"],
            "hyperparameters": {**model["hyperparameters"], "epochs": 500},
            "evaluation": "none",
        }
        job = http.post("/v1/training-jobs", json=body).raise_for_status().json()["id"]
        try:
            page = play.open(f"/play/{job}")
            wait_until(page, SEEN, arg="")
            expect(page.locator(".following img, .following pre")).to_be_visible()
            first = page.get_attribute(".following", "data-checkpoint")
            wait_until(page, SEEN, arg=first)
        finally:
            http.post(f"/v1/training-jobs/{job}/cancel")
        wait_for_job(http, f"/v1/training-jobs/{job}")
        expect(page.locator("m-play-following [role=status]")).to_contain_text("cancelled")


def test_the_playground_of_an_ended_training_leads_to_its_model(play: Studio, trained: Trained) -> None:
    model = trained.models["gan"]
    page = play.open(f"/play/{model['training_job']}")
    page.wait_for_url(f"**/play/{model['id']}")
    page.wait_for_selector(".sliders[data-ranked=yes]")
