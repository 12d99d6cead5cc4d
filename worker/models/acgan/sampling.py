"""Images that the ACGAN generates. Shapes: N images [C, H, W], Z latent dimensions."""

import torch
from torch import Tensor

from shared.model_types.acgan import AcganSampling
from worker.blocks import BetweenBlocks, uninterrupted
from worker.data import ImageDataset
from worker.images import image_grid
from worker.models.acgan.pair import AcganPair
from worker.models.base import Generated, Sample
from worker.models.image_model import CHUNK, blocks, joined, unit
from worker.seeding import generator

SAMPLE_COLUMNS = 10  # generated images of each class in the epoch's sample
REAL_COLUMNS = 3  # real ones beside them


def fixed_latents(model: AcganPair, count: int, seed: int = 0) -> Tensor:
    """Latents from the prior, [count, Z]."""
    return model.recipe.latents((count, model.hyperparameters.latent_size), generator=generator(seed))


@torch.no_grad()
def generate(model: AcganPair, z_NZ: Tensor, labels_N: Tensor, between_blocks: BetweenBlocks = uninterrupted) -> Tensor:
    """Images in [0, 1] on the CPU, float [N, C, H, W]."""
    network = model.sampling_network
    was_training = network.training
    network.eval()
    pairs = zip(blocks(z_NZ, between_blocks), labels_N.split(CHUNK), strict=True)
    images = joined([network(z.to(model.device), labels.to(model.device)).cpu() for z, labels in pairs])
    network.train(was_training)
    return ((images + 1) / 2).contiguous()


def balanced(model: AcganPair, count: int, labels: list[int]) -> tuple[Tensor, Tensor]:
    """About `count` images from fixed latents, equally many of each of these classes; and their classes, [N]."""
    labels_N = torch.tensor(labels).repeat(max(1, count // len(labels)))
    return generate(model, fixed_latents(model, len(labels_N)), labels_N), labels_N


def class_grid(model: AcganPair, dataset: ImageDataset, epoch: int) -> Sample:
    """One row per class from the same latents every time, and real images of the class beside it."""
    classes = len(model.class_names)
    z_NZ = fixed_latents(model, SAMPLE_COLUMNS).repeat(classes, 1)
    labels_N = torch.arange(classes).repeat_interleave(SAMPLE_COLUMNS)
    generated = generate(model, z_NZ, labels_N).view(classes, SAMPLE_COLUMNS, *model.image_shape)
    real = torch.stack([_real(dataset, label) for label in range(classes)])
    gap = torch.ones(classes, 1, *model.image_shape)
    columns = SAMPLE_COLUMNS + 1 + REAL_COLUMNS
    sheet = image_grid(torch.cat([generated, gap, real], dim=1).flatten(0, 1).numpy(), columns)
    meta = {"epoch": epoch, "rows": classes, "columns": columns, "generated": SAMPLE_COLUMNS, "real": REAL_COLUMNS}
    return Sample(name="classes", content=sheet, meta=meta | {"labels": model.class_names})


def _real(dataset: ImageDataset, label: int) -> Tensor:
    """The first test images of a class, [REAL_COLUMNS, C, H, W]; blank where there are too few."""
    found = unit(dataset.test_images[dataset.test_labels == label][:REAL_COLUMNS])
    blank = torch.ones(REAL_COLUMNS - len(found), *dataset.image_shape)
    return torch.cat([found, blank])


def sampled(model: AcganPair, sampling: AcganSampling, seed: int, between_blocks: BetweenBlocks) -> Generated:
    """Images ordered by label, then by sample."""
    labels = list(range(len(model.class_names))) if sampling.labels == "all" else sampling.numbers
    labels_N = torch.tensor(labels).repeat_interleave(sampling.draws)
    if sampling.latents:
        z_NZ = torch.tensor(sampling.latents).repeat(len(labels), 1)
    else:
        z_NZ = fixed_latents(model, len(labels_N), seed)
    images = generate(model, z_NZ, labels_N, between_blocks).numpy()
    meta = {"labels": labels, "n_per_label": sampling.draws, "class_names": model.class_names}
    return Generated(images=images, rows=len(labels), columns=sampling.draws, meta=meta)
