"""Uploads of images that are refused, each with a sentence that says what to change."""

import gzip
import io
import stat
import struct
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.errors import SpecError
from shared.image_uploads import archive, limits
from shared.image_uploads.checking import ImageFacts, ImageOptions, check
from tests.pictures import class_files, class_folders, encoded, grey_arrays, idx_files, noise, npz, packed

LARGEST = 1 << 20


def checked(data: bytes, **options: int) -> ImageFacts:
    return check(io.BytesIO(data), ImageOptions(**options), io.BytesIO(), max_upload_bytes=LARGEST)


def refusal(data: bytes, code: str, **options: int) -> str:
    with pytest.raises(SpecError) as caught:
        checked(data, **options)
    [error] = caught.value.errors
    assert error.code == code, error
    return error.detail


def with_entry(change: Any, name: str = "pets/cat/x.png", data: bytes | None = None) -> bytes:
    """A good archive with one more entry that `change` alters before it is written."""
    file = io.BytesIO()
    entry = zipfile.ZipInfo(name)
    change(entry)
    with zipfile.ZipFile(file, "w") as made:
        for each, content in class_files().items():
            made.writestr(each, content)
        made.writestr(entry, data or encoded(noise(1)))
    return file.getvalue()


# --- the archive ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"%PDF-1.7" * 100, b"x" * 200_000])
def test_file_that_is_no_archive_names_the_accepted_forms(data: bytes) -> None:
    assert "zip of class folders" in refusal(data, "not_an_archive")


def test_archive_with_more_files_than_a_directory_may_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 9)
    assert "more than 9 files" in refusal(class_folders(), "too_many_files")


def test_directory_is_measured_and_not_the_count_that_it_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 9)
    data = bytearray(class_folders())
    struct.pack_into("<2H", data, len(data) - 14, 1, 1)  # entries on this disk, and in all
    assert "more than 9 files" in refusal(bytes(data), "too_many_files")


def test_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    bomb = packed({**class_files(), "pets/cat/bomb.png": bytes(9 * LARGEST)})
    assert len(bomb) < LARGEST
    assert f"more than {8 * LARGEST:,} bytes" in refusal(bomb, "too_large")


def test_unpacked_bytes_are_counted_where_the_archive_understates_them() -> None:
    files = idx_files(compressed=True)
    header = struct.pack(">4B3I", 0, 0, 8, 3, 20, 1000, 1000)
    files["train-images-idx3-ubyte.gz"] = gzip.compress(header + bytes(20_000_000))
    assert "unpacks to more than" in refusal(packed(files), "too_large")


@pytest.mark.parametrize(
    "name", ["../cat/x.png", "pets/../../x.png", "/etc/cat/x.png", "C:/cat/x.png", "..\\cat\\x.png"]
)
def test_name_that_leads_out_of_the_archive(name: str) -> None:
    assert "relative names" in refusal(packed({**class_files(), name: encoded(noise(1))}), "unsafe_name")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_link_or_special_file(kind: int) -> None:
    def change(entry: zipfile.ZipInfo) -> None:
        entry.external_attr = (kind | 0o777) << 16

    assert "pack the picture itself" in refusal(with_entry(change, data=b"/etc/passwd"), "link")


def test_encrypted_entry() -> None:
    data = bytearray(class_folders())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    assert "without a password" in refusal(bytes(data), "encrypted")


def test_other_compression() -> None:
    assert "plain zip" in refusal(packed(class_files(), zipfile.ZIP_LZMA), "compression")


@pytest.mark.parametrize("name", ["more.zip", "pets/cat/more.TAR", "pets/more.tar.gz", "arrays.npz"])
def test_archive_inside_the_archive(name: str) -> None:
    assert "unpack it first" in refusal(packed({**class_files(), name: b"?"}), "nested_archive")


