"""Latencies of an idle embedded stack, as a client sees them: `python -m benchmarks.latency`.

Prints the figures and writes them to `benchmarks/results/latency.json`:

- POST of a training job until its status is `running` (polled every 10 ms), median of several.
- A warm generation through `Prefer: wait`: 64 ACGAN images and a 20×20 latent grid, p50 and p99.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.quality import commit, machine
from shared.db.session import sqlite
from tests.acceptance.stack import running_stack, wait_for_job

RESULTS = Path(__file__).parent / "results" / "latency.json"
TINY: dict[str, dict[str, Any]] = {
    "acgan": {"model_type": "acgan", "dataset": "digits", "hyperparameters": {"epochs": 1, "examples_per_epoch": 1280}},
    "vae": {"model_type": "vae", "dataset": "digits", "hyperparameters": {"epochs": 1}},
}
WARM: dict[str, dict[str, Any]] = {
    "64 ACGAN images": {"model_type": "acgan", "sampling": {"labels": [0, 1, 2, 3, 4, 5, 6, 7], "n_per_label": 8}},
    "20x20 latent grid": {"model_type": "vae", "sampling": {"mode": "grid", "points": 20}},
}


def train(client: httpx.Client, model_type: str) -> str:
    """Train a small model and return its id."""
    accepted = client.post("/v1/training-jobs", json=TINY[model_type])
    accepted.raise_for_status()
    job = wait_for_job(client, f"/v1/training-jobs/{accepted.json()['id']}", timeout_s=600)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the job ended as {job['status']}: {job['error']}")
    return str(job["model"])


def time_to_running(client: httpx.Client) -> float:
    """Seconds from the POST to the first answer that is not `queued`; the job is cancelled after."""
    request = {**TINY["vae"], "hyperparameters": {"epochs": 500}}
    started = time.perf_counter()
    path = f"/v1/training-jobs/{client.post('/v1/training-jobs', json=request).json()['id']}"
    while client.get(path).json()["status"] == "queued":
        time.sleep(0.01)
    elapsed = time.perf_counter() - started
    client.post(f"{path}/cancel")
    wait_for_job(client, path, timeout_s=60)
    return elapsed


def time_generation(client: httpx.Client, model: str, sampling: dict[str, Any], seed: int) -> float:
    """Milliseconds of one generation through `Prefer: wait`."""
    started = time.perf_counter()
    request = {"model": model, "sampling": sampling, "seed": seed}
    job = client.post("/v1/generation-jobs", json=request, headers={"Prefer": "wait=30"}).json()
    elapsed = 1000 * (time.perf_counter() - started)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the generation ended as {job['status']}: {job['error']}")
    return elapsed


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Print the figures as JSON and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=9)
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine(), "commit": commit(), "sqlite": sqlite.sqlite_version}
    with (
        tempfile.TemporaryDirectory(prefix="mimeo-latency-") as name,
        running_stack(Path(name) / "home", {"MIMEO_LOG_LEVEL": "warning"}) as stack,
        httpx.Client(base_url=stack.url, timeout=60) as client,
    ):
        models = {model_type: train(client, model_type) for model_type in TINY}
        waits = [time_to_running(client) for _ in range(options.jobs)]
        figures["post_to_running_s"] = {"median": statistics.median(waits), "max": max(waits)}
        for title, case in WARM.items():
            model = models[case["model_type"]]
            times = [time_generation(client, model, case["sampling"], seed) for seed in range(options.generations + 5)]
            warm = times[5:]  # the first ones load the model
            figures[f"{title}_ms"] = {"p50": statistics.median(warm), "p99": percentile(warm, 0.99), "max": max(warm)}
    text = json.dumps(figures, indent=1)
    options.out.write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    main()
