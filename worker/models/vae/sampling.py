"""Sampling and encoding with a trained VAE. Shapes: N images, D pixels of one, Z latent dimensions."""

from typing import Any

import torch
from torch import Tensor

from shared.errors import SpecError
from shared.model_types.vae_sampling import (
    EncodeSampling,
    GridSampling,
    InterpolateSampling,
    LatentSampling,
    RandomSampling,
    ReconstructSampling,
    rows,
)
from worker.blocks import BetweenBlocks
from worker.data import Dataset, ImageDataset
from worker.models.base import Generated
from worker.models.image_model import blocks, joined, near_square, unit
from worker.models.vae.network import VaeNetwork
from worker.seeding import generator


def sampled(
    model: VaeNetwork, sampling: Any, seed: int, dataset: Dataset | None, between_blocks: BetweenBlocks
) -> Generated:
    """Images of latents, or latents of images. Raises SpecError for a missing test image."""
    channels, height, width = model.image_shape
    meta: dict[str, Any] = {"mode": sampling.mode}
    if isinstance(sampling, EncodeSampling):
        mean_NZ, log_var_NZ = model.encode(_test_images(model, dataset, sampling.indices, "indices"))
        arrays = {"mean": mean_NZ.cpu().numpy(), "log_var": log_var_NZ.cpu().numpy()}
        return Generated(arrays=arrays, meta=meta | {"indices": sampling.indices} | _classes(dataset, sampling.indices))
    if isinstance(sampling, ReconstructSampling):
        images_ND = _test_images(model, dataset, sampling.indices, "indices")
        pixels_ND = torch.cat([images_ND, model.decode(model.encode(images_ND)[0])])
        shape = (2, len(images_ND))
        meta |= {"indices": sampling.indices}
    else:
        z_NZ, shape = _latents(model, sampling, seed, dataset)
        pixels_ND = joined([model.decode(z) for z in blocks(z_NZ.to(model.device), between_blocks)])
    images = pixels_ND.view(-1, channels, height, width).cpu().numpy()
    return Generated(images=images, rows=shape[0], columns=shape[1], meta=meta)


def _classes(dataset: Dataset | None, indices: list[int]) -> dict[str, Any]:
    """The classes of test images, and the names of all classes."""
    assert isinstance(dataset, ImageDataset), "this sampling reads the dataset"
    return {"labels": dataset.test_labels[indices].tolist(), "class_names": list(dataset.class_names)}


def _latents(model: VaeNetwork, sampling: Any, seed: int, dataset: Dataset | None) -> tuple[Tensor, tuple[int, int]]:
    """Latents to decode, [N, Z], and the rows and columns of their grid."""
    size = model.hyperparameters.latent_size
    match sampling:
        case RandomSampling():
            return torch.randn(sampling.n, size, generator=generator(seed)), near_square(sampling.n)
        case GridSampling():
            return _grid(sampling, size)
        case InterpolateSampling():
            ends = [_end(model, sampling.from_, dataset, "from"), _end(model, sampling.to, dataset, "to")]
            share_N1 = torch.linspace(0, 1, sampling.steps)[:, None]
            return torch.lerp(ends[0].expand(sampling.steps, -1), ends[1], share_N1), (1, sampling.steps)
        case LatentSampling():
            z_NZ = torch.tensor(rows(sampling.z))
            return z_NZ, near_square(len(z_NZ))
    raise AssertionError(sampling)


def _grid(sampling: GridSampling, size: int) -> tuple[Tensor, tuple[int, int]]:
    """A square of latents, the first of `dims` growing to the right and the second upwards."""
    points = sampling.points
    axis = torch.linspace(sampling.start, sampling.end, points)
    across, up = sampling.dims
    height = points if size > 1 else 1
    z_YXZ = torch.tensor(sampling.z or [0.0] * size).repeat(height, points, 1)
    if size > 1:
        z_YXZ[:, :, up] = axis.flip(0)[:, None]
    z_YXZ[:, :, across if size > 1 else 0] = axis
    return z_YXZ.flatten(0, 1), (height, points)


def _end(model: VaeNetwork, end: list[float] | int, dataset: Dataset | None, field: str) -> Tensor:
    """A latent as given, or the mean that a test image is encoded to, [Z]."""
    if isinstance(end, list):
        return torch.tensor(end)
    return model.encode(_test_images(model, dataset, [end], field))[0][0].cpu()


def _test_images(model: VaeNetwork, dataset: Dataset | None, indices: list[int], field: str) -> Tensor:
    """Test images, float [N, D]. Raises SpecError for a missing one."""
    assert isinstance(dataset, ImageDataset), "this sampling reads the dataset"
    if dataset.image_shape != model.image_shape:
        here, there = ("×".join(map(str, shape)) for shape in (dataset.image_shape, model.image_shape))
        detail = f"The images of `{dataset.name}` are now {here}, and this model was trained on {there}; give latents."
        raise SpecError.at(f"/sampling/{field}", detail, "wrong_size")
    last = len(dataset.test_images) - 1
    for place, index in enumerate(indices):
        if index > last:
            pointer = f"/sampling/{field}/{place}" if field == "indices" else f"/sampling/{field}"
            raise SpecError.at(pointer, f"The test images of `{dataset.name}` are 0 to {last}.", "out_of_range")
    return unit(dataset.test_images[indices].flatten(1).to(model.device))
