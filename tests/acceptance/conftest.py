"""One real stack for all acceptance tests that do not stop it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.stack import Stack, running_stack

# Real trainings on two stacks at a time. A slow job should fail in the helper that waits for it (240 s), not here.
TIMEOUT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is an acceptance test, and is marked as one here."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("acceptance")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home: Path = tmp_path_factory.mktemp("stack") / "home"
    with running_stack(home) as running:
        yield running


@pytest.fixture(scope="session")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=70) as client:
        yield client
