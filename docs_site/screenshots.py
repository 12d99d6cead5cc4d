"""`make screenshots`: trains a small VAE on a stack of its own, and writes pictures of the studio into docs/images.

Playgrounds show the ready-made models. The seed of the training is fixed. Its dataset is that of
MIMEO_DATASETS_DIR or of a download, and the built-in one otherwise.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from client.demo.datasets import choose
from client.demo.server import demo_server
from client.http import Client
from client.schema import Job
from client.terminal import make_console

IMAGES = Path(__file__).parents[1] / "docs" / "images"
NAME = "clothes"
SEED = 7
WIDTH, HEIGHT = 1280, 800
COLOURS = 256
EXPORT_MS = 180_000  # a playground waits for the export of its model
DRAWN_MS = 600  # curves and pictures are drawn after the requests have ended
OPTIONS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


def main() -> int:
    """Run the program. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs_site.screenshots", description="Pictures of the studio.")
    parser.add_argument("--url", help="use this server instead of starting one")
    parser.add_argument("--epochs", type=int, help="of the training, in place of its demonstration's")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures (default docs/images)")
    arguments = parser.parse_args()
    found = os.environ.get("MIMEO_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        print("No Chromium was found. Install the package `chromium`, or set MIMEO_CHROMIUM.", file=sys.stderr)
        return 2
    console = make_console()
    with (
        tempfile.TemporaryDirectory() as home,
        demo_server(arguments.url, Path(home)) as client,
        sync_playwright() as playwright,
    ):
        job = train(client, console, arguments.epochs)
        ready = {each["model_type"]: each["id"] for each in client.models()["data"] if each["source"] == "ready-made"}
        browser = playwright.chromium.launch(executable_path=found, args=OPTIONS)
        for path in take(browser, client.base_url, job["id"], ready, arguments.out):
            console.print(f"{path}  {path.stat().st_size / 1000:.0f} kB", markup=False)
        browser.close()
    return 0


def train(client: Client, console: Console, epochs: int | None) -> Job:
    """A VAE with the budget of its demonstration, once it has ended."""
    kind = next(each for each in client.model_types() if each["name"] == "vae")
    request = {
        "model_type": kind["name"],
        "dataset": choose(kind, {each["name"]: each for each in client.datasets()}).dataset,
        "hyperparameters": kind["demo"]["hyperparameters"] | ({"epochs": epochs} if epochs else {}),
        "seed": SEED,
        "name": NAME,
    }
    job = client.wait(client.train(request)["id"])
    console.print(f"{NAME}: {job['status']}", markup=False)
    return job


def take(browser: Browser, url: str, job_id: str, ready: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the pictures; their paths. ready: ids of the ready-made models by type."""
    pages = {
        "studio-job": (f"/jobs/{job_id}", "light", _film),
        "studio-plane": (f"/play/{ready['vae']}?start=-3&end=3", "light", _plane),
        "studio-text": (f"/play/{ready['lstm']}?prompt=ROMEO%3A%0AO%2C+my+&t=0.5,0.8&length=240", "dark", _text),
    }
    written = []
    for name, (path, theme, prepare) in pages.items():
        with browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme) as context:  # type: ignore[arg-type]
            context.set_default_timeout(EXPORT_MS)
            page = context.new_page()
            page.goto(url + path)
            prepare(page)
            page.wait_for_timeout(DRAWN_MS)
            written.append(folder / f"{name}.png")
            page.screenshot(path=written[-1])
            Image.open(written[-1]).convert("RGB").quantize(COLOURS).save(written[-1], optimize=True)
    return written


def _film(page: Page) -> None:
    page.wait_for_selector(".film img, .film pre")
    page.wait_for_selector("m-real-examples canvas")


def _plane(page: Page) -> None:
    plane = page.locator("canvas.plane")
    page.wait_for_selector("canvas.plane[data-drawn]")
    plane.hover(position={"x": 320, "y": 260})


def _text(page: Page) -> None:
    page.get_by_role("button", name="Write").click()
    for column in page.locator("m-surprise").all():
        column.and_(page.locator("[data-bits]")).wait_for()
    page.wait_for_selector("ol.bars")


if __name__ == "__main__":
    sys.exit(main())
