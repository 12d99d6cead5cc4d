"""Images of one's own on the real stack: from a folder to samples in colour, quality figures and generations."""

import io
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.acceptance.stack import MIMEO, Stack, wait_for_job
from tests.acceptance.test_main_job import download, generate

pytestmark = pytest.mark.slow

Json = dict[str, Any]
SHAPES = {"blue-squares": (40, 60, 220), "green-bars": (40, 200, 60), "red-discs": (220, 50, 40)}
EACH = 75  # pictures of a class; 15 of them are for the test
TRAINING: dict[str, Json] = {
    "vae": {"hidden": [128], "latent_size": 8, "batch_size": 32, "examples_per_epoch": 4_800},
    "acgan": {"width": 8, "batch_size": 16, "examples_per_epoch": 4_224, "learning_rate": 2e-3, "ema": 0.95},
}


def picture(name: str, chance: random.Random) -> Image.Image:
    """A shape in its colour on a dark ground, of a random size."""
    width, height = chance.randint(24, 90), chance.randint(24, 90)
    image = Image.new("RGB", (width, height), (chance.randint(0, 40),) * 3)
    side = min(width, height) // 2
    left, top = (each // 2 - side // 2 + chance.randint(-4, 4) for each in (width, height))
    draw, box = ImageDraw.Draw(image), (left, top, left + side, top + side)
    match name:
        case "red-discs":
            draw.ellipse(box, fill=SHAPES[name])
        case "green-bars":
            draw.rectangle((left, top + side // 3, left + side, top + 2 * side // 3), fill=SHAPES[name])
        case _:
            draw.rectangle(box, fill=SHAPES[name])
    return image


def mimeo(stack: Stack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [MIMEO, *arguments], env=stack.env(), capture_output=True, text=True, timeout=240, check=False
    )


def colours(images: np.ndarray) -> np.ndarray:
    """Mean of each channel of images [N, C, H, W]: [C]."""
    means: np.ndarray = images.astype(float).mean(axis=(0, 2, 3))
    return means


def array(http: httpx.Client, request: Json) -> np.ndarray:
    """Generated images, [N, C, H, W]."""
    [artifact] = generate(http, {**request, "format": "npy", "seed": 1})["artifacts"]
    images: np.ndarray = np.load(io.BytesIO(download(http, artifact)))
    return images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three classes in many sizes, as PNG and JPEG."""
    made: Path = tmp_path_factory.mktemp("pictures") / "shapes"
    chance = random.Random(1)
    for name in SHAPES:
        (made / name).mkdir(parents=True)
        for number in range(EACH):
            picture(name, chance).save(made / name / f"{number}.{'jpg' if number % 3 else 'png'}", quality=90)
    return made


@pytest.fixture(scope="module")
def models(stack: Stack, http: httpx.Client, folder: Path) -> Iterator[dict[str, Json]]:
    """The ended job of each model type. The dataset exists until the module ends, or a test deletes it."""
    added = mimeo(stack, "datasets", "add", str(folder), "--name", "shapes")
    assert added.returncode == 0, added.stderr
    assert "225 images in 3 classes" in added.stdout
    assert "They become 32×32 in colour." in added.stdout
    jobs = {}
    for model_type, chosen in TRAINING.items():
        hyperparameters = {**chosen, "epochs": 1}
        request = {"model_type": model_type, "dataset": "shapes", "hyperparameters": hyperparameters, "seed": 3}
        if model_type == "vae":
            request["evaluation"] = "full"
        answer = http.post("/v1/training-jobs", json=request)
        assert answer.status_code == 202, answer.text
        jobs[model_type] = answer.json()
    yield {name: wait_for_job(http, f"/v1/training-jobs/{job['id']}") for name, job in jobs.items()}
    mimeo(stack, "datasets", "delete", "shapes")


@pytest.fixture(params=TRAINING)
def job(request: pytest.FixtureRequest, models: dict[str, Json]) -> Json:
    found = models[request.param]
    assert found["status"] == "succeeded", found["error"]
    return found


def quality(http: httpx.Client, job: Json) -> dict[str, float]:
    found: dict[str, float] = http.get(f"/v1/models/{job['model']}").json()["quality"]
    return found


def test_samples_are_in_colour(http: httpx.Client, job: Json) -> None:
    samples = http.get(f"/v1/training-jobs/{job['id']}/samples").json()["data"]
    last = max(samples, key=lambda sample: sample["epoch"])
    with Image.open(io.BytesIO(download(http, last))) as image:
        assert image.mode == "RGB"
        pixels = np.asarray(image).astype(int)
    assert np.abs(pixels[..., 0] - pixels[..., 2]).max() > 60


def test_figures_of_the_vae_tell_the_classes_apart(http: httpx.Client, models: dict[str, Json]) -> None:
    figures = quality(http, models["vae"])
    series = http.get(f"/v1/training-jobs/{models['vae']['id']}/metrics").json()["data"]
    losses = next(entry["points"] for entry in series if entry["name"] == "reconstruction")
    assert figures["reconstruction"] < losses[0]["value"] / 3
    assert figures["active_units"] >= 2
    assert figures["reconstruction_accuracy"] > 0.8


def test_figures_of_the_acgan_follow_its_images(http: httpx.Client, models: dict[str, Json]) -> None:
    figures = quality(http, models["acgan"])
    images = array(http, {"model": models["acgan"]["model"], "sampling": {"labels": "all", "n_per_label": 20}})
    assert images.shape == (60, 3, 32, 32)
    for label, colour in enumerate(SHAPES.values()):
        assert colours(images[20 * label : 20 * (label + 1)]).argmax() == np.argmax(colour)
    assert figures["class_accuracy"] > 0.9
    assert figures["frechet_distance"] > 0
    assert 0 < figures["diversity"] < 3


def test_few_test_images_are_said_at_the_submission(http: httpx.Client, models: dict[str, Json]) -> None:
    [warning] = [each for each in models["acgan"]["warnings"] if each["code"] == "few_test_images"]
    request = {"model_type": "acgan", "dataset": "shapes", "dry_run": True}
    estimated = http.post("/v1/training-jobs", json=request).json()["warnings"]
    assert "There are 45 test images; with fewer than 129" in warning["message"]
    assert warning["message"] in [each["message"] for each in estimated]


@pytest.mark.parametrize(("option", "value"), [("--size", "30"), ("--size", "132")])
def test_size_that_the_networks_lack_is_refused_with_its_field(
    stack: Stack, folder: Path, option: str, value: str
) -> None:
    refused = mimeo(stack, "datasets", "add", str(folder), "--name", "other", option, value)
    assert refused.returncode == 2
    assert "size" in refused.stderr
    assert "multiple of 4 from 16 to 128" in refused.stderr


def test_models_generate_after_the_dataset_was_deleted(
    stack: Stack, http: httpx.Client, models: dict[str, Json]
) -> None:
    before = {name: array(http, {"model": job["model"]}) for name, job in models.items()}
    reconstruction = {"model": models["vae"]["model"], "sampling": {"mode": "reconstruct", "indices": [0, 1]}}
    assert array(http, reconstruction).shape == (4, 3, 32, 32)

    deleted = mimeo(stack, "datasets", "delete", "shapes", "--json")

    assert json.loads(deleted.stdout) == {"name": "shapes", "deleted": True}
    for name, job in models.items():
        assert np.array_equal(array(http, {"model": job["model"]}), before[name])
    answer = http.post("/v1/generation-jobs", json=reconstruction, headers={"Prefer": "wait=60"}).json()
    assert answer["status"] == "failed"
    assert "were deleted or replaced" in answer["error"]["message"]
