"""The figures as JSON and as Markdown."""

import os
import platform
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.speed.arithmetic import flops
from benchmarks.speed.measuring import Entry, Measured, faster

NOTES = """
Every row computes the same model on the same batch shapes. Implementations take turns, a slice each in every round.
Figures are medians over the rounds (in brackets: fastest and slowest round), and “× as fast as” is the median of the
rounds' own ratios. Times of steps include the making of batches. *Mimeo, step* is the model's `training_step` with
data, seeding and precision as in the trainer's loop; *whole loop* is that loop itself, with its metrics and reports,
between two epoch ends. PyTorch is the plain loop in `benchmarks/speed/plain_torch*.py`; Keras runs the compiled step
that `fit` runs, without callbacks, from a `tf.data` pipeline. All get the same threads, and only one implementation
runs at a time.

GFLOP counts matrix products and convolutions, as in `benchmarks/speed/arithmetic.py`; the ceiling is a 2048³ product
by PyTorch, timed in the same rounds. A share of the bfloat16 ceiling is shown for the rows that compute in it.
"""


def machine(threads: int) -> dict[str, Any]:
    """The machine of the figures. Call it before the work, because the work itself raises the load."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.system(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    if about.is_file():
        names = [line.partition(":")[2].strip() for line in about.read_text().splitlines() if line[:10] == "model name"]
        if names:
            return names[0]
    return platform.processor() or "unknown"


def figures(measured: Measured, vocabulary: int) -> dict[str, Any]:
    """One case as JSON; times in milliseconds per unit, ceilings in GFLOP/s."""
    case = measured.case
    work = flops(case, vocabulary)
    ceiling = {name: statistics.median(speeds) / 1e9 for name, speeds in measured.ceiling.items()}
    baselines = [entry for entry in measured.entries if entry.implementation.role == "peer"]
    rows = {
        entry.implementation.name: _row(entry, baselines, case.units_per_call, work, ceiling)
        for entry in measured.entries
    }
    rows |= {one.name: {"title": one.title, "left_out": reason} for one, reason in measured.left_out}
    return {
        "title": case.title,
        "unit": case.unit,
        "gflop_per_unit": work / 1e9,
        "ceiling_gflops": ceiling,
        "floor_ms": {name: work / 1e6 / speed for name, speed in ceiling.items()},
        "rounds": len(measured.entries[0].times) if measured.entries else 0,
        "rows": rows,
    }


def _row(entry: Entry, baselines: list[Entry], units: int, work: int, ceiling: dict[str, float]) -> dict[str, Any]:
    times = [1000 * seconds / units for seconds in entry.times]
    middle = statistics.median(times)
    return {
        "title": entry.implementation.title,
        "role": entry.implementation.role,
        "about": entry.ready.about,
        "parameters": entry.ready.parameters,
        "ms": middle,
        "ms_fastest": min(times),
        "ms_slowest": max(times),
        "per_s": 1000 / middle,
        "units_per_round": entry.count * units,
        "times_as_fast_as": {
            baseline.implementation.name: faster(entry, baseline) for baseline in baselines if baseline is not entry
        },
        "share_of_ceiling": {name: work / 1e6 / middle / speed for name, speed in ceiling.items()},
    }


def markdown(results: dict[str, Any]) -> str:
    """The whole page."""
    about = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    data = ", ".join(sorted(set(results["datasets"].values())))
    conditions = (
        f"{about['processor']}, {about['cores']} cores, {about['threads']} threads each; load {about['load_at_start']}"
        f" at the start; {about['date']}; {versions}; data: {data}. `{results['command']}`, {results['seconds']:.0f} s."
    )
    lines = ["# Speed, side by side", "", conditions, *NOTES.splitlines(), ""]
    for case in results["cases"].values():
        lines += _table(case)
    return "\n".join(lines)


def _table(case: dict[str, Any]) -> list[str]:
    measured = {name: row for name, row in case["rows"].items() if "left_out" not in row}
    baselines = [name for name, row in measured.items() if row["role"] == "peer"]
    unit = case["unit"]
    ceiling, floor = case["ceiling_gflops"], case["floor_ms"]
    arithmetic = (
        f"{_number(case['gflop_per_unit'])} GFLOP per {unit}; ceiling {ceiling['float32']:.0f} GFLOP/s in float32, "
        f"{ceiling['bfloat16']:.0f} in bfloat16, so at least {_number(floor['float32'])} and "
        f"{_number(floor['bfloat16'])} ms. {case['rounds']} rounds."
    )
    lines = [f"## {case['title']}", "", arithmetic, ""]
    heads = ["", f"ms/{unit}", f"{unit}s/s", *(f"× as fast as {measured[baseline]['title']}" for baseline in baselines)]
    heads += ["of the float32 ceiling", "of the bfloat16 ceiling"]
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in case["rows"].items():
        if "left_out" in row:
            lines.append(f"| {row['title']} | – ({row['left_out']}) " + "| " * (len(heads) - 2) + "|")
            continue
        ratios = [f"{row['times_as_fast_as'][baseline]:.2f}" if baseline != name else "" for baseline in baselines]
        half = f"{row['share_of_ceiling']['bfloat16']:.0%}" if "bfloat16" in row["about"] else ""
        cells = [
            f"{row['title']} ({row['about']})",
            f"**{_number(row['ms'])}** ({_number(row['ms_fastest'])}–{_number(row['ms_slowest'])})",
            _number(row["per_s"]),
            *ratios,
            f"{row['share_of_ceiling']['float32']:.0%}",
            half,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _number(value: float) -> str:
    """Three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"
