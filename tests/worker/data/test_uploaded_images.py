"""The preparation of uploaded images."""

import io
from pathlib import Path

import pytest
import torch

from shared.errors import JobFailure
from shared.image_uploads.checking import ImageOptions, check
from shared.image_uploads.stored import FILE
from shared.job_status import ErrorCode
from tests.pictures import class_files, class_folders, encoded, grey_arrays, noise, npz, packed
from worker.data import ImageDataset, load, uploaded_images
from worker.data.prepare import prepare_upload
from worker.data.progress import Progress, no_progress


def stored(folder: Path, data: bytes, **options: int) -> Path:
    """The stored form of an upload."""
    folder.mkdir(exist_ok=True)
    path = folder / FILE
    with path.open("w+b") as target:
        check(io.BytesIO(data), ImageOptions(**options), target, max_upload_bytes=8 << 20)
    return path


def test_pictures_become_square_tensors_with_a_stratified_split(tmp_path: Path) -> None:
    dataset = uploaded_images.read("pets", stored(tmp_path, class_folders(10)))

    assert (dataset.train_images.shape, dataset.test_images.shape) == ((16, 3, 32, 32), (4, 3, 32, 32))
    assert (dataset.train_images.dtype, dataset.train_labels.dtype) == (torch.uint8, torch.int64)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train_labels.bincount().tolist() == [8, 8]
    assert dataset.test_labels.bincount().tolist() == [2, 2]
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_split_follows_from_the_contents_alone(tmp_path: Path) -> None:
    files = class_files(10)
    renamed = {
        f"other/{name.split('/')[1]}/{99 - int(Path(name).stem):03d}.png": data
        for name, data in reversed(files.items())
    }

    first = uploaded_images.read("pets", stored(tmp_path / "a", packed(files)))
    second = uploaded_images.read("pets", stored(tmp_path / "b", packed(renamed)))

    assert first.sha256 == second.sha256


def test_arrays_of_the_chosen_size_keep_their_pixels(tmp_path: Path) -> None:
    arrays = grey_arrays(side=28)

    dataset = uploaded_images.read("mine", stored(tmp_path, npz(**arrays)))

    found = {image.numpy().tobytes(): int(label) for image, label in zip(
        torch.cat([dataset.train_images, dataset.test_images]), torch.cat([dataset.train_labels, dataset.test_labels]),
        strict=True,
    )}  # fmt: skip
    assert found == {
        image.tobytes(): int(label) for image, label in zip(arrays["images"], arrays["labels"], strict=True)
    }


def test_given_parts_are_kept(tmp_path: Path) -> None:
    files = {name.replace("pets", "train"): data for name, data in class_files(4).items()}
    tests = {f"test/{name}/1.png": encoded(noise(number)) for number, name in enumerate(("cat", "dog"))}

    dataset = uploaded_images.read("pets", stored(tmp_path, packed(files | tests), size=16, channels=1))

    assert (dataset.train_images.shape, dataset.test_images.shape) == ((8, 1, 16, 16), (2, 1, 16, 16))


def test_long_picture_is_cut_before_it_is_resized(tmp_path: Path) -> None:
    long = encoded(noise(1, 4, 20_000, "L"))

    dataset = uploaded_images.read("pets", stored(tmp_path, class_folders(2, mode="L", long=long)))

    assert len(dataset.train_images) + len(dataset.test_images) == 5


def test_prepared_file_is_made_once_and_replaced_with_the_upload(tmp_path: Path) -> None:
    first = prepare_upload("pets", stored(tmp_path / "a", class_folders()), tmp_path, on_progress=no_progress)
    written = first.stat().st_mtime_ns
    assert prepare_upload("pets", tmp_path / "a" / FILE, tmp_path, on_progress=no_progress) == first
    assert first.stat().st_mtime_ns == written
    other = prepare_upload("pets-v1-b", stored(tmp_path / "c", class_folders(4)), tmp_path, on_progress=no_progress)

    second = prepare_upload("pets", stored(tmp_path / "b", class_folders(6)), tmp_path, on_progress=no_progress)

    assert sorted(path.name for path in first.parent.glob("*.safetensors")) == sorted([second.name, other.name])


@pytest.mark.slow  # the process imports torch and torchvision
def test_first_use_prepares_in_a_process(tmp_path: Path) -> None:
    seen: list[Progress] = []

    dataset = load(
        "pets",
        datasets_dir=None,
        home=tmp_path / "home",
        offline=True,
        path=stored(tmp_path / "run", class_folders()),
        kind="images",
        on_progress=seen.append,
    )

    assert isinstance(dataset, ImageDataset)
    assert dataset.image_shape == (3, 32, 32)
    assert seen == [Progress(stage="preparing", name="pets")]


@pytest.mark.slow  # the process imports torch and torchvision
def test_failed_preparation_is_reported_with_its_sentence(tmp_path: Path) -> None:
    path = stored(tmp_path, class_folders())
    path.write_bytes(path.read_bytes()[:2000])

    with pytest.raises(JobFailure) as caught:
        load("pets", datasets_dir=None, home=tmp_path / "home", offline=True, path=path)

    assert caught.value.error_code is ErrorCode.INVALID_DATA
    assert "uploaded images of pets cannot be prepared" in caught.value.detail
    assert "Upload them again" in (caught.value.hint or "")
