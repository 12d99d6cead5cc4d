"""The Keras baseline, as a program: `python -m benchmarks.speed.baselines_keras DATA.npz THREADS`, commands on stdin.

One JSON object per line, and one in reply to each: {"do": "prepare", "case": {…}} → {"parameters", "about"}; {"do":
"run", "count": k} → {"seconds": s}; {"do": "versions"} → {…}; an error → {"error": "…"}. It imports nothing of Mimeo:
cases come as JSON, data as arrays. Between commands it is idle.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import keras
import numpy as np
import tensorflow as tf

from benchmarks.speed import keras_models as models

Run = Callable[[int], float]
Arrays = dict[str, Any]


def shape_batches(case: dict[str, Any], arrays: Arrays) -> tf.data.Dataset:
    """Endless batches of random examples, made in parallel with the training as TensorFlow recommends."""
    batch, window = case["batch"], case["window"]
    forever = tf.data.Dataset.counter()
    if case["model_type"] == "lstm":
        ids = tf.constant(arrays["lstm.ids"].astype(np.int32))
        vocabulary = case["vocabulary"]

        def windows(_: Any) -> tuple[Any, Any]:
            starts = tf.random.uniform((batch, 1), 0, len(ids) - window, tf.int32)
            characters = tf.gather(ids, starts + tf.range(window + 1))
            targets = characters[:, 1:] if case["every_character"] else characters[:, -1]
            return tf.one_hot(characters[:, :-1], vocabulary), targets

        return forever.map(windows).prefetch(2)
    images = tf.constant(arrays[f"{case['model_type']}.images"])
    labels = tf.constant(arrays[f"{case['model_type']}.labels"].astype(np.int32))

    def pictures(_: Any) -> tuple[Any, Any]:
        chosen = tf.random.uniform((batch,), 0, len(images), tf.int32)
        if case["model_type"] == "vae":
            pixels = tf.reshape(tf.cast(tf.gather(images, chosen), tf.float32) / 255, (batch, 784))
            return pixels, pixels
        return tf.cast(tf.gather(images, chosen)[..., None], tf.float32) / 127.5 - 1, tf.gather(labels, chosen)

    return forever.map(pictures).prefetch(2)


def trainable(model: keras.Model) -> int:
    """Trainable parameters."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def prepare_training(case: dict[str, Any], arrays: Arrays) -> tuple[Run, dict[str, Any]]:
    """`fit`'s own compiled step, without the epochs and callbacks around it."""
    match case["model_type"]:
        case "lstm":
            model: keras.Model = models.character_model(
                case["vocabulary"], case["layers"], case["window"], every_character=case["every_character"]
            )
        case "vae":
            model = models.Vae()
        case _:
            model = models.Acgan()
    model.optimizer.build(model.trainable_variables)  # a compiled step must not create variables
    model.make_train_function()
    batches = iter(shape_batches(case, arrays))

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            losses = model.train_function(batches)
        for loss in losses.values():
            float(loss)
        return time.perf_counter() - began

    run(1)  # builds the model
    about = "float32, XLA" if model.jit_compile else "float32"
    return run, {"parameters": trainable(model), "about": about}


def prepare_sampling(case: dict[str, Any], arrays: Arrays) -> tuple[Run, dict[str, Any]]:
    """From random numbers to texts or pixels, through the model's compiled prediction."""
    batch = case["batch"]
    random = np.random.default_rng(0)
    match case["model_type"]:
        case "lstm":
            call, about = text_writer(case, arrays, random), "float32, the window read again for each character"
        case "vae":
            axis = np.linspace(-4, 4, round(batch**0.5), dtype=np.float32)
            latents = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
            decoder = models.Vae().decoder
            call, about = lambda: decoder.predict_on_batch(latents), "float32"
        case _:
            generator, labels = models.make_generator(), np.arange(batch, dtype=np.int32) % models.CLASSES

            def call() -> Any:
                z = random.uniform(-1, 1, (batch, models.LATENT)).astype(np.float32)
                return (generator.predict_on_batch([z, labels]) + 1) / 2

            about = "float32"

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            call()
        return time.perf_counter() - began

    return run, {"parameters": None, "about": about}


def text_writer(case: dict[str, Any], arrays: Arrays, random: np.random.Generator) -> Callable[[], Any]:
    """The published way: each character is sampled from the model's prediction for the window before it."""
    vocabulary, window = case["vocabulary"], case["window"]
    model = models.character_model(vocabulary, case["layers"], window, every_character=False)
    one_hot = np.eye(vocabulary, dtype=np.float32)

    def call() -> list[int]:
        ids = list(arrays["lstm.ids"][:window])
        for _ in range(case["length"]):
            probabilities = model.predict_on_batch(one_hot[ids[-window:]][None])[0].astype(np.float64)
            weights = probabilities ** (1 / 0.75)
            ids.append(int(random.choice(vocabulary, p=weights / weights.sum())))
        return ids[window:]

    return call


def answer(command: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Execute one command."""
    match command["do"]:
        case "versions":
            return {"keras": keras.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}
        case "prepare":
            state.pop("run", None)
            keras.backend.clear_session()
            case_ = command["case"]
            make = prepare_training if case_["kind"] == "training" else prepare_sampling
            state["run"], about = make(case_, state["arrays"])
            return about
        case "run":
            return {"seconds": state["run"](command["count"])}
    raise ValueError(f"there is no command {command['do']!r}")


def serve(commands: TextIO, answers: TextIO, arrays: Arrays) -> None:
    """Answer commands until the parent closes the pipe."""
    state: dict[str, Any] = {"arrays": arrays}
    for line in commands:
        try:
            reply = answer(json.loads(line), state)
        except Exception as error:  # noqa: BLE001 - the parent shows it in the row
            reply = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(reply), file=answers, flush=True)


def main() -> None:
    """Set up and serve. Standard output carries the protocol only."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[2]))
    keras.utils.set_random_seed(0)
    with np.load(sys.argv[1]) as arrays:
        serve(sys.stdin, answers, dict(arrays))


if __name__ == "__main__":
    main()
