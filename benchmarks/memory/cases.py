"""What is measured: presets, extremes of the hyperparameters, and every sampling mode at two sizes."""

from collections.abc import Iterator

from benchmarks.memory.case import Case, text
from benchmarks.memory.extremes import EXTREMES
from shared.model_types import REGISTRY, ModelType

_WIDE = {"hidden": [4096, 4096], "latent_size": 256}
_MANY = {"hidden": [2048], "batch_size": 16_384}
_SMALL_LSTM = {"layers": [24, 16], "batch_size": 8, "window": 20}

VAE = (
    Case(model_type="vae", name="small", hyperparameters={"hidden": [16], "batch_size": 16}),
    Case(model_type="vae", name="fast"),
    Case(model_type="vae", name="book", preset="book"),
    Case(model_type="vae", name="fast, 70,000 images", dataset="fashion-mnist"),
    Case(model_type="vae", name="wide layers", hyperparameters=_WIDE),
    Case(model_type="vae", name="wide layers, bfloat16", hyperparameters=_WIDE, precision="bfloat16"),
    Case(model_type="vae", name="large batch", hyperparameters=_MANY),
    Case(model_type="vae", name="1 image", sampling={"n": 1}),
    Case(model_type="vae", name="10,000 images", sampling={"n": 10_000}),
    Case(model_type="vae", name="10,000 images, npy", sampling={"n": 10_000}, format="npy"),
    Case(model_type="vae", name="1 image, wide layers", hyperparameters=_WIDE, sampling={"n": 1}),
    Case(model_type="vae", name="10,000, wide layers", hyperparameters=_WIDE, sampling={"n": 10_000}),
    Case(model_type="vae", name="2 points", sampling={"mode": "grid", "points": 2}),
    Case(model_type="vae", name="100 points", sampling={"mode": "grid", "points": 100}),
    Case(model_type="vae", name="2 steps", sampling={"mode": "interpolate", "from": [0, 0], "to": [1, 1], "steps": 2}),
    Case(
        model_type="vae",
        name="1,000 steps between images",
        sampling={"mode": "interpolate", "from": 0, "to": 1, "steps": 1000},
    ),
    Case(model_type="vae", name="1 flat latent", sampling={"mode": "latent", "z": [0.1, 0.2]}),
    Case(
        model_type="vae",
        name="1 flat latent of 512",
        hyperparameters={"latent_size": 512},
        sampling={"mode": "latent", "z": [0.1] * 512},
    ),
    Case(model_type="vae", name="5,000 latents", sampling={"mode": "latent", "z": [[0.1, 0.2]] * 5_000}),
    Case(model_type="vae", name="1 image", sampling={"mode": "reconstruct", "indices": [0]}),
    Case(model_type="vae", name="10,000 images", sampling={"mode": "reconstruct", "indices": [5] * 10_000}),
    Case(
        model_type="vae",
        name="1 image of 70,000",
        dataset="fashion-mnist",
        sampling={"mode": "reconstruct", "indices": [0]},
    ),
    Case(model_type="vae", name="1 image", sampling={"mode": "encode", "indices": [0]}),
    Case(model_type="vae", name="10,000 images", sampling={"mode": "encode", "indices": [5] * 10_000}),
    Case(
        model_type="vae",
        name="10,000, wide layers",
        hyperparameters=_WIDE,
        sampling={"mode": "encode", "indices": [5] * 10_000},
    ),
)

ACGAN = (
    Case(model_type="acgan", name="small", hyperparameters={"width": 4, "batch_size": 8}),
    Case(model_type="acgan", name="fast"),
    Case(model_type="acgan", name="book", preset="book"),
    Case(model_type="acgan", name="fast, 70,000 images", dataset="mnist"),
    Case(model_type="acgan", name="wide", hyperparameters={"width": 192}),
    Case(model_type="acgan", name="large batch", hyperparameters={"batch_size": 1400}),
    Case(model_type="acgan", name="book, large batch", preset="book", hyperparameters={"batch_size": 700}),
    Case(
        model_type="acgan",
        name="book, large batch, float32",
        preset="book",
        hyperparameters={"batch_size": 700},
        precision="float32",
    ),
    Case(model_type="acgan", name="fast, bfloat16", precision="bfloat16"),
    Case(model_type="acgan", name="10 images", sampling={"n_per_label": 1}),
    Case(model_type="acgan", name="10,000 images", sampling={"n_per_label": 1000}),
    Case(model_type="acgan", name="10,000 images, npy", sampling={"n_per_label": 1000}, format="npy"),
    Case(model_type="acgan", name="1 image, wide", hyperparameters={"width": 192}, sampling={"labels": [0]}),
    Case(
        model_type="acgan",
        name="1,000 images, wide",
        hyperparameters={"width": 192},
        sampling={"n_per_label": 100},
    ),
    Case(model_type="acgan", name="book, 10 images", preset="book", sampling={"n_per_label": 1}),
    Case(model_type="acgan", name="book, 2,000 images", preset="book", sampling={"n_per_label": 200}),
    Case(model_type="acgan", name="1 flat latent", sampling={"labels": [0], "z": [0.1] * 100}),
    Case(model_type="acgan", name="1,000 latents", sampling={"labels": [0, 1], "z": [[0.1] * 100] * 1000}),
)

