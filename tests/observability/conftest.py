"""Programs of Debian's package `prometheus`."""

import os
import shutil
from pathlib import Path

import pytest

from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.settings import Settings
from shared.storage import Storage
from tests.api.worker_hands import WorkerWrites

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "observability"


def program(name: str) -> str:
    """Path of a program. A test without it fails where CI is set, and is skipped elsewhere."""
    path = shutil.which(name)
    if path is None:
        message = f"`{name}` was not found. Install the package `prometheus`."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture
def database_kind() -> str:
    return "sqlite"


@pytest.fixture
def worker(settings: Settings, database: SessionFactory, storage: Storage) -> WorkerWrites:
    return WorkerWrites(settings, database, storage, NullBroker())
