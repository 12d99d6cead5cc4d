"""Uploaded texts."""

import pytest

from shared.db.session import SessionFactory, transaction
from shared.errors import Conflict, NotFound, SpecError, TooLarge
from shared.services import datasets
from shared.settings import Settings
from shared.storage import Storage

TEXT = ("Wir sind, was wir denken — né? " * 20).encode()


def test_text_is_stored_before_its_row_and_described(
    database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    stored = datasets.check_text(name="thoughts", data=b"\xef\xbb\xbf" + TEXT, settings=settings)
    datasets.put_text(storage, stored)
    assert storage.read_bytes(stored.storage_key) == TEXT

    with transaction(database) as session:
        row = datasets.add_upload(session, stored)
    with transaction(database) as session:
        assert datasets.get_upload(session, "thoughts").sha256 == row.sha256
        assert [upload.name for upload in datasets.list_uploads(session)] == ["thoughts"]
    assert row.details == {"characters": len(TEXT.decode()), "vocabulary": len(set(TEXT.decode()))}


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (TEXT + b"\xff" + TEXT, "not_utf8", f"offset {len(TEXT)} is invalid"),
        (TEXT + b"\x00", "not_text", f"offset {len(TEXT)} is NUL"),
        (b"short", "too_short", "5 characters; give at least 200"),
        (b"", "too_short", "0 characters"),
        (b"a" * 5000, "one_character", "repeats one character"),
    ],
)
def test_text_that_cannot_be_trained_on_is_refused_and_not_stored(
    settings: Settings, storage: Storage, data: bytes, code: str, words: str
) -> None:
    with pytest.raises(SpecError) as caught:
        datasets.check_text(name="bad", data=data, settings=settings)

    [error] = caught.value.errors
    assert (error.pointer, error.code) == ("/file", code)
    assert words in error.detail
    assert list(storage.list_names("datasets")) == []


@pytest.mark.parametrize("name", ["", "Caps", "../up", "a/b", "-dash", "x" * 65, "nul\x00"])
def test_invalid_name_is_refused(settings: Settings, storage: Storage, database: SessionFactory, name: str) -> None:
    with pytest.raises(SpecError) as caught:
        datasets.check_text(name=name, data=TEXT, settings=settings)
    assert caught.value.errors[0].pointer == "/name"
    with pytest.raises(NotFound), transaction(database) as session:
        datasets.get_upload(session, name)


def test_file_over_the_limit_is_refused(settings: Settings, storage: Storage) -> None:
    small = settings.model_copy(update={"max_upload_bytes": 300})
    with pytest.raises(TooLarge, match="at most 300"):
        datasets.check_text(name="big", data=TEXT, settings=small)


def test_existing_name_is_a_conflict_and_the_first_text_stays(
    database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    first = datasets.check_text(name="mine", data=TEXT, settings=settings)
    datasets.put_text(storage, first)
    with transaction(database) as session:
        datasets.add_upload(session, first)
    second = datasets.check_text(name="mine", data=TEXT * 2, settings=settings)
    datasets.put_text(storage, second)

    with pytest.raises(Conflict, match="mine"), transaction(database) as session:
        datasets.add_upload(session, second)
    with transaction(database) as session:
        kept = datasets.get_upload(session, "mine")
    assert storage.read_bytes(kept.storage_key) == TEXT
    with pytest.raises(Conflict, match="comes with Mimeo"):
        datasets.check_text(name="mnist", data=TEXT, settings=settings)
