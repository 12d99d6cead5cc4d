"""Names and shapes of the tensors in a model's file, without torch: the API checks imported files with them.

A model type with a line in SHAPES can be imported. A test compares each line with the torch model.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.datasets import DatasetShape
from shared.errors import SpecError
from shared.model_types.acgan import ACGAN, AcganHyperparameters, merged_classes
from shared.model_types.adversarial import AdversarialHyperparameters
from shared.model_types.gan import GAN, GanHyperparameters
from shared.model_types.lstm import LSTM, LstmHyperparameters
from shared.model_types.vae import VAE, VaeHyperparameters

Shapes = dict[str, tuple[int, ...]]
"""Shape of each tensor by name. Tensors whose names end with COUNTER are int64, all others floating-point."""

COUNTER = "num_batches_tracked"
MAX_SIDE = 1024  # pixels
FILE = "/file"

ConfigT = TypeVar("ConfigT", bound="_Config")


class WeightShapes(Protocol):
    """The shapes of a model's tensors. Raises SpecError for a configuration that no model of the type has.

    config: as `GenerativeModel.config`, with hyperparameters.
    """

    def __call__(self, config: Mapping[str, Any]) -> Shapes:
        """See the class."""
        ...


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _TextConfig(_Config):
    hyperparameters: LstmHyperparameters
    vocabulary: str = Field(min_length=1)
    seed_text: str = Field(min_length=1, max_length=1_000_000)


_Channels = Annotated[int, Field(ge=1, le=4)]
_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
_ClassName = Annotated[str, Field(max_length=200)]


class _ImageConfig(_Config):
    image_shape: tuple[_Channels, _Side, _Side] = Field(strict=False)

    @property
    def shape(self) -> DatasetShape:
        channels, height, width = self.image_shape
        return DatasetShape(kind="images", channels=channels, height=height, width=width)


class _VaeConfig(_ImageConfig):
    hyperparameters: VaeHyperparameters


class _GanConfig(_ImageConfig):
    hyperparameters: GanHyperparameters


class _AcganConfig(_ImageConfig):
    hyperparameters: AcganHyperparameters
    class_names: tuple[_ClassName, ...] = Field(strict=False, min_length=1, max_length=10_000)
    absent_classes: tuple[Annotated[int, Field(ge=0)], ...] = Field((), strict=False, max_length=10_000)


def _checked(model: type[ConfigT], config: Mapping[str, Any]) -> ConfigT:
    try:
        return model.model_validate(config)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:200]
        detail = f"The file's configuration is not one of this version: {place}: {first['msg']}."
        raise SpecError.at(FILE, detail, "invalid_config") from None


def _refused(detail: str) -> SpecError:
    return SpecError.at(FILE, f"The file's configuration is not consistent: {detail}", "invalid_config")


def lstm(config: Mapping[str, Any]) -> Shapes:
    """Embedding, layers and head."""
    checked = _checked(_TextConfig, config)
    vocabulary, hyperparameters = checked.vocabulary, checked.hyperparameters
    if len(set(vocabulary)) < len(vocabulary):
        raise _refused("a character is twice in the vocabulary.")
    if set(checked.seed_text) - set(vocabulary):
        raise _refused("seed_text has characters that are not in the vocabulary.")
    characters, embedding = len(vocabulary), hyperparameters.embedding
    shapes: Shapes = {"embedding.weight": (characters, embedding)} if embedding else {}
    sizes = (embedding or characters, *hyperparameters.layers)
    for layer, (inputs, units) in enumerate(pairwise(sizes)):
        shapes |= {
            f"layers.{layer}.weight_ih_l0": (4 * units, inputs),
            f"layers.{layer}.weight_hh_l0": (4 * units, units),
            f"layers.{layer}.bias_ih_l0": (4 * units,),
            f"layers.{layer}.bias_hh_l0": (4 * units,),
        }
    return shapes | dict(_layer("head", characters, sizes[-1]))


def vae(config: Mapping[str, Any]) -> Shapes:
    """Dense layers of encoder and decoder. Between two of them is an activation."""
    checked = _checked(_VaeConfig, config)
    hidden, latent = checked.hyperparameters.hidden, checked.hyperparameters.latent_size
    channels, height, width = checked.image_shape
    pixels = channels * height * width
    shapes: Shapes = {}
    for name, sizes in (("encoder", (pixels, *hidden, 2 * latent)), ("decoder", (latent, *reversed(hidden), pixels))):
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            shapes |= _layer(f"{name}.{2 * layer}", outputs, inputs)
    return shapes


def acgan(config: Mapping[str, Any]) -> Shapes:
    """The pair, with a classifier."""
    checked = _checked(_AcganConfig, config)
    classes = len(checked.class_names)
    hyperparameters = checked.hyperparameters
    if merged_classes(hyperparameters, classes) != classes:
        raise _refused("label_map and class_names have other numbers of classes.")
    if max(checked.absent_classes, default=0) >= classes:
        raise _refused("absent_classes names a class that class_names has not.")
    unmapped = hyperparameters.model_copy(update={"label_map": None})  # it is of the dataset's classes
    return _pair(unmapped, checked, classes, ACGAN.check_training, classifies=True)


def gan(config: Mapping[str, Any]) -> Shapes:
    """The pair with one class."""
    checked = _checked(_GanConfig, config)
    return _pair(checked.hyperparameters, checked, 1, GAN.check_training, classifies=False)


def _pair(
    hyperparameters: AdversarialHyperparameters, config: _ImageConfig, classes: int, check: Any, *, classifies: bool
) -> Shapes:
    try:
        check(hyperparameters, config.shape)
    except SpecError as error:
        raise _refused(error.detail) from None
    parts = _book if hyperparameters.network == "book" else _compact
    generator, discriminator = parts(hyperparameters, config.shape, classes)
    if not classifies:
        discriminator = {name: s for name, s in discriminator.items() if not name.startswith("classifier.")}
    shapes = {f"generator.{name}": shape for name, shape in generator.items()}
    shapes |= {f"discriminator.{name}": shape for name, shape in discriminator.items()}
    return shapes | ({f"average.{name}": shape for name, shape in generator.items()} if hyperparameters.ema else {})


def _compact(hyperparameters: AdversarialHyperparameters, image: DatasetShape, classes: int) -> tuple[Shapes, Shapes]:
    c, area = hyperparameters.width, (image.height // 4) * (image.width // 4)
    generator: Shapes = dict(_layer("dense", 2 * c * area, hyperparameters.latent_size))
    generator["prototype.weight"] = (classes, 2 * c * area)
    for number, size in enumerate((2 * c, c, c // 2)):
        generator |= _statistics(f"norm{number}.norm", size)
        generator |= {f"norm{number}.{name}.weight": (classes, size) for name in ("scale", "shift")}
    generator |= {"up1.weight": (2 * c, c, 4, 4), "up2.weight": (c, c // 2, 4, 4)}
    generator |= _layer("to_image", image.channels, c // 2, 3, 3)
    features = 4 * c * -(-image.height // 8) * -(-image.width // 8)
    discriminator: Shapes = {}
    sizes = ((image.channels, c, 4), (c, 2 * c, 4), (2 * c, 4 * c, 3), (4 * c, 4 * c, 3))
    for number, (inputs, outputs, side) in enumerate(sizes):
        discriminator |= _normalised(f"convolutions.{number}", outputs, inputs, side, side)
        discriminator[f"convolutions.{number}.bias"] = (outputs,)
    discriminator |= {**_normalised("realness", 1, features), "realness.bias": (1,)}
    discriminator |= _normalised("projection", classes, features)
    return generator, discriminator | dict(_layer("classifier", classes, features))


def _book(hyperparameters: AdversarialHyperparameters, image: DatasetShape, classes: int) -> tuple[Shapes, Shapes]:
    latent = hyperparameters.latent_size
    generator: Shapes = {"embedding.weight": (classes, latent), **dict(_layer("dense", 3456, latent))}
    sizes = (384, 192, 96, image.channels)
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        generator |= {f"up{number}.weight": (inputs, outputs, 5, 5), f"up{number}.bias": (outputs,)}
    for number, size in ((1, 192), (2, 96)):
        generator |= {f"norm{number}.weight": (size,), f"norm{number}.bias": (size,)}
        generator |= _statistics(f"norm{number}", size)
    discriminator: Shapes = {}
    for number, (inputs, outputs) in enumerate(pairwise((image.channels, 32, 64, 128, 256))):
        discriminator |= _layer(f"convolutions.{number}", outputs, inputs, 3, 3)
    features = 256 * -(-image.height // 4) * -(-image.width // 4)
    discriminator |= _layer("realness", 1, features)
    return generator, discriminator | dict(_layer("classifier", classes, features))


def _layer(name: str, outputs: int, *others: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Weight and bias."""
    yield f"{name}.weight", (outputs, *others)
    yield f"{name}.bias", (outputs,)


def _statistics(name: str, size: int) -> Shapes:
    """Running statistics of a batch normalisation."""
    return {f"{name}.running_mean": (size,), f"{name}.running_var": (size,), f"{name}.{COUNTER}": ()}


def _normalised(name: str, outputs: int, *others: int) -> Shapes:
    """A weight with spectral normalisation, and its singular vectors."""
    inputs = 1
    for size in others:
        inputs *= size
    weight = f"{name}.parametrizations.weight"
    return {f"{weight}.original": (outputs, *others), f"{weight}.0._u": (outputs,), f"{weight}.0._v": (inputs,)}


SHAPES: dict[str, WeightShapes] = {LSTM.name: lstm, VAE.name: vae, ACGAN.name: acgan, GAN.name: gan}
