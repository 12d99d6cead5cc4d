"""A missing bucket and refused credentials are outages that name their remedy, never missing files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from api.app import create_app
from api.runtime import EXTENSION
from api.streams import hub
from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.errors import NotFound
from shared.settings import Settings
from shared.storage import BLOCK_BYTES, BucketMissing, Storage, StorageDenied
from tests import jobs, servers
from tests.api.worker_hands import WorkerWrites
from tests.shared.object_requests import counted


def operations(storage: Storage, folder: Path) -> list[Callable[[], object]]:
    """Every operation that reaches the store."""
    (folder / "a").write_bytes(b"1")
    return [
        lambda: storage.put_file(folder / "a", "k/a"),
        lambda: storage.put_bytes(b"1", "k/a"),
        lambda: storage.put_pieces([b"1"], "k/a"),
        lambda: storage.exists("k/a"),
        lambda: storage.open("k/a"),
        lambda: storage.read_bytes("k/a"),
        lambda: list(storage.pieces("k/a", 0, 1)),
        lambda: storage.get_file("k/a", folder / "b"),
        lambda: storage.get_tree("k", folder / "c"),
        lambda: list(storage.list_names("k")),
        lambda: list(storage.list_folders("k")),
        lambda: storage.age_s("k/a"),
        lambda: storage.delete_file("k/a"),
        lambda: storage.delete_tree("k"),
    ]


def test_missing_bucket_is_named_by_every_operation(missing_bucket: str, tmp_path: Path) -> None:
    for operation in operations(Storage.open_url(missing_bucket), tmp_path):
        with pytest.raises(BucketMissing, match=r"another-bucket does not exist\. Create it, or"):
            operation()


def test_refused_credentials_are_named_by_every_operation(refused_store: str, tmp_path: Path) -> None:
    for operation in operations(Storage.open_url(refused_store), tmp_path):
        with pytest.raises(StorageDenied, match=r"refuses access .* Check the credentials, AWS_ACCESS_KEY_ID"):
            operation()


def test_absent_credentials_are_named(object_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StorageDenied, match="Unable to locate credentials"):
        Storage.open_url(object_store).exists("k/a")


@pytest.mark.parametrize(
    ("url", "code", "remedy"),
    [
        ("missing_bucket", "storage_bucket_missing", "Create it"),
        ("refused_store", "storage_denied", "Check the credentials"),
        ("unreachable_store", "unavailable", "Could not connect"),
    ],
)
@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_api_tells_the_three_apart_and_from_a_missing_file(
    url: str,
    code: str,
    remedy: str,
    settings: Settings,
    database: SessionFactory,
    storage: Storage,
    request: pytest.FixtureRequest,
) -> None:
    lease = jobs.running(database, settings)
    WorkerWrites(settings, database, storage, NullBroker()).file(lease, "a.png", b"png")
    away = settings.model_copy(update={"storage_url": request.getfixturevalue(url)})
    app = create_app(away, broker=NullBroker())
    client = app.test_client()
    [sample] = client.get(f"/v1/training-jobs/{lease.job_id}/samples").get_json()["data"]

    answer = client.get(f"/v1/artifacts/{sample['id']}/content")

    assert (answer.status_code, answer.get_json()["code"]) == (503, code)
    assert remedy in answer.get_json()["detail"]
    assert answer.headers["Retry-After"]
    checks = {check["name"]: check for check in client.get("/readyz").get_json()["checks"]}
    assert remedy in checks["storage"]["detail"]
    app.extensions[hub.EXTENSION].close()
    app.extensions[EXTENSION].close()


def test_files_are_found_again_when_the_bucket_is_there(object_store: str) -> None:
    storage = Storage.open_url(object_store)
    with pytest.raises(NotFound):
        storage.read_bytes("k/a")
    assert not storage.exists("k/a")
    storage.put_bytes(b"1", "k/a")
    assert storage.read_bytes("k/a") == b"1"


def test_part_of_a_large_object_is_read_without_the_rest(object_store_server: servers.ObjectStore) -> None:
    size = 5 * BLOCK_BYTES
    with counted(object_store_server.port) as (port, sent), servers.s3_at(servers.ObjectStore.environment_at(port)):
        storage = Storage.open_url("s3://bucket/ranges")
        storage.put_bytes(bytes(size), "k/large")
        sent.clear()

        assert b"".join(storage.pieces("k/large", 1000, 10)) == bytes(10)
        assert sum(sent) < 20_000
        pieces = [len(piece) for piece in storage.pieces("k/large", 0, size)]
        assert (sum(pieces), max(pieces)) == (size, BLOCK_BYTES)
