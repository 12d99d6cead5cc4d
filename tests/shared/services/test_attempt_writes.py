"""The writes of workers to their jobs."""

import math
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Artifact, Checkpoint, Metric, Model
from shared.ids import new_id
from shared.services import artifacts, attempt_writes, checkpoints, job_history, job_queue, metrics
from shared.services.attempt_writes import MetricPoint, StoredCheckpoint, StoredFile
from shared.services.job_queue import Lease
from shared.settings import Settings
from tests import jobs


def point(step: int, value: float, name: str = "loss") -> MetricPoint:
    return MetricPoint(name=name, epoch=1, step=step, value=value)


def stored_file(name: str, **changes: Any) -> StoredFile:
    values = {"kind": "sample", "media_type": "image/png", "storage_key": f"k/{name}", "sha256": "0" * 64, "size": 1}
    return StoredFile(name=name, **{**values, **changes})


def stored_checkpoint(step: int, *, is_best: bool = False, key: str | None = None) -> StoredCheckpoint:
    return StoredCheckpoint(
        epoch=1,
        step=step,
        storage_key=key or f"c/{step}",
        sha256=f"{step:064d}",
        size=10,
        is_best=is_best,
        metrics={"val_loss": 1.0},
    )


def add_checkpoint(database: SessionFactory, lease: Lease, step: int, *, is_best: bool = False) -> str:
    with transaction(database) as session:
        attempt_writes.add_checkpoint(job_queue.renew_lease(session, lease), stored_checkpoint(step, is_best=is_best))
    with reading(database) as session:
        query = select(Checkpoint.id).where(Checkpoint.job_id == lease.job_id, Checkpoint.step == step)
        return session.scalars(query).one()


