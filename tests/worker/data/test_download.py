"""Downloads: resumed, verified, and complete or absent."""

import hashlib
from pathlib import Path
from threading import Thread

import pytest

from shared.errors import JobFailure
from shared.job_status import ErrorCode
from tests.worker.data.conftest import FileServer
from worker.data.download import fetch

CONTENT = bytes(range(256)) * 4000
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_file_is_downloaded_completely_with_progress(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = CONTENT
    seen: list[int] = []

    fetch((server.url("/file"),), CHECKSUM, tmp_path / "file", on_progress=lambda progress: seen.append(progress.done))

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)
    assert leftovers(tmp_path) == {"file"}


def test_download_resumes_after_a_broken_connection(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = CONTENT
    server.break_after = [300_000, 200_000]

    fetch((server.url("/file"),), CHECKSUM, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=300000-", "bytes=500000-"]


def test_later_call_resumes_an_earlier_download(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = CONTENT
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])

    fetch((server.url("/file"),), CHECKSUM, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests == [("/file", "bytes=1000-")]


def test_complete_partial_file_is_only_verified(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = CONTENT
    (tmp_path / "file.part").write_bytes(CONTENT)

    fetch((server.url("/file"),), CHECKSUM, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_download_restarts_at_a_server_without_ranges(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = CONTENT
    server.ranges = False
    (tmp_path / "file.part").write_bytes(b"something else")

    fetch((server.url("/file"),), CHECKSUM, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_partial_file_of_other_content_is_removed_and_fetched_again(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = CONTENT
    (tmp_path / "file.part").write_bytes(b"x" * 1000)

    fetch((server.url("/file"),), CHECKSUM, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_wrong_checksum_leaves_no_file_and_names_both_checksums(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = b"not what was promised"

    with pytest.raises(JobFailure) as caught:
        fetch((server.url("/file"),), CHECKSUM, tmp_path / "file", hint="Put it there.")

    assert caught.value.error_code is ErrorCode.DATASET_UNAVAILABLE
    assert CHECKSUM in caught.value.detail
    assert hashlib.sha256(b"not what was promised").hexdigest() in caught.value.detail
    assert caught.value.hint == "Put it there."
    assert leftovers(tmp_path) == set()


def test_next_address_is_tried_after_a_failure(tmp_path: Path, server: FileServer) -> None:
    server.files["/second"] = CONTENT

    fetch((server.url("/first"), server.url("/second")), CHECKSUM, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_all_failures_are_reported_when_no_address_works(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(JobFailure) as caught:
        fetch((server.url("/a"), "http://127.0.0.1:9/b"), CHECKSUM, tmp_path / "file")

    assert "/a: the server answered 404" in caught.value.detail
    assert "127.0.0.1:9/b: " in caught.value.detail


def test_file_without_a_checksum_is_fetched_from_its_start(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = CONTENT
    (tmp_path / "file.part").write_bytes(b"of another version")
    first: list[str] = []

    fetch((server.url("/file"),), None, tmp_path / "file", on_first=first.append)

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert first == [CHECKSUM]
    assert server.requests == [("/file", None)]


def test_md5_checksum_is_verified(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = CONTENT
    md5 = f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"

    fetch((server.url("/file"),), md5, tmp_path / "file")
    with pytest.raises(JobFailure, match="md5:0000"):
        fetch((server.url("/file"),), "md5:" + "0" * 32, tmp_path / "other")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_one_of_several_processes_downloads_and_the_others_wait(tmp_path: Path, server: FileServer) -> None:
    server.files["/file"] = CONTENT
    threads = [Thread(target=fetch, args=((server.url("/file"),), CHECKSUM, tmp_path / "file")) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.requests) == 1
