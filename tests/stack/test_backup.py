"""Backup and restore between databases and stores, and what is refused."""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect

from migrations import runner
from shared.db.session import reading, transaction
from shared.db.tables import Base, Metric
from shared.job_status import JobStatus
from shared.manifests import seal
from shared.services import workers
from stack.backup.contents import EXCLUDED, SEEDED, STORED, BackupError, parse_manifest
from stack.backup.creating import create
from stack.backup.restoring import restore, verify
from tests import jobs
from tests.conftest import DATABASES
from tests.stack.backups import SmallStack, fill, small_stack

MakeDatabase = Callable[[str], str]
INCLUDED = {
    "api_keys", "artifacts", "checkpoints", "datasets", "exports", "idempotency_keys", "job_events", "jobs",
    "metric_totals", "metrics", "models", "owner_use", "owners", "placements", "ready_models",
}  # fmt: skip


def test_every_table_is_in_backups_or_excluded_with_a_reason() -> None:
    tables = Base.metadata.tables
    assert set(tables) == INCLUDED | set(EXCLUDED), "name the new table in INCLUDED, or in EXCLUDED with its reason"
    assert not INCLUDED & set(EXCLUDED)
    with_files = {name for name in INCLUDED if "storage_key" in tables[name].columns}
    assert with_files == set(STORED), "say in STORED how the rows name their files"


@pytest.mark.slow
def test_restored_stack_has_every_row_and_file_on_any_pair_of_databases(
    tmp_path: Path, make_database: MakeDatabase, object_store: str
) -> None:
    pairs = zip(DATABASES, reversed(DATABASES), strict=True)
    stores = (None, object_store)
    for number, ((first, second), url) in enumerate(zip(pairs, stores, strict=True)):
        path = tmp_path / ("backup.zip", "backup")[number]
        with small_stack(tmp_path / f"from-{number}", make_database(first), url) as source:
            ids = fill(source)
            before, files = source.rows(), source.files()
            assert create(source.settings, path).lost == []
        with small_stack(tmp_path / f"to-{number}", make_database(second), revision=None) as restored:
            restore(restored.settings, path)
            assert restored.files() == files
            after = restored.rows()
        for name in INCLUDED - {"jobs", "job_events"}:
            assert after[name] == before[name], name
        assert after["job_events"][: len(before["job_events"])] == before["job_events"]
        waiting = {row["id"] for row in before["jobs"] if not row["status"].is_held}
        for old, new in zip(before["jobs"], after["jobs"], strict=True):
            same = {name: old[name] for name in old if name != "notified_at"}
            assert old["id"] not in waiting or {name: new[name] for name in same} == same
        statuses = {row["id"]: (row["status"], row["attempt"], row["worker"]) for row in after["jobs"]}
        assert statuses[ids["running"]] == (JobStatus.QUEUED, 0, None)
        assert statuses[ids["pausing"]] == (JobStatus.PAUSED, 0, None)
        assert statuses[ids["cancelling"]] == (JobStatus.CANCELLED, 1, None)
        assert after["workers"] == []


@pytest.fixture
def source(tmp_path: Path, make_database: MakeDatabase) -> Iterator[SmallStack]:
    with small_stack(tmp_path / "source", make_database("sqlite")) as stack:
        yield stack


def test_tables_of_a_new_database_are_empty_but_for_the_seeded_ones(source: SmallStack) -> None:
    assert {name for name, rows in source.rows().items() if rows} == SEEDED, "name in SEEDED what migrations fill"


@pytest.mark.slow
def test_new_rows_are_numbered_after_the_restored_ones_and_the_job_is_claimed_again(
    source: SmallStack, tmp_path: Path, make_database: MakeDatabase
) -> None:
    ids = fill(source)
    create(source.settings, tmp_path / "b")
    with small_stack(tmp_path / "to", make_database("postgresql")) as restored:
        restore(restored.settings, tmp_path / "b")

        lease = jobs.claimed(restored.sessions)
        assert lease is not None
        assert (lease.job_id, lease.attempt, lease.fencing_token) == (ids["running"], 1, 2)
        restored.worker.points(lease, "loss", [1.0])
        with reading(restored.sessions) as session:
            points = session.query(Metric).order_by(Metric.id).all()
            assert [point.job_id for point in points][-2:] == [ids["finished"], ids["running"]]


@pytest.mark.slow
def test_restore_into_a_stack_that_is_not_empty_is_refused(
    source: SmallStack, tmp_path: Path, make_database: MakeDatabase
) -> None:
    fill(source)
    create(source.settings, tmp_path / "b.zip")
    before, files = source.rows(), source.files()

    with pytest.raises(BackupError, match=r"The database is not empty \(rows: .*\)\. Restore before the first start"):
        restore(source.settings, tmp_path / "b.zip")

    assert (source.rows(), source.files()) == (before, files)
    with small_stack(tmp_path / "to", make_database("sqlite"), revision=None) as restored:
        restored.storage.put_bytes(b"another stack's", "jobs/trn_other/file")
        with pytest.raises(BackupError, match="jobs/trn_other/file, which the backup has not"):
            restore(restored.settings, tmp_path / "b.zip")
        restored.storage.delete_tree("jobs")
        # A restore that was cut off leaves files of the backup, and is repeated.
        key = next(iter(files))
        restored.storage.put_bytes(files[key][:1], key)
        restore(restored.settings, tmp_path / "b.zip")
        assert restored.files() == files


