"""Fixtures of the tests that need no engine."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with docker/make-secrets.sh, as in the repository."""
    (tmp_path / "docker").mkdir()
    shutil.copy(ROOT / "docker" / "make-secrets.sh", tmp_path / "docker")
    return tmp_path
