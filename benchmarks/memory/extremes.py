"""What is measured at the ends of the bounds: the largest requests that a machine of 8 GiB accepts, by model type.

An end that only refused requests reach (8 layers of 8,192 units) is measured at a size that is accepted.
"""

from typing import Any

from benchmarks.memory.case import Case, text

HUGE_EPOCH = 200_000_000  # examples: 139,000 shuffles of the built-in digits
_MANY_CHARACTERS = text(100_000, 25_000)
_SMALL_LSTM = {"layers": [24, 16], "batch_size": 8, "window": 20}
_ONE_HOT = {**_SMALL_LSTM, "embedding": 0}


def _lstm(name: str, sampling: dict[str, Any] | None = None, **fields: Any) -> Case:
    return Case(model_type="lstm", name=name, sampling=sampling, **fields)


def _vae(name: str, sampling: dict[str, Any] | None = None, **fields: Any) -> Case:
    return Case(model_type="vae", name=name, sampling=sampling, **fields)


LSTM = (
    _lstm("huge epoch", hyperparameters={**_SMALL_LSTM, "examples_per_epoch": HUGE_EPOCH}, steps=3),
    _lstm(
        "huge epoch of windows",
        hyperparameters={**_SMALL_LSTM, "batching": "windows", "examples_per_epoch": HUGE_EPOCH},
        steps=3,
    ),
    _lstm("window of 2,048", hyperparameters={"layers": [64], "window": 2048, "batch_size": 8}),
    _lstm(
        "windows of 2,048", hyperparameters={"layers": [64], "window": 2048, "batch_size": 64, "batching": "windows"}
    ),
    _lstm("eight layers", hyperparameters={"layers": [256] * 8, "batch_size": 8}),
    _lstm("embedding of 4,096", hyperparameters={**_SMALL_LSTM, "embedding": 4096}),
    _lstm("batch of 4,096", hyperparameters={"layers": [32], "batch_size": 4096, "window": 32}),
    _lstm("large batch of windows", preset="book", hyperparameters={"batch_size": 4096}),
    _lstm("one-hot, 25,000 characters", hyperparameters=_ONE_HOT, text=_MANY_CHARACTERS),
    _lstm("25,000 characters", hyperparameters=_SMALL_LSTM, text=_MANY_CHARACTERS),
    _lstm("10 texts of 100,000", {"n": 10, "length": 100_000}, hyperparameters={"layers": [64]}),
    _lstm("1,024 texts of 976", {"n": 1024, "length": 976}, hyperparameters={"layers": [64]}),
    _lstm("1,024 texts, top_p and stop", {"n": 1024, "length": 64, "top_p": 0.9, "top_k": 50, "stop": ["def "]}),
    _lstm("prompt of 100,000", {"prompt": "import os\n" * 10_000, "length": 1}, hyperparameters={"layers": [64]}),
    _lstm("eight layers, 64 texts", {"n": 64, "length": 20}, hyperparameters={"layers": [512] * 8}),
    _lstm("one-hot, 25,000 characters, 1 text of 1", {"length": 1}, hyperparameters=_ONE_HOT, text=_MANY_CHARACTERS),
    _lstm(
        "25,000 characters, 1,024 texts",
        {"n": 1024, "length": 8},
        hyperparameters=_SMALL_LSTM,
        text=_MANY_CHARACTERS,
    ),
    _lstm(
        "25,000 characters, 256 texts, top_p",
        {"n": 256, "length": 8, "top_p": 0.9, "top_k": 1000},
        hyperparameters=_SMALL_LSTM,
        text=_MANY_CHARACTERS,
    ),
    _lstm(
        "25,000 characters, 10 texts of 20,000",
        {"n": 10, "length": 20_000},
        hyperparameters=_SMALL_LSTM,
        text=_MANY_CHARACTERS,
    ),
)

VAE = (
    _vae("huge epoch", hyperparameters={"examples_per_epoch": HUGE_EPOCH}, steps=3),
    _vae("eight layers", hyperparameters={"hidden": [1024] * 8}),
    _vae("latents of 512, large batch", hyperparameters={"latent_size": 512, "batch_size": 16_384}),
    _vae("100 points, npy", {"mode": "grid", "points": 100}, format="npy"),
    _vae("100 points, wide", {"mode": "grid", "points": 100}, hyperparameters={"hidden": [4096, 4096]}),
    _vae("10,000 latents", {"mode": "latent", "z": [[0.1, 0.2]] * 10_000}),
    _vae("195 latents of 512", {"mode": "latent", "z": [[0.1] * 512] * 195}, hyperparameters={"latent_size": 512}),
    _vae("10,000 images, npy", {"mode": "reconstruct", "indices": [5] * 10_000}, format="npy"),
    _vae(
        "10,000 images, latents of 512",
        {"mode": "encode", "indices": [5] * 10_000},
        hyperparameters={"latent_size": 512},
    ),
)

ACGAN = (
    Case(
        model_type="acgan",
        name="huge epoch",
        hyperparameters={"width": 8, "examples_per_epoch": HUGE_EPOCH},
        steps=3,
    ),
    Case(model_type="acgan", name="batch of 4,096", hyperparameters={"width": 8, "batch_size": 4096}),
    Case(model_type="acgan", name="latents of 1,024", hyperparameters={"width": 8, "latent_size": 1024}),
    Case(
        model_type="acgan",
        name="97 latents of 1,024",
        hyperparameters={"latent_size": 1024},
        sampling={"labels": [0], "z": [[0.1] * 1024] * 97},
    ),
    Case(model_type="acgan", name="10,000 labels", sampling={"labels": [3] * 10_000, "n_per_label": 1}),
    Case(
        model_type="acgan",
        name="book, 10,000 images, npy",
        preset="book",
        sampling={"n_per_label": 1000},
        format="npy",
    ),
)

GAN = (
    Case(
        model_type="gan",
        name="huge epoch",
        hyperparameters={"width": 8, "examples_per_epoch": HUGE_EPOCH},
        steps=3,
    ),
    Case(model_type="gan", name="wide", hyperparameters={"width": 128}),
    Case(model_type="gan", name="batch of 4,096", hyperparameters={"width": 8, "batch_size": 4096}),
    Case(model_type="gan", name="book, 10,000 images", preset="book", sampling={"mode": "random", "n": 10_000}),
    Case(model_type="gan", name="10,000 images, npy", sampling={"mode": "random", "n": 10_000}, format="npy"),
    Case(
        model_type="gan",
        name="97 latents of 1,024",
        hyperparameters={"latent_size": 1024},
        sampling={"mode": "latent", "z": [[0.1] * 1024] * 97},
    ),
)

EXTREMES = (*LSTM, *VAE, *ACGAN, *GAN)
