"""What a start from other weights saves: held-out loss of a text model by step, from each kind of start.

`python -m benchmarks.init_from` prints a Markdown table. The text is the built-in `python-source`. Sources are trained
on its first half; the measured trainings read the second half. Exit status 1: a training failed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.data.text import python_source

STEPS_PER_EPOCH = 25
SHOWN_STEPS = (25, 100, 400)
SOURCE_STEPS = 1000
SETTINGS: dict[str, Any] = {
    "layers": [128, 128],
    "batch_size": 16,
    "window": 64,
    "examples_per_epoch": STEPS_PER_EPOCH * 16 * 64,
    "warmup_steps": 25,
    "schedule": "constant",
    "dropout": 0.0,
}


class TrainingFailed(Exception):
    """A trainer ended with another status than 0."""


def train(folder: Path, text: str, steps: int, init_from: Path | None = None, **changes: Any) -> Path:
    """Train on a text in a folder; returns the published checkpoint. Raises TrainingFailed."""
    folder.mkdir()
    (folder / "text.txt").write_text(text)
    settings = {**SETTINGS, "epochs": steps // STEPS_PER_EPOCH, **changes}
    spec = {
        "model_type": "lstm",
        "dataset": "measured-text",
        "dataset_path": str(folder / "text.txt"),
        "seed": 1,
        "init_from": str(init_from) if init_from else None,
        "hyperparameters": settings,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "worker.train", str(folder / "spec.json"), str(folder / "run")]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise TrainingFailed(f"the training in {folder.name} failed")
    result = json.loads((folder / "run" / "result.json").read_text())
    return folder / "run" / str(result["finished"]["checkpoint"])


def losses(folder: Path) -> Mapping[int, float]:
    """Held-out loss by step, in nats per character."""
    lines = [json.loads(line) for line in (folder / "run" / "events.jsonl").read_text().splitlines()]
    points = [line for line in lines if line["type"] == "metrics" and "val_loss" in line["values"]]
    return {point["step"]: point["values"]["val_loss"] for point in points}


def main() -> int:
    """Train every row and print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    text = python_source().text
    first, second = text[: len(text) // 2], text[len(text) // 2 :]
    with tempfile.TemporaryDirectory(prefix="mimeo-init-from-") as name:
        folder = Path(name)
        same = train(folder / "source", first, SOURCE_STEPS)
        lower = train(folder / "lower-source", first.lower(), SOURCE_STEPS)
        new = len(set(second) - set(first.lower()))
        starts: list[tuple[str, Path | None, dict[str, Any]]] = [
            ("fresh (what a refusal leaves)", None, {}),
            ("`init_from`, same characters", same, {}),
            ("`init_from`, same characters, window 48", same, {"window": 48, "batch_size": 21}),
            (f"`init_from`, {new} of {len(set(second))} characters new", lower, {}),
        ]
        print("| start | " + " | ".join(f"{step} steps" for step in SHOWN_STEPS) + " |")
        print("|---|" + "---|" * len(SHOWN_STEPS))
        for number, (title, source, changes) in enumerate(starts):
            train(folder / str(number), second, max(SHOWN_STEPS), source, **changes)
            found = losses(folder / str(number))
            figures = [f"{found[min(found, key=lambda each: abs(each - step))]:.3f}" for step in SHOWN_STEPS]
            print(f"| {title} | {' | '.join(figures)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
