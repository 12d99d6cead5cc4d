"""The results of one ablation as JSON, with the Markdown table beside it: both written anew after every run."""

import json
from pathlib import Path
from statistics import fmean, stdev
from threading import Lock
from typing import Any

from benchmarks.ablation import report
from benchmarks.ablation.choices import FULL
from benchmarks.ablation.plan import Plan, Row

Run = dict[str, Any]
SECONDS = ("trained_s", "wall_s")


class OtherSettingsError(ValueError):
    """The results that are there were measured at other settings, so no row of theirs compares with a new one."""


class Results:
    """Runs by row and seed. `path` is the JSON file; what is there already is read, and kept where it still holds."""

    def __init__(self, path: Path, plan: Plan, *, again: bool = False) -> None:
        self.path = path
        self.plan = plan
        self._runs: dict[tuple[str, int], Run] = {}
        self._lock = Lock()  # runs end in threads of their own
        found = json.loads(path.read_text()) if path.exists() else None
        if found is None:
            return
        if found["settings"] == plan.settings:
            instead = {row.name: row.instead for row in plan.rows}
            self._runs = {(r["name"], r["seed"]): r for r in found["runs"] if instead.get(r["name"]) == r["instead"]}
        elif not again:
            different = sorted(_differences(found["settings"], plan.settings))
            raise OtherSettingsError(f"{path} was measured with other values of {', '.join(different)}")

    def has(self, row: Row, seed: int) -> bool:
        """Whether this run is there and went to its end."""
        run = self._runs.get((row.name, seed))
        return run is not None and run["status"] == "finished"

    def take(self, row: Row, seed: int, record: dict[str, Any], *, at_once: int) -> None:
        """Keep what `quality.measure` found, and write everything anew. A run that was stopped says nothing."""
        if record["status"] == "stopped":
            return
        run = {"name": row.name, "instead": row.instead, "seed": seed, "at_once": at_once}
        names = ("status", "error", "steps", "published_step", "parameters", "quality", "wall_s")
        run |= {name: record[name] for name in names if name in record}
        if record["epochs"]:
            run["trained_s"] = record["epochs"][-1]["trained_s"]
        about = ("health", "device", "precision", "versions", "machine", "commit", "started_at")
        with self._lock:
            self._runs[row.name, seed] = run | {name: record[name] for name in about if name in record}
            self._write()

    def runs(self, row: Row) -> dict[int, Run]:
        """The runs of a row by seed."""
        return {seed: run for (name, seed), run in sorted(self._runs.items()) if name == row.name}

    def rows(self) -> list[dict[str, Any]]:
        """Each row that has runs, with its figures over the seeds; the full preset first, then the worst.

        figures: of the finished runs, each as mean and spread (standard deviation; none of a single run). difference:
        of the selection figure from the full preset's, over the seeds that both have, taken seed by seed.
        """
        worse = 1 if self.plan.contract.selection[1] == "min" else -1
        found = [self._row(row) for row in self.plan.rows if self.runs(row)]

        def place(row: dict[str, Any]) -> tuple[bool, float]:
            return row["name"] != FULL, -worse * row["difference"]["mean"] if row["difference"] else float("inf")

        return sorted(found, key=place)

    def _row(self, row: Row) -> dict[str, Any]:
        runs = self.runs(row)
        finished = {seed: run for seed, run in runs.items() if run["status"] == "finished"}
        columns: dict[str, list[float]] = {}
        for run in finished.values():
            for name, value in (*run["quality"].items(), *((name, run[name]) for name in SECONDS)):
                columns.setdefault(name, []).append(value)
        return {
            "name": row.name,
            "chosen": row.chosen,
            "instead": row.instead,
            "seeds": list(finished),
            "figures": {name: _spread(values) for name, values in columns.items()},
            "difference": self._difference(finished),
            "failed": {seed: run["error"] for seed, run in runs.items() if run["status"] == "failed"},
            "health": {seed: run["health"] for seed, run in runs.items() if run["health"]},
            "note": row.note,
        }

    def _difference(self, finished: dict[int, Run]) -> dict[str, float | None] | None:
        figure = self.plan.contract.selection[0]
        full = self.runs(self.plan.rows[0])
        differences = [
            run["quality"][figure] - full[seed]["quality"][figure]
            for seed, run in finished.items()
            if seed in full and all(figure in each.get("quality", {}) for each in (run, full[seed]))
        ]
        return _spread(differences) if differences else None

    def page(self) -> str:
        """The table, with what there is to say about it."""
        return report.markdown(self.plan, self.rows(), self._all_runs())

    def _all_runs(self) -> list[Run]:
        return [self._runs[key] for key in sorted(self._runs)]

    def _write(self) -> None:
        """Table and JSON, each whole or not at all."""
        about = {"model_type": self.plan.contract.name, "settings": self.plan.settings}
        contents = {**about, "rows": self.rows(), "runs": self._all_runs()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for path, text in (
            (self.path, json.dumps(contents, indent=1) + "\n"),
            (self.path.with_suffix(".md"), self.page()),
        ):
            temporary = path.with_name(f".{path.name}.tmp")
            temporary.write_text(text)
            temporary.replace(path)


def _spread(values: list[float]) -> dict[str, float | None]:
    return {"mean": fmean(values), "spread": stdev(values) if len(values) > 1 else None}


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> set[str]:
    """Names of settings that are not the same, hyperparameters by their own names."""
    before, now = ({**settings, **settings["hyperparameters"]} for settings in (found, wanted))
    names = (before.keys() | now.keys()) - {"hyperparameters"}
    return {name for name in names if before.get(name, ...) != now.get(name, ...)}