def test_repeated_point_of_a_resumed_run_replaces_the_first(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    with transaction(database) as session:
        attempt_writes.add_metrics(job_queue.renew_lease(session, lease), [point(1, 3.0), point(2, 2.0)])
    with transaction(database) as session:
        attempt_writes.add_metrics(job_queue.renew_lease(session, lease), [point(2, 2.5), point(2, 2.5), point(3, 1.0)])

    with reading(database) as session:
        curve = metrics.series(session, lease.job_id)["loss"]
    assert [(p.step, p.value) for p in curve] == [(1, 3.0), (2, 2.5), (3, 1.0)]


def test_metrics_that_are_not_finite_are_left_out(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        attempt_writes.add_metrics(fenced, [point(1, math.nan), point(2, math.inf), point(3, 1.0)])

    with reading(database) as session:
        assert [row.step for row in session.scalars(select(Metric))] == [3]


def test_artifact_of_the_same_name_is_replaced_and_keeps_its_id(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    with transaction(database) as session:
        attempt_writes.add_artifacts(
            job_queue.renew_lease(session, lease), [stored_file("grid.png"), stored_file("t0.txt")]
        )
    with reading(database) as session:
        first = {row.name: row.id for row in session.scalars(select(Artifact))}

    with transaction(database) as session:
        again = [stored_file("grid.png", storage_key="k/new", details={"text": "a\x00b\ud800", "ratio": math.nan})]
        replaced = attempt_writes.add_artifacts(job_queue.renew_lease(session, lease), again)

    with reading(database) as session:
        found, has_more = artifacts.list_for_job(session, lease.job_id)
    assert ({row.name: row.id for row in found}, has_more) == (first, False)
    assert replaced == ["k/grid.png"]
    newer = next(row for row in found if row.name == "grid.png")
    assert newer.storage_key == "k/new"
    assert newer.details == {"text": "a\ufffdb?", "ratio": None}


def test_only_one_checkpoint_is_the_best(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    for step, is_best in [(10, True), (20, False), (30, True)]:
        add_checkpoint(database, lease, step, is_best=is_best)

    with reading(database) as session:
        rows = checkpoints.list_for_job(session, lease.job_id)
    assert [(row.step, row.is_best) for row in rows] == [(30, True), (20, False), (10, False)]


def test_repeated_checkpoint_replaces_the_first(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    first = add_checkpoint(database, lease, 10)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        assert attempt_writes.add_checkpoint(fenced, stored_checkpoint(10, key="c/again")) == ["c/10"]

    with reading(database) as session:
        row = session.get_one(Checkpoint, first)
    assert row.storage_key == "c/again"


def prune(database: SessionFactory, job_id: str) -> list[str]:
    with transaction(database) as session:
        return checkpoints.prune(session, job_id)


def test_pruning_keeps_the_newest_two_and_the_best(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    for step in (10, 20, 30, 40, 50):
        add_checkpoint(database, lease, step, is_best=step == 20)

    assert sorted(prune(database, lease.job_id)) == ["c/10", "c/30"]
    with reading(database) as session:
        assert [row.step for row in checkpoints.list_for_job(session, lease.job_id)] == [50, 40, 20]
    assert prune(database, lease.job_id) == []


def test_pruning_keeps_checkpoints_that_other_jobs_need(database: SessionFactory, settings: Settings) -> None:
    # Given: five checkpoints; one is published, one is to be sampled, one is to be continued from
    lease = jobs.running(database, settings)
    ids = [add_checkpoint(database, lease, step) for step in (10, 20, 30, 40, 50, 60)]
    with transaction(database) as session:
        session.add(model(lease.job_id, ids[0]))
    sampling = jobs.generated(database, settings, model=ids[1])
    continuing = jobs.submitted(database, settings, init_from=ids[2])

    assert prune(database, lease.job_id) == ["c/40"]

    # When those jobs have ended, their checkpoints may be removed, but never the published one
    jobs.cancel(database, sampling)
    jobs.cancel(database, continuing)
    assert sorted(prune(database, lease.job_id)) == ["c/20", "c/30"]


def model(job_id: str, checkpoint_id: str) -> Model:
    return Model(
        id=new_id("mdl"),
        job_id=job_id,
        checkpoint_id=checkpoint_id,
        model_type="vae",
        dataset="digits",
        hyperparameters={},
    )


def test_job_publishes_one_model(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    checkpoint = add_checkpoint(database, lease, 10)
    with transaction(database) as session:
        attempt_writes.add_model(job_queue.renew_lease(session, lease), model(lease.job_id, checkpoint))

    with pytest.raises(IntegrityError), transaction(database) as session:
        attempt_writes.add_model(job_queue.renew_lease(session, lease), model(lease.job_id, checkpoint))


def test_events_are_read_in_order_and_in_pages(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        for number in range(3):
            attempt_writes.add_event(fenced, event="note", message=f"{number}\x00", data={"n": number})

    with reading(database) as session:
        page, has_more = job_history.list_for_job(session, lease.job_id, limit=4)
        rest, ends = job_history.list_for_job(session, lease.job_id, after=page[-1].id, limit=4)
    assert [event.type for event in page + rest] == ["queued", "running", "note", "note", "note"]
    assert (has_more, ends) == (True, False)
    assert rest[0].message == "2\ufffd"


def test_long_curve_is_thinned_and_keeps_its_last_point(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        attempt_writes.add_metrics(fenced, [point(step, float(step)) for step in range(1, 1004)])
        attempt_writes.add_metrics(fenced, [point(step, 0.0, name="val_loss") for step in range(3)])

    with reading(database) as session:
        curves = metrics.series(session, lease.job_id, max_points=100)
        only = metrics.series(session, lease.job_id, name="val_loss")
        none = metrics.series(session, lease.job_id, name="unknown")
    assert len(curves["loss"]) <= 101
    assert curves["loss"][-1].step == 1003
    assert [p.step for p in curves["loss"]] == sorted({p.step for p in curves["loss"]})
    assert (len(only["val_loss"]), list(only), none) == (3, ["val_loss"], {})


def test_thinned_curve_keeps_a_spike_of_one_point_and_a_range_of_steps(
    database: SessionFactory, settings: Settings
) -> None:
    lease = jobs.running(database, settings)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        values = dict.fromkeys(range(5000), 1.0) | {1234: 99.0, 3210: -5.0}
        attempt_writes.add_metrics(fenced, [point(step, value) for step, value in values.items()])

    with reading(database) as session:
        [whole] = metrics.series(session, lease.job_id, max_points=20).values()
        steps = metrics.StepRange(first=1230, last=1240)
        [part] = metrics.series(session, lease.job_id, steps=steps, max_points=20).values()
    shown = {each.step: each.value for each in whole}
    assert (shown[1234], shown[3210]) == (99.0, -5.0)
    assert len(whole) <= 21
    assert whole[-1].step == 4999
    assert [each.step for each in part] == list(range(1230, 1241))
