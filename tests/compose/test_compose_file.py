"""Properties of the Compose files, checked without an engine; `make compose-test` runs them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = {path.name: path.read_text() for path in sorted(ROOT.glob("docker-compose*.yml"))}
COMPOSE: dict[str, Any] = yaml.safe_load(FILES["docker-compose.yml"])
SERVICES: dict[str, Any] = COMPOSE["services"]
ENGINE = ("api", "training-worker", "generation-worker", "reconciler", "migrate")
OURS = (*ENGINE, "s3-bucket")
ONCE = ("migrate", "s3-bucket")
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)")
# Variables that other programs read, and none of which holds a password.
FOREIGN = {"AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"}


def profiles_of(service: str) -> list[str]:
    return list(SERVICES[service].get("profiles", []))


def test_every_part_of_the_stack_is_a_service() -> None:
    assert {name for name in SERVICES if not profiles_of(name)} == {*ENGINE, "postgres", "redis"}
    assert {name for name in SERVICES if profiles_of(name) == ["s3"]} == {"s3", "s3-bucket"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_has_a_fixed_name_so_that_all_can_be_scaled(service: str) -> None:
    assert "container_name" not in SERVICES[service]


def test_training_workers_share_a_host_name_and_so_find_each_other() -> None:
    assert [name for name, service in SERVICES.items() if "hostname" in service] == ["training-worker"]
    assert COMPOSE["x-settings"]["OMP_WAIT_POLICY"] is None  # the user's value is passed through


@pytest.mark.parametrize("service", SERVICES)
def test_services_reap_children_write_only_to_volumes_and_have_no_privileges(service: str) -> None:
    assert SERVICES[service]["init"] is True
    assert SERVICES[service]["read_only"] is True
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert "cap_add" not in SERVICES[service]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", SERVICES)
def test_services_have_limits_reservations_and_rotated_logs(service: str) -> None:
    resources = SERVICES[service]["deploy"]["resources"]
    assert set(resources["limits"]) == {"cpus", "memory", "pids"}
    assert set(resources["reservations"]) == {"memory"}
    assert set(SERVICES[service]["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("service", [name for name in SERVICES if "image" in SERVICES[name] and name not in OURS])
def test_images_of_others_have_the_tag_of_a_release(service: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?", SERVICES[service]["image"])


@pytest.mark.parametrize("service", [service for service in ENGINE if service != "migrate"])
def test_services_start_after_the_migration_and_after_the_bucket_if_there_is_one(service: str) -> None:
    after = SERVICES[service]["depends_on"]
    assert after["migrate"] == {"condition": "service_completed_successfully"}
    assert after["s3-bucket"] == {"condition": "service_completed_successfully", "required": False}


@pytest.mark.parametrize("service", ONCE)
def test_services_that_run_once_are_not_restarted(service: str) -> None:
    assert SERVICES[service]["restart"] == "no"


def test_only_the_api_is_published_and_only_on_localhost() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    assert SERVICES["api"]["ports"] == ["${MIMEO_BIND_ADDRESS:-127.0.0.1}:${MIMEO_PORT:-8000}:8000"]


def test_servers_of_the_stack_are_on_a_network_without_a_way_out() -> None:
    assert COMPOSE["networks"]["backend"] == {"internal": True}
    for service in ("postgres", "redis", "s3", *ONCE):
        assert SERVICES[service]["networks"] == ["backend"]


@pytest.mark.parametrize("service", OURS)
def test_each_variable_of_a_service_is_a_setting(service: str) -> None:
    known = {f"MIMEO_{name.upper()}" for name in Settings.model_fields} | FOREIGN
    names = {name for name in SERVICES[service]["environment"] if not name.startswith(("OMP_", "GOMP_"))}
    assert names <= known


@pytest.mark.parametrize("service", SERVICES)
def test_passwords_are_files_and_no_default(service: str) -> None:
    for name, value in SERVICES[service].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|CREDENTIAL", name):
            assert name.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in SERVICES[service]["secrets"]
        assert not re.search("://[^@/]*:[^@/]*@", str(value)), "a password in a URL"
    assert set(SERVICES[service].get("secrets", [])) <= set(COMPOSE["secrets"])


def test_files_of_the_secrets_are_those_that_the_script_makes() -> None:
    names = {name: secret["file"].rpartition("/")[2] for name, secret in COMPOSE["secrets"].items()}
    assert all(name == file for name, file in names.items())
    assert all(secret["file"].startswith("${MIMEO_SECRETS_DIR:?") for secret in COMPOSE["secrets"].values())


@pytest.mark.parametrize("file", FILES)
def test_each_variable_of_a_file_is_in_the_example(file: str) -> None:
    named = set(re.findall(r"^# ([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert set(VARIABLE.findall(FILES[file])) <= named


@pytest.mark.parametrize("image", ["api", "worker"])
def test_images_start_from_the_official_python_and_run_as_an_ordinary_user(image: str) -> None:
    lines = (ROOT / "docker" / f"Dockerfile.{image}").read_text().splitlines()
    assert {line.split()[1] for line in lines if line.startswith("FROM")} == {"python:3.11.14-slim-bookworm"}
    assert "USER 10001:10001" in lines


def test_gpu_file_gives_devices_only_to_both_workers() -> None:
    override = yaml.safe_load(FILES["docker-compose.gpu.yml"])
    assert set(override["services"]) == {"training-worker", "generation-worker"}
    for service in override["services"].values():
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia"
