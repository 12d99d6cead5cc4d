"""What threads that wait awake bring and cost: `python -m benchmarks.waiting_threads`, about ten minutes on two cores.

Mimeo's programs let OpenMP's threads sleep while they wait for work. GOMP_SPINCOUNT has them look for it that many
times first. Times a training step of several presets, and 64 digits drawn after a rest of 60 ms, at several such counts
in turn: by one program that has the machine to itself, and by each of two that share it. Prints medians in milliseconds
as a table and keeps them. Needs libgomp, as in torch's builds for Linux.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.service_record import about, keep
from benchmarks.training_steps import model_and_data, stepper
from shared import model_types
from shared.model_types.acgan import AcganSampling
from worker import device
from worker.device import Compute
from worker.models.base import GenerativeModel, Kernel

RESULTS = Path(__file__).parent / "results" / "waiting-threads.json"
SPINS = (0, 2_000, 5_000, 30_000)
STEPS: tuple[tuple[str, str, Kernel, int], ...] = (
    ("lstm", "fast", "compiled", 20),
    ("lstm", "fast", "library", 20),
    ("vae", "book", "library", 60),
    ("vae", "fast", "library", 60),
    ("acgan", "fast", "library", 10),
)
DRAWN = "64 digits after a rest"


def step_ms(model_type: str, preset: str, kernel: Kernel, steps: int, compute: Compute) -> float:
    """Median milliseconds of a training step, data included."""
    step = stepper(model_types.get(model_type), preset, replace(compute, kernel=kernel))
    taken = []
    for _ in range(steps + steps // 4):
        began = time.perf_counter()
        step(1)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[steps // 4 :]) * 1e3


def draw_ms(draws: int = 30) -> float:
    """Median milliseconds of 64 digits, each time after a rest as between two requests."""
    model: GenerativeModel = model_and_data(model_types.get("acgan"), "fast")[0].eval()
    sampling = AcganSampling(labels=[place % 10 for place in range(64)], n_per_label=1)
    taken = []
    for seed in range(draws):
        time.sleep(0.06)
        began = time.perf_counter()
        model.generate(sampling, seed=seed)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[draws // 5 :]) * 1e3


def measured() -> dict[str, float]:
    """Milliseconds of everything, in this process."""
    compute = Compute(device=torch.device("cpu"), precision="float32", threads=device.choose_threads(None))
    device.set_up(compute)
    found = {}
    for kind, preset, kernel, steps in STEPS:
        found[f"{kind} {preset}, {kernel} loops"] = step_ms(kind, preset, kernel, steps, compute)
    return found | {DRAWN: draw_ms()}


def programs(at_once: int, spins: int) -> list[dict[str, float]]:
    """What so many programs at once measure."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": str(spins)}
    command = [sys.executable, "-m", "benchmarks.waiting_threads", "--one"]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(at_once)]
    answers = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError("a program failed; what it said is above")
    return [json.loads(answer) for answer in answers]


def main() -> None:
    """Measure in turn, print the table, keep the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", action="store_true", help="measure in this process and print it, as each round does")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured()))
        return
    result = about()
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(options.rounds):
        for at_once in (1, 2):
            for spins in SPINS:
                for figures in programs(at_once, spins):
                    for name, milliseconds in figures.items():
                        found[f"{at_once} at once, {spins} spins"][name].append(milliseconds)
    medians = {
        place: {name: round(statistics.median(each), 2) for name, each in row.items()} for place, row in found.items()
    }
    names = list(next(iter(medians.values())))
    print("|", *names, sep=" | ", end=" |\n")
    print("|---" * (len(names) + 1), end="|\n")
    for place, row in medians.items():
        print(f"| {place}", *(f"{row[name]:.1f}" for name in names), sep=" | ", end=" |\n")
    keep(options.out, result | {"rounds": options.rounds, "milliseconds": medians})


if __name__ == "__main__":
    main()
