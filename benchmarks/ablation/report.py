"""The results of an ablation as a Markdown page."""

import json
from typing import Any

from benchmarks.ablation.choices import ABLATIONS, FULL
from benchmarks.ablation.plan import Plan


def markdown(plan: Plan, rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> str:
    """The page. rows: as `Results.rows` gives them. runs: as they are in the JSON."""
    figure, wanted = plan.contract.selection
    better, worse = ("less", "more") if wanted == "min" else ("more", "less")
    what = (
        f"The `fast` preset on `{plan.settings['dataset']}` for {_length(plan)}, and the same with one choice undone "
        f"at a time. `{figure}`, which picks the best checkpoint, is the figure to look at: {better} is better. "
        f"Differences are from the full preset; {worse} is worse, and the worst rows come first. All figures are those "
        "of the published checkpoint. [docs/quality.md](../../docs/quality.md) says what they mean, "
        "[docs/presets.md](../../docs/presets.md) why the choices were made."
    )
    paragraphs = [
        f"# {plan.contract.title}: what each choice of `fast` is worth",
        what,
        f"{_seeds(runs)} {_clock(runs)}",
        _table(plan, rows),
        _notes(rows),
        f"{_where(plan, runs)}. `{_command(plan, runs)}`",
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


def _length(plan: Plan) -> str:
    """How long every run is, and what else is not as in the preset."""
    hyperparameters = plan.settings["hyperparameters"]
    epochs, examples = hyperparameters["epochs"], hyperparameters["examples_per_epoch"]
    length = f"{epochs} epoch{'s' if epochs > 1 else ''}" + (f" of {examples:,} examples" if examples else "")
    preset = plan.contract.resolve("fast", {}).model_dump(mode="json")
    said = ("epochs", "examples_per_epoch")
    other = {name: value for name, value in hyperparameters.items() if value != preset[name] and name not in said}
    return length + (f", with {_values(other)}" if other else "")


def _values(hyperparameters: dict[str, Any]) -> str:
    return ", ".join(f"`{name}` {json.dumps(value)}" for name, value in hyperparameters.items())


def _seeds(runs: list[dict[str, Any]]) -> str:
    seeds = len({run["seed"] for run in runs})
    if seeds == 1:
        return "One seed: another one moves the figures too, so that small differences say nothing."
    return (
        f"Mean ± standard deviation over up to {seeds} seeds; a difference is taken seed by seed before its mean and "
        "deviation are."
    )


def _clock(runs: list[dict[str, Any]]) -> str:
    at_once = " or ".join(str(count) for count in sorted({run["at_once"] for run in runs}))
    return (
        "Rows are equal in steps, not in seconds: `trained_s` is spent on steps, `wall_s` from start to end, "
        f"{at_once} at a time on this machine."
    )


def _table(plan: Plan, rows: list[dict[str, Any]]) -> str:
    first = plan.contract.selection[0]
    others = [name for name in (*plan.contract.quality, "trained_s", "wall_s") if name != first]
    header = ["choice undone", "instead", first, "difference", *others]
    lines = [header, ["---"] * len(header)]
    digits = {name: _digits(rows, name) for name in (first, *others)}
    for row in rows:
        name = "nothing: `fast`" if row["name"] == FULL else f"{row['chosen']} (`{row['name']}`)"
        figures = {column: _shown(row["figures"].get(column), digits[column]) for column in digits}
        difference = "–" if row["name"] == FULL else _shown(row["difference"], digits[first], sign="+")
        if row["failed"] and not row["seeds"]:
            figures[first] = "failed"
        lines.append(
            [name, _values(row["instead"]) or "–", figures[first], difference, *(figures[column] for column in others)]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _digits(rows: list[dict[str, Any]], column: str) -> int:
    """Decimals that show about four digits of the largest figure of a column; none of one that counts things."""
    values = [abs(row["figures"][column]["mean"]) for row in rows if column in row["figures"]]
    if all(value.is_integer() for value in values):
        return 0
    largest = max(values)
    return max(0, 4 - len(str(int(largest)))) if largest >= 1 else 4


def _shown(value: dict[str, float | None] | None, digits: int, *, sign: str = "") -> str:
    if value is None:
        return "–"
    spread = "" if value["spread"] is None else f" ± {value['spread']:.{digits}f}"
    return f"{value['mean']:{sign}.{digits}f}{spread}"


def _notes(rows: list[dict[str, Any]]) -> str:
    """What a reader of single rows has to know: how to take them, failures, alarms."""
    lines = [f"- `{row['name']}`: {row['note']}" for row in rows if row["note"]]
    for row in rows:
        lines += [f"- `{row['name']}`, seed {seed}, failed: {error}" for seed, error in row["failed"].items()]
        lines += [
            f"- `{row['name']}`, seed {seed}: {alarm}" for seed, found in row["health"].items() for alarm in found
        ]
    return "\n".join(lines)


def _command(plan: Plan, runs: list[dict[str, Any]]) -> str:
    """What makes these runs: the options that are not as when left out."""
    settings = plan.settings
    usual = {"dataset": plan.contract.default_dataset, "device": "auto", "precision": "float32", "threads": 1}
    options = [f"--{name} {settings[name]}" for name in usual if settings[name] != usual[name]]
    usual_hyperparameters = plan.contract.resolve("fast", {"epochs": ABLATIONS[plan.contract.name].epochs})
    for name, value in usual_hyperparameters.model_dump(mode="json").items():
        set_to = settings["hyperparameters"][name]
        if set_to != value:
            text = json.dumps(set_to, separators=(",", ":"))
            options.append(f"--epochs {text}" if name == "epochs" else f"--set {name}={text}")
    most = {"seeds": len({run["seed"] for run in runs}), "at-once": max(run["at_once"] for run in runs)}
    options += [f"--{name} {count}" for name, count in most.items() if count > 1]
    return " ".join(["python -m benchmarks.ablation", plan.contract.name, *options])


def _where(plan: Plan, runs: list[dict[str, Any]]) -> str:
    machines = {f"{run['machine']['cpu']}, {run['machine']['cores']} cores" for run in runs}
    computed = {f"{run['device']} in {run['precision']}" for run in runs if "device" in run}
    versions = {f"torch {run['versions']['torch']}" for run in runs if "versions" in run}
    commits = {f"commit {run['commit']}" for run in runs if run["commit"]}
    threads = plan.settings["threads"]
    parts = [*sorted(machines), *sorted(computed), f"{threads} thread(s) a run", *sorted(versions | commits)]
    return f"Measured on {', '.join(parts)}"
