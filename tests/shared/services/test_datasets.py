"""Uploaded texts."""

import io
import tracemalloc

import pytest
from sqlalchemy.orm import Session

from shared.datasets.uploaded_text import check
from shared.db import owned_rows
from shared.db.session import SessionFactory, transaction
from shared.db.tables import TrainingJob, UploadedDataset
from shared.errors import Conflict, NotFound, SpecError
from shared.services import datasets, uploaded_datasets
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.uploads import checked, uploaded

TEXT = ("Wir sind, was wir denken — né? " * 20).encode()


def test_text_is_stored_before_its_row_and_described(database: SessionFactory, storage: Storage) -> None:
    stored = checked("thoughts", b"\xef\xbb\xbf" + TEXT)
    uploaded_datasets.put(storage, stored)
    assert storage.read_bytes(stored.storage_key) == TEXT

    with transaction(database) as session:
        row = uploaded_datasets.add(session, stored, "of an old book")
    with transaction(database) as session:
        assert datasets.get_upload(session, "thoughts").sha256 == row.sha256
        assert [upload.name for upload in datasets.list_uploads(session)] == ["thoughts"]
    assert row.details == {"characters": len(TEXT.decode()), "vocabulary": len(set(TEXT.decode()))}
    assert (row.version, row.description, row.size) == (1, "of an old book", len(TEXT))


def test_text_is_stored_with_unix_line_ends_and_counted_so(storage: Storage) -> None:
    lines = ["No man is an island,", "entire of itself;"] * 9
    text = checked("donne", b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\rend")
    normalized = "\n".join([*lines, "end"]).encode()

    uploaded_datasets.put(storage, text)

    assert storage.read_bytes(text.storage_key) == normalized
    assert (text.size, text.details["characters"]) == (len(normalized), len(normalized))
    assert text.sha256 == checked("donne", normalized).sha256


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (TEXT + b"\xff" + TEXT, "not_utf8", f"offset {len(TEXT)} is invalid"),
        (b"\xef\xbb\xbf" + TEXT * 300 + b"\xff", "not_utf8", f"offset {3 + 300 * len(TEXT)} is invalid"),
        (TEXT + b"\x00", "not_text", f"offset {len(TEXT)} is NUL"),
        (TEXT * 300 + b"\x00", "not_text", f"offset {300 * len(TEXT)} is NUL"),
        (b"short", "too_short", "5 characters, with each line end as one; give at least 200"),
        (b"ab\r\n" * 60, "too_short", "180 characters"),
        (b"", "too_short", "0 characters"),
        (b"a" * 5000, "one_character", "repeats one character"),
        (b"\r\n" * 200, "one_character", "repeats one character"),
        (b"\r\n\n\r" * 200, "one_character", "repeats one character"),
    ],
)
def test_text_that_cannot_be_trained_on_is_refused_and_not_stored(
    storage: Storage, data: bytes, code: str, words: str
) -> None:
    with pytest.raises(SpecError) as caught:
        checked("bad", data)

    [error] = caught.value.errors
    assert (error.pointer, error.code) == ("/file", code)
    assert words in error.detail
    assert list(storage.list_names("datasets")) == []


def test_memory_of_the_check_does_not_grow_with_the_text_or_its_alphabet() -> None:
    every = "".join(chr(code) for code in range(1, 0x110000) if code != 0xD and not 0xD800 <= code < 0xE000)
    file = io.BytesIO(every.encode() * 4)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()

    facts = check(file)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (facts.characters, facts.vocabulary) == (4 * len(every), len(every))
    assert peak - before < 10 << 20 < file.getbuffer().nbytes


@pytest.mark.parametrize("name", ["", "Caps", "../up", "a/b", "-dash", "x" * 65, "nul\x00"])
def test_invalid_name_is_refused(database: SessionFactory, name: str) -> None:
    with pytest.raises(SpecError) as caught:
        datasets.check_name(name)
    assert caught.value.errors[0].pointer == "/name"
    with pytest.raises(NotFound), transaction(database) as session:
        datasets.get_upload(session, name)


def test_existing_name_is_a_conflict_and_the_first_text_stays(database: SessionFactory, storage: Storage) -> None:
    uploaded(database, storage, "mine", TEXT)

    with pytest.raises(Conflict, match="mine"):
        uploaded(database, storage, "mine", TEXT * 2)
    with transaction(database) as session:
        kept = datasets.get_upload(session, "mine")
        with pytest.raises(Conflict, match="mine"):
            uploaded_datasets.check_new(session, "mine")
        with pytest.raises(Conflict, match="comes with Mimeo"):
            uploaded_datasets.check_new(session, "mnist")
    assert storage.read_bytes(kept.storage_key) == TEXT


def test_uses_count_unfinished_jobs_by_dataset(database: SessionFactory, settings: Settings, storage: Storage) -> None:
    for name in ("mine", "other", "unused"):
        uploaded(database, storage, name, TEXT)
    for dataset in ("mine", "mine", "other"):
        jobs.submitted(database, settings, model_type="lstm", dataset=dataset)

    with transaction(database) as session:
        assert {name: use.jobs for name, use in datasets.uses(session).items()} == {"mine": 2, "other": 1}
        assert set(datasets.uses(session, "other")) == {"other"}
        assert datasets.uses(session, "unused") == {}


def test_images_of_a_training_are_those_of_its_owner(session: Session, settings: Settings) -> None:
    ids = {}
    for owner, sha256 in (("ada", "a" * 64), ("bob", "b" * 64)):
        owned_rows.restrict(session, owner)
        row = UploadedDataset(owner=owner, name="cats", kind="images", storage_key=owner, sha256=sha256, size=1)
        session.add(row)
        ids[owner] = jobs.submit(session, settings)
        job = session.get_one(TrainingJob, ids[owner])
        job.spec = {**job.spec, "dataset": "cats", "dataset_sha256": sha256}
    session.flush()
    owned_rows.restrict(session, None)  # as a worker reads
    for owner, job_id in ids.items():
        found = datasets.images_of_training(session, job_id)
        assert found is not None
        assert found.owner == owner
