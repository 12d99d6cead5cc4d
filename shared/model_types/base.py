"""What a model type promises, without torch: its hyperparameters, presets, sampling parameters and memory estimate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from shared.datasets import DatasetShape
from shared.model_types.training_steps import ExampleWorkEstimate, StepsEstimate

MAX_NUMBERS = 100_000  # of the latents of one generation request


def _at_most_numbers(latents: list[list[float]]) -> list[list[float]]:
    numbers = sum(map(len, latents))
    if numbers > MAX_NUMBERS:
        message = "The latents have {numbers} numbers; at most {most} in one request."
        raise PydanticCustomError("too_many_numbers", message, {"numbers": numbers, "most": MAX_NUMBERS})
    return latents


BoundedLatents = AfterValidator(_at_most_numbers)
SEVERAL_LATENTS = f"One latent or several, of at most {MAX_NUMBERS:,} numbers in all"


class Hyperparameters(BaseModel):
    """Fields that every model type has. Subclasses add their own; defaults are the `fast` preset's."""

    # Strict: `true` and "5" are not numbers. Sequences that JSON has as arrays say `Field(strict=False)`.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    epochs: int = Field(ge=1, le=100_000, description="Passes of `examples_per_epoch` examples.")
    batch_size: int = Field(ge=1, le=65_536, description="Examples per optimizer step.")
    learning_rate: float = Field(gt=0, le=10, description="Peak learning rate.")
    examples_per_epoch: int | None = Field(
        None, ge=1, le=1_000_000_000, description="Examples one epoch draws; null is the whole dataset once."
    )


class SamplingParameters(BaseModel):
    """Base of a model type's sampling parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True, strict=True)

    @property
    def reads_dataset(self) -> bool:
        """Whether this request reads real examples, so that the generation worker must load the dataset."""
        return False


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A training metric or a quality figure, as people read it.

    meaning: one sentence, with the unit. better: the direction of an improvement; None where there is none.
    is_headline: shown where there is room for a few figures only, as in lists and progress lines.
    bands: the least good value that is called good, and the least good one that is called usual; worse values are poor.
    None where values of two datasets cannot be compared.
    """

    meaning: str
    better: Literal["lower", "higher"] | None = None
    is_headline: bool = False
    bands: tuple[float, float] | None = None


LEARNING_RATE = Measure(meaning="Learning rate of the step.")
EXAMPLES_PER_S = Measure(meaning="Examples per second that training has processed.", better="higher")


class TrainingCheck(Protocol):
    """Raises SpecError (pointers under `/hyperparameters`) for hyperparameters that cannot fit the dataset."""

    def __call__(self, hyperparameters: Any, dataset: DatasetShape) -> None:
        """See the class."""
        ...


class SamplingCheck(Protocol):
    """Raises SpecError (pointers under `/sampling`) for sampling parameters that cannot fit the model."""

    def __call__(self, hyperparameters: Any, sampling: Any, dataset: DatasetShape) -> None:
        """See the class."""
        ...


class ConfigCheck(Protocol):
    """Raises SpecError (pointers under `/sampling`) for sampling parameters that a trained model cannot follow.

    config: of the model (`GenerativeModel.config`, without hyperparameters): character set, image shape, classes.
    """

    def __call__(self, sampling: Any, config: Mapping[str, Any]) -> None:
        """See the class."""
        ...


class SamplingResolver(Protocol):
    """Replaces names in sampling parameters that only a trained model gives a meaning. Raises SpecError.

    config: as for ConfigCheck; empty where it is not known.
    """

    def __call__(self, sampling: Any, config: Mapping[str, Any]) -> Any:
        """See the class."""
        ...


class WeightSizes(Protocol):
    """The hyperparameters that the sizes of the weights follow, with their values.

    Weights of another run fit (`init_from`) where these are equal.
    """

    def __call__(self, hyperparameters: Any) -> Mapping[str, Any]:
        """See the class."""
        ...


@dataclass(frozen=True, kw_only=True)
class SamplingWarning:
    """A reason why a generation that runs may not give what is expected."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class DataWarning:
    """A limit that the dataset sets to the training or its evaluation. data: JSON."""

    code: str
    message: str
    hint: str
    data: dict[str, Any] = field(default_factory=dict)


class DataWarnings(Protocol):
    """Warnings that follow from a dataset's numbers; unknown numbers give none."""

    def __call__(self, dataset: DatasetShape) -> list[DataWarning]:
        """See the class."""
        ...


class SamplingWarnings(Protocol):
    """Warnings of sampling parameters for a model with this configuration."""

    def __call__(self, sampling: Any, config: Mapping[str, Any]) -> list[SamplingWarning]:
        """See the class."""
        ...


JOB_BYTES = 24 << 20
"""What the first job of a process adds whatever its size: code of libraries, buffers of threads, small objects."""


class MemoryEstimate(Protocol):
    """Upper estimate, in bytes, of what one training adds to the resident memory of its process on a CPU.

    Counted is the peak, from the data to the final evaluation, beyond an idle process: interpreter, torch and the
    model's modules imported, one optimizer step of one weight done. At most twice the measured peak and 32 MiB;
    `python -m benchmarks.memory` compares. On a GPU weights and activations lie in its memory instead.
    """

    def __call__(self, hyperparameters: Any, dataset: DatasetShape) -> int:
        """See the class."""
        ...


