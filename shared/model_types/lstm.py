"""Contract of the character-level LSTM."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from shared.datasets import HELD_OUT_FRACTION, DatasetShape
from shared.errors import SpecError
from shared.model_types import text_measures as measures
from shared.model_types.base import (
    JOB_BYTES,
    Hyperparameters,
    ModelType,
    SamplingParameters,
    checkpoint_bytes,
    checkpoint_file_bytes,
    loaded_bytes,
)
from shared.model_types.characters import Normalized, unknown_characters
from shared.model_types.text_steps import training_steps

LayerSize = Annotated[int, Field(ge=1, le=4096)]
StopString = Annotated[str, Normalized, Field(min_length=1, max_length=100)]

MAX_CHARACTERS = 1_000_000  # of one generation request, over all its texts
MIN_CHARACTERS = 100
_GROUPS_AT_ONCE = min(16, os.cpu_count() or 16)  # as on the workers, which have about as many cores as this machine
_STEP_WORK = 500_000  # multiply-adds in the time that the calls of one character take


class LstmHyperparameters(Hyperparameters):
    """Hyperparameters of the LSTM."""

    epochs: int = Field(9, ge=1, le=100_000, description="Passes of `examples_per_epoch` examples.")
    batch_size: int = Field(16, ge=1, le=4096, description="Streams (or windows) per step.")
    learning_rate: float = Field(3e-3, gt=0, le=10, description="Peak learning rate.")
    examples_per_epoch: int | None = Field(
        1_000_000,
        ge=1,
        le=1_000_000_000,
        description="Characters (streams) or windows (windows) one epoch draws; null is the whole training text once.",
    )
    batching: Literal["streams", "windows"] = Field(
        "streams",
        description="`streams` reads contiguous text, carries the state over and learns from every character; "
        "`windows` draws random windows and learns from the one character after each.",
    )
    window: int = Field(64, ge=1, le=2048, description="Characters a step sees of each stream or window.")
    sample_step: int = Field(1, ge=1, le=1000, description="Distance between the starts of neighbouring windows.")
    validation_split: float = Field(
        0.0, ge=0, le=0.5, description="Share of an epoch's windows kept out of training and used for `val_loss`."
    )
    layers: tuple[LayerSize, ...] = Field(
        (256, 256), strict=False, min_length=1, max_length=8, description="Units of each LSTM layer."
    )
    embedding: int = Field(64, ge=0, le=4096, description="Size of the character embedding; 0 is one-hot.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout between layers and before the output.")
    recurrent_dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout of the weights from a layer's state to its next one, drawn once a step."
    )
    activation_regularization: float = Field(
        2.0, ge=0, le=1000, description="Weight in the loss of the last layer's mean squared state, after dropout."
    )
    temporal_activation_regularization: float = Field(
        1.0, ge=0, le=1000, description="Weight in the loss of its mean squared change from character to character."
    )
    optimizer: Literal["adamw", "rmsprop"] = Field("adamw", description="Optimizer.")
    weight_decay: float = Field(0.1, ge=0, le=10, description="Decoupled weight decay (AdamW only).")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="How the learning rate falls.")
    warmup_steps: int = Field(100, ge=0, le=1_000_000, description="Steps over which the learning rate rises.")
    clip_norm: float = Field(1.0, ge=0, le=1e6, description="Largest gradient norm; 0 does not clip.")


class LstmSampling(SamplingParameters):
    """How text is drawn."""

    prompt: Annotated[str, Normalized] | None = Field(
        None, min_length=1, max_length=100_000, description="Seed text; null is a passage of the data."
    )
    length: int = Field(200, ge=1, le=100_000, description="Characters to write.")
    temperature: float = Field(0.75, ge=0, le=100, description="0 always takes the likeliest character.")
    top_k: int | None = Field(None, ge=1, le=100_000, description="Draw from the k likeliest characters only.")
    top_p: float | None = Field(
        None, gt=0, le=1, description="Draw from the likeliest characters of this total probability."
    )
    n: int = Field(1, ge=1, le=1024, description="Texts to write.")
    stop: list[StopString] = Field([], max_length=8, description="A text ends before the first of these strings.")


def _parameters(hyperparameters: LstmHyperparameters, vocabulary: int) -> int:
    inputs = hyperparameters.embedding or vocabulary
    total = hyperparameters.embedding * vocabulary
    for units in hyperparameters.layers:
        total += 4 * units * (inputs + units + 2)
        inputs = units
    return total + vocabulary * (inputs + 1)


def weight_sizes(hyperparameters: LstmHyperparameters) -> dict[str, Any]:
    """Units of the layers, and the embedding."""
    return {"layers": hyperparameters.layers, "embedding": hyperparameters.embedding}


def training_bytes(hyperparameters: LstmHyperparameters, dataset: DatasetShape) -> int:
    """The text, weights, and the largest of a checkpoint, the activations of a step and an evaluation.

    Of the activations, gates and states are kept for the backward pass, and the logits a few times over. An
    evaluation reads 64 streams of 256 characters, or 512 windows, at a time. A step of float32 keeps three reordered
    copies of the weights. Recurrent dropout keeps its choice and the remaining weights of each layer's four recurrent
    matrices.
    """
    vocabulary = dataset.vocabulary or 256
    layers, windows = hyperparameters.layers, hyperparameters.batching == "windows"
    positions = hyperparameters.batch_size * hyperparameters.window
    predicted = hyperparameters.batch_size if windows else positions
    inputs = hyperparameters.embedding or vocabulary
    step = positions * (12 * sum(layers) + 2 * inputs) + 4 * predicted * vocabulary
    if hyperparameters.activation_regularization or hyperparameters.temporal_activation_regularization:
        step += 6 * positions * layers[-1]
    if hyperparameters.recurrent_dropout:
        step += 8 * sum(units**2 for units in layers)
    read = 512 * hyperparameters.window if windows else 64 * 256
    logits = 3 * (512 if windows else read) * vocabulary
    one_hot = 0 if hyperparameters.embedding else 3 * read * vocabulary  # int64 and float32, freed before the logits
    evaluation = read * (4 * max(layers) + hyperparameters.embedding) + max(logits, one_hot)
    parameters = _parameters(hyperparameters, vocabulary)
    moments = 2 if hyperparameters.optimizer == "adamw" else 1
    most = max(checkpoint_bytes(parameters, moments), 4 * (8 * parameters + max(step, evaluation)))
    return JOB_BYTES + _text_bytes(hyperparameters, dataset) + most


def example_work(hyperparameters: LstmHyperparameters, dataset: DatasetShape) -> int:
    """The products of a character, or of all characters of a window."""
    characters = hyperparameters.window if hyperparameters.batching == "windows" else 1
    return characters * _parameters(hyperparameters, dataset.vocabulary or 256)


def stored_bytes(hyperparameters: LstmHyperparameters, dataset: DatasetShape) -> int:
    """Weights, moments, and the states that a batch of streams carries on."""
    parameters = _parameters(hyperparameters, dataset.vocabulary or 256)
    carried = 8 * hyperparameters.batch_size * sum(hyperparameters.layers)
    return checkpoint_file_bytes(parameters, 2 if hyperparameters.optimizer == "adamw" else 1) + carried


def _text_bytes(hyperparameters: LstmHyperparameters, dataset: DatasetShape) -> int:
    """The text and its ids, and the largest of the three that follow one another.

    They are the ids while they are made, the first 10,000,000 characters while they are compared, and of windows the
    order of their starts, of one shuffle and the next.
    """
    characters = dataset.examples or 10_000_000
    windows = characters // hyperparameters.sample_step if hyperparameters.batching == "windows" else 0
    return 6 * characters + max(12 * characters, 16 * windows)


def sampling_bytes(hyperparameters: LstmHyperparameters, sampling: LstmSampling, dataset: DatasetShape) -> int:
    """The model and the weights as the sampler has them, states and logits of n texts, noise, and the texts.

    The sampler looks up the products of each character with the first layer's input weights.
    """
    vocabulary = dataset.vocabulary or 256
    step = 12 * sum(hyperparameters.layers) + 2 * vocabulary
    parameters = _parameters(hyperparameters, vocabulary)
    weights = parameters + 4 * hyperparameters.layers[0] * vocabulary
    rows = min(sampling.n, 32)  # of a group of texts, 64 characters at a time
    groups = min(_GROUPS_AT_ONCE, -(-sampling.n // 32))
    noise = groups * min(64 * rows * vocabulary, max(1 << 19, rows * vocabulary))
    truncated = 0 if sampling.top_p is None and sampling.top_k is None else 7 * groups * rows * vocabulary
    widest = 4 * max(hyperparameters.layers) ** 2  # recurrent weights of one layer, while the sampler copies them
    model = max(loaded_bytes(parameters), 4 * (parameters + 2 * weights + widest))
    return JOB_BYTES + model + 4 * (sampling.n * step + noise + truncated) + 8 * sampling.n * sampling.length


def sampling_work(hyperparameters: LstmHyperparameters, sampling: LstmSampling, dataset: DatasetShape) -> int:
    """The products of each character, and for each step of all texts the time of its calls as multiply-adds."""
    prompt = len(sampling.prompt or "") or hyperparameters.window
    characters = prompt + sampling.n * sampling.length
    parameters = _parameters(hyperparameters, dataset.vocabulary or 256)
    return _STEP_WORK * (prompt + sampling.length) + characters * parameters


def check_training(hyperparameters: LstmHyperparameters, dataset: DatasetShape) -> None:
    """The text must be long enough for two windows in its training part and a few characters in its held-out part."""
    if dataset.examples is None:
        return
    if dataset.examples < MIN_CHARACTERS:
        detail = f"The text has {dataset.examples} characters; use one of at least {MIN_CHARACTERS}."
        raise SpecError.at("/dataset", detail, "too_short")
    training = dataset.examples - int(dataset.examples * HELD_OUT_FRACTION)
    if training < 2 * (hyperparameters.window + 1):
        longest = max(training // 2 - 1, 0)
        detail = f"The text has {dataset.examples} characters; a window may be at most {longest}. Use a longer text."
        raise SpecError.at("/hyperparameters/window", detail, "too_large")


def check_sampling(  # every contract has this shape, whatever it looks at
    hyperparameters: LstmHyperparameters,  # noqa: ARG001
    sampling: LstmSampling,
    dataset: DatasetShape,  # noqa: ARG001
) -> None:
    """N × length is bounded."""
    if sampling.n * sampling.length > MAX_CHARACTERS:
        detail = f"n × length is {sampling.n * sampling.length}; at most {MAX_CHARACTERS} characters in one request."
        raise SpecError.at("/sampling/length", detail, "too_large")


def check_config(sampling: LstmSampling, config: Mapping[str, Any]) -> None:
    """The prompt and the stop strings have only characters of the model's vocabulary."""
    texts = {f"/sampling/stop/{position}": text for position, text in enumerate(sampling.stop)}
    texts |= {"/sampling/prompt": sampling.prompt} if sampling.prompt is not None else {}
    errors = [
        error for pointer, text in texts.items() if (error := unknown_characters(text, config["vocabulary"], pointer))
    ]
    if errors:
        raise SpecError(errors[0].detail, errors)


