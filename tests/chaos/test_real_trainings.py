"""The real trainer with faults during its work: it ends with the weights of an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from shared.db.session import reading
from shared.db.tables import Checkpoint, Metric, Model
from shared.job_status import JobStatus
from shared.services import checkpoints
from tests.chaos.rig import Rig

SPEC: dict[str, Any] = {
    "model_type": "vae",
    "dataset": "digits",
    "seed": 11,
    "hyperparameters": {"epochs": 20, "hidden": [32], "examples_per_epoch": 2000, "batch_size": 50},
}
# Metrics of speed, not of the result.
SPEED = "examples_per_s"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[tuple[str, int], float]]:
    """Sha256 of the weights, and the curves, of the trainer program without faults."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "spec.json").write_text(json.dumps(SPEC))
    command = [sys.executable, "-m", "worker.train", str(folder / "spec.json"), str(folder / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MIMEO_HOME": str(folder), "MIMEO_OFFLINE": "1"}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=240)
    said = [json.loads(line) for line in (folder / "run" / "events.jsonl").read_text().splitlines()]
    points = {
        (name, event["step"]): value
        for event in said
        if event["type"] == "metrics"
        for name, value in event["values"].items()
        if name != SPEED
    }
    [path] = [event["checkpoint"] for event in said if event["type"] == "finished"]
    manifest = json.loads((folder / "run" / path / "manifest.json").read_text())
    return manifest["files"]["model.safetensors"]["sha256"], points


def outcome(rig: Rig, job_id: str) -> tuple[str, dict[tuple[str, int], float]]:
    """The same figures of a job."""
    with reading(rig.sessions) as session:
        model = session.scalars(select(Model).where(Model.job_id == job_id)).one()
        digest = session.get_one(Checkpoint, model.checkpoint_id).sha256
        rows = session.scalars(select(Metric).where(Metric.job_id == job_id, Metric.name != SPEED))
        return digest, {(row.name, row.step): row.value for row in rows}


def stored(rig: Rig, job_id: str) -> list[Checkpoint]:
    with reading(rig.sessions) as session:
        return checkpoints.list_for_job(session, job_id)


@pytest.mark.starts_first
@pytest.mark.parametrize("victim", ["worker", "trainer"])
def test_sigkill_mid_epoch_of_a_real_training(
    rig: Rig, chance: random.Random, undisturbed: tuple[str, dict[tuple[str, int], float]], victim: str
) -> None:
    rig.reconciler()
    worker = rig.real_worker()
    job_id = rig.submit_real(**SPEC)
    rig.reaches(job_id, chance.randint(1, 400))
    time.sleep(chance.uniform(0, 0.2))
    trainer = worker.trainer()
    assert trainer is not None

    if victim == "worker":
        worker.kill()
        rig.real_worker()
    else:
        os.kill(trainer, signal.SIGKILL)
    rig.end()

    assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 2)
    assert outcome(rig, job_id) == undisturbed


@pytest.mark.starts_first
def test_sigterm_and_a_flipped_byte_in_a_real_training(
    rig: Rig, chance: random.Random, undisturbed: tuple[str, dict[tuple[str, int], float]]
) -> None:
    # Given: a training whose worker was stopped, and a newest checkpoint that is corrupted on disk
    rig.reconciler()
    worker = rig.real_worker()
    job_id = rig.submit_real(**SPEC)
    rig.reaches(job_id, chance.randint(200, 450))
    assert worker.stop() == 0
    assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.QUEUED, 0)
    newest, before, *_ = stored(rig, job_id)
    file = rig.storage.local_path(f"{newest.storage_key}/{chance.choice(['model', 'training'])}.safetensors")
    assert isinstance(file, Path)
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)

    rig.real_worker()
    rig.end()

    assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 1)
    assert rig.events(job_id).count("checkpoint_damaged") == 1
    assert rig.starts(job_id) == [0, before.step]
    assert outcome(rig, job_id) == undisturbed