class SamplingMemoryEstimate(Protocol):
    """The same of one generation: its model, the dataset where it is read, the sampling and the written files.

    Counted is the peak beyond a process that has imported the engine and the model's modules. Models and datasets that
    the engine keeps of other requests are extra, up to `MIMEO_GENERATION_CACHE_BYTES`.
    """

    def __call__(self, hyperparameters: Any, sampling: Any, dataset: DatasetShape) -> int:
        """See the class."""
        ...


QUICK_WORK = 5_000_000_000
"""Multiply-adds of a generation that interrupts longer ones: about half a second on two cores."""


class SamplingWorkEstimate(Protocol):
    """Multiply-adds of one generation, to the order of magnitude. Only the order of jobs depends on it."""

    def __call__(self, hyperparameters: Any, sampling: Any, dataset: DatasetShape) -> int:
        """See the class."""
        ...


class StorageEstimate(Protocol):
    """Upper estimate of the bytes that the files of one checkpoint take on the disk, at most twice their size."""

    def __call__(self, hyperparameters: Any, dataset: DatasetShape) -> int:
        """See the class."""
        ...


def checkpoint_bytes(parameters: int, moments: int = 2) -> int:
    """Weights, gradients and moments of so many parameters while a checkpoint of them is written.

    The checkpoint takes the serialised weights, and of the moments a copy, the parts of the file and the file.
    """
    return 4 * parameters * (2 + moments + 1 + 3 * moments + 1)


def checkpoint_file_bytes(parameters: int, moments: int = 2) -> int:
    """Files of a checkpoint: weights and moments of so many parameters, and names, numbers and the manifest."""
    return 4 * parameters * (1 + moments) + (64 << 10)


def loaded_bytes(parameters: int) -> int:
    """A model of so many parameters while it is loaded: the file, its tensors and the model."""
    return 3 * 4 * parameters


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelType:
    """One line of the registry.

    data_kind: kind of the datasets it learns from (`DatasetShape.kind`).
    metrics, quality: the training curves and the figures of the final evaluation, by name, in the order to show them.
    small: hyperparameters, over any preset, of a training that takes about a second; for tests and checks.
    small_sampling: a sampling request that is as quick, and whose result depends on the seed.

    implementation: `module:Class` of the torch model, imported by workers only.
    sampling: a TypeAdapter, since a model type may have several modes (a discriminated union).
    presets: overrides of the defaults by preset name; `fast` is the default preset.
    formats: output formats, the default first.
    onnx_parts: ONNX graphs the model can be exported as (`decoder` …), the default first; empty where it cannot be.
    training_steps, example_work: for estimates of a training's time; without the work, speeds compare only between
    steps of as many examples. sampling_work: work of a generation; without it none is quick.
    selection: metric that picks the best checkpoint, and whether lower or higher is better.
    precision: the lowest precision of products that its training tolerates.
    has_separable_batches: its loss is a mean over a batch's examples, and no layer computes statistics of the batch.
    check_training, check_sampling: what the fields alone cannot tell; the dataset's unknown numbers are not checked.
    resolve_sampling: applied before check_sampling.
    check_config: what only the trained model's configuration can tell. weight_sizes: compared for `init_from`; what
    they do not name, only the worker compares.
    """

    name: str
    title: str
    summary: str
    data_kind: str
    default_dataset: str
    fallback_dataset: str  # one that is always there
    hyperparameters: type[Hyperparameters]
    sampling: TypeAdapter[Any]
    presets: Mapping[str, Mapping[str, Any]]
    formats: tuple[str, ...]
    metrics: Mapping[str, Measure]
    quality: Mapping[str, Measure]
    selection: tuple[str, Literal["min", "max"]]
    implementation: str
    training_bytes: MemoryEstimate
    training_steps: StepsEstimate
    stored_bytes: StorageEstimate
    sampling_bytes: SamplingMemoryEstimate
    check_training: TrainingCheck
    check_sampling: SamplingCheck
    resolve_sampling: SamplingResolver | None = None
    check_config: ConfigCheck | None = None
    sampling_warnings: SamplingWarnings | None = None
    data_warnings: DataWarnings | None = None
    weight_sizes: WeightSizes | None = None
    sampling_work: SamplingWorkEstimate | None = None
    example_work: ExampleWorkEstimate | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    needs_labels: bool = False
    has_separable_batches: bool = False
    onnx_parts: tuple[str, ...] = ()
    demo: Mapping[str, Any] = field(default_factory=dict)  # hyperparameters of the short demonstration job
    demo_sampling: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    small_sampling: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self, preset: str, overrides: Mapping[str, Any]) -> Hyperparameters:
        """All hyperparameters of a job: defaults, then the preset's, then the user's.

        Raises pydantic.ValidationError for a bad value and KeyError for an unknown preset.
        """
        return self.hyperparameters.model_validate({**self.presets[preset], **overrides})

    def batch_can_be_split(self, hyperparameters: Hyperparameters) -> bool:
        """Whether the gradients of a batch are those of its parts, added."""
        return self.has_separable_batches and hyperparameters.batch_size > 1

    def is_quick(self, hyperparameters: Any, sampling: Any, dataset: DatasetShape) -> bool:
        """Whether a generation is so short that longer ones are interrupted for it."""
        return self.sampling_work is not None and self.sampling_work(hyperparameters, sampling, dataset) <= QUICK_WORK
