"""The figures as one picture: a bar for each implementation in each case, and the arithmetic floors."""

from pathlib import Path
from textwrap import wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = {"mimeo": "#0b6e4f", "mimeo-loop": "#4c9f70", "mimeo-f32": "#8ccdab", "keras": "#b23a48"}
PEER = "#8d99ae"
COLUMNS = 2


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the picture as PNG."""
    cases = list(results["cases"].values())
    rows = -(-len(cases) // COLUMNS)
    figure = Figure(figsize=(12, 2.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for place, case in zip(axes, cases, strict=False):
        _bars(place, case)
    for place in axes[len(cases) :]:
        place.set_axis_off()
    about = results["machine"]
    figure.suptitle(f"{about['processor']}, {about['threads']} threads: milliseconds, less is better", fontsize=11)
    figure.savefig(path, dpi=110, metadata={"Software": ""})


def _bars(place: Axes, case: dict[str, Any]) -> None:
    played = {name: row for name, row in case["rows"].items() if "left_out" not in row}
    names = list(reversed(played))
    times = [played[name]["ms"] for name in names]
    place.barh(
        [f"{played[name]['title']}" for name in names],
        times,
        color=[COLOURS.get(name, PEER) for name in names],
        xerr=[
            [played[name]["ms"] - played[name]["ms_fastest"] for name in names],
            [played[name]["ms_slowest"] - played[name]["ms"] for name in names],
        ],
        error_kw={"ecolor": "#333333", "elinewidth": 0.8},
    )
    place.bar_label(
        place.containers[-1],
        labels=[f" {time:,.0f}" if time >= 100 else f" {time:.3g}" for time in times],
        fontsize=8,
        padding=12,
    )
    if case["unit"] == "step":
        for precision, style in (("float32", "-"), ("bfloat16", ":")):
            # Where bfloat16 is emulated its line would be far off, and the bars too small to read.
            if case["floor_ms"][precision] <= case["floor_ms"]["float32"]:
                place.axvline(case["floor_ms"][precision], color="#222222", linestyle=style, linewidth=1)
        place.set_xlabel("ms a step; lines: its products at the ceiling, float32 – and bfloat16 ··")
    else:
        place.set_xlabel(f"ms per {case['unit']}")
    place.xaxis.label.set_size(8)
    place.set_title("\n".join(wrap(case["title"], 60)), fontsize=9, loc="left")
    place.tick_params(labelsize=8)
    place.margins(x=0.18)
    place.spines[["top", "right"]].set_visible(False)
