"""The gallery's command on real tiny runs: what a visitor of the page sees, and what a wrong run is told."""

import dataclasses
import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import quality
from benchmarks.gallery import __main__ as gallery
from benchmarks.gallery import page as pages
from benchmarks.gallery import pictures, runs, texts
from shared import model_types
from shared.model_types.acgan import AcganSampling
from shared.model_types.vae import GridSampling
from shared.trainer_protocol import EXIT_FINISHED
from tests.worker.trainer.harness import result, run
from worker import images
from worker.data.images import builtin_digits
from worker.models.acgan import model
from worker.models.evaluation import accuracy_score, classifier
from worker.models.image_model import image_grid
from worker.trainer.spec import TrainerSpec

TINY: dict[str, dict[str, Any]] = {
    "vae": {"hidden": [32], "batch_size": 32, "examples_per_epoch": 128, "epochs": 2},
    "acgan": {"width": 8, "batch_size": 8, "examples_per_epoch": 32, "epochs": 1},
    "lstm": {"layers": [24], "batch_size": 8, "window": 20, "examples_per_epoch": 800, "epochs": 3},
}
CONTENT_PX = 2 * (10 * 28 + 9 * 2)  # a block of ten images of 28 pixels, two pixels apart, enlarged twice


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each model type, by its name; with a judge that learns quickly, so its figures are rough."""
    folder = tmp_path_factory.mktemp("runs")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "TRAINING_IMAGES", 2_000)
        patch.setattr(model, "CHEAP_IMAGES", 60)
        patch.setattr(model, "FINAL_IMAGES", 100)
        patch.setattr(model, "TRAINING_IMAGES", 200)
        patch.setattr(accuracy_score, "FEWEST_SEEN", 2_000)
        for name, hyperparameters in TINY.items():
            dataset = model_types.get(name).fallback_dataset
            body = {"model_type": name, "dataset": dataset, "hyperparameters": hyperparameters, "threads": 1, "seed": 5}
            status, recorder = run(folder / name, TrainerSpec.model_validate(body).completed())
            assert status == EXIT_FINISHED, recorder.events[-1]
    torch.set_num_threads(threads)  # what a run sets in torch ends here
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    return {name: folder / name for name in TINY}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page as it is before the command has filled it."""
    lines = [line for name in TINY for line in (f"Before {name}.", *pages.markers(name), f"After {name}.")]
    written = tmp_path / "docs" / "gallery.md"
    written.parent.mkdir()
    written.write_text("\n".join(lines), encoding="utf-8")
    return written


def fill(page: Path, *folders: Path) -> int:
    return gallery.main([*map(str, folders), "--page", str(page)])


def refusal(page: Path, capsys: pytest.CaptureFixture[str], *folders: Path) -> str:
    """What the command says of runs that it does not show; it leaves everything as it was."""
    before = page.read_text(encoding="utf-8")
    assert fill(page, *folders) == 2
    assert page.read_text(encoding="utf-8") == before
    assert not (page.parent / "images").exists()
    return capsys.readouterr().err


def greys(picture: Image.Image) -> np.ndarray:
    """Its pixels, int [H, W]."""
    return np.asarray(picture.convert("L")).astype(int)


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_command_fills_every_part_and_leaves_what_people_wrote(finished: dict[str, Path], page: Path) -> None:
    assert fill(page, *finished.values()) == 0

    text = page.read_text(encoding="utf-8")
    for name in TINY:
        before, after = text.index(f"Before {name}."), text.index(f"After {name}.")
        part = text[before:after]
        assert f"python -m benchmarks.quality --model-type {name}" in part
        assert f"python -m benchmarks.gallery runs/{name}" in part
        assert "seed 5; published is the checkpoint of epoch" in part
        for figure, value in result(finished[name])["finished"]["quality"].items():
            assert f"| `{figure}` | {value:.4g} |" in part
    assert "1,797 handwritten digits" in text
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert links == ["images/latent-grid.png", "images/digits.png"]
    assert all((page.parent / link).is_file() for link in links)


