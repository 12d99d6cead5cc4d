"""Who may import whom, read from the source: api → shared ← worker, and the client speaks HTTP only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"api", "shared", "worker", "client", "stack", "migrations"}
ALLOWED = {
    "api": {"shared"},
    "shared": set[str](),
    "worker": {"shared"},
    "client": set[str](),
    "stack": {"shared"},
    "migrations": {"shared"},
}


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_package_imports_only_the_packages_below_it(package: str) -> None:
    allowed = ALLOWED[package] | {package}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in imports_of(path)
        if name in PACKAGES - allowed
    ]
    assert not wrong


@pytest.mark.parametrize("module", ["api.wsgi", "shared.specs", "shared.services.training_jobs", "stack.running"])
def test_module_loads_no_torch_in_a_clean_interpreter(module: str, tmp_path: Path) -> None:
    program = f"import sys, {module}; sys.exit(f'torch was loaded' if 'torch' in sys.modules else 0)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"MIMEO_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
