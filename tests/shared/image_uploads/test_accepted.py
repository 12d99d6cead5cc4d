"""Uploads of images that are accepted: their counts, their repair and the words for it."""

import io
import json
import tarfile
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.image_uploads.checking import ImageFacts, ImageOptions, check
from shared.image_uploads.pictures import look, repaired
from tests.pictures import class_files, class_folders, encoded, grey_arrays, idx_files, noise, npz, packed


def checked(data: bytes, target: io.BytesIO | None = None, **options: int) -> ImageFacts:
    return check(io.BytesIO(data), ImageOptions(**options), target or io.BytesIO(), max_upload_bytes=8 << 20)


def words(data: bytes, **options: int) -> str:
    return " ".join(checked(data, None, **options).details["notes"])


def test_class_folders_are_counted_and_described() -> None:
    facts = checked(
        packed({**class_files(), "pets/README.txt": b"?", "__MACOSX/pets/._1.png": b"?", ".DS_Store": b"?"})
    )
    assert {key: value for key, value in facts.details.items() if key != "notes"} == {
        "images": 10, "train": 8, "test": 2, "classes": ["cat", "dog"], "counts": [5, 5], "channels": 3, "size": 32
    }  # fmt: skip
    assert facts.details["notes"] == [
        "10 images in 2 classes, of 40×30 pixels.",
        "They become 32×32 in colour.",
        "10 were cut to the square in the middle.",
        "8 are for training and 2 for the test, a fifth of each class, chosen by content.",
        "1 file that is not a picture was left out.",
    ]


def test_grey_pictures_become_28_in_grey_and_the_choice_overrides_it() -> None:
    assert "28×28 in grey" in words(class_folders(mode="L"))
    assert "32×32 in colour" in words(class_folders(mode="L"), channels=3)
    both = words(class_folders(), channels=1, size=48)
    assert "48×48 in grey" in both
    assert "10 were converted from colour to grey." in both


def test_train_and_test_folders_are_kept() -> None:
    files = {name.replace("pets", part): data for part in ("train", "val") for name, data in class_files().items()}
    facts = checked(packed(files))
    assert (facts.details["train"], facts.details["test"], facts.details["classes"]) == (10, 10, ["cat", "dog"])
    assert "as the archive has them" in " ".join(facts.details["notes"])


def test_one_class_is_accepted_and_its_limit_is_said() -> None:
    assert "no ACGAN" in words(packed({f"cat/{number}.png": encoded(noise(number)) for number in range(3)}))


def deep(mode: str = "I;16") -> Image.Image:
    return Image.frombytes(mode, (30, 30), bytes(range(200)) * 9)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(noise(1, 60, 20), "JPEG", exif=exif)


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [
        (encoded(noise(1, mode="CMYK"), "JPEG"), "1 was converted from CMYK."),
        (encoded(deep()), "1 was reduced from 16 to 8 bits."),
        (encoded(noise(1).quantize(16)), "1 was converted from a palette."),
        (encoded(noise(1, mode="RGBA")), "1 was put on white where transparent."),
        (encoded(noise(1, mode="LA")), "1 was put on white where transparent."),
        (turned(), "1 was turned upright by the EXIF data."),
        (
            encoded(noise(1).quantize(8), "GIF", save_all=True, append_images=[noise(2).quantize(8)]),
            "1 was reduced to the first frame of an animation.",
        ),
    ],
)
def test_unusual_picture_is_repaired_and_the_repair_is_said(picture: bytes, sentence: str) -> None:
    assert sentence in words(class_folders(odd=picture))
    with Image.open(io.BytesIO(picture)) as opened:
        for channels, mode in ((1, "L"), (3, "RGB")):
            opened.seek(0)
            assert repaired(opened, channels).mode == mode


def test_turned_picture_is_upright() -> None:
    facts = look("a.jpg", turned())
    assert (facts.width, facts.height) == (20, 60)
    with Image.open(io.BytesIO(turned())) as opened:
        assert repaired(opened, 3).size == (20, 60)


def test_16_bits_are_scaled_and_not_cut() -> None:
    image = Image.fromarray(np.array([[0, 32_768, 65_535, 257]] * 4, dtype=np.uint16))
    with Image.open(io.BytesIO(encoded(image))) as opened:
        assert list(repaired(opened, 1).tobytes())[:4] == [0, 127, 255, 1]


def test_transparent_pixels_become_white() -> None:
    with Image.open(io.BytesIO(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0))))) as opened:
        assert repaired(opened, 3).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_files_are_read(compressed: bool) -> None:
    files = {f"raw/{name}": data for name, data in idx_files(compressed=compressed).items()}
    facts = checked(packed(files))
    assert (facts.details["train"], facts.details["test"], facts.details["channels"]) == (20, 20, 1)
    assert facts.details["classes"] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("kind", ["uint8", "int64", ">i4", "<u2"])
def test_arrays_are_read_with_labels_of_any_whole_type(kind: str) -> None:
    facts = checked(npz(**(grey_arrays() | {"labels": (np.arange(20) % 4 * 2 + 1).astype(kind)})))
    assert (facts.details["train"], facts.details["test"]) == (16, 4)
    assert facts.details["classes"] == ["1", "3", "5", "7"]
    assert "they became the names of the classes" in " ".join(facts.details["notes"])


@pytest.mark.parametrize("shape", [(12, 12, 3), (12, 12, 4), (12, 12, 1)])
def test_arrays_with_channels_are_read(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    facts = checked(npz(images=images, labels=np.arange(20) % 2, test_images=images, test_labels=np.arange(20) % 2))
    assert facts.details["channels"] == (1 if shape[2] == 1 else 3)
    assert facts.details["test"] == 20


def test_stored_form_has_safe_names_and_does_not_depend_on_the_packing() -> None:
    files = class_files()
    first, second = io.BytesIO(), io.BytesIO()
    facts = checked(packed(files), first)
    assert checked(packed(files, compression=0), second).sha256 == facts.sha256
    assert first.getvalue() == second.getvalue()
    first.seek(0)
    with tarfile.open(fileobj=first) as tar:
        names = tar.getnames()
        manifest: dict[str, Any] = json.loads(tar.extractfile("mimeo.json").read())  # type: ignore[union-attr]
    assert {name.rpartition("/")[0] for name in names[:-1]} == {"all/00000", "all/00001"}
    assert manifest["class_names"] == ["cat", "dog"]
    assert checked(packed(files), size=64).sha256 != facts.sha256
