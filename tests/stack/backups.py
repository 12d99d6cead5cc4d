"""Small stacks for tests of backup and restore: rows written through the services, files in a store."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine, select

from migrations import runner
from shared.broker import NullBroker
from shared.db.session import SessionFactory, make_engine, reading, session_factory, transaction
from shared.db.tables import Base
from shared.job_status import JobKind
from shared.manifests import MANIFEST, seal
from shared.services import uploaded_datasets
from shared.services.job_queue import Lease
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.api.worker_hands import WEIGHTS, WEIGHTS_FILE, WorkerWrites
from tests.stack.processes import ROOT
from tests.waiting import PATIENCE_S

TEXT = "the quick brown fox jumps over the lazy dog, née Ünïcode\n" * 60


@dataclass
class SmallStack:
    """Settings, database and store of one stack."""

    settings: Settings
    engine: Engine
    storage: Storage

    @property
    def sessions(self) -> SessionFactory:
        return session_factory(self.engine)

    @property
    def worker(self) -> WorkerWrites:
        return WorkerWrites(self.settings, self.sessions, self.storage, NullBroker())

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Every row, by table."""
        found = {}
        with reading(self.sessions) as session:
            for table in Base.metadata.sorted_tables:
                query = select(table).order_by(*table.primary_key.columns)
                found[table.name] = [dict(row) for row in session.execute(query).mappings()]
        return found

    def files(self) -> dict[str, bytes]:
        """Every stored file, by key."""
        folders = ("jobs", "datasets")
        keys = [f"{folder}/{name}" for folder in folders for name in self.storage.list_names(folder)]
        return {key: self.storage.read_bytes(key) for key in keys}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m stack.backup` for this stack."""
        environment = {
            **os.environ,
            "MIMEO_HOME": str(self.settings.home),
            "MIMEO_DATABASE_URL": self.settings.resolved_database_url,
            "MIMEO_STORAGE_URL": self.settings.resolved_storage_url,
        }
        command = [sys.executable, "-m", "stack.backup", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )


@contextmanager
def small_stack(
    home: Path, database_url: str, storage_url: str | None = None, *, revision: str | None = "head"
) -> Iterator[SmallStack]:
    """A stack. revision: of its schema; None: the database has no tables yet."""
    settings = Settings(home=home, database_url=SecretStr(database_url), storage_url=storage_url)
    if revision is not None:
        runner.upgrade(settings, revision)
    engine = make_engine(settings)
    yield SmallStack(settings, engine, Storage.open_url(settings.resolved_storage_url))
    engine.dispose()


def fill(stack: SmallStack) -> dict[str, str]:
    """A model with its export, samples, metrics and warnings, a job that runs with a checkpoint, and others. Ids."""
    worker, sessions, settings = stack.worker, stack.sessions, stack.settings
    with transaction(sessions) as session:
        upload = uploaded_datasets.check_text("verses", io.BytesIO(TEXT.encode()))
        uploaded_datasets.put(stack.storage, upload)
        uploaded_datasets.add(session, upload, "née")
    finished = jobs.running(sessions, settings, name="fertig ✓", metadata={"a": "b"})
    worker.file(finished, "epoch-0001.png", b"png" * 1000)
    worker.points(finished, "loss", [0.5, 1e-12, 3.0])
    checkpoint(stack, finished, 100)
    model = worker.publish(finished)
    put_manifest(stack, finished, 235, has_training=False)
    running = jobs.running(sessions, settings, name="running")
    checkpoint(stack, running, 10)
    pausing, cancelling = jobs.running(sessions, settings), jobs.running(sessions, settings)
    jobs.set_values(sessions, pausing.job_id, status="pausing")
    jobs.set_values(sessions, cancelling.job_id, status="cancelling")
    queued = jobs.submitted(sessions, settings, model_type="lstm", dataset="verses")
    worker.heartbeat(JobKind.TRAINING)
    ids = {"running": running, "pausing": pausing, "cancelling": cancelling, "finished": finished}
    return {name: lease.job_id for name, lease in ids.items()} | {"model": model, "queued": queued}


def checkpoint(stack: SmallStack, lease: Lease, step: int, *, has_training: bool = True) -> None:
    """A checkpoint with its manifest."""
    stack.worker.checkpoint(lease, step)
    put_manifest(stack, lease, step, has_training=has_training)


def put_manifest(stack: SmallStack, lease: Lease, step: int, *, has_training: bool = True) -> None:
    folder = f"jobs/{lease.job_id}/checkpoints/{step:08d}"
    training = f"state of {step}".encode()
    files = {
        "model.safetensors": {"sha256": WEIGHTS, "size": len(WEIGHTS_FILE)},
        "training.safetensors": {"sha256": hashlib.sha256(training).hexdigest(), "size": len(training)},
    }
    if has_training:
        stack.storage.put_bytes(training, f"{folder}/training.safetensors")
    stack.storage.put_bytes(json.dumps(seal({"format": 1, "files": files})).encode(), f"{folder}/{MANIFEST}")
