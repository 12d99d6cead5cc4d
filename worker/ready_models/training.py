"""`make pretrained`: trains the ready-made models and writes them beside this file. Minutes on two cores.

Each is trained by the trainer program, with the seed and the hyperparameters below. The weights are stored as float16,
half the size; every figure of quality is computed before that. The metadata names dataset, licence and training.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from shared.datasets import REGISTRY
from worker.checkpoints.manifest import WEIGHTS, Manifest, verify
from worker.ready_models.importing import FOLDER, SUFFIX

SEED = 0
MOST_BYTES = 2_000_000  # of all files
COMMAND = "make pretrained"
_ADVERSARIAL = {
    "width": 16,
    "latent_size": 32,
    "batch_size": 32,
    "learning_rate": 0.002,
    "ema": 0.99,
    "epochs": 4,
    "examples_per_epoch": 14_400,
}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "lstm": {
        "dataset": "shakespeare",
        "hyperparameters": {"layers": [128, 128], "dropout": 0.05, "learning_rate": 0.005, "epochs": 8},
    },
    "vae": {"dataset": "fashion-mnist", "hyperparameters": {"hidden": [160, 64]}},
    "acgan": {"dataset": "mnist", "evaluation": "quick", "hyperparameters": _ADVERSARIAL},
    "gan": {"dataset": "mnist", "evaluation": "quick", "hyperparameters": _ADVERSARIAL},
}


def main() -> int:
    """Train the chosen models. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker.ready_models.training", description=__doc__)
    parser.add_argument("model_types", nargs="*", choices=[*RECIPES, []], help="default: all")
    parser.add_argument("--runs", type=Path, help="folder of the runs, which continue there; a temporary one if unset")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.model_types or RECIPES:
            written = train(name, options.runs or Path(scratch))
            print(f"{written}: {written.stat().st_size:,} bytes")
    total = sum(path.stat().st_size for path in FOLDER.glob(f"*{SUFFIX}"))
    print(f"all: {total:,} bytes")
    return 0 if total < MOST_BYTES else 1


def train(model_type: str, runs: Path) -> Path:
    """Train one model and write its file. Raises CalledProcessError."""
    recipe = RECIPES[model_type]
    spec, folder = runs / f"{model_type}.json", runs / model_type
    runs.mkdir(parents=True, exist_ok=True)
    spec.write_text(json.dumps({"model_type": model_type, "seed": SEED, "threads": 1, **recipe}))
    subprocess.run([sys.executable, "-m", "worker.train", str(spec), str(folder)], stdout=sys.stderr, check=True)
    result = json.loads((folder / "result.json").read_text())["finished"]
    checkpoint = verify(folder / result["checkpoint"])
    weights = safetensors.torch.load_file(checkpoint.path / WEIGHTS)
    about = origin(checkpoint.manifest, result["quality"])
    target = FOLDER / f"{model_type}{SUFFIX}"
    target.write_bytes(packed(weights, about))
    return target


def origin(manifest: Manifest, quality: Mapping[str, float]) -> dict[str, Any]:
    """The metadata of a ready-made model."""
    training = {
        "command": COMMAND,
        "preset": "fast",
        "changed": dict(RECIPES[manifest.model_type]["hyperparameters"]),
        "seed": manifest.seed,
        "epochs": manifest.hyperparameters["epochs"],
        "device": manifest.device,
    }
    return {
        "model_type": manifest.model_type,
        "config": manifest.config,
        "dataset": manifest.dataset,
        "license": f"{REGISTRY[manifest.dataset].title}: {REGISTRY[manifest.dataset].license}",
        "quality": dict(quality),
        "step": manifest.step,
        "training": training,
        "versions": manifest.versions,
    }


def packed(weights: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> bytes:
    """A safetensors file with floating-point numbers as float16. Raises ValueError where a value is out of range."""
    halves = {}
    for name in sorted(weights):
        tensor = weights[name]
        halves[name] = tensor.to(torch.float16) if tensor.is_floating_point() else tensor
        if not torch.isfinite(halves[name]).all():
            raise ValueError(f"{name} has values beyond float16")
    return safetensors.torch.save(halves, metadata={"mimeo": json.dumps(about, sort_keys=True, allow_nan=False)})


if __name__ == "__main__":
    sys.exit(main())