BOOK = {
    "epochs": 120,
    "batch_size": 128,
    "learning_rate": 1e-2,
    "examples_per_epoch": 10_000,
    "batching": "windows",
    "window": 60,
    "sample_step": 3,
    "validation_split": 0.0625,
    "layers": (128, 128),
    "embedding": 0,
    "dropout": 0.0,
    "activation_regularization": 0.0,
    "temporal_activation_regularization": 0.0,
    "optimizer": "rmsprop",
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup_steps": 0,
    "clip_norm": 0.0,
}

LARGE = {
    "epochs": 30,
    "batch_size": 32,
    "layers": (512, 512),
    "embedding": 128,
    "dropout": 0.4,
    "recurrent_dropout": 0.3,
    "warmup_steps": 200,
}

LSTM = ModelType(
    name="lstm",
    title="Character-level LSTM",
    summary="Writes text one character at a time in the manner of the text it was trained on.",
    data_kind="text",
    default_dataset="shakespeare",
    fallback_dataset="python-source",
    hyperparameters=LstmHyperparameters,
    sampling=TypeAdapter(LstmSampling),
    presets={"fast": {}, "book": BOOK, "large": LARGE},
    formats=("txt",),
    onnx_parts=("step",),
    metrics=measures.METRICS,
    quality=measures.QUALITY,
    selection=("bits_per_char", "min"),
    implementation="worker.models.lstm.model:Lstm",
    precision="bfloat16",
    has_separable_batches=True,
    training_bytes=training_bytes,
    training_steps=training_steps,
    example_work=example_work,
    stored_bytes=stored_bytes,
    sampling_bytes=sampling_bytes,
    check_training=check_training,
    check_sampling=check_sampling,
    check_config=check_config,
    weight_sizes=weight_sizes,
    sampling_work=sampling_work,
    demo={"epochs": 4, "layers": (128, 128), "dropout": 0.0, "learning_rate": 6e-3, "examples_per_epoch": 500_000},
    demo_sampling={"length": 400, "temperature": 0.5},
    small={"layers": (24, 16), "batch_size": 8, "window": 20, "examples_per_epoch": 800, "epochs": 2},
    small_sampling={"length": 64, "temperature": 0.8},
)
