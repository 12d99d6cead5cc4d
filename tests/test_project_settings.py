"""pyproject.toml names existing files only."""

import fnmatch
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOLS = PROJECT["tool"]


def files() -> list[str]:
    """Python files and package data, relative to the root; environments and build outputs left out."""
    tops = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [str(path.relative_to(ROOT)) for top in tops for path in top.rglob("*") if path.is_file()]


FILES = files()


@pytest.mark.parametrize(
    "name",
    [
        *TOOLS["setuptools"]["packages"]["find"]["include"],
        *TOOLS["mypy"]["files"],
        *TOOLS["pytest"]["ini_options"]["testpaths"],
        *TOOLS["coverage"]["run"]["source"],
    ],
)
def test_each_package_named_by_a_tool_exists(name: str) -> None:
    assert (ROOT / name.rstrip("*")).is_dir()


@pytest.mark.parametrize(
    ("package", "pattern"),
    [
        (package, pattern)
        for package, patterns in TOOLS["setuptools"]["package-data"].items()
        for pattern in patterns
        if package != "*"
    ],
)
def test_each_pattern_of_package_data_matches_a_file(package: str, pattern: str) -> None:
    assert any(path.is_file() for path in (ROOT / package).rglob(pattern))


@pytest.mark.parametrize(
    "pattern", [*TOOLS["ruff"]["lint"]["per-file-ignores"], *TOOLS["ruff"].get("extend-exclude", [])]
)
def test_each_pattern_of_ruff_matches_a_file(pattern: str) -> None:
    assert any(fnmatch.fnmatch(name, pattern.replace("**", "*")) for name in FILES)


def test_make_all_runs_each_test_once() -> None:
    plan = subprocess.run(
        ["make", "--dry-run", "test", "test-all"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    runs = [line for line in plan.splitlines() if "-m pytest" in line]
    assert ['-m "not slow"' in line for line in runs].count(True) == 1
    assert all(("-m slow" in line) != ('-m "not slow"' in line) for line in runs)
    [acceptance] = [line for line in runs if line.endswith(" tests/acceptance")]
    [others] = [line for line in runs if line.endswith("--ignore=tests/acceptance")]
    assert acceptance != others
    assert len(runs) == 3
