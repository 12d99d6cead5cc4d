from collections.abc import Iterator

import pytest
import torch

from shared import model_types
from tests.worker.trainer.toy import TOY


@pytest.fixture(scope="package", autouse=True)
def toy_model_type() -> Iterator[None]:
    """The toy model type in the registry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(model_types.REGISTRY, "toy", TOY)
        yield


@pytest.fixture(autouse=True)
def torch_as_found() -> Iterator[None]:
    """Restores torch's settings after a run."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
