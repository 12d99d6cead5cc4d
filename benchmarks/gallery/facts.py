"""What the page says of a run: the command that makes it, what it was trained on, and how good it is."""

import json
import shlex

from benchmarks.gallery.runs import FinishedRun
from shared.datasets import REGISTRY as DATASETS
from shared.quality import QUALITY
from worker.models.base import count_parameters
from worker.trainer.spec import TrainerSpec

USUAL = {"preset": "fast", "seed": 0, "precision": "auto", "kernel": "auto", "device": "auto", "threads": None}
"""What `python -m benchmarks.quality` takes for an option that is left out."""


def about(run: FinishedRun) -> str:
    """All of it, as Markdown."""
    return f"{commands(run.spec)}\n\n{origin(run)}\n\n{figures(run)}"


def commands(spec: TrainerSpec) -> str:
    """The two commands that make the run and its part of the page."""
    return f"```sh\n{training_command(spec)}\npython -m benchmarks.gallery {_folder(spec)}\n```"


def training_command(spec: TrainerSpec) -> str:
    """A command that trains the same; the folder is one that anybody may use."""
    words = ["python", "-m", "benchmarks.quality", "--model-type", spec.model_type, "--dataset", spec.dataset_name]
    for name, usual in USUAL.items():
        if (value := getattr(spec, name)) != usual:
            words += [f"--{name}", str(value)]
    of_preset = spec.contract.resolve(spec.preset, {}).model_dump(mode="json")
    for name, value in spec.hyperparameters.items():
        if value == of_preset[name]:
            continue
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        words += ["--epochs", text] if name == "epochs" else ["--set", f"{name}={text}"]
    return shlex.join([*words, "--run-dir", _folder(spec)])


def _folder(spec: TrainerSpec) -> str:
    return f"runs/{spec.model_type}"


def origin(run: FinishedRun) -> str:
    """Data, seed, epochs and machine in a few sentences."""
    spec, manifest = run.spec, run.manifest
    threads = f" with {manifest.threads} thread{'s' * (manifest.threads > 1)}" if manifest.device == "cpu" else ""
    return (
        f"{DATASETS[manifest.dataset].title}. Preset `{spec.preset}`, seed {manifest.seed}; published is the checkpoint"
        f" of epoch {manifest.epoch} of {run.finished.epoch}. {count_parameters(run.model):,} parameters, trained in"
        f" {manifest.precision} on {manifest.device}{threads} by torch {manifest.versions['torch']}."
    )


def figures(run: FinishedRun) -> str:
    """The final evaluation, as a table."""
    quality = run.finished.quality
    # In the order of QUALITY, whose "the same of" means the figure before.
    rows = [f"| `{name}` | {quality[name]:.4g} | {meaning} |" for name, meaning in QUALITY.items() if name in quality]
    return "\n".join(["| figure | value | meaning |", "|---|---|---|", *rows])
