"""Images that a page shows, and those that onnxruntime computes from the same exported graph."""

from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import onnxruntime
from playwright.sync_api import Page

Array = np.ndarray[Any, Any]
SIDE = 28


def exported(url: str, model_id: str, part: str | None = None) -> bytes:
    """A graph of a model's export, as soon as a worker has created it. part: None for the first."""
    address = f"{url}/v1/models/{model_id}/export?format=onnx" + (f"&part={part}" if part else "")
    while True:
        response = httpx.get(address, headers={"Prefer": "respond-async, wait=30"}, timeout=120, trust_env=False)
        if response.raise_for_status().status_code != HTTPStatus.ACCEPTED:
            return response.content


def graph(url: str, model_id: str, part: str | None = None) -> onnxruntime.InferenceSession:
    """A graph of a model's export. part: None for the first."""
    return onnxruntime.InferenceSession(exported(url, model_id, part), providers=["CPUExecutionProvider"])


def images(session: onnxruntime.InferenceSession, z: Any, labels: Any = None) -> Array:
    """Images of latents as bytes, [N, 28, 28], as a canvas stores them."""
    feeds = {"z": np.asarray(z, np.float32)}
    if labels is not None:
        feeds["label"] = np.asarray(labels, np.int64)
    (made,) = session.run(None, feeds)
    pixels: Array = np.rint(255 * np.asarray(made)[:, 0])
    return pixels


def shown(page: Page, selector: str) -> Array:
    """The first channel of a canvas, [height, width]."""
    script = """canvas => {
        const { width, height } = canvas, copy = new OffscreenCanvas(width, height);
        const context = copy.getContext("2d", { willReadFrequently: true });
        context.drawImage(canvas, 0, 0);
        const { data } = context.getImageData(0, 0, width, height);
        return { width, height, red: Array.from({ length: width * height }, (_, i) => data[4 * i]) };
    }"""
    found = page.eval_on_selector(selector, script)
    return np.array(found["red"], float).reshape(found["height"], found["width"])


def differ(first: Array, second: Array) -> bool:
    """Whether two images differ by more than the rounding of bytes."""
    return first.shape != second.shape or float(np.abs(first - second).max()) > 1.0


def tile(sheet: Array, row: int, column: int) -> Array:
    """One image of a sheet."""
    return sheet[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]


def latent(page: Page, element: str, name: str) -> list[float]:
    """A latent that an element of the page has as a property."""
    values: list[float] = page.eval_on_selector(element, f"element => [...element.{name}]")
    return values


def wait_until(page: Page, expression: str, arg: Any = None) -> None:
    """Wait until an expression or function is true in the page. The page's policy forbids Playwright's own `eval`."""
    for _ in range(600):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not true after a minute: {expression}")


def wait_until_shown(page: Page, selector: str, expected: Array) -> None:
    """Wait until a canvas shows an image. Raises AssertionError with the largest difference after a while."""
    for _ in range(100):
        if not differ(shown(page, selector), expected):
            return
        page.wait_for_timeout(100)
    found = shown(page, selector)
    assert found.shape == expected.shape
    raise AssertionError(f"{selector} differs by up to {np.abs(found - expected).max():.0f} of 255")
