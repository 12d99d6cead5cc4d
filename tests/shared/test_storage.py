"""Durable files: complete or absent, even if the writer is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import NotFound, SetupError
from shared.storage import Storage, StorageUnavailable


@pytest.fixture(params=["file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A local store and a remote one."""
    if request.param == "file":
        return Storage.open_url(f"file://{tmp_path / 'store'}")
    return Storage.open_url(request.getfixturevalue("object_store"))


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    return Storage.open_url(f"file://{tmp_path / 'store'}")


def test_stored_file_can_be_read_back(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"from a file")
    storage.put_file(tmp_path / "a.bin", "jobs/1/a.bin")
    storage.put_bytes(b"from memory", "jobs/1/b.bin")

    assert storage.read_bytes("jobs/1/a.bin") == b"from a file"
    with storage.open("jobs/1/b.bin") as stream:
        assert stream.read(4) == b"from"
    assert storage.exists("jobs/1/a.bin")
    assert not storage.exists("jobs/1")
    storage.get_file("jobs/1/b.bin", tmp_path / "out" / "b.bin")
    assert (tmp_path / "out" / "b.bin").read_bytes() == b"from memory"


def test_second_put_replaces_the_file(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"2")
    storage.put_bytes(b"1", "k/a")
    storage.put_file(tmp_path / "a", "k/a")
    storage.put_file(tmp_path / "a", "k/a")
    assert storage.read_bytes("k/a") == b"2"
    assert list(storage.list_names("k")) == ["a"]


def test_trees_are_stored_and_loaded_completely(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    for name in ("model", "manifest.json", "sub/x"):
        (source / name).write_bytes(name.encode())

    storage.put_tree(source, "jobs/1/c")
    storage.get_tree("jobs/1/c", tmp_path / "target")

    assert list(storage.list_names("jobs/1/c")) == ["manifest.json", "model", "sub/x"]
    assert (tmp_path / "target" / "sub" / "x").read_bytes() == b"sub/x"
    storage.delete_tree("jobs/1/c")
    assert list(storage.list_names("jobs/1/c")) == []


def test_missing_file_is_not_found_and_deleting_it_is_no_error(storage: Storage, tmp_path: Path) -> None:
    for read in (
        lambda: storage.read_bytes("no/thing"),
        lambda: storage.get_file("no/thing", tmp_path / "x"),
        lambda: storage.get_tree("no", tmp_path / "y"),
    ):
        with pytest.raises(NotFound):
            read()
    storage.delete_file("no/thing")
    storage.delete_tree("no")
    storage.put_bytes(b"", "a/b")
    storage.delete_file("a/b")
    assert not storage.exists("a/b")


def test_folders_ages_and_unfinished_files_can_be_listed(storage: Storage, tmp_path: Path) -> None:
    storage.put_bytes(b"1", "seen/a/x")
    storage.put_bytes(b"2", "seen/b/y/z")
    storage.put_bytes(b"3", "seen/b/.tmp-1")
    storage.put_bytes(b"4", "seen/file")

    assert sorted(storage.list_folders("seen")) == ["a", "b"]
    assert list(storage.list_folders("nothing")) == []
    assert list(storage.list_names("seen/b")) == ["y/z"]
    assert list(storage.list_names("seen/b", unfinished=True)) == [".tmp-1", "y/z"]
    assert -1 < storage.age_s("seen/a/x") < 60
    with pytest.raises(NotFound):
        storage.age_s("seen/a/nothing")


def test_age_of_a_file_counts_from_its_upload(local: Storage, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"x")
    os.utime(tmp_path / "old", (0, 0))
    local.put_file(tmp_path / "old", "jobs/a/linked")
    assert local.age_s("jobs/a/linked") < 60


def test_unavailable_store_raises_and_is_not_empty(unreachable_store: str, tmp_path: Path) -> None:
    storage = Storage.open_url(unreachable_store)
    (tmp_path / "a").write_bytes(b"1")
    for ask in (
        lambda: storage.put_file(tmp_path / "a", "k/a"),
        lambda: storage.put_bytes(b"1", "k/a"),
        lambda: storage.exists("k/a"),
        lambda: storage.read_bytes("k/a"),
        lambda: storage.get_file("k/a", tmp_path / "b"),
        lambda: storage.get_tree("k", tmp_path / "c"),
        lambda: list(storage.list_names("k")),
        lambda: list(storage.list_folders("k")),
        lambda: storage.age_s("k/a"),
        lambda: storage.delete_file("k/a"),
        lambda: storage.delete_tree("k"),
    ):
        with pytest.raises(StorageUnavailable, match="Could not connect"):
            ask()


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../secret", "a/../../b"])
def test_key_outside_the_store_is_refused(storage: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="not a storage key"):
        storage.put_bytes(b"x", key)


def test_manifest_of_a_tree_is_written_last(local: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "manifest.json", "z"):
        (source / name).write_bytes(b"x")
    order: list[str] = []
    put_file = Storage.put_file

    def put_file_noting_the_order(self: Storage, path: Path, key: str) -> None:
        order.append(key)
        put_file(self, path, key)

    monkeypatch.setattr(Storage, "put_file", put_file_noting_the_order)

    local.put_tree(source, "t")

    assert order == ["t/a", "t/z", "t/manifest.json"]


def test_failed_write_leaves_no_file(local: Storage, tmp_path: Path) -> None:
    local.put_bytes(b"old", "k/a")
    with pytest.raises(FileNotFoundError):
        local.put_file(tmp_path / "missing", "k/a")

    folder = local.local_path("k")
    assert folder is not None
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert local.read_bytes("k/a") == b"old"


def test_writer_killed_at_any_time_leaves_the_old_file_or_the_new_one(local: Storage, tmp_path: Path) -> None:
    local.put_bytes(b"0" * 100_000, "k/a")
    writer = (
        "import sys; from shared.storage import Storage; store = Storage.open_url(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for digit in b'0123456789':\n"
        "        store.put_bytes(bytes([digit]) * 100_000, 'k/a')\n"
    )
    for delay_ms in (1, 7, 23):
        process = subprocess.Popen(
            [sys.executable, "-c", writer, f"file://{tmp_path / 'store'}"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(timeout=delay_ms / 1000)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        process.stdout.close()

        content = local.read_bytes("k/a")
        assert len(content) == 100_000
        assert len(set(content)) == 1
        assert list(local.list_names("k")) == ["a"]  # temporary files of killed writers are not listed


def test_unusable_store_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match="cannot be created"):
        Storage.open_url(f"file://{tmp_path / 'file' / 'store'}")
    with pytest.raises(SetupError, match="MIMEO_STORAGE_URL"):
        Storage.open_url("nonsense://store")
