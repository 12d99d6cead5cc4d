"""Kept machine code, and when it is not used any more."""

import subprocess
import sys
from pathlib import Path

from worker.models import compiling

CALLED = """
from worker.models.compiling import compiled

@compiled
def called(x):
    return x + {added}
"""
CALLS = """
from worker.models.compiling import compiled
from worker.models.called_kernels import called

@compiled
def calls(x):
    return 10 * called(x)
"""
RUN = "from worker.models.calls_kernels import calls; print(calls(1), sum(calls.stats.cache_hits.values()))"


def run(folder: Path) -> tuple[int, int]:
    """What `calls(1)` gives in a process of its own, and whether its code was kept from an earlier one."""
    done = subprocess.run([sys.executable, "-c", RUN], cwd=folder, capture_output=True, text=True, check=True)
    value, hits = done.stdout.split()
    return int(value), int(hits)


def test_code_is_kept_until_a_function_that_it_calls_changes(tmp_path: Path) -> None:
    models = tmp_path / "worker" / "models"
    models.mkdir(parents=True)
    (models / "compiling.py").write_text(Path(compiling.__file__).read_text())
    (models / "called_kernels.py").write_text(CALLED.format(added=1))
    (models / "calls_kernels.py").write_text(CALLS)

    assert run(tmp_path) == (20, 0)
    assert run(tmp_path) == (20, 1)
    (models / "called_kernels.py").write_text(CALLED.format(added=2))
    assert run(tmp_path) == (30, 0)
