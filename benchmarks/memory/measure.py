"""One case: the contract's estimate and the measured peak of a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.memory.case import Case
from shared import model_types
from shared.settings import Settings
from shared.storage import Storage
from worker import data
from worker.checkpoints import local
from worker.checkpoints.manifest import Manifest
from worker.data import Dataset
from worker.models import implementation

_ROOT = Path(__file__).parents[2]
_KEY = "models/made-up"


def measure(case: Case) -> dict[str, Any]:
    """estimate, measured: bytes; ratio: of the two. Raises RuntimeError where the process fails."""
    with tempfile.TemporaryDirectory(prefix="mimeo-memory-") as name:
        folder = Path(name)
        settings = Settings(home=folder)
        dataset = _dataset(case, folder, settings)
        kind = model_types.get(case.model_type)
        hyperparameters = kind.resolve(case.preset, {**case.hyperparameters, "epochs": 1})
        if case.sampling is None:
            if "examples_per_epoch" not in case.hyperparameters:
                hyperparameters = hyperparameters.model_copy(update={"examples_per_epoch": _two_steps(hyperparameters)})
            estimate = kind.training_bytes(hyperparameters, dataset.shape)
            request = _training(case, hyperparameters, dataset, folder)
        else:
            sampling = kind.sampling.validate_python(dict(case.sampling))
            estimate = kind.sampling_bytes(hyperparameters, sampling, dataset.shape)
            request = _generation(case, hyperparameters, dataset, settings)
        measured = _run(request, folder)
    return {"estimate": estimate, "measured": measured, "ratio": round(estimate / measured, 2)}


def _two_steps(hyperparameters: Any) -> int:
    per_example = hyperparameters.window if getattr(hyperparameters, "batching", "") == "streams" else 1
    return 2 * int(hyperparameters.batch_size) * int(per_example)


def _dataset(case: Case, folder: Path, settings: Settings) -> Dataset:
    kind = model_types.get(case.model_type)
    path = None
    if case.text is not None:
        path = folder / "text.txt"
        assert case.text.examples is not None
        assert case.text.vocabulary is not None
        alphabet = "".join(chr(0x4E00 + place) for place in range(case.text.vocabulary))
        path.write_text((alphabet * (case.text.examples // len(alphabet) + 1))[: case.text.examples])
    return data.load(
        case.dataset or kind.fallback_dataset,
        datasets_dir=settings.datasets_dir,
        home=folder,
        offline=settings.offline,
        path=path,
    )


def _training(case: Case, hyperparameters: Any, dataset: Dataset, folder: Path) -> dict[str, Any]:
    request = {
        "model_type": case.model_type,
        "dataset": dataset.name,
        "preset": case.preset,
        "hyperparameters": hyperparameters.model_dump(mode="json"),
        "precision": case.precision,
        "device": "cpu",
    }
    if case.steps is not None:
        request["steps"] = case.steps
    return request if case.text is None else {**request, "dataset_path": str(folder / "text.txt")}


def _generation(case: Case, hyperparameters: Any, dataset: Dataset, settings: Settings) -> dict[str, Any]:
    """The request of a generation, and in the store a model with its first weights."""
    kind = model_types.get(case.model_type)
    model = implementation(kind).for_data(hyperparameters, dataset)
    manifest = Manifest(
        model_type=case.model_type,
        config=model.config(),
        hyperparameters=hyperparameters.model_dump(mode="json"),
        dataset=dataset.name,
        seed=0,
        epoch=1,
        step=1,
        step_in_epoch=1,
        device="cpu",
        precision="float32",
    )
    written = local.write(settings.home_path / "run", manifest, weights=model.state_dict(), training={})
    Storage.open_url(settings.resolved_storage_url).put_tree(written.path, _KEY)
    checkpoint = {"id": "ckp_1", "storage_key": _KEY, "sha256": written.sha256, "model_type": case.model_type}
    return {"checkpoint": checkpoint, "sampling": dict(case.sampling or {}), "format": case.format}


def _run(request: dict[str, Any], folder: Path) -> int:
    (folder / "request.json").write_text(json.dumps(request))
    work = folder / "work"
    work.mkdir()
    command = [sys.executable, "-m", "benchmarks.memory.child", str(folder / "request.json"), str(work)]
    environment = {**os.environ, "MIMEO_HOME": str(folder)}
    ended = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{request}: {ended.stderr.strip()[-2000:]}")
    return int(ended.stdout.split()[-1])
