"""Images that the GAN generates. Shapes: N images [C, H, W], Z latent dimensions."""

import torch
from torch import Tensor

from shared.model_types.gan import LatentSampling, RandomSampling
from worker.blocks import BetweenBlocks, uninterrupted
from worker.data import ImageDataset
from worker.images import image_grid
from worker.models.acgan import sampling as with_labels
from worker.models.acgan.pair import AcganPair
from worker.models.base import Generated, Sample
from worker.models.image_model import near_square, unit

SAMPLE_ROWS, SAMPLE_COLUMNS = 8, 10  # of generated images in the epoch's sample
REAL_COLUMNS = 3  # real ones beside them


def prior_latents(model: AcganPair, count: int, seed: int = 0) -> Tensor:
    """Latents from the prior, [count, Z]."""
    return with_labels.fixed_latents(model, count, seed)


def generate(model: AcganPair, z_NZ: Tensor, between_blocks: BetweenBlocks = uninterrupted) -> Tensor:
    """Images in [0, 1] on the CPU, float [N, C, H, W]."""
    return with_labels.generate(model, z_NZ, torch.zeros(len(z_NZ), dtype=torch.int64), between_blocks)


def sample_grid(model: AcganPair, dataset: ImageDataset, epoch: int) -> Sample:
    """Images of the same latents every time on the left, test images on the right."""
    generated = generate(model, prior_latents(model, SAMPLE_ROWS * SAMPLE_COLUMNS))
    real = torch.ones(SAMPLE_ROWS * REAL_COLUMNS, *model.image_shape)
    found = unit(dataset.test_images[: len(real)])
    real[: len(found)] = found
    gap = torch.ones(SAMPLE_ROWS, 1, *model.image_shape)
    rows = [part.unflatten(0, (SAMPLE_ROWS, -1)) for part in (generated, real)]
    columns = SAMPLE_COLUMNS + 1 + REAL_COLUMNS
    sheet = image_grid(torch.cat([rows[0], gap, rows[1]], dim=1).flatten(0, 1).numpy(), columns)
    meta = {"epoch": epoch, "rows": SAMPLE_ROWS, "columns": columns, "generated": SAMPLE_COLUMNS, "real": REAL_COLUMNS}
    return Sample(name="images", content=sheet, meta=meta)


def sampled(
    model: AcganPair, sampling: RandomSampling | LatentSampling, seed: int, between_blocks: BetweenBlocks
) -> Generated:
    """Images of random or of given latents, in a nearly square grid."""
    if isinstance(sampling, LatentSampling):
        z_NZ = torch.tensor(sampling.latents)
    else:
        z_NZ = prior_latents(model, sampling.n, seed)
    rows, columns = near_square(len(z_NZ))
    images = generate(model, z_NZ, between_blocks).numpy()
    return Generated(images=images, rows=rows, columns=columns, meta={"mode": sampling.mode})
