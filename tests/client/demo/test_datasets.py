from typing import Any, cast

import pytest

from client.demo import datasets as demo_datasets
from client.demo.datasets import choose, download_problem
from client.schema import Dataset, ModelType
from tests.client.server import Reply, serving

VAE = cast(
    "ModelType",
    {"name": "vae", "default_dataset": "fashion-mnist", "demo": {"fallback_dataset": "digits", "hyperparameters": {}}},
)


def datasets(availability: str, sources: list[str] | None = None) -> dict[str, Dataset]:
    found: dict[str, Any] = {"fashion-mnist": {"availability": availability, "sources": sources or []}}
    return found


def test_available_dataset_is_used() -> None:
    assert choose(VAE, datasets("present")).dataset == "fashion-mnist"


def test_offline_server_without_the_dataset_gets_the_built_in_one_with_the_reason() -> None:
    chosen = choose(VAE, datasets("missing"))
    assert chosen.dataset == "digits"
    assert "fashion-mnist is not present" in chosen.reason


def test_quickly_downloaded_dataset_is_used() -> None:
    with serving(lambda _: Reply(body=b"x" * 100_000)) as server:
        assert choose(VAE, datasets("downloadable", [server.url])).dataset == "fashion-mnist"


def test_slow_download_is_replaced_by_the_built_in_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_datasets, "PATIENCE_S", 0.0)
    with serving(lambda _: Reply(body=b"x" * 100_000)) as server:
        chosen = choose(VAE, datasets("downloadable", [server.url]))
    assert chosen.dataset == "digits"
    assert "its download would take about" in chosen.reason


@pytest.mark.parametrize("reply", [Reply(404, b""), Reply(dropped=True)])
def test_unavailable_source_is_replaced_by_the_built_in_dataset(reply: Reply) -> None:
    with serving(lambda _: reply) as server:
        assert download_problem([server.url]) is not None


def test_missing_network_is_detected_quickly() -> None:
    assert download_problem(["http://127.0.0.1:9/nothing"]) == "it cannot be downloaded from here"
