"""Pixels as files."""

import io
import time

import numpy as np
from PIL import Image

from worker import images


def test_a_grid_places_images_row_by_row_two_dark_pixels_apart() -> None:
    images = np.stack([np.full((1, 4, 3), value, np.float32) for value in (0.2, 0.4, 1.0)])
    picture = images.grid(images, rows=2, columns=2)
    assert picture.shape == (4 + 2 + 4, 3 + 2 + 3)
    assert (picture[:4, :3] == 51).all()
    assert (picture[:4, 5:] == 102).all()
    assert (picture[6:, :3] == 255).all()
    assert not picture[4:6].any()
    assert not picture[:, 3:5].any()
    assert not picture[6:, 5:].any()


def test_colour_keeps_its_channels_in_order() -> None:
    image = np.zeros((1, 3, 2, 2), np.float32)
    image[0, 0] = 1
    with Image.open(io.BytesIO(images.png(images.grid(image, 1, 1)))) as decoded:
        assert decoded.getpixel((0, 0)) == (255, 0, 0)


def test_values_outside_0_to_1_are_cut_off_and_never_wrap_round() -> None:
    image = np.array([[[[-0.5, 1.5]]]], np.float32)
    assert images.grid(image, 1, 1).tolist() == [[0, 255]]


def test_64_digits_are_encoded_in_milliseconds() -> None:
    images = np.random.default_rng(1).random((64, 1, 28, 28), np.float32)
    fastest = min(_seconds(images) for _ in range(10))
    assert fastest < 0.02


def _seconds(images: np.ndarray) -> float:
    began = time.process_time()
    images.png(images.grid(images, 8, 8))
    return time.process_time() - began
