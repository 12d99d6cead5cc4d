"""From the write of a worker to the point that the page of a job has drawn."""

import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page

from benchmarks.studio.surroundings import Api, api, fresh_page, summary
from shared import trainer_protocol
from shared.services.job_queue import Lease
from tests.acceptance.stack import running_stack
from tests.studio.filling import claim, submit
from worker.attempts.live_reports import LivePoints

STEPS = 400
GAP_S = 0.03
STORED_EVERY = 50  # steps between two writes to the database
TRAINING_S = 20
# A point is drawn when a task after the next animation frame runs: the frame of the curve is done by then.
WATCH = """() => {
    const chart = document.querySelector("m-chart"), set = chart.set.bind(chart);
    const key = ({ name, step }) => `${name} ${step}`;
    const known = new Set(Object.values(chart.options.curves).flat().map(key));
    window.delays = [];
    chart.set = (options) => {
        set(options);
        const fresh = Object.values(options.curves ?? {}).flat().filter((point) => !known.has(key(point)));
        fresh.forEach((point) => known.add(key(point)));
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => {
                const now = performance.timeOrigin + performance.now();
                for (const { at } of fresh) window.delays.push(now - 1000 * at);
            };
            port2.postMessage(null);
        });
    };
}"""


def measure(browser: Browser) -> dict[str, Any]:
    """Points that this process writes as a worker does; then those of a text training beside the browser."""
    return {"write to pixel": _written(browser), "write to pixel during a training": _trained(browser)}


def _written(browser: Browser) -> dict[str, Any]:
    with api() as running, fresh_page(browser) as page:
        job = submit(running.server.url, "live")["id"]
        lease = claim(running.worker)
        running.worker.points(lease, "loss", [1.0] * 100)
        _watch(page, f"{running.server.url}/jobs/{job}")
        points = LivePoints(running.broker, lease.job_id)
        for step in range(101, 101 + STEPS):
            points.add(trainer_protocol.Metrics(epoch=1, step=step, values={"loss": 100.0 / step}))
            points.publish_when_due()
            if step % STORED_EVERY == 0:
                _store(running, lease, step, points)
            time.sleep(GAP_S)
        page.wait_for_timeout(1000)
        return summary("write to pixel", page.evaluate("delays"))


def _store(running: Api, lease: Lease, step: int, points: LivePoints) -> None:
    progress = {"epoch": 1, "epochs": 1, "step": step, "steps": 600, "fraction": step / 600, "eta_s": 5.0}
    running.worker.report(lease, progress=progress, metrics={"loss": 100.0 / step}, device="cpu")
    points.stored()


def _trained(browser: Browser) -> dict[str, Any]:
    body = {"model_type": "lstm", "dataset": "python-source", "hyperparameters": {"epochs": 20, "layers": [64]}}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(Path(folder) / "home") as stack,
        httpx.Client(base_url=stack.url, timeout=60, trust_env=False) as http,
        fresh_page(browser) as page,
    ):
        path = f"/v1/training-jobs/{http.post('/v1/training-jobs', json=body).raise_for_status().json()['id']}"
        while not http.get(f"{path}/metrics").json()["data"]:
            time.sleep(0.2)
        _watch(page, f"{stack.url}/jobs/{path.rsplit('/', 1)[1]}")
        page.wait_for_timeout(1000 * TRAINING_S)
        delays = page.evaluate("delays")
        http.post(f"{path}/cancel").raise_for_status()
        return summary("write to pixel during a training", delays)


def _watch(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("m-chart canvas")
    page.wait_for_timeout(1000)  # the stream is open
    page.evaluate(WATCH)
