"""Memory estimates of the contracts beside measured peaks: `python -m benchmarks.memory [--model-type vae]`.

Each row is a process of its own; see `MemoryEstimate` for what is counted. The table goes to standard output and the
rows to benchmarks/results/memory.json, where rows of other model types stay.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.memory.cases import CASES
from benchmarks.memory.measure import measure
from benchmarks.quality import commit, machine
from shared import model_types
from worker.trainer.backend_choice import Hardware

RESULTS = Path(__file__).parents[1] / "results" / "memory.json"
_MIB = 1 << 20


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Estimates beside measured peaks.")
    parser.add_argument("--model-type", choices=list(model_types.REGISTRY), help="only these rows")
    parser.add_argument("--stage", help="only `training`, `sampling`, or a sampling mode")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    options = parser.parse_args()
    found = machine() | {"bfloat16": Hardware.detect("cpu").has_bfloat16, "torch": torch.__version__}
    print(f"{'model type':<10} {'stage':<12} {'case':<30} {'estimate':>9} {'measured':>9} ratio   (MiB)")
    for case in CASES:
        if options.model_type in (None, case.model_type) and options.stage in (None, case.stage):
            row = measure(case)
            figures = f"{row['estimate'] / _MIB:9.1f} {row['measured'] / _MIB:9.1f} {row['ratio']:5.2f}"
            print(f"{case.model_type:<10} {case.stage:<12} {case.name:<30} {figures}", flush=True)
            named = {"model_type": case.model_type, "stage": case.stage, "case": case.name, **row}
            keep(options.results, [named], found)  # at once: a whole run takes many minutes


def keep(path: Path, rows: list[dict[str, Any]], found: dict[str, Any]) -> None:
    """Write the rows in the place of their earlier values."""
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    new = {(row["model_type"], row["stage"], row["case"]): row for row in rows}
    old = {(row["model_type"], row["stage"], row["case"]): row for row in kept}
    body = {"command": "python -m benchmarks.memory", "commit": commit(), "machine": found}
    path.write_text(json.dumps({**body, "rows": list((old | new).values())}, indent=1) + "\n")


if __name__ == "__main__":
    main()
