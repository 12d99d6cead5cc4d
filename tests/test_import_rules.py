"""Imports point down and have no cycles: the contracts are in pyproject.toml."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.datasets import REGISTRY
from tests.worker.data import formats
from worker.data.prepare import prepare
from worker.data.progress import no_progress

ROOT = Path(__file__).parent.parent
PARTS = ("api", "client", "migrations", "shared", "stack", "worker")
TORCH_FREE = [
    "api.wsgi",
    "shared.specs",
    "shared.services.training_jobs",
    "stack.running",
    "worker.app",
    "worker.attempts.generation",
    "worker.attempts.training",
    "worker.checkpoints.manifest",
    "worker.context",
    "worker.tasks.training",
]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_imports_keep_every_contract() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("worker/data/text.py", "import worker.attempts.commit", "Layers of the worker BROKEN"),
        ("shared/settings.py", "import api.urls", "The parts meet in shared; the client speaks HTTP only BROKEN"),
        ("shared/ids.py", "import shared.services.new_jobs", "No cycles between files or packages BROKEN"),
    ],
)
def test_upward_import_or_cycle_breaks_a_contract(file: str, line: str, broken: str, tmp_path: Path) -> None:
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.npz", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / file
    path.write_text(f"{path.read_text()}\n\ndef late() -> None:\n    {line}\n")

    result = lint_imports(tmp_path)

    assert result.returncode == 1
    assert broken in result.stdout


@pytest.mark.parametrize("module", TORCH_FREE)
def test_module_loads_no_torch_in_a_clean_interpreter(module: str, tmp_path: Path) -> None:
    program = f"import sys, {module}; sys.exit(' '.join({{'torch', 'torchvision'}} & set(sys.modules)) or None)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"MIMEO_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


LOAD_AND_TRAIN = """
import sys
import worker.generation.engine, worker.trainer.run
from pathlib import Path
from worker.data import load

dataset = load("mnist", datasets_dir=None, home=Path(sys.argv[1]), offline=True)
assert len(dataset.train_images) == 30
sys.exit(" ".join(name for name in ("torchvision", "PIL", "scipy") if name in sys.modules) or None)
"""


def test_trainer_and_generation_worker_load_a_prepared_dataset_without_torchvision_and_pillow(tmp_path: Path) -> None:
    downloads = tmp_path / "datasets"
    formats.put(downloads, formats.idx_files("mnist"))
    prepare(REGISTRY["mnist"], None, downloads, offline=True, on_progress=no_progress)

    result = subprocess.run(
        [sys.executable, "-c", LOAD_AND_TRAIN, str(tmp_path)],
        env={"MIMEO_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
