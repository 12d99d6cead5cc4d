"""Time from an input to the picture that it changes, in the browser and through the API: `python -m benchmarks.studio`.

Two models of the default size are trained for a moment on a stack of their own: the time depends on the size alone.
Prints p50 and p95 in ms of 200 inputs each, 33 ms apart, as from a hand. In the browser, a picture is measured from the
event to the frame that shows it; through the API, from the request to the decoded PNG.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import Page, sync_playwright

from tests.acceptance.stack import running_stack, wait_for_job
from tests.studio.conftest import OPTIONS, chromium

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


def main() -> None:
    """Train, measure, print."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(Path(folder) / "home") as stack,
        httpx.Client(base_url=stack.url, timeout=120, trust_env=False) as http,
        sync_playwright() as playwright,
    ):
        models = {name: _trained(http, name) for name in ("vae", "acgan")}
        browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"{stack.url}/play/{models['vae']['id']}")
        page.wait_for_selector("canvas.plane[data-drawn]")
        _measure(page, POINTER, "VAE, pointer")
        page.goto(f"{stack.url}/play/{models['acgan']['id']}")
        page.wait_for_selector(".sliders[data-ranked=yes]")
        _measure(page, SLIDER, "ACGAN, slider")
        size = models["vae"]["hyperparameters"]["latent_size"]
        z = np.linspace(-1, 1, INPUTS)[:, None].repeat(size, 1).tolist()
        _through_api(page, models["vae"], [{"mode": "latent", "z": row} for row in z], "VAE, API")
        size = models["acgan"]["hyperparameters"]["latent_size"]
        z = np.linspace(-0.9, 0.9, INPUTS)[:, None].repeat(size, 1).tolist()
        _through_api(page, models["acgan"], [{"labels": "all", "z": row} for row in z], "ACGAN, API")
        browser.close()


def _trained(http: httpx.Client, name: str) -> dict[str, Any]:
    """A model of the default size, barely trained."""
    body = {"model_type": name, "dataset": "digits", "hyperparameters": BRIEF}
    accepted = http.post("/v1/training-jobs", json=body).raise_for_status().json()
    job = wait_for_job(http, f"/v1/training-jobs/{accepted['id']}")
    model: dict[str, Any] = http.get(f"/v1/models/{job['model']}").raise_for_status().json()
    return model


def _measure(page: Page, inputs: str, title: str) -> None:
    page.wait_for_timeout(2000)  # the page draws its sheet first
    page.evaluate("performance.clearMeasures('picture')")
    page.evaluate(inputs, [INPUTS, GAP_MS])
    page.wait_for_timeout(500)
    _show(title, page.evaluate(PICTURES))


def _through_api(page: Page, model: dict[str, Any], samplings: list[dict[str, Any]], title: str) -> None:
    _show(title, page.evaluate(SERVER, [model["id"], samplings]))


def _show(title: str, times_ms: list[float]) -> None:
    p50, p95 = np.percentile(times_ms, [50, 95])
    print(f"{title:16} {len(times_ms):4d} pictures   p50 {p50:6.1f} ms   p95 {p95:6.1f} ms", flush=True)


if __name__ == "__main__":
    main()
