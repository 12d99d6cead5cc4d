"""A session of one owner: its rows, and those of all owners."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.db.owned_rows import ALL_OWNERS, owner_of, restrict
from shared.db.tables import DEFAULT_OWNER, Job, Model, TrainingJob, UploadedDataset
from shared.settings import Settings
from tests import jobs


def test_rows_are_added_for_the_owner_and_read_by_it_alone(session: Session, settings: Settings) -> None:
    ids: dict[str, str] = {}
    for owner in ("ada", "bob"):
        restrict(session, owner)
        assert owner_of(session) == owner
        ids[owner] = jobs.submit(session, settings)
    for owner in ("ada", "bob", "ada"):
        restrict(session, owner)
        session.expunge_all()
        assert list(session.scalars(select(TrainingJob.id))) == [ids[owner]]
        assert list(session.scalars(select(func.count(Job.id)))) == [1]
        assert session.get(Job, ids[owner]) is not None
        assert session.get(Job, ids["bob" if owner == "ada" else "ada"]) is None
        assert session.execute(select(func.count(Job.id)), execution_options=ALL_OWNERS).scalar_one() == 2


def test_unrestricted_session_adds_rows_for_the_default_owner_and_reads_all(
    session: Session, settings: Settings
) -> None:
    restrict(session, "ada")
    jobs.submit(session, settings)
    restrict(session, None)
    added = jobs.submit(session, settings)
    session.expunge_all()
    assert session.get_one(Job, added).owner == DEFAULT_OWNER
    assert session.scalar(select(func.count(Job.id))) == 2


def test_jobs_and_models_without_an_owner_belong_to_all(session: Session, settings: Settings) -> None:
    job_id = jobs.submit(session, settings)
    session.get_one(Job, job_id).owner = None
    session.flush()
    session.expunge_all()
    restrict(session, "ada")
    assert session.get(Job, job_id) is not None


def test_datasets_of_two_owners_have_equal_names(session: Session) -> None:
    for owner, size in (("ada", 1), ("bob", 2)):
        row = UploadedDataset(owner=owner, name="notes", kind="text", storage_key=owner, sha256="0" * 64, size=size)
        session.add(row)
    session.flush()
    session.expunge_all()
    restrict(session, "bob")
    assert session.scalars(select(UploadedDataset).where(UploadedDataset.name == "notes")).one().size == 2
    assert list(session.scalars(select(Model))) == []
