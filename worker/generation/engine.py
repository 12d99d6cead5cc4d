"""Generates files from a stored checkpoint and sampling parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from shared import exports, model_types, outputs
from shared.datasets import REGISTRY
from shared.errors import JobFailure, SpecError
from shared.image_uploads import stored
from shared.job_status import ErrorCode
from shared.model_types import ModelType
from shared.settings import Settings
from shared.specs import nearest, spec_error
from shared.storage import Storage
from worker import data, device, images
from worker.blocks import BetweenBlocks, uninterrupted
from worker.checkpoints.manifest import CheckpointRef, UploadRef
from worker.checkpoints.stored import LoadedModel, load_model
from worker.data import Dataset, ImageDataset
from worker.failures import not_finite
from worker.generation.cache import WarmCache
from worker.generation.output import GenerationOutput, OutputFile
from worker.models.base import Generated
from worker.seeding import Seeder, Stream

_PADDING_PX = 2  # between the images of a picture
_TEXT_BREAK = f"\n\n{'-' * 40}\n\n"


class GenerationEngine:
    """Samples from stored checkpoints and caches models in memory.

    The same checkpoint, sampling, seed and format give the same bytes on one machine.
    """

    def __init__(self, settings: Settings, storage: Storage | None = None) -> None:
        self._settings = settings
        self._storage = storage or Storage.open_url(settings.resolved_storage_url)
        self._device = device.choose_device("auto")
        torch.set_num_threads(device.choose_threads(None))
        capacity = settings.generation_cache_bytes
        self._models: WarmCache[LoadedModel] = WarmCache(capacity, lambda loaded: loaded.size)
        self._datasets: WarmCache[Dataset] = WarmCache(capacity // 4, _dataset_bytes)

    def memory(self) -> tuple[int | None, int | None]:
        """Bytes of the device's memory that this process uses, and all of it; None where they cannot be read."""
        return device.memory(self._device)

    def generate(
        self,
        checkpoint: CheckpointRef,
        sampling: dict[str, Any],
        seed: int,
        format: str | None,  # noqa: A002 - the name in the request
        workdir: Path,
        *,
        between_blocks: BetweenBlocks = uninterrupted,
    ) -> GenerationOutput:
        """Sample into `workdir`, which exists. format: the model type's default when None.

        between_blocks: called after each block of the work. It may call this method for another generation, which
        leaves torch's random numbers and modes as they were.

        Raises SpecError for sampling parameters or a format that the model does not have, NotFound for a missing
        checkpoint, JobFailure for a damaged one or for missing data, and all exceptions of the model.
        """
        contract = model_types.get(checkpoint.model_type)
        parameters = _checked_sampling(contract, sampling)
        chosen = _checked_format(contract, format)
        with self._isolated():
            loaded = self._models.get(checkpoint.sha256, lambda: load_model(self._storage, checkpoint, self._device))
            dataset = self._dataset(loaded, checkpoint, workdir) if parameters.reads_dataset else None
            Seeder(seed, self._device).set(Stream.LOOK)
            with torch.no_grad():
                generated = loaded.model.generate(parameters, seed=seed, dataset=dataset, between_blocks=between_blocks)
            _check_finite(generated)
            return _written(generated, chosen, workdir)

    def export_graphs(
        self, checkpoint: CheckpointRef, workdir: Path, *, between_blocks: BetweenBlocks = uninterrupted
    ) -> GenerationOutput:
        """Write the model's ONNX graphs into `workdir`, each compared with the model itself.

        Raises NotFound for a missing checkpoint, and JobFailure for a damaged one or a graph with other results.
        """
        # Imported here: the exporter and its runtime take two seconds and a hundred megabytes.
        from worker.export.graph_files import write_graphs  # noqa: PLC0415

        loaded = self._models.get(checkpoint.sha256, lambda: load_model(self._storage, checkpoint, self._device))
        manifest = loaded.manifest
        facts = exports.origin(
            model_type=manifest.model_type,
            dataset=manifest.dataset,
            checkpoint_sha256=checkpoint.sha256,
            versions=manifest.versions,
        )
        written = write_graphs(loaded.model, facts, workdir, between_blocks)
        files = [
            OutputFile(
                name=exports.part_file(graph.name),
                path=graph.path,
                media_type=exports.OCTETS,
                details={"part": graph.name, "max_abs_difference": graph.difference},
            )
            for graph in written
        ]
        return GenerationOutput(output={"parts": [graph.name for graph in written]}, files=files)

    @contextmanager
    def _isolated(self) -> Iterator[None]:
        """Keep torch's generators and modes from a generation that this one interrupts."""
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.inference_mode(mode=False):
            yield

    def _dataset(self, loaded: LoadedModel, checkpoint: CheckpointRef, workdir: Path) -> Dataset:
        """The model's training dataset, for samplings that read real images. Uploaded texts are not read.

        Uploaded images are fetched where this machine has not prepared them. Raises JobFailure.
        """
        name, upload = loaded.manifest.dataset, checkpoint.upload
        if upload is not None:
            return self._datasets.get(f"{name} {upload.sha256}", lambda: self._uploaded_images(name, upload, workdir))
        if name not in REGISTRY:
            message = f"The uploaded images of {name}, which the model was trained on, were deleted or replaced."
            raise JobFailure(ErrorCode.DATASET_UNAVAILABLE, message, "Sample without images of the dataset.")
        return self._datasets.get(
            name,
            lambda: data.load(
                name,
                datasets_dir=self._settings.datasets_dir,
                home=self._settings.home_path,
                offline=self._settings.offline,
            ),
        )

    def _uploaded_images(self, name: str, upload: UploadRef, workdir: Path) -> ImageDataset:
        def fetch() -> Path:
            path = workdir / stored.FILE
            self._storage.get_file(upload.storage_key, path)
            return path

        return data.load_upload(name, upload.sha256, self._settings.home_path, fetch)


