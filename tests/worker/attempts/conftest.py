"""A stored checkpoint, and a worker that generates from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from shared.db.session import SessionFactory, transaction
from shared.db.tables import Checkpoint
from shared.ids import new_id
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from worker import train
from worker.checkpoints.manifest import verify
from worker.context import WorkerContext
from worker.trainer.report import Reporter
from worker.trainer.spec import TrainerSpec
from worker.trainer.stop_signal import StopSignal

HYPERPARAMETERS = {"epochs": 1, "hidden": [8], "examples_per_epoch": 256, "batch_size": 128}


class Silent:
    """A display without output."""

    def show(self, event: object) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint folder of a small VAE."""
    home = tmp_path_factory.mktemp("trained")
    body = {"model_type": "vae", "dataset": "digits", "hyperparameters": HYPERPARAMETERS, "precision": "float32"}
    spec = TrainerSpec.model_validate(body).completed()
    (home / "run").mkdir()
    reporter = Reporter(home / "run", Silent())
    train.run(spec, home / "run", Settings(home=home, offline=True), StopSignal(), reporter)
    reporter.close()
    return max((home / "run" / "checkpoints").glob("[0-9]*"))


@pytest.fixture
def checkpoint(trained: Path, database: SessionFactory, settings: Settings, storage: Storage) -> Checkpoint:
    """The VAE's checkpoint, stored as by a training worker."""
    job_id = jobs.submitted(database, settings, hyperparameters=HYPERPARAMETERS)
    checkpoint = verify(trained)
    row = Checkpoint(
        id=new_id("ckp"),
        job_id=job_id,
        epoch=1,
        step=checkpoint.manifest.step,
        storage_key=f"jobs/{job_id}/checkpoints/1",
        sha256=checkpoint.sha256,
        size=checkpoint.size,
        is_best=True,
    )
    storage.put_tree(trained, row.storage_key)
    with transaction(database) as session:
        session.add(row)
    return row


@pytest.fixture
def generating(context: WorkerContext) -> WorkerContext:
    return replace(context, kind=JobKind.GENERATION)
