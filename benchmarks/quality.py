"""Quality of a model by training time: `python -m benchmarks.quality --model-type acgan --dataset mnist`.

It runs the trainer program on a preset, adds times to its reports, and keeps for each epoch the wall seconds and the
evaluation, and at the end the final evaluation. Progress goes to standard error, the record to standard output and to
--out (appended; rewritten after every epoch, so that a killed run leaves its results so far).

wall_s counts from the start of the process and includes everything: loading torch and data, training, evaluations,
samples and checkpoints. trained_s is the part spent on steps. Both figures are meaningful only on a quiet machine; the
load at the start is recorded.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared import trainer_protocol
from shared.model_types import REGISTRY
from shared.trainer_protocol import EVENT, Event

RESULTS = Path(__file__).parent / "results" / "quality.json"
Record = dict[str, Any]


class Stamped:
    """Converts a trainer's events, with the seconds at which they arrived, into a record."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._last_s = 0.0
        self._away_s = 0.0  # seconds since `started` that were not spent on steps
        self._figures: dict[str, float] = {}

    def take(self, event: Event, at_s: float) -> bool:
        """Add an event to the record. True: the record has a new epoch."""
        if isinstance(event, trainer_protocol.EventFileWritten):  # its time belongs to another event
            return False
        before, self._last_s = self._last_s, at_s
        match event:
            case trainer_protocol.Started():
                about = event.model_dump(include={"device", "precision", "backend", "parameters", "versions"})
                self.record |= {"startup_s": round(at_s, 2), "steps": event.steps, **about}
            case trainer_protocol.Metrics(values=values) if (
                "examples_per_s" in values
            ):  # only the end of an epoch reports its speed
                self._away_s += at_s - before
                self._end_epoch(event, at_s)
                return True
            case trainer_protocol.Metrics(values=values):
                self._figures |= values
            case trainer_protocol.SampleWritten():
                self._away_s += at_s - before
            case trainer_protocol.CheckpointWritten():
                self._away_s += at_s - before
                if event.is_best and self.record["epochs"] and self.record["epochs"][-1]["step"] == event.step:
                    self.record["epochs"][-1]["is_best_so_far"] = True
            case trainer_protocol.Notice():
                self.record["health"].append(f"{event.code}: {event.message}")
            case _:
                self._end(event, at_s, since_s=before)
        return False

    def _end(self, event: Event, at_s: float, *, since_s: float) -> None:
        match event:
            case trainer_protocol.Finished():
                best = int(event.checkpoint.rpartition("/")[2])
                self.record |= {"status": "finished", "wall_s": round(at_s, 2), "published_step": best}
                self.record |= {"final_evaluation_s": round(at_s - since_s, 2), "quality": event.quality}
            case trainer_protocol.Failed():
                self.record |= {"status": "failed", "error": event.message}
            case trainer_protocol.Stopped():
                self.record["status"] = "stopped"
            case _:
                pass

    def _end_epoch(self, event: trainer_protocol.Metrics, at_s: float) -> None:
        trained_s = at_s - self.record["startup_s"] - self._away_s
        times = {"wall_s": round(at_s, 2), "trained_s": round(trained_s, 2)}
        position = {"epoch": event.epoch, "step": event.step}
        self.record["epochs"].append({**position, **times, **self._figures, **event.values})
        self._figures = {}


def measure(spec: dict[str, Any], run_dir: Path, out: Path, *, about: str = "") -> Record:
    """Run the trainer program to its end and update its record in `out` after every epoch.

    about: the label of the progress lines, for several runs at once.
    """
    spec_file = run_dir.parent / f"{run_dir.name}.spec.json"
    spec_file.write_text(json.dumps(spec))
    record: Record = {"started_at": datetime.now(UTC).isoformat(timespec="seconds"), "status": "running", "spec": spec}
    record |= {"machine": machine(), "commit": commit(), "health": [], "epochs": []}
    stamped = Stamped(record)
    command = [sys.executable, "-m", "worker.train", str(spec_file), str(run_dir)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        try:
            for line in trainer.stdout:
                at_s = time.monotonic() - began
                event = EVENT.validate_json(line)
                if stamped.take(event, at_s):
                    say(record["epochs"][-1], record["steps"], about)
                    keep(out, record)
        except KeyboardInterrupt:  # the trainer receives SIGINT too, and stops by itself
            trainer.wait()
            record["status"] = "stopped"
    record["exit_status"] = trainer.returncode
    if record["status"] == "running":
        record |= {"status": "failed", "error": f"the trainer ended with exit status {trainer.returncode}"}
    keep(out, record)
    return record


def say(row: dict[str, Any], steps: int, about: str = "") -> None:
    """Print one line about an epoch."""
    figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if isinstance(value, float))
    whose = f"{about}  " if about else ""
    print(f"{whose}epoch {row['epoch']}  step {row['step']}/{steps}  {figures}", file=sys.stderr, flush=True)


def keep(out: Path, record: Record) -> None:
    """Write the record to the list in `out`, in the place of its own earlier state, atomically."""
    kept: list[Record] = json.loads(out.read_text()) if out.exists() else []
    identity = ("started_at", "spec")
    others = [each for each in kept if any(each[key] != record[key] for key in identity)]
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    temporary.write_text(json.dumps([*others, record], indent=1) + "\n")
    temporary.replace(out)


def machine() -> dict[str, Any]:
    """The machine of the figures. Call it before the work, because the work itself raises the load."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def commit() -> str | None:
    """The commit that was measured, with `+` where the tree differs from it; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=10"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None


def specification(options: argparse.Namespace) -> dict[str, Any]:
    """The trainer's specification from the options; the trainer itself validates it."""
    hyperparameters = dict(options.set)
    if options.epochs is not None:
        hyperparameters["epochs"] = options.epochs
    chosen = {"dataset": options.dataset, "threads": options.threads}
    return {
        "model_type": options.model_type,
        **{name: value for name, value in chosen.items() if value is not None},
        "preset": options.preset,
        "hyperparameters": hyperparameters,
        "seed": options.seed,
        "precision": options.precision,
        "backend": options.backend,
        "device": options.device,
        "evaluation": "full",
    }


def setting(text: str) -> tuple[str, Any]:
    """Parse `name=value`; the value is JSON, or a word."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-type", required=True, choices=list(REGISTRY))
    parser.add_argument("--dataset", help="the model type's own when left out")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--epochs", type=int, help="the preset's when left out")
    parser.add_argument("--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="hyperparameter")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--backend", default="auto", choices=["auto", "eager", "cuda_graph"])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, help="torch's; the cores at hand when left out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the list of records that this one is added to")
    parser.add_argument("--run-dir", type=Path, help="keep checkpoints, samples and events here; must not exist yet")
    options = parser.parse_args()
    if options.run_dir is not None and options.run_dir.exists():
        parser.error(f"{options.run_dir} is there already: a run that continues cannot be timed")
    return options


def main() -> int:
    """Measure and print the record. Returns 0 if the run finished."""
    options = _options()
    spec = specification(options)
    with tempfile.TemporaryDirectory(prefix="mimeo-quality-") as temporary:
        run_dir: Path = options.run_dir or Path(temporary) / "run"
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        record = measure(spec, run_dir, options.out)
    print(json.dumps(record, indent=1))
    return 0 if record["status"] == "finished" else 1


if __name__ == "__main__":
    sys.exit(main())
