"""A process that uploads images exits between its durable writes: neither the images nor their picture remain."""

import pytest
from sqlalchemy import select

from shared.db.session import SessionFactory, reading
from shared.db.tables import UploadedDataset
from shared.settings import Settings
from shared.storage import Storage
from tests.engine import programs
from tests.engine.programs import DEAD, dies
from tests.engine.test_failpoints import on_both, sweep_thoroughly

pytestmark = pytest.mark.slow


@on_both
@pytest.mark.parametrize("plan", ["upload.noted", "file.written", "file.written:2", "upload.stored"])
def test_interrupted_upload_of_images_can_be_repeated_and_leaves_no_file(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    settings = settings.model_copy(update={"orphan_grace_s": 0.5})
    assert dies(plan, programs.upload_images, settings) == DEAD
    with reading(database) as session:
        assert list(session.scalars(select(UploadedDataset))) == []

    sweep_thoroughly(settings, database, storage)
    assert [*storage.list_names("datasets", unfinished=True)] == []

    patient = settings.model_copy(update={"orphan_grace_s": 600})
    assert dies(None, programs.upload_images, patient) == 0
    assert [name.rpartition("/")[2] for name in sorted(storage.list_names("datasets"))] == ["images.tar", "preview.png"]