GAN = (
    Case(model_type="gan", name="small", hyperparameters={"width": 4, "batch_size": 8}),
    Case(model_type="gan", name="fast"),
    Case(model_type="gan", name="book", preset="book"),
    Case(model_type="gan", name="10 images", sampling={"mode": "random", "n": 10}),
    Case(model_type="gan", name="10,000 images", sampling={"mode": "random", "n": 10_000}),
    Case(model_type="gan", name="1 flat latent", sampling={"mode": "latent", "z": [0.1] * 100}),
    Case(model_type="gan", name="1,000 latents", sampling={"mode": "latent", "z": [[0.1] * 100] * 1000}),
)

LSTM = (
    Case(model_type="lstm", name="small", hyperparameters=_SMALL_LSTM),
    Case(model_type="lstm", name="fast"),
    Case(model_type="lstm", name="fast, float32", precision="float32"),
    Case(model_type="lstm", name="book", preset="book"),
    Case(model_type="lstm", name="large", preset="large"),
    Case(model_type="lstm", name="large, float32", preset="large", precision="float32"),
    Case(model_type="lstm", name="large batch", hyperparameters={"batch_size": 1024}),
    Case(model_type="lstm", name="large batch, float32", hyperparameters={"batch_size": 1024}, precision="float32"),
    Case(model_type="lstm", name="wide layer", hyperparameters={"layers": [2048], "batch_size": 4}),
    Case(
        model_type="lstm",
        name="one-hot, 5,000 characters",
        hyperparameters={**_SMALL_LSTM, "embedding": 0},
        text=text(100_000, 5_000),
    ),
    Case(model_type="lstm", name="5,000 characters", text=text(1_000_000, 5_000)),
    Case(model_type="lstm", name="long text", hyperparameters=_SMALL_LSTM, text=text(10_000_000, 90)),
    Case(
        model_type="lstm",
        name="windows of a long text",
        hyperparameters={**_SMALL_LSTM, "batching": "windows"},
        text=text(10_000_000, 90),
    ),
    Case(model_type="lstm", name="1 text of 1", sampling={"length": 1}),
    Case(model_type="lstm", name="1 text of 20,000", sampling={"length": 20_000}),
    Case(model_type="lstm", name="1,024 texts of 100", sampling={"n": 1024, "length": 100}),
    Case(model_type="lstm", name="64 texts, top_p", sampling={"n": 64, "length": 200, "top_p": 0.9, "top_k": 40}),
    Case(model_type="lstm", name="large, 64 texts", preset="large", sampling={"n": 64, "length": 100}),
    Case(
        model_type="lstm",
        name="wide layer",
        hyperparameters={"layers": [2048], "batch_size": 4},
        sampling={"n": 4, "length": 20},
    ),
    Case(
        model_type="lstm",
        name="5,000 characters, 256 texts",
        text=text(100_000, 5_000),
        sampling={"n": 256, "length": 64},
    ),
)

_MADE = (*LSTM, *VAE, *ACGAN, *GAN, *EXTREMES)


def _by_contract(kind: ModelType) -> Iterator[Case]:
    """What the contract of a further model type gives: its smallest training, its presets and its samplings."""
    yield Case(model_type=kind.name, name="small", hyperparameters=kind.small)
    for preset in kind.presets:
        yield Case(model_type=kind.name, name=preset, preset=preset)
    yield Case(model_type=kind.name, name="small", sampling=kind.small_sampling)
    yield Case(model_type=kind.name, name="demo", sampling=kind.demo_sampling)


CASES = (
    *_MADE,
    *(
        case
        for name, kind in REGISTRY.items()
        if not any(made.model_type == name for made in _MADE)
        for case in _by_contract(kind)
    ),
)
