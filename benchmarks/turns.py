"""Short generations beside a long one, on an embedded stack: `python -m benchmarks.turns`.

Prints the figures and writes them to `benchmarks/results/turns.json`:

- The latency of a text of five characters through `Prefer: wait`: on an idle stack, and while 10 × 100,000 characters
  are being written, with the same and with a high priority.
- The time of one generation of 10 × 20,000 characters alone, and beside a text of five characters each second.
- The time until a cancelled generation has ended, and whether the worker process and its model are the same after it.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.latency import percentile
from benchmarks.quality import commit, machine
from tests.acceptance.stack import running_stack, wait_for_job

RESULTS = Path(__file__).parent / "results" / "turns.json"
TRAINING = {
    "model_type": "lstm",
    "dataset": "python-source",
    "hyperparameters": {"epochs": 1, "examples_per_epoch": 20_000, "layers": [256, 256]},
    "evaluation": "none",
}
MILLION = {"n": 10, "length": 100_000}
PART = {"n": 10, "length": 20_000}
SHORT = {"length": 5}
PAUSE_S = 0.5


def train(client: httpx.Client) -> str:
    """Train a text model for a moment and return its id."""
    accepted = client.post("/v1/training-jobs", json=TRAINING).raise_for_status().json()
    job = wait_for_job(client, f"/v1/training-jobs/{accepted['id']}", timeout_s=600)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the job ended as {job['status']}: {job['error']}")
    return str(job["model"])


def submit(client: httpx.Client, model: str, sampling: dict[str, Any], wait_s: int = 0, **fields: Any) -> Any:
    """Submit a generation."""
    body = {"model": model, "sampling": sampling, "timeout_s": 86_400, **fields}
    headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
    return client.post("/v1/generation-jobs", json=body, headers=headers).raise_for_status().json()


def short_ms(client: httpx.Client, model: str, count: int, priority: str = "normal") -> dict[str, float]:
    """Latencies of short texts one after another, in milliseconds."""
    times = []
    for seed in range(count):
        began = time.perf_counter()
        job = submit(client, model, SHORT, 60, seed=seed, priority=priority)
        times.append(1000 * (time.perf_counter() - began))
        if job["status"] != "succeeded":
            raise RuntimeError(f"the generation ended as {job['status']}: {job['error']}")
        time.sleep(PAUSE_S)
    return {"p50": statistics.median(times), "p99": percentile(times, 0.99), "max": max(times)}


def beside_a_million(client: httpx.Client, model: str, count: int, priority: str) -> dict[str, float]:
    """The same while a million characters are being written; the writing is then cancelled."""
    path = f"/v1/generation-jobs/{submit(client, model, MILLION, seed=1)['id']}"
    while client.get(path).json()["status"] == "queued":
        time.sleep(0.05)
    figures = short_ms(client, model, count, priority)
    status = client.get(path).json()["status"]
    if status != "running":
        raise RuntimeError(f"the long generation was {status} at the end: use fewer --short")
    worker = generation_worker(client)
    began = time.perf_counter()
    client.post(f"{path}/cancel").raise_for_status()
    while not client.get(path).json()["is_terminal"]:
        time.sleep(0.02)
    figures["cancelled_after"] = 1000 * (time.perf_counter() - began)
    figures["next_text_after_the_cancel"] = short_ms(client, model, 1)["max"]
    if generation_worker(client) != worker:
        raise RuntimeError("the worker was restarted")
    return figures


def generation_worker(client: httpx.Client) -> int:
    """Process id of the generation worker."""
    return next(int(each["pid"]) for each in client.get("/v1/workers").json()["data"] if each["kind"] == "generation")


def part_s(client: httpx.Client, model: str, *, is_interrupted: bool) -> float:
    """Seconds of one generation of 200,000 characters, by the job's own times."""
    path = f"/v1/generation-jobs/{submit(client, model, PART, seed=2)['id']}"
    over = threading.Event()

    def interrupt() -> None:
        while not over.wait(1.0):
            submit(client, model, SHORT, 60)

    thread = threading.Thread(target=interrupt)
    if is_interrupted:
        thread.start()
    job = wait_for_job(client, path, timeout_s=3600)
    over.set()
    if is_interrupted:
        thread.join()
    return float(job["duration_s"])


def main() -> None:
    """Print the figures as JSON and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=int, default=12, help="short texts of each row")
    parser.add_argument("--rounds", type=int, default=3, help="of the two times of 200,000 characters")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    figures: dict[str, Any] = {"command": "python -m benchmarks.turns", "machine": machine(), "commit": commit()}
    with (
        tempfile.TemporaryDirectory(prefix="mimeo-turns-") as name,
        running_stack(Path(name) / "home", {"MIMEO_LOG_LEVEL": "warning"}) as stack,
        httpx.Client(base_url=stack.url, timeout=120) as client,
    ):
        model = train(client)
        short_ms(client, model, 2)  # loads the model
        figures["idle_ms"] = short_ms(client, model, options.short)
        for priority in ("normal", "high"):
            figures[f"beside_a_million_{priority}_ms"] = beside_a_million(client, model, options.short, priority)
        pairs = [
            [part_s(client, model, is_interrupted=is_interrupted) for is_interrupted in (False, True)]
            for _ in range(options.rounds)
        ]
        figures["200000_characters_s"] = {
            "alone": statistics.median(alone for alone, _ in pairs),
            "beside_a_text_each_second": statistics.median(beside for _, beside in pairs),
            "ratio": statistics.median(beside / alone for alone, beside in pairs),
        }
    text = json.dumps(figures, indent=1)
    options.out.write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    main()
