"""The effect of single hyperparameters on quality: one run of `benchmarks.quality` per change, as a Markdown table.

`python -m benchmarks.ablation --change dropout=0 --change "clip_norm=0 warmup_steps=0" -- --model-type lstm --epochs 2`

The first run changes nothing. Options after `--` go to every run unchanged. Exit status 1: at least one run failed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.quality import Record


def run(change: str, options: list[str], folder: Path) -> Record:
    """Run one trainer with the settings of `change` (`NAME=VALUE`, separated by spaces) and return its record."""
    out = folder / "quality.json"
    out.unlink(missing_ok=True)
    settings = [argument for setting in change.split() for argument in ("--set", setting)]
    command = [sys.executable, "-m", "benchmarks.quality", *options, *settings, "--out", str(out)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    record: Record = json.loads(out.read_text())[0] if out.exists() else {"status": "failed", "epochs": []}
    return record


def table(rows: list[tuple[str, Record]]) -> str:
    """Markdown: the final quality of every run, and its training seconds (steps only, without evaluations)."""
    names = list(dict.fromkeys(name for _, record in rows for name in record.get("quality", {})))
    lines = [["change", *names, "trained_s", "status"], ["---"] * (len(names) + 3)]
    for change, record in rows:
        values: dict[str, Any] = record.get("quality", {})
        figures = [f"{values[name]:.4g}" if name in values else "–" for name in names]
        trained_s = f"{record['epochs'][-1]['trained_s']:.0f}" if record["epochs"] else "–"
        lines.append([change or "none", *figures, trained_s, record["status"]])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run every row, and print the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--change", action="append", default=[], metavar="NAME=VALUE …", help="one row of the table")
    parser.add_argument("options", nargs="*", metavar="-- OPTIONS", help="options of benchmarks.quality")
    options = parser.parse_args()
    rows: list[tuple[str, Record]] = []
    with tempfile.TemporaryDirectory(prefix="mimeo-ablation-") as folder:
        for change in ["", *options.change]:
            rows.append((change, run(change, options.options, Path(folder))))
            print(table(rows), end="\n\n", flush=True)
    return 0 if all(record["status"] == "finished" for _, record in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