def _checked_sampling(contract: ModelType, sampling: dict[str, Any]) -> Any:
    try:
        return contract.sampling.validate_python(sampling)
    except ValidationError as error:
        raise spec_error(error, "/sampling", model=contract.sampling) from None


def _check_finite(generated: Generated) -> None:
    images = [] if generated.images is None else [generated.images]
    if not all(np.isfinite(array).all() for array in [*images, *generated.arrays.values()]):
        raise not_finite("images or latents")


def _checked_format(contract: ModelType, wanted: str | None) -> str:
    chosen = wanted or contract.formats[0]
    if chosen not in contract.formats:
        known = nearest(chosen, contract.formats)
        raise SpecError.at("/format", f"{contract.name} does not write `{chosen}`.{known}", "unknown")
    return chosen


def _written(generated: Generated, chosen: str, workdir: Path) -> GenerationOutput:
    """Write the results to files, and describe them for the job with the beginning of each text."""
    output = dict(generated.meta)
    files: list[OutputFile] = []

    def write(name: str, content: bytes, media_type: str, **details: Any) -> None:
        (workdir / name).write_bytes(content)
        files.append(OutputFile(name=name, path=workdir / name, media_type=media_type, details=details))

    if generated.texts is not None:
        output |= {"texts": generated.texts, "n": len(generated.texts)}
        write(
            "text.txt", _TEXT_BREAK.join(generated.texts).encode(), "text/plain; charset=utf-8", n=len(generated.texts)
        )
    if generated.images is not None:
        place = {"rows": generated.rows, "columns": generated.columns, "n": len(generated.images)}
        if chosen == "npy":
            height, width = generated.images.shape[2:]
            write("images.npy", images.npy(generated.images), "application/x-npy", shape=list(generated.images.shape))
        else:
            picture = images.image_grid(generated.images, generated.columns, padding_px=_PADDING_PX, background=0)
            height, width = picture.shape[:2]
            write("image.png", images.png(picture), "image/png", width=width, height=height, **place)
        output |= place | {"width": width, "height": height}
    for name, array in generated.arrays.items():
        write(f"{name}.npy", images.npy(array), "application/x-npy", shape=list(array.shape))
    if generated.arrays:
        output["arrays"] = {name: list(array.shape) for name, array in generated.arrays.items()}
    return GenerationOutput(output=outputs.head(output), files=files)


def _dataset_bytes(dataset: Dataset) -> int:
    if isinstance(dataset, ImageDataset):
        return dataset.train_images.nbytes + dataset.test_images.nbytes
    return 4 * len(dataset.text)
