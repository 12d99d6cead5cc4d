"""A small fourth model type. The suites over the registry run on it as on the others.

It consists of the parts of any model type: a contract, a model, and one line in a registry.
"""

from shared.model_types import REGISTRY, ModelType
from tests.fourth_type.contract import SKETCH

MODEL_TYPES: dict[str, ModelType] = {**REGISTRY, SKETCH.name: SKETCH}
"""The model types that the suites run on. The fixture `fourth_type` adds the further one to the registry itself."""
