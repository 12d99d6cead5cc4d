"""Image models on uploaded colour images: through the real preparation, a training, and a sampling of test images."""

import io
from pathlib import Path

import pytest

from shared.errors import JobFailure
from shared.image_uploads.checking import ImageOptions, check
from shared.image_uploads.stored import FILE
from shared.model_types import REGISTRY
from shared.settings import Settings
from shared.storage import Storage
from tests.pictures import class_folders
from tests.worker.trainer.harness import result, run
from worker.checkpoints.manifest import CheckpointRef, UploadRef, verify
from worker.generation.engine import GenerationEngine
from worker.trainer.spec import TrainerSpec

pytestmark = pytest.mark.slow  # the preparation process imports torch and torchvision


def stored(folder: Path) -> tuple[Path, str]:
    """The stored form of 60 colour pictures, and its checksum."""
    folder.mkdir(parents=True)
    with (folder / FILE).open("w+b") as target:
        facts = check(io.BytesIO(class_folders(30)), ImageOptions(size=32), target, max_upload_bytes=8 << 20)
    return folder / FILE, facts.sha256


def train(model_type: str, folder: Path, upload: Path) -> None:
    body = {"model_type": model_type, "dataset": "pets", "dataset_path": upload, "evaluation": "quick", "threads": 1}
    hyperparameters = {**REGISTRY[model_type].small, "epochs": 1}
    status, _ = run(folder, TrainerSpec.model_validate({**body, "hyperparameters": hyperparameters}).completed())
    assert status == 0


@pytest.mark.parametrize("model_type", ["vae", "acgan", "gan"])
def test_model_trains_on_uploaded_colour_images(model_type: str, tmp_path: Path) -> None:
    upload, _ = stored(tmp_path / "upload")

    train(model_type, tmp_path / "run", upload)

    newest = max((tmp_path / "run" / "checkpoints").glob("[0-9]*"))
    assert list(verify(newest).manifest.config["image_shape"]) == [3, 32, 32]
    assert result(tmp_path / "run")["sha256"]


def test_test_images_are_fetched_for_a_reconstruction_and_needed(tmp_path: Path) -> None:
    upload, sha256 = stored(tmp_path / "upload")
    train("vae", tmp_path / "run", upload)
    settings = Settings(home=tmp_path / "other")
    storage = Storage.open_url(settings.resolved_storage_url)
    storage.put_tree(max((tmp_path / "run" / "checkpoints").glob("[0-9]*")), "jobs/trn_1/checkpoints/1")
    storage.put_file(upload, "datasets/pets/dst_1/images.tar")
    (tmp_path / "work").mkdir()
    of_checkpoint = {
        "id": "ckp_1",
        "storage_key": "jobs/trn_1/checkpoints/1",
        "sha256": result(tmp_path / "run")["sha256"],
        "model_type": "vae",
    }
    known = CheckpointRef(
        **of_checkpoint, upload=UploadRef(storage_key="datasets/pets/dst_1/images.tar", sha256=sha256)
    )
    sampling = {"mode": "reconstruct", "indices": [0, 1]}
    engine = GenerationEngine(settings)

    made = engine.generate(known, sampling, 1, "png", tmp_path / "work")

    assert made.files[0].name == "image.png"
    with pytest.raises(JobFailure, match="were deleted or replaced"):
        engine.generate(CheckpointRef(**of_checkpoint), sampling, 1, "png", tmp_path / "work")
