"""Where a dataset comes from, and what is said when it comes from nowhere."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shared import datasets
from shared.datasets import DatasetFile
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from tests.worker.data.conftest import FileServer
from worker.data import ImageDataset, TextCorpus, load

SHAKESPEARE = "First Citizen:\nBefore we proceed any further, hear me speak.\n"


def idx(*shape: int, fill: int = 0) -> bytes:
    """A file in the IDX format (LeCun), unsigned bytes."""
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    size = 1
    for length in shape:
        size *= length
    return header + bytes([fill]) * size


def put_images(folder: Path, *, train: int = 6, test: int = 3) -> None:
    files = datasets.REGISTRY["mnist"].files
    contents = (idx(train, 28, 28, fill=7), idx(train, fill=2), idx(test, 28, 28), idx(test, fill=9))
    for file, content in zip(files, contents, strict=True):
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes(content)


def put_text(folder: Path, text: str) -> None:
    (folder / "text").mkdir(parents=True, exist_ok=True)
    (folder / "text" / "shakespeare.txt").write_text(text)


def test_the_users_folder_comes_before_the_downloads(tmp_path: Path) -> None:
    put_text(tmp_path / "mine", "mine, all mine")
    put_text(tmp_path / "home" / "datasets", "downloaded")

    found = load("shakespeare", datasets_dir=tmp_path / "mine", home=tmp_path / "home", offline=True)
    (tmp_path / "mine" / "text" / "shakespeare.txt").unlink()
    fallen_back = load("shakespeare", datasets_dir=tmp_path / "mine", home=tmp_path / "home", offline=True)

    assert isinstance(found, TextCorpus)
    assert isinstance(fallen_back, TextCorpus)
    assert (found.text, fallen_back.text) == ("mine, all mine", "downloaded")


def test_images_are_resident_bytes_with_a_channel(tmp_path: Path) -> None:
    put_images(tmp_path)

    dataset = load("mnist", datasets_dir=tmp_path, home=tmp_path, offline=True)

    assert isinstance(dataset, ImageDataset)
    assert dataset.train_images.dtype == torch.uint8
    assert tuple(dataset.train_images.shape) == (6, 1, 28, 28)
    assert tuple(dataset.test_images.shape) == (3, 1, 28, 28)
    assert dataset.train_images.unique().tolist() == [7]
    assert dataset.test_labels.tolist() == [9, 9, 9]
    assert dataset.shape.classes == 10


def test_offline_and_absent_names_the_file_and_where_to_put_it(tmp_path: Path) -> None:
    put_images(tmp_path)
    absent = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    absent.unlink()

    with pytest.raises(JobFailure) as caught:
        load("mnist", datasets_dir=tmp_path, home=tmp_path / "home", offline=True)

    assert caught.value.error_code is ErrorCode.DATASET_UNAVAILABLE
    assert "t10k-images-idx3-ubyte" in caught.value.detail
    assert str(absent) in (caught.value.hint or "")


def test_a_truncated_file_is_invalid_data_and_named(tmp_path: Path) -> None:
    put_images(tmp_path)
    damaged = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    damaged.write_bytes(damaged.read_bytes()[:-5])

    with pytest.raises(JobFailure) as caught:
        load("mnist", datasets_dir=tmp_path, home=tmp_path, offline=True)

    assert caught.value.error_code is ErrorCode.INVALID_DATA
    assert str(damaged) in caught.value.detail


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "not an IDX file of images"),
        (b"<html>404</html>" * 100, "not an IDX file of images"),
        (idx(6, fill=2), "not an IDX file of images"),
        (bytes((0, 0, 13, 3)) + idx(6, 28, 28)[4:], "not an IDX file of images"),
        (bytes((0, 0, 8, 3)), "not an IDX file of images"),
        (idx(6, 28, 28) + b"more", "holds 6 × 28 × 28 values, and holds 4708"),
    ],
    ids=["empty", "a page", "labels", "floats", "cut in its header", "too long"],
)
def test_a_file_that_holds_no_images_is_invalid_data(tmp_path: Path, contents: bytes, reason: str) -> None:
    put_images(tmp_path)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(contents)

    with pytest.raises(JobFailure, match=reason) as caught:
        load("mnist", datasets_dir=tmp_path, home=tmp_path, offline=True)

    assert caught.value.error_code is ErrorCode.INVALID_DATA


def test_labels_that_do_not_belong_to_the_images_are_invalid_data(tmp_path: Path) -> None:
    put_images(tmp_path)
    (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte").write_bytes(idx(5, fill=1))

    with pytest.raises(JobFailure, match="do not belong"):
        load("mnist", datasets_dir=tmp_path, home=tmp_path, offline=True)


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(JobFailure) as caught:
        load("fashion-mist", datasets_dir=None, home=tmp_path, offline=True)

    assert caught.value.hint == "Did you mean `fashion-mnist`?"


def test_the_wrong_kind_of_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobFailure, match="this model needs text"):
        load("digits", datasets_dir=None, home=tmp_path, offline=True, kind="text")


def test_an_uploaded_text_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes("\ufeffone\r\ntwo\rthree".encode())

    corpus = load("notes", datasets_dir=None, home=tmp_path, offline=True, path=path, kind="text")

    assert isinstance(corpus, TextCorpus)
    assert corpus.text == "one\ntwo\nthree"


def test_text_that_is_not_utf_8_is_refused_with_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9 au lait")

    with pytest.raises(JobFailure, match="0xe9 at offset 3"):
        load("latin", datasets_dir=None, home=tmp_path, offline=True, path=path)


def test_text_of_one_character_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("aaaa")

    with pytest.raises(JobFailure, match="fewer than two different characters"):
        load("a", datasets_dir=None, home=tmp_path, offline=True, path=path)


def test_ids_are_places_in_the_sorted_vocabulary() -> None:
    corpus = TextCorpus("x", "hello wörld" * 10)

    assert corpus.vocabulary == sorted(set(corpus.text))
    assert corpus.ids.dtype == torch.uint8
    assert "".join(corpus.vocabulary[i] for i in corpus.ids) == corpus.text
    assert len(corpus.training_ids) == 99
    assert len(corpus.held_out_ids) == 11


def test_more_than_256_characters_take_wider_ids() -> None:
    text = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 300))

    assert TextCorpus("x", text).ids.dtype == torch.int32
    assert TextCorpus("x", text).ids.tolist() == list(range(300))


def test_the_builtin_digits_look_like_mnist(tmp_path: Path) -> None:
    digits = load("digits", datasets_dir=None, home=tmp_path, offline=True)

    assert isinstance(digits, ImageDataset)
    assert tuple(digits.train_images.shape) == (1438, 1, 28, 28)
    assert tuple(digits.test_images.shape) == (359, 1, 28, 28)
    assert int(digits.train_images[:, :, :2].max()) == 0
    assert int(digits.train_images.max()) == 255
    assert digits.train_labels.bincount().min() > 100
    # What scikit-learn's `load_digits` makes of the same file: a judge or model of these digits stays good.
    assert digits.sha256 == "0469286b6e00cb01a347261b431e344e4ac63322a9f9485ff979b572abdba653"


def test_the_builtin_source_is_the_same_every_time(tmp_path: Path) -> None:
    first, again = (load("python-source", datasets_dir=None, home=tmp_path, offline=True) for _ in range(2))

    assert isinstance(first, TextCorpus)
    assert first.sha256 == again.sha256
    assert len(first.text) == 1_000_000
    assert first.text.isascii()
    assert "import " in first.text


def test_a_missing_dataset_is_downloaded_into_home_and_found_there_next_time(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(SHAKESPEARE.encode())
    server.files["/text.gz"] = packed
    file = DatasetFile(
        path="text/shakespeare.txt", urls=(server.url("/text.gz"),), sha256=hashlib.sha256(packed).hexdigest()
    )
    info = replace(datasets.REGISTRY["shakespeare"], files=(file,))
    monkeypatch.setitem(datasets.REGISTRY, "shakespeare", info)
    seen: list[tuple[str, int, int | None]] = []

    first = load(
        "shakespeare",
        datasets_dir=None,
        home=tmp_path,
        offline=False,
        on_progress=lambda name, done, total: seen.append((name, done, total)),
    )
    load("shakespeare", datasets_dir=None, home=tmp_path, offline=True)

    assert isinstance(first, TextCorpus)
    assert first.text == SHAKESPEARE
    assert seen[-1] == ("shakespeare.txt", len(packed), len(packed))
    assert len(server.requests) == 1