def test_filling_the_page_again_changes_nothing(finished: dict[str, Path], page: Path) -> None:
    fill(page, *finished.values())
    before = {path: path.read_bytes() for path in page.parent.rglob("*.*")}
    fill(page, finished["lstm"])
    fill(page, *finished.values())
    assert {path: path.read_bytes() for path in page.parent.rglob("*.*")} == before


def test_the_page_of_the_repository_has_a_part_for_every_model_type() -> None:
    text = gallery.PAGE.read_text(encoding="utf-8")
    assert set(gallery.SECTIONS) == set(model_types.REGISTRY)
    assert all(marker in text for name in gallery.SECTIONS for marker in pages.markers(name))


@pytest.mark.parametrize("name", TINY)
def test_the_command_on_the_page_asks_for_the_run_that_it_shows(
    name: str, finished: dict[str, Path], page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(page, finished[name])
    command = re.search(r"^python -m benchmarks\.quality .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert command is not None

    monkeypatch.chdir(page.parent)  # where no run of that name is there yet
    monkeypatch.setattr(sys, "argv", shlex.split(command[0])[2:])
    asked = quality.specification(quality._options())

    assert TrainerSpec.model_validate(asked).completed() == runs.read(finished[name]).spec


# --- pictures -----------------------------------------------------------------------------------------------------


def test_the_latent_grid_is_what_the_published_model_draws_of_twenty_by_twenty_points(
    finished: dict[str, Path], page: Path
) -> None:
    fill(page, finished["vae"])

    path = page.parent / "images" / "latent-grid.png"
    with Image.open(path) as picture:
        assert picture.size == (1120, 1120)
        seen = greys(picture)
    drawn = runs.read(finished["vae"]).model.generate(GridSampling(), seed=1).images
    assert drawn is not None
    assert abs(seen[::2, ::2] - image_grid(torch.from_numpy(drawn), 20)).max() <= 8
    assert path.stat().st_size < 200_000


def blocks(file: Path | io.BytesIO) -> tuple[np.ndarray, np.ndarray]:
    """The left and the right block of ten columns in a file, each pixel once."""
    with Image.open(file) as picture:
        found = greys(picture)[pictures.HEADING_PX : -pictures.MARGIN_PX, : -pictures.MARGIN_PX]
    left = found[:, : -CONTENT_PX - 2 * pictures.MARGIN_PX]
    return left[::2, -CONTENT_PX::2], found[::2, -CONTENT_PX::2]


def test_generated_images_of_each_class_stand_left_of_the_first_real_ones_of_the_test_set(
    finished: dict[str, Path], page: Path
) -> None:
    fill(page, finished["acgan"])

    path = page.parent / "images" / "digits.png"
    left, right = blocks(path)
    digits = builtin_digits()
    real = np.concatenate([digits.test_images[digits.test_labels == label][:10].numpy() / 255 for label in range(10)])
    generated = runs.read(finished["acgan"]).model.generate(AcganSampling(), seed=0).images
    assert generated is not None
    assert abs(right - images.grid(real, 10, 10)).max() <= 8
    assert abs(left - images.grid(generated, 10, 10)).max() <= 8
    assert path.stat().st_size < 200_000


def test_real_images_of_merged_classes_stand_in_the_row_of_their_new_class(finished: dict[str, Path]) -> None:
    plain = runs.read(finished["acgan"])
    assert isinstance(plain.model, model.Acgan)
    hyperparameters = plain.model.hyperparameters.model_copy(update={"label_map": (0, 1) * 5})
    merged = model.Acgan.for_data(hyperparameters, builtin_digits())

    section = pictures.digits(dataclasses.replace(plain, model=merged))

    _, right = blocks(io.BytesIO(section.pictures["digits.png"]))
    digits = builtin_digits()
    real = [digits.test_images[digits.test_labels % 2 == parity][:10].numpy() / 255 for parity in (0, 1)]
    assert abs(right - images.grid(np.concatenate(real), 2, 10)).max() <= 8


def test_every_row_and_block_is_labelled() -> None:
    images = np.ones((2, 1, 28, 28), np.float32)
    sheet = np.asarray(pictures.labelled({"generated": images, "real": images}, ["trousers", "bag"]))
    left = sheet.shape[1] - 2 * 56 - 3 * pictures.MARGIN_PX
    inked = [sheet[pictures.HEADING_PX + 60 * row :, :left][:56].min() < 100 for row in range(2)]
    assert all([*inked, sheet[: pictures.HEADING_PX].min() < 100])


# --- texts --------------------------------------------------------------------------------------------------------


def test_texts_of_the_first_and_the_last_epoch_stand_at_each_temperature(finished: dict[str, Path], page: Path) -> None:
    fill(page, finished["lstm"])

    text = page.read_text(encoding="utf-8")
    assert texts.fenced(runs.read(finished["lstm"]).manifest.config["seed_text"]) in text
    for epoch in (1, 3):
        part = text.partition(f"\n### Epoch {epoch}: ")[2].partition("\n### ")[0]
        assert re.match(r"\d\.\d\d bits per character\n", part)
        for temperature in ("0", "0.25", "0.5", "0.75"):
            sample = (finished["lstm"] / "samples" / f"epoch-000{epoch}-t{temperature}.txt").read_text(encoding="utf-8")
            assert f"**T = {temperature}**\n\n{texts.fenced(sample)}" in part


def test_epochs_are_spread_from_the_first_to_the_last_closer_at_the_beginning() -> None:
    assert texts.spread(list(range(1, 16)), 5) == [1, 2, 4, 8, 15]
    assert texts.spread([1, 40, 41, 120], 5) == [1, 40, 120]
    assert texts.spread([1], 5) == [1]


def test_a_text_with_backticks_stays_within_its_block() -> None:
    assert texts.fenced("a ``` b") == "````text\na ``` b\n````"


# --- runs that cannot be shown ------------------------------------------------------------------------------------


def _end_is_missing(folder: Path) -> None:
    (folder / "result.json").unlink()


def _weights_are_damaged(folder: Path) -> None:
    (folder / result(folder)["finished"]["checkpoint"] / "model.safetensors").write_bytes(b"")


def _started_from_other_weights(folder: Path) -> None:
    spec = json.loads((folder / "spec.json").read_text()) | {"init_from": "other/checkpoints/00000004"}
    (folder / "spec.json").write_text(json.dumps(spec))


def _samples_are_gone(folder: Path) -> None:
    shutil.rmtree(folder / "samples")


@pytest.mark.parametrize(
    ("spoil", "what", "remedy"),
    [
        (_end_is_missing, "is not finished", "`python -m worker.train {0}/spec.json {0}` goes on"),
        (_weights_are_damaged, "published checkpoint is damaged", "`python -m worker.train {0}/spec.json {0}` goes on"),
        (_started_from_other_weights, "`init_from`", "show one without it"),
        (_samples_are_gone, "no epoch with a text at each temperature", "as the trainer left it"),
    ],
)
def test_a_run_that_cannot_be_shown_is_refused_with_what_to_do(
    spoil: Callable[[Path], None],
    what: str,
    remedy: str,
    finished: dict[str, Path],
    page: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(finished["lstm"], tmp_path / "lstm")
    spoil(folder)
    said = refusal(page, capsys, finished["vae"], folder)
    assert what in said
    assert remedy.format(folder) in said


def test_a_folder_without_a_run_is_refused_with_the_command_that_makes_one(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(page, capsys, tmp_path / "nothing")
    assert "holds no run" in said
    assert "python -m benchmarks.quality --model-type" in said


def test_a_model_type_without_a_section_is_refused(
    finished: dict[str, Path], page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(gallery.SECTIONS, "vae")
    assert "no section for `vae`, only for acgan, lstm" in refusal(page, capsys, finished["vae"])


def test_two_runs_of_one_model_type_are_refused(
    finished: dict[str, Path], page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "name one of each model type" in refusal(page, capsys, finished["vae"], finished["vae"])


def test_a_page_without_a_place_for_the_part_is_told_which_lines_to_put_into_it(
    finished: dict[str, Path], page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page.write_text("Nothing yet.", encoding="utf-8")
    assert "<!-- gallery: vae -->" in refusal(page, capsys, finished["vae"])
