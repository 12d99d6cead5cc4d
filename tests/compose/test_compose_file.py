"""Properties of docker-compose.yml, checked without an engine; `make compose-test` runs it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("api", "training-worker", "generation-worker", "reconciler", "migrate")


def test_every_part_of_the_stack_is_a_service() -> None:
    assert set(SERVICES) == {*OURS, "postgres", "redis"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_has_a_fixed_name_so_that_all_can_be_scaled(service: str) -> None:
    assert "container_name" not in SERVICES[service]


def test_training_workers_share_a_host_name_and_so_find_each_other() -> None:
    assert [name for name, service in SERVICES.items() if "hostname" in service] == ["training-worker"]
    assert COMPOSE["x-settings"]["OMP_WAIT_POLICY"] is None  # the user's value is passed through


@pytest.mark.parametrize("service", OURS)
def test_services_reap_children_and_have_no_privileges(service: str) -> None:
    assert SERVICES[service]["init"] is True
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", [service for service in OURS if service != "migrate"])
def test_services_start_after_the_migration(service: str) -> None:
    assert SERVICES[service]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_only_the_api_is_published_and_only_on_localhost() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    assert SERVICES["api"]["ports"] == ["${MIMEO_BIND_ADDRESS:-127.0.0.1}:${MIMEO_PORT:-8000}:8000"]


@pytest.mark.parametrize("image", ["api", "worker"])
def test_images_start_from_the_official_python_and_run_as_an_ordinary_user(image: str) -> None:
    lines = (ROOT / "docker" / f"Dockerfile.{image}").read_text().splitlines()
    assert {line.split()[1] for line in lines if line.startswith("FROM")} == {"python:3.11-slim-bookworm"}
    assert "USER 10001:10001" in lines


def test_gpu_file_gives_devices_only_to_both_workers() -> None:
    override = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())
    assert set(override["services"]) == {"training-worker", "generation-worker"}
    for service in override["services"].values():
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia"
