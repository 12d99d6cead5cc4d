"""The registry of model types. A new one is a contract file beside this one, a model folder and a line here."""

from difflib import get_close_matches

from shared.datasets import DatasetShape
from shared.errors import SpecError
from shared.model_types.acgan import ACGAN
from shared.model_types.base import Hyperparameters, Measure, ModelType, SamplingParameters
from shared.model_types.gan import GAN
from shared.model_types.lstm import LSTM
from shared.model_types.vae import VAE

__all__ = [
    "REGISTRY",
    "DatasetShape",
    "Hyperparameters",
    "Measure",
    "ModelType",
    "SamplingParameters",
    "get",
]

REGISTRY: dict[str, ModelType] = {model_type.name: model_type for model_type in (LSTM, VAE, ACGAN, GAN)}


def get(name: str) -> ModelType:
    """The model type of that name. Raises SpecError with the nearest name."""
    if name in REGISTRY:
        return REGISTRY[name]
    nearest = get_close_matches(name, REGISTRY, n=1)
    suggestion = f" Did you mean `{nearest[0]}`?" if nearest else ""
    known = ", ".join(f"`{known}`" for known in REGISTRY)
    raise SpecError.at(
        "/model_type", f"There is no model type `{name}`.{suggestion} Model types are {known}.", "unknown"
    )