def test_backup_that_was_cut_off_or_changed_is_refused(
    source: SmallStack, tmp_path: Path, make_database: MakeDatabase
) -> None:
    ids = fill(source)
    whole, folder = tmp_path / "b.zip", tmp_path / "b"
    create(source.settings, whole)
    create(source.settings, folder)
    assert verify(folder) == parse_manifest((folder / "manifest.json").read_bytes())
    with pytest.raises(BackupError, match="exists; give the backup a new name"):
        create(source.settings, whole)

    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole.read_bytes()[:-100])
    weights = f"files/jobs/{ids['running']}/checkpoints/00000010/model.safetensors"
    changes: dict[str, Callable[[Path], object]] = {
        "has no manifest.json": lambda path: (path / "manifest.json").unlink(),
        "manifest.json has changed": lambda path: (path / "manifest.json").write_text(
            (path / "manifest.json").read_text().replace('"lost": []', '"lost": [ ]').replace('"rows": 1', '"rows": 2')
        ),
        f"{weights} of the backup has changed": lambda path: (path / weights).write_bytes(b"other"),
        f"lacks {weights}": lambda path: (path / weights).unlink(),
        "tables/jobs.jsonl of the backup has changed": lambda path: (path / "tables/jobs.jsonl").write_bytes(b""),
        "has format 2; restore it with a newer version": lambda path: (path / "manifest.json").write_text(
            json.dumps({"format": 2})
        ),
    }
    with small_stack(tmp_path / "to", make_database("sqlite"), revision=None) as restored:
        for number, (reason, change) in enumerate(changes.items()):
            damaged = tmp_path / f"damaged-{number}"
            shutil.copytree(folder, damaged)
            change(damaged)
            with pytest.raises(BackupError, match=re.escape(reason)):
                restore(restored.settings, damaged)
        with pytest.raises(BackupError, match="is no backup, or one that was cut off"):
            restore(restored.settings, cut)
        assert restored.files() == {}
        assert not Path(restored.engine.url.database or "").exists()


@pytest.mark.slow
def test_lost_and_damaged_files_are_named_and_the_rest_is_restored(
    source: SmallStack, tmp_path: Path, make_database: MakeDatabase
) -> None:
    ids = fill(source)
    sample = f"jobs/{ids['finished']}/sample/epoch-0001.png"
    weights = f"jobs/{ids['running']}/checkpoints/00000010/model.safetensors"
    source.storage.delete_file(sample)
    source.storage.put_bytes(b"changed", weights)

    made = source.run("create", str(tmp_path / "b.zip"))

    assert (made.returncode, made.stdout.count("\n")) == (1, 1)
    assert "2 files are not in storage as they were written" in made.stderr
    assert sample in made.stderr
    assert weights in made.stderr
    with small_stack(tmp_path / "to", make_database("sqlite"), revision=None) as restored:
        restore(restored.settings, tmp_path / "b.zip")
        assert restored.files().keys() == source.files().keys() - {weights}


def test_backup_is_private_and_a_failed_one_leaves_nothing(source: SmallStack, tmp_path: Path) -> None:
    fill(source)
    folder = tmp_path / "backups"
    create(source.settings, folder / "b.zip")
    assert (folder / "b.zip").stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(folder / "b.zip") as archive:
        assert "manifest.json" in archive.namelist()
    with transaction(source.sessions) as session:
        workers.leave(session, "w:1")
    runner.downgrade(source.settings, "0010")

    with pytest.raises(BackupError, match="the schema of an earlier version"):
        create(source.settings, folder / "c.zip")

    assert [path.name for path in folder.iterdir()] == ["b.zip"]


@pytest.mark.slow
def test_backup_of_an_earlier_revision_is_migrated_and_a_later_one_is_refused(
    tmp_path: Path, make_database: MakeDatabase, database_kind: str
) -> None:
    with small_stack(tmp_path / "source", make_database(database_kind)) as source:
        ids = fill(source)
        create(source.settings, tmp_path / "now")
    earlier, later = tmp_path / "earlier", tmp_path / "later"
    shutil.copytree(tmp_path / "now", later)
    path = later / "manifest.json"
    path.write_text(json.dumps(seal(json.loads(path.read_text()) | {"revision": "ffff"})))
    with small_stack(tmp_path / "old", make_database("sqlite"), revision="0006") as old:
        rewrite_as_of(tmp_path / "now", earlier, old)

    with small_stack(tmp_path / "a", make_database(database_kind), revision=None) as restored:
        restore(restored.settings, earlier)
        newest = runner.current(restored.settings)
        assert newest[0] == newest[1]
        assert [(row["name"], row["version"], row["description"]) for row in restored.rows()["datasets"]] == [
            ("verses", 1, None)
        ]
        assert jobs.status_of(restored.sessions, ids["running"]) == JobStatus.QUEUED
    with (
        small_stack(tmp_path / "b", make_database(database_kind), revision=None) as restored,
        pytest.raises(BackupError, match="cannot be migrated to revision ffff"),
    ):
        restore(restored.settings, later)


def rewrite_as_of(source: Path, target: Path, earlier: SmallStack) -> None:
    """A backup as a stack of an earlier revision would have made it: without tables and columns that came later."""
    shutil.copytree(source, target)
    manifest = json.loads((target / "manifest.json").read_text())
    columns = {name: inspect(earlier.engine).get_columns(name) for name in inspect(earlier.engine).get_table_names()}
    for name in list(manifest["tables"]):
        path = target / "tables" / f"{name}.jsonl"
        if name not in columns:
            path.unlink()
            del manifest["tables"][name]
            continue
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        kept = [{column["name"]: row[column["name"]] for column in columns[name]} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))
        manifest["tables"][name]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["revision"] = runner.current(earlier.settings)[0]
    (target / "manifest.json").write_text(json.dumps(seal(manifest)))
