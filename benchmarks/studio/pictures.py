"""From an input to the picture that it changes, in the browser and through the API.

Models are trained for a moment on a stack of their own: the time depends on the size alone. There are 200 inputs each,
33 ms apart, as from a hand. In the browser, a picture is measured from the event to the frame that shows it; through
the API, from the request to the decoded PNG.
"""

import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import Browser, Page

from benchmarks.studio.surroundings import fresh_page, summary
from tests.acceptance.stack import running_stack, wait_for_job

INPUTS = 200
GAP_MS = 33
BRIEF = {"epochs": 1, "examples_per_epoch": 256}
POINTER = """async ([count, gap]) => {
    const square = document.querySelector(".square"), box = square.getBoundingClientRect();
    for (let i = 0; i < count; i++) {
        const clientX = box.left + box.width * (0.1 + (0.8 * i) / count), clientY = box.top + box.height * 0.5;
        square.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, pointerType: "mouse" }));
        await new Promise((resolve) => setTimeout(resolve, gap));
    }
}"""
SLIDER = """async ([count, gap]) => {
    const slider = document.querySelector(".sliders input");
    for (let i = 0; i < count; i++) {
        slider.value = -0.9 + (1.8 * i) / count;
        slider.dispatchEvent(new Event("input"));
        await new Promise((resolve) => setTimeout(resolve, gap));
    }
}"""
SERVER = """async ([model, samplings]) => {
    const took = [];
    for (const sampling of samplings) {
        const began = performance.now();
        const headers = { "Content-Type": "application/json", Prefer: "wait=30" };
        const body = JSON.stringify({ model, sampling, priority: "high" });
        const job = await (await fetch("/v1/generation-jobs", { method: "POST", headers, body })).json();
        const picture = new Image();
        picture.src = job.artifacts[0].urls.content;
        await picture.decode();
        took.push(performance.now() - began);
    }
    return took;
}"""
PICTURES = "performance.getEntriesByName('picture').map(({ duration }) => duration)"
TITLES = {"vae": "VAE, pointer", "acgan": "ACGAN, slider"}
READY = {"vae": "canvas.plane[data-drawn]", "acgan": ".sliders[data-ranked=yes]"}
INPUT = {"vae": POINTER, "acgan": SLIDER}


def measure(browser: Browser) -> dict[str, Any]:
    """VAE and ACGAN with default networks and with those of `book`."""
    figures = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(Path(folder) / "home") as stack,
        httpx.Client(base_url=stack.url, timeout=120, trust_env=False) as http,
        fresh_page(browser) as page,
    ):
        for preset, suffix in ((None, ""), ("book", ", book")):
            for name in ("vae", "acgan"):
                model = _trained(http, name, preset)
                page.goto(f"{stack.url}/play/{model['id']}")
                title = f"{TITLES[name]}{suffix}"
                figures[title] = _in_browser(page, name, title)
                if preset is None:
                    title = f"{TITLES[name].partition(',')[0]}, through the API"
                    figures[title] = summary(title, page.evaluate(SERVER, [model["id"], _samplings(name, model)]))
    return figures


def _trained(http: httpx.Client, name: str, preset: str | None) -> dict[str, Any]:
    """A barely trained model of a preset, of the default one where None."""
    body = {"model_type": name, "dataset": "digits", "hyperparameters": BRIEF, "evaluation": "none"}
    if preset is not None:
        body["preset"] = preset
    accepted = http.post("/v1/training-jobs", json=body).raise_for_status().json()
    job = wait_for_job(http, f"/v1/training-jobs/{accepted['id']}")
    model: dict[str, Any] = http.get(f"/v1/models/{job['model']}").raise_for_status().json()
    return model


def _in_browser(page: Page, name: str, title: str) -> dict[str, Any]:
    page.wait_for_selector(READY[name])
    page.wait_for_timeout(2000)  # the page draws its sheet first
    page.evaluate("performance.clearMeasures('picture')")
    page.evaluate(INPUT[name], [INPUTS, GAP_MS])
    page.wait_for_timeout(500)
    return summary(title, page.evaluate(PICTURES))


def _samplings(name: str, model: dict[str, Any]) -> list[dict[str, Any]]:
    """The requests that draw one picture for each input."""
    size = model["hyperparameters"]["latent_size"]
    z = np.linspace(-0.9, 0.9, INPUTS)[:, None].repeat(size, 1).tolist()
    fixed = {"mode": "latent"} if name == "vae" else {"labels": "all"}
    return [{**fixed, "z": row} for row in z]
