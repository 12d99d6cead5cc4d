"""Uploads of a trainer's files while the trainer continues."""

import hashlib
import shutil
from pathlib import Path

import pytest

from shared.services.job_queue import Lease
from shared.settings import Settings
from shared.storage import Storage
from shared.trainer_protocol import CheckpointWritten
from tests.worker.manifests import manifest_json
from worker.attempts.uploads import ArtifactUploader
from worker.checkpoints.manifest import DamagedCheckpoint

pytestmark = pytest.mark.slow_on_postgresql

LEASE = Lease(job_id="trn_" + "0" * 26, fencing_token=1, attempt=1)
WRITTEN = CheckpointWritten(epoch=1, step=3, path="checkpoints/00000003", sha256="", size=0)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A workdir with one checkpoint."""
    folder = tmp_path / WRITTEN.path
    folder.mkdir(parents=True)
    files = {}
    for name in ("model.safetensors", "training.safetensors"):
        (folder / name).write_bytes(name.encode())
        files[name] = {"sha256": hashlib.sha256(name.encode()).hexdigest(), "size": len(name)}
    (folder / "manifest.json").write_text(manifest_json(3, files))
    return tmp_path


class SlowStorage(Storage):
    """A slow storage: the trainer prunes the checkpoint before one of its files is stored."""

    before = ""

    def put_file(self, local: Path, key: str) -> None:
        if local.name == self.before:
            shutil.rmtree(local.parent)
        super().put_file(local, key)


@pytest.mark.parametrize("before", ["model.safetensors", "training.safetensors", "manifest.json"])
def test_checkpoint_pruned_during_its_upload_is_left_out(run_dir: Path, settings: Settings, before: str) -> None:
    storage = SlowStorage.open_url(settings.resolved_storage_url)
    assert isinstance(storage, SlowStorage)
    storage.before = before

    with pytest.raises(DamagedCheckpoint, match="removed it during the upload"):
        ArtifactUploader(storage, LEASE, run_dir).checkpoint(WRITTEN)

    assert list(storage.list_names(f"jobs/{LEASE.job_id}", unfinished=True)) == []


def test_checkpoint_is_stored_with_all_its_files(run_dir: Path, settings: Settings, storage: Storage) -> None:
    stored = ArtifactUploader(storage, LEASE, run_dir).checkpoint(WRITTEN)
    assert list(storage.list_names(stored.storage_key)) == [
        "manifest.json",
        "model.safetensors",
        "training.safetensors",
    ]