def test_damaged_content_names_its_file() -> None:
    data = bytearray(packed(class_files(), zipfile.ZIP_STORED))
    data[data.index(b"IDAT") + 40] ^= 0xFF
    assert "pets/cat/0.png" in refusal(bytes(data), "damaged")


def test_content_that_is_longer_than_the_directory_says() -> None:
    data = bytearray(packed(class_files(), zipfile.ZIP_STORED))
    at = data.index(b"PK\x01\x02")
    (length,) = struct.unpack_from("<I", data, at + 24)
    struct.pack_into("<I", data, at + 24, length - 100)
    assert "pets/cat/0.png" in refusal(bytes(data), "damaged")


def test_name_that_occurs_twice() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = with_entry(lambda _entry: None, name="pets/cat/0.png")
    assert "holds `pets/cat/0.png` twice" in refusal(data, "damaged")


# --- the pictures -----------------------------------------------------------------------------------------------


def test_pixels_are_counted_before_they_are_decoded() -> None:
    large = encoded(Image.new("1", (5000, 2501)))
    assert len(large) < 10_000
    assert "more than 12,500,000 pixels" in refusal(class_folders(large=large), "too_many_pixels")
    assert "more than 12,500,000" in refusal(
        class_folders(huge=encoded(Image.new("1", (20_000, 20_000)))), "too_many_pixels"
    )


def test_pixels_of_all_pictures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TOTAL_PIXELS", 9 * 40 * 30)
    assert "pixels in all" in refusal(class_folders(), "too_many_pixels")


def test_picture_file_is_bounded_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", LARGEST)
    data = packed({**class_files(), "pets/a/large.png": bytes(7 * LARGEST)})
    tracemalloc.start()
    assert "`pets/a/large.png` is larger than 1,048,576 bytes" in refusal(data, "too_large")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * LARGEST


@pytest.mark.parametrize(
    "data", [b"", b"text", encoded(noise(1))[:600], encoded(noise(1), "JPEG")[:300], encoded(noise(1), "TIFF")]
)
def test_picture_that_cannot_be_read_is_named(data: bytes) -> None:
    assert "pets/cat/bad.png" in refusal(class_folders(bad=data), "unreadable_image")


def test_picture_of_floating_point_numbers() -> None:
    numbers = b"Pf\n8 8\n-1.0\n" + np.zeros((8, 8), "<f4").tobytes()
    assert "floating-point numbers" in refusal(class_folders(numbers=numbers), "unknown_format")


def test_tiny_picture() -> None:
    assert "3×90 pixels" in refusal(class_folders(thin=encoded(noise(1, 3, 90))), "too_small")


def test_picture_of_a_format_that_is_not_read_is_not_left_out_silently() -> None:
    assert "PNG or JPEG" in refusal(packed({**class_files(), "pets/cat/x.heic": b"?"}), "unknown_format")


# --- labels and parts -------------------------------------------------------------------------------------------


def test_archive_without_pictures() -> None:
    assert "no pictures" in refusal(packed({"notes.txt": b"?"}), "no_images")


def test_picture_outside_of_the_class_folders() -> None:
    files = {name.removeprefix("pets/"): data for name, data in class_files().items()}
    assert "folder of it" in refusal(packed({**files, "x.png": encoded(noise(1))}), "missing_label")


def test_one_image_alone() -> None:
    assert "holds 1 image;" in refusal(packed({"cat/1.png": encoded(noise(1))}), "too_few_images")
    assert "no images" in refusal(npz(images=np.zeros((0, 8, 8), np.uint8), labels=np.zeros(0, int)), "too_few_images")


def test_class_with_one_image() -> None:
    files = {**class_files(), "pets/bird/1.png": encoded(noise(1))}
    assert "`bird` has one image" in refusal(packed(files), "too_few_images")


