"""Pixels as files, and grids of images."""

import io

import numpy as np
from PIL import Image

from worker.images import image_grid, png


def test_grid_places_images_row_by_row_with_padding_between_them() -> None:
    images = np.stack([np.full((1, 4, 3), value, np.float32) for value in (0.2, 0.4, 1.0)])
    picture = image_grid(images, columns=2, padding_px=2, background=0)
    assert picture.shape == (4 + 2 + 4, 3 + 2 + 3)
    assert (picture[:4, :3] == 51).all()
    assert (picture[:4, 5:] == 102).all()
    assert (picture[6:, :3] == 255).all()
    assert not picture[4:6].any()
    assert not picture[:, 3:5].any()
    assert not picture[6:, 5:].any()


def test_grid_without_padding_fills_the_last_row_with_white() -> None:
    picture = image_grid(np.zeros((3, 1, 2, 2), np.float32), columns=2)
    assert picture.shape == (4, 4)
    assert (picture[2:, 2:] == 255).all()
    assert picture.sum() == 4 * 255


def test_colour_keeps_its_channels_in_order() -> None:
    image = np.zeros((1, 3, 2, 2), np.float32)
    image[0, 0] = 1
    with Image.open(io.BytesIO(png(image_grid(image, 1)))) as decoded:
        assert decoded.getpixel((0, 0)) == (255, 0, 0)


def test_values_outside_0_to_1_are_clamped() -> None:
    image = np.array([[[[-0.5, 1.5]]]], np.float32)
    assert image_grid(image, 1).tolist() == [[0, 255]]
