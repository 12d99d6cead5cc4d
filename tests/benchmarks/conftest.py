"""Benchmarks set torch for a whole process; the fixture restores the settings after a test."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    """One thread inside; threads, determinism and precision as they were outside."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions
