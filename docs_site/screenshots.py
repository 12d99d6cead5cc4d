"""`make screenshots`: trains small models on a stack of its own, and writes pictures of the studio into docs/images.

The seeds are fixed. Datasets are those of MIMEO_DATASETS_DIR or of a download, and the built-in ones otherwise.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from client.demo.datasets import choose
from client.demo.server import demo_server
from client.http import Client
from client.schema import Job
from client.terminal import make_console

IMAGES = Path(__file__).parents[1] / "docs" / "images"
NAMES = {"vae": "clothes", "lstm": "plays"}
SEED = 7
WIDTH, HEIGHT = 1280, 800
DRAWN_MS = 600  # curves and pictures are drawn after the requests have ended
OPTIONS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


def main() -> int:
    """Run the program. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs_site.screenshots", description="Pictures of the studio.")
    parser.add_argument("--url", help="use this server instead of starting one")
    parser.add_argument("--epochs", type=int, help="of each training, in place of its demonstration's")
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
        jobs = train(client, console, arguments.epochs)
        browser = playwright.chromium.launch(executable_path=found, args=OPTIONS)
        for path in take(browser, client.base_url, jobs, arguments.out):
            console.print(f"{path}  {path.stat().st_size / 1000:.0f} kB", markup=False)
        browser.close()
    return 0


def train(client: Client, console: Console, epochs: int | None) -> Mapping[str, Job]:
    """One job of each type in NAMES, with the budget of its demonstration; the ended jobs by model type."""
    types = {each["name"]: each for each in client.model_types()}
    datasets = {each["name"]: each for each in client.datasets()}
    sent = {}
    for kind, name in NAMES.items():
        request = {
            "model_type": kind,
            "dataset": choose(types[kind], datasets).dataset,
            "hyperparameters": types[kind]["demo"]["hyperparameters"] | ({"epochs": epochs} if epochs else {}),
            "seed": SEED,
            "name": name,
        }
        sent[kind] = client.train(request)
    ended = {}
    for kind, job in sent.items():
        ended[kind] = client.wait(job["id"])
        console.print(f"{NAMES[kind]}: {ended[kind]['status']}", markup=False)
    return ended


def take(browser: Browser, url: str, jobs: Mapping[str, Job], folder: Path) -> list[Path]:
    """Write the pictures; their paths."""
    pages = {
        "studio-job": (f"/jobs/{jobs['vae']['id']}", "light", _film_in_the_middle),
        "studio-plane": (f"/play/{jobs['vae']['model']}?start=-3&end=3", "light", _plane),
        "studio-text": (f"/play/{jobs['lstm']['model']}?prompt=ROMEO%3A&t=0.5&length=300", "dark", _text),
    }
    written = []
    for name, (path, theme, prepare) in pages.items():
        with browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme) as context:  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(url + path)
            prepare(page)
            page.wait_for_timeout(DRAWN_MS)
            written.append(folder / f"{name}.png")
            page.screenshot(path=written[-1])
    return written


def _film_in_the_middle(page: Page) -> None:
    page.wait_for_selector(".film img, .film pre")
    page.wait_for_timeout(DRAWN_MS)


def _plane(page: Page) -> None:
    plane = page.locator("canvas.plane")
    page.wait_for_function("document.querySelector('.took')?.textContent.trim()")
    plane.hover(position={"x": 320, "y": 260})


def _text(page: Page) -> None:
    page.get_by_role("button", name="Write").click()
    page.wait_for_selector("figure pre")
    page.wait_for_selector("ol.bars")


if __name__ == "__main__":
    sys.exit(main())
