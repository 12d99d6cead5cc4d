"""The sources of datasets, and the error if there is none."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shared import datasets
from shared.datasets import Source
from shared.datasets.checksums import recorded
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from tests.worker.data import formats
from tests.worker.data.conftest import FileServer
from worker.data import ImageDataset, TextCorpus, load
from worker.data.progress import Progress

SHAKESPEARE = "First Citizen:\nBefore we proceed any further, hear me speak.\n"


def put_text(folder: Path, text: str) -> None:
    (folder / "text").mkdir(parents=True, exist_ok=True)
    (folder / "text" / "shakespeare.txt").write_text(text)


def test_user_folder_takes_precedence_over_downloads(tmp_path: Path) -> None:
    put_text(tmp_path / "mine", "mine, all mine")
    put_text(tmp_path / "home" / "datasets", "downloaded")

    found = load("shakespeare", datasets_dir=tmp_path / "mine", home=tmp_path / "home", offline=True)
    (tmp_path / "mine" / "text" / "shakespeare.txt").unlink()
    fallen_back = load("shakespeare", datasets_dir=tmp_path / "mine", home=tmp_path / "home", offline=True)

    assert isinstance(found, TextCorpus)
    assert isinstance(fallen_back, TextCorpus)
    assert (found.text, fallen_back.text) == ("mine, all mine", "downloaded")


def test_missing_dataset_offline_names_the_file_and_its_folder(tmp_path: Path) -> None:
    formats.put(tmp_path, formats.idx_files("mnist"))
    absent = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    absent.unlink()

    with pytest.raises(JobFailure) as caught:
        load("mnist", datasets_dir=tmp_path, home=tmp_path / "home", offline=True)

    assert caught.value.error_code is ErrorCode.DATASET_UNAVAILABLE
    assert "t10k-images-idx3-ubyte" in caught.value.detail
    assert str(absent) in (caught.value.hint or "")


def test_unknown_name_is_refused_with_the_closest_name(tmp_path: Path) -> None:
    with pytest.raises(JobFailure) as caught:
        load("fashion-mist", datasets_dir=None, home=tmp_path, offline=True)

    assert caught.value.hint == "Did you mean `fashion-mnist`?"


def test_wrong_kind_of_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobFailure, match="this model needs text"):
        load("digits", datasets_dir=None, home=tmp_path, offline=True, kind="text")


def test_uploaded_text_is_read_from_its_path(tmp_path: Path) -> None:
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


def test_ids_are_indices_of_the_sorted_vocabulary() -> None:
    corpus = TextCorpus("x", "hello wörld" * 10)

    assert corpus.vocabulary == sorted(set(corpus.text))
    assert corpus.ids.dtype == torch.uint8
    assert "".join(corpus.vocabulary[i] for i in corpus.ids) == corpus.text
    assert len(corpus.training_ids) == 99
    assert len(corpus.held_out_ids) == 11


def test_vocabulary_of_more_than_256_characters_has_wider_ids() -> None:
    text = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 300))

    assert TextCorpus("x", text).ids.dtype == torch.int32
    assert TextCorpus("x", text).ids.tolist() == list(range(300))


def test_builtin_digits_have_the_format_of_mnist(tmp_path: Path) -> None:
    digits = load("digits", datasets_dir=None, home=tmp_path, offline=True)

    assert isinstance(digits, ImageDataset)
    assert tuple(digits.train_images.shape) == (1438, 1, 28, 28)
    assert tuple(digits.test_images.shape) == (359, 1, 28, 28)
    assert int(digits.train_images[:, :, :2].max()) == 0
    assert int(digits.train_images.max()) == 255
    assert digits.train_labels.bincount().min() > 100
    # Result of scikit-learn's `load_digits` on the same file: classifiers and models of these digits stay valid.
    assert digits.sha256 == "0469286b6e00cb01a347261b431e344e4ac63322a9f9485ff979b572abdba653"


def test_builtin_source_text_is_deterministic(tmp_path: Path) -> None:
    first, again = (load("python-source", datasets_dir=None, home=tmp_path, offline=True) for _ in range(2))

    assert isinstance(first, TextCorpus)
    assert first.sha256 == again.sha256
    assert len(first.text) == 1_000_000
    assert first.text.isascii()
    assert "import " in first.text


@pytest.fixture
def text_server(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """Serves `shakespeare` at an address without a published checksum."""
    server.files["/text"] = SHAKESPEARE.encode()
    source = Source(path="text/shakespeare.txt", urls=(server.url("/text"),))
    info = replace(datasets.REGISTRY["shakespeare"], sources=(source,))
    monkeypatch.setitem(datasets.REGISTRY, "shakespeare", info)
    return server


def test_missing_text_is_downloaded_into_home_and_reused(tmp_path: Path, text_server: FileServer) -> None:
    seen: list[Progress] = []

    first = load("shakespeare", datasets_dir=None, home=tmp_path, offline=False, on_progress=seen.append)
    load("shakespeare", datasets_dir=None, home=tmp_path, offline=True)

    assert isinstance(first, TextCorpus)
    assert first.text == SHAKESPEARE
    assert seen[-1] == Progress(
        stage="downloading", name="shakespeare.txt", done=len(SHAKESPEARE), total=len(SHAKESPEARE)
    )
    assert len(text_server.requests) == 1


def test_later_download_that_differs_from_the_first_is_refused_with_both_checksums(
    tmp_path: Path, text_server: FileServer
) -> None:
    load("shakespeare", datasets_dir=None, home=tmp_path, offline=False)
    downloads = tmp_path / "datasets"
    (downloads / "text" / "shakespeare.txt").unlink()
    text_server.files["/text"] = b"Something else entirely, of another length."

    with pytest.raises(JobFailure) as caught:
        load("shakespeare", datasets_dir=None, home=tmp_path, offline=False)

    before, now = (hashlib.sha256(text).hexdigest() for text in (SHAKESPEARE.encode(), text_server.files["/text"]))
    assert recorded(downloads) == {"text/shakespeare.txt": f"sha256:{before}"}
    assert caught.value.error_code is ErrorCode.DATASET_UNAVAILABLE
    assert before in caught.value.detail
    assert now in caught.value.detail
    assert "checksums.json" in (caught.value.hint or "")
    assert not (downloads / "text" / "shakespeare.txt").exists()


def test_repeated_equal_download_is_accepted(tmp_path: Path, text_server: FileServer) -> None:
    load("shakespeare", datasets_dir=None, home=tmp_path, offline=False)
    (tmp_path / "datasets" / "text" / "shakespeare.txt").unlink()

    load("shakespeare", datasets_dir=None, home=tmp_path, offline=False)

    assert len(text_server.requests) == 2


@pytest.mark.parametrize("name", ["nietzsche", "jules-verne", "shakespeare-complete"])
def test_published_corpora_are_downloadable_and_named_in_the_error(tmp_path: Path, name: str) -> None:
    assert datasets.REGISTRY[name].downloadable

    with pytest.raises(JobFailure) as caught:
        load(name, datasets_dir=None, home=tmp_path, offline=True)

    assert str(tmp_path / "datasets" / "text" / f"{name}.txt") in (caught.value.hint or "")
