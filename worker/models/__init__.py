"""The models. `implementation` imports the class of a model type on demand."""

from importlib import import_module

from shared.model_types.base import ModelType
from worker.models.base import GenerativeModel

__all__ = ["GenerativeModel", "implementation"]


def implementation(model_type: ModelType) -> type[GenerativeModel]:
    """The torch class of a model type."""
    module, _, name = model_type.implementation.partition(":")
    found: type[GenerativeModel] = getattr(import_module(module), name)
    return found
