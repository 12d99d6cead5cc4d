"""The two pictures: a VAE's latent plane, and an ACGAN's images of each class beside real ones."""

import io

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from benchmarks.gallery.facts import about
from benchmarks.gallery.page import IMAGES, Section
from benchmarks.gallery.runs import FinishedRun
from shared.model_types.acgan import AcganSampling
from shared.model_types.vae import GridSampling
from shared.settings import Settings
from worker import data
from worker.data import ImageDataset
from worker.models.acgan.model import Acgan
from worker.models.image_model import image_grid, unit

GRID = GridSampling(points=20)
OF_A_CLASS = 10  # images of each class, generated ones and real ones
SEED = 0  # of the latents; not the run's
SCALE = 2  # pixels of the file for one of an image: sharp on dense screens
GREYS = 16  # which look like 256 at this size
MARGIN_PX, HEADING_PX, FONT_PX = 16, 44, 26
PAPER, INK = 255, 0


def latent_grid(run: FinishedRun) -> Section:
    """The square of latents that the VAE's sampling mode `grid` draws."""
    drawn = run.model.generate(GRID, seed=SEED)
    assert drawn.images is not None, "a grid is images"
    picture = Image.fromarray(image_grid(torch.from_numpy(drawn.images), drawn.columns))
    size = f"{drawn.rows} × {drawn.columns}"
    ends = f"from {GRID.start:g} to {GRID.end:g}"
    across, up = (f"dimension {index}" for index in GRID.dims)
    directions = f"{across} goes {ends} to the right" + (f", {up} upwards" if drawn.rows > 1 else "")
    caption = f"What the decoder draws of {size} latents: {directions}."
    if (others := run.model.config()["hyperparameters"]["latent_size"] - 2) > 0:
        caption += f" The other {others} dimensions are 0."
    link = f"![{size} images decoded from a grid of latents]({IMAGES}/latent-grid.png)"
    return Section(body=f"{link}\n\n{caption}\n\n{about(run)}", pictures={"latent-grid.png": _png(_scaled(picture))})


def digits(run: FinishedRun) -> Section:
    """Images of each class asked for, and the first real ones of that class."""
    model = run.model
    assert isinstance(model, Acgan), "the section is the ACGAN's"
    drawn = model.generate(AcganSampling(n_per_label=OF_A_CLASS), seed=SEED)
    assert drawn.images is not None, "an ACGAN draws images"
    sheet = labelled(
        {f"{OF_A_CLASS} generated of each class": drawn.images, "real, of the test set": _real(run, model)},
        model.class_names,
    )
    link = f"![Generated images of each class on the left, real ones on the right]({IMAGES}/digits.png)"
    caption = (
        f"A row for each class. Left: the first {OF_A_CLASS} images drawn of it with seed {SEED}, none chosen. Right:"
        f" the first {OF_A_CLASS} real ones of the test set, which training never saw."
    )
    return Section(body=f"{link}\n\n{caption}\n\n{about(run)}", pictures={"digits.png": _png(sheet)})


def _real(run: FinishedRun, model: Acgan) -> np.ndarray:
    """The first test images of each class, float32 [classes × OF_A_CLASS, C, H, W]; black where there are too few."""
    settings = Settings()
    dataset = data.load(
        run.manifest.dataset,
        datasets_dir=settings.datasets_dir,
        home=settings.home_path,
        offline=settings.offline,
    )
    assert isinstance(dataset, ImageDataset), "an ACGAN is trained on images"
    label_map = model.hyperparameters.label_map
    labels = dataset.test_labels if label_map is None else torch.tensor(label_map)[dataset.test_labels]
    images = torch.zeros(len(model.class_names), OF_A_CLASS, *dataset.image_shape)
    for label, row in enumerate(images):
        found = unit(dataset.test_images[labels == label][:OF_A_CLASS])
        row[: len(found)] = found
    return images.flatten(0, 1).numpy()


def labelled(blocks: dict[str, np.ndarray], class_names: list[str]) -> Image.Image:
    """Blocks of images side by side, each under its heading, and the rows' classes at the left; grey.

    blocks: float32 [classes × N, C, H, W] in [0, 1] by heading, ordered by class.
    """
    rows = len(class_names)
    font = ImageFont.load_default(FONT_PX)
    grids = [_scaled(Image.fromarray(images.grid(images, rows, len(images) // rows))) for images in blocks.values()]
    left = 2 * MARGIN_PX + round(max(font.getlength(name) for name in class_names))
    height = grids[0].height
    width = left + sum(grid.width for grid in grids) + 2 * MARGIN_PX * (len(grids) - 1) + MARGIN_PX
    sheet = Image.new("L", (width, HEADING_PX + height + MARGIN_PX), PAPER)
    ink = ImageDraw.Draw(sheet)
    for row, name in enumerate(class_names):
        middle = HEADING_PX + height * (2 * row + 1) / (2 * rows)
        ink.text((left - MARGIN_PX, middle), name, fill=INK, font=font, anchor="rm")
    for heading, grid in zip(blocks, grids, strict=True):
        ink.text((left + grid.width / 2, HEADING_PX / 2), heading, fill=INK, font=font, anchor="mm")
        sheet.paste(grid, (left, HEADING_PX))
        left += grid.width + 2 * MARGIN_PX
    return sheet


def _scaled(image: Image.Image) -> Image.Image:
    return image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.NEAREST)


def _png(image: Image.Image) -> bytes:
    """A grey image as PNG of four bits a pixel.

    These files stay in the repository for good: so even a latent grid that is nothing but noise is below 200 KB.
    """
    step = 255 // (GREYS - 1)
    indexed = Image.fromarray(np.rint(np.asarray(image) / step).astype(np.uint8))
    indexed.putpalette([level * step for level in range(GREYS) for _ in "RGB"])
    buffer = io.BytesIO()
    indexed.save(buffer, "PNG", bits=4, optimize=True)
    return buffer.getvalue()
