"""The output of `mimeo train --dry-run`."""

from client.formatting import duration, size
from client.output import facts, print_json
from client.schema import TrainingEstimate


def show_estimate(estimate: TrainingEstimate, *, as_json: bool) -> None:
    """Print what a training would take, and its settings."""
    if as_json:
        print_json(estimate)
        return
    steps, seconds = estimate["steps"], estimate["seconds"]
    beyond = "" if estimate["queue_position_is_exact"] else "beyond "
    facts(
        [
            ("model type", estimate["model_type"]),
            ("dataset", estimate["dataset"]),
            ("preset", estimate["preset"]),
            ("steps", "not known" if steps is None else f"{steps:,} of {estimate['examples_per_step']:,} examples"),
            ("time", "not known" if seconds is None else f"about {duration(seconds)}"),
            ("", estimate["basis"]),
            ("memory", f"at most {size(estimate['memory_bytes'])}"),
            ("queue", f"position {beyond}{estimate['queue_position']:,}"),
            *(("warning", " ".join(filter(None, (each["message"], each["hint"])))) for each in estimate["warnings"]),
            *((f"  {name}", value) for name, value in estimate["hyperparameters"].items()),
        ]
    )
