"""The demonstration on a real stack, with budgets of seconds; `make demo` runs it in full."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from client.demo.__main__ import run, show_studio
from client.http import Client
from client.schema import Job, ModelType
from shared.model_types import REGISTRY
from tests.acceptance.stack import Stack

pytestmark = pytest.mark.slow


class SmallBudgetClient(Client):
    """A client that shows every model type with the small budget of its contract, on its built-in dataset."""

    extra: Mapping[str, Any] = {}
    budget: Mapping[str, Any] = {}

    def model_types(self) -> list[ModelType]:
        found = super().model_types()
        for model_type in found:
            model_type["demo"]["hyperparameters"] = {**REGISTRY[model_type["name"]].small, **self.budget}
            model_type["default_dataset"] = model_type["demo"]["fallback_dataset"]
        return found

    def train(self, request: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        return super().train({**request, **self.extra}, idempotency_key=idempotency_key)


def test_every_model_type_is_trained_sampled_and_shown(stack: Stack, tmp_path: Path) -> None:
    said = io.StringIO()
    with SmallBudgetClient(stack.url) as client:
        console = Console(file=said, width=200)
        assert run(client, console, tmp_path / "demo") == 0
        show_studio(client, console, None)
        show_studio(client, console, tmp_path)
    lines = said.getvalue().splitlines()
    for name in REGISTRY:
        assert any(f"({name}): " in line for line in lines)  # the dataset and the reason for it
    assert f"The studio shows the models at {stack.url}/models" in lines
    assert lines[-1].endswith(f"/models after: MIMEO_HOME={tmp_path} make up")
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    expected = {f"{name}.{kind.formats[0]}" for name, kind in REGISTRY.items()} | {"samples.png"}
    assert written == expected
    assert all(any(str(tmp_path / "demo" / name) in line for line in lines) for name in written)
    for path in (tmp_path / "demo").iterdir():
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert min(image.size) >= 560
        else:
            assert len(path.read_text()) >= 100


def test_failed_job_fails_the_demonstration_and_is_explained(stack: Stack, tmp_path: Path) -> None:
    said = io.StringIO()
    with SmallBudgetClient(stack.url) as client:
        client.extra, client.budget = {"timeout_s": 1, "max_attempts": 1}, {"epochs": 1000}
        assert run(client, Console(file=said, width=200), tmp_path / "demo") == 1
    assert "(timeout)" in said.getvalue()
