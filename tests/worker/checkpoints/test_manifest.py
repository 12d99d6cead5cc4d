"""Manifests of earlier and later versions."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.db.session import SessionFactory, transaction
from shared.errors import DependencyUnavailable
from shared.job_status import JobStatus
from shared.manifests import seal
from shared.services import job_queue
from shared.settings import Settings
from tests import jobs
from worker.checkpoints.manifest import Manifest, NewerCheckpoint, parse, verify

# What the first version wrote, and every one since.
FIRST: dict[str, Any] = {
    "format": 1,
    "model_type": "vae",
    "config": {},
    "hyperparameters": {},
    "dataset": "digits",
    "seed": 7,
    "epoch": 2,
    "step": 30,
    "step_in_epoch": 4,
    "device": "cpu",
    "precision": "float32",
}


def encoded(values: dict[str, Any]) -> bytes:
    return json.dumps(seal(values)).encode()


def test_fields_that_an_earlier_version_did_not_write_have_defaults() -> None:
    manifest = parse(encoded(FIRST))
    left_out = Manifest.model_fields.keys() - FIRST.keys() - {"digest"}
    assert left_out
    for name in left_out:
        assert getattr(manifest, name) == Manifest.model_fields[name].default


def test_parts_of_a_batch_are_written_only_where_there_are_several() -> None:
    whole = parse(encoded(FIRST))
    in_parts = whole.model_copy(update={"batch_parts": 2})
    assert "batch_parts" not in whole.model_dump()
    assert parse(encoded(in_parts.model_dump())).batch_parts == 2


def test_fields_that_a_later_version_added_are_ignored_and_covered_by_the_digest() -> None:
    values = FIRST | {"added_later": {"a": 1}}
    assert parse(encoded(values)).step == 30
    with pytest.raises(ValueError, match="has changed"):
        parse(encoded(values).replace(b'"a": 1', b'"a": 2'))


def test_later_format_is_not_damage_and_its_job_waits_for_a_newer_worker(
    tmp_path: Path, settings: Settings, database: SessionFactory
) -> None:
    (tmp_path / "manifest.json").write_bytes(encoded(FIRST | {"format": 2}))
    with pytest.raises(NewerCheckpoint, match="format 2; a worker of a later version continues"):
        verify(tmp_path)

    lease = jobs.running(database, settings)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        status = job_queue.finish_failed(fenced, DependencyUnavailable("a newer checkpoint"), settings)
    assert status is JobStatus.QUEUED
    assert jobs.read_job(database, lease.job_id).attempt == 0
