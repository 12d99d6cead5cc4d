"""Sampling from stored checkpoints."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shared import model_types
from shared.errors import JobFailure, NotFound, SpecError
from shared.settings import Settings
from shared.storage import Storage
from tests.worker.trainer.harness import as_written_before, result, run, toy_spec
from tests.worker.trainer.toy import TOY
from worker.checkpoints.manifest import CheckpointRef
from worker.generation.engine import GenerationEngine


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with one trained toy under `jobs/trn_1/checkpoints/00000010`."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(model_types.REGISTRY, "toy", TOY)
        run(home / "run", toy_spec(hyperparameters={"epochs": 1}))
        torch.use_deterministic_algorithms(False)
        settings = Settings(home=home)
        storage = Storage.open_url(settings.resolved_storage_url)
        storage.put_tree(home / "run/checkpoints/00000010", "jobs/trn_1/checkpoints/00000010")
        yield home


@pytest.fixture
def generator(home: Path) -> GenerationEngine:
    return GenerationEngine(Settings(home=home))


@pytest.fixture
def checkpoint(home: Path) -> CheckpointRef:
    key = "jobs/trn_1/checkpoints/00000010"
    return CheckpointRef(id="ckp_1", storage_key=key, sha256=result(home / "run")["sha256"], model_type="toy")


def test_images_are_returned_as_one_picture_with_its_layout(
    generator: GenerationEngine, checkpoint: CheckpointRef, tmp_path: Path
) -> None:
    made = generator.generate(checkpoint, {"n": 3}, 1, "png", tmp_path)
    (file,) = made.files
    assert (file.name, file.media_type) == ("image.png", "image/png")
    with Image.open(file.path) as image:
        assert image.size == (3 * 28 + 2 * 2, 28)
    assert made.output == {"width": 88, "height": 28, "rows": 1, "columns": 3, "n": 3, "codes": 16}


def test_same_seed_gives_the_same_bytes_in_a_new_generator(
    generator: GenerationEngine, home: Path, checkpoint: CheckpointRef, tmp_path: Path
) -> None:
    def image(maker: GenerationEngine, seed: int) -> bytes:
        return maker.generate(checkpoint, {}, seed, None, tmp_path).files[0].path.read_bytes()

    assert image(generator, 1) == image(generator, 1) == image(GenerationEngine(Settings(home=home)), 1)
    assert image(generator, 1) != image(generator, 2)


def test_arrays_are_float32_images_from_0_to_1(
    generator: GenerationEngine, checkpoint: CheckpointRef, tmp_path: Path
) -> None:
    (file,) = generator.generate(checkpoint, {"n": 5}, 1, "npy", tmp_path).files
    images = np.load(io.BytesIO(file.path.read_bytes()), allow_pickle=False)
    assert images.shape == (5, 1, 28, 28) == tuple(file.details["shape"])
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1


def test_cached_model_does_not_read_the_store_again(
    generator: GenerationEngine, checkpoint: CheckpointRef, tmp_path: Path
) -> None:
    generator.generate(checkpoint, {}, 1, None, tmp_path)
    moved = CheckpointRef(id="ckp_1", storage_key="gone", sha256=checkpoint.sha256, model_type="toy")
    generator.generate(moved, {}, 1, None, tmp_path)
    with pytest.raises(NotFound):
        generator.generate(
            CheckpointRef(id="c", storage_key="gone", sha256="0", model_type="toy"), {}, 1, None, tmp_path
        )


def test_checkpoint_of_an_earlier_version_gives_the_same_images(
    home: Path, generator: GenerationEngine, checkpoint: CheckpointRef, tmp_path: Path
) -> None:
    earlier = tmp_path / "earlier"
    shutil.copytree(home / "run/checkpoints/00000010", earlier)
    as_written_before(earlier, "compiled")
    Storage.open_url(Settings(home=home).resolved_storage_url).put_tree(earlier, "jobs/trn_0")
    before = replace(checkpoint, storage_key="jobs/trn_0")

    images = [
        maker.generate(ref, {}, 1, None, tmp_path).files[0].path.read_bytes()
        for maker, ref in ((generator, checkpoint), (GenerationEngine(Settings(home=home)), before))
    ]

    assert images[0] == images[1]


def test_invalid_sampling_parameters_and_formats_are_named(
    generator: GenerationEngine, checkpoint: CheckpointRef, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as wrong:
        generator.generate(checkpoint, {"m": 3}, 1, "png", tmp_path)
    assert wrong.value.errors[0].pointer == "/sampling/m"
    with pytest.raises(SpecError) as wrong:
        generator.generate(checkpoint, {}, 1, "txt", tmp_path)
    assert wrong.value.errors[0].pointer == "/format"


def test_changed_weights_in_the_store_are_refused(
    home: Path, generator: GenerationEngine, checkpoint: CheckpointRef, tmp_path: Path
) -> None:
    storage = Storage.open_url(Settings(home=home).resolved_storage_url)
    storage.put_tree(home / "run/checkpoints/00000010", "jobs/trn_2")
    storage.put_bytes(b"damaged", "jobs/trn_2/model.safetensors")
    damaged = CheckpointRef(id="ckp_2", storage_key="jobs/trn_2", sha256=checkpoint.sha256, model_type="toy")
    with pytest.raises(JobFailure, match=r"model\.safetensors is damaged"):
        generator.generate(damaged, {}, 1, None, tmp_path)