@pytest.mark.parametrize(("part", "lacking"), [("train", "test"), ("test", "training")])
def test_class_that_one_part_lacks(part: str, lacking: str) -> None:
    files = {f"{each}/{name}": data for each in ("train", "test") for name, data in class_files().items()}
    files = {name.replace("/pets", ""): data for name, data in files.items()}
    detail = refusal(packed({**files, f"{part}/bird/1.png": encoded(noise(1))}), "missing_part")
    assert f"`bird` has no {lacking} images" in detail


def test_class_folder_without_a_printable_name() -> None:
    assert "printable name" in refusal(
        packed({**class_files(), "pets/a\tb/1.png": encoded(noise(1))}), "invalid_class_name"
    )


def test_too_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.image_uploads.folders.MAX_IMAGES", 9)
    monkeypatch.setattr("shared.image_uploads.arrays.MAX_IMAGES", 19)
    assert "more than 9 pictures" in refusal(class_folders(), "too_many_images")
    assert "20 images; at most 19 fit" in refusal(npz(**grey_arrays()), "too_many_images")
    assert "20 images; at most 19 fit" in refusal(packed(idx_files()), "too_many_images")


def test_too_many_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.image_uploads.folders.MAX_CLASSES", 1)
    monkeypatch.setattr(limits, "MAX_CLASSES", 3)
    assert "2 class folders" in refusal(class_folders(), "too_many_classes")
    assert "4 different labels" in refusal(npz(**grey_arrays()), "too_many_classes")


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.arange(19) % 4, "20 images and `labels.npy` 19 labels"),
        (np.arange(20) % 4 - 1, "labels start at 0"),
        (np.arange(20) / 4, "one whole number for each image"),
        (np.eye(4)[np.arange(20) % 4].astype(np.uint8), "one whole number for each image"),
        (np.array(["cat", "dog"] * 10), "one whole number for each image"),
    ],
)
def test_wrong_labels(labels: Any, sentence: str) -> None:
    assert sentence in refusal(npz(**(grey_arrays() | {"labels": labels})), "wrong_labels")


def test_missing_labels() -> None:
    assert "no labels" in refusal(npz(images=grey_arrays()["images"]), "missing_label")
    idx = idx_files()
    del idx["t10k-labels-idx1-ubyte"]
    assert "no test labels" in refusal(packed(idx), "missing_label")


@pytest.mark.parametrize(
    ("images", "code", "sentence"),
    [
        (np.zeros((20, 8, 8)), "wrong_type", "astype('uint8')"),
        (np.zeros((20, 64), np.uint8), "wrong_shape", "[images, height, width]"),
        (np.zeros((20, 3, 8, 8), np.uint8), "wrong_shape", "[images, height, width, 1 or 3]"),
        (np.zeros((20, 2, 2), np.uint8), "wrong_shape", "at least 4"),
        (np.asfortranarray(np.zeros((20, 8, 8), np.uint8)), "wrong_order", "ascontiguousarray"),
    ],
)
def test_wrong_arrays(images: Any, code: str, sentence: str) -> None:
    assert sentence in refusal(npz(images=images, labels=np.arange(20) % 2), code)


def test_array_of_objects_is_not_unpickled() -> None:
    objects = np.array([{"a": 1}] * 20, dtype=object)
    assert "Python objects" in refusal(npz(**(grey_arrays() | {"images": objects})), "wrong_type")


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\x00", lambda data: data[:10]])
def test_idx_file_of_another_length_than_it_states(change: Any) -> None:
    files = idx_files()
    files["train-images-idx3-ubyte"] = change(files["train-images-idx3-ubyte"])
    assert "`train-images-idx3-ubyte`" in refusal(packed(files), "damaged")


def test_prepared_images_that_would_not_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PREPARED_BYTES", 10 * 3 * 32 * 32)
    assert checked(class_folders()).details["size"] == 32
    with pytest.raises(SpecError, match="choose a smaller size") as caught:
        checked(class_folders(), size=64)
    assert caught.value.errors[0].pointer == "/size"
