"""Properties of the Compose files, checked without an engine; `make compose-test` runs them."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.broker.celery_settings import KEY_PREFIX, PRIORITY_STEPS
from shared.job_status import QUEUED_KINDS
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = {path.name: path.read_text() for path in sorted(ROOT.glob("docker-compose*.yml"))}
COMPOSE: dict[str, Any] = yaml.safe_load(FILES["docker-compose.yml"])
SERVICES: dict[str, Any] = COMPOSE["services"]
ENGINE = ("api", "training-worker", "generation-worker", "reconciler", "migrate")
WORKER_FILE: dict[str, Any] = yaml.safe_load(FILES["docker-compose.worker.yml"])
OURS = (*ENGINE, "s3-bucket", "metrics-key")
ONCE = ("migrate", "s3-bucket", "metrics-key")
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)")
# Variables that other programs read, and none of which holds a password.
FOREIGN = {"AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"}


def profiles_of(service: str) -> list[str]:
    return list(SERVICES[service].get("profiles", []))


def test_every_part_of_the_stack_is_a_service() -> None:
    assert {name for name in SERVICES if not profiles_of(name)} == {*ENGINE, "postgres", "redis"}
    assert {name for name in SERVICES if profiles_of(name) == ["s3"]} == {"s3", "s3-bucket"}
    observability = {name for name in SERVICES if profiles_of(name) == ["observability"]}
    assert observability == {"metrics-key", "prometheus", "grafana", "flower"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_has_a_fixed_name_so_that_all_can_be_scaled(service: str) -> None:
    assert "container_name" not in SERVICES[service]


def test_openmp_wait_policy_of_the_user_is_passed_on() -> None:
    assert COMPOSE["x-settings"]["OMP_WAIT_POLICY"] is None  # the value of the shell or of `.env`


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


def test_only_the_api_is_published_by_default_and_only_on_localhost() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert [name for name in published if not profiles_of(name)] == ["api"]
    assert published.pop("api") == ["${MIMEO_BIND_ADDRESS:-127.0.0.1}:${MIMEO_PORT:-8000}:8000"]
    assert set(published) == {"grafana", "flower"}
    assert all(ports[0].startswith("127.0.0.1:") for ports in published.values())


def test_requests_need_keys() -> None:
    assert COMPOSE["x-settings"]["MIMEO_AUTH"] == "required"


def test_servers_of_the_stack_are_on_a_network_without_a_way_out() -> None:
    assert COMPOSE["networks"]["backend"] == {"internal": True}
    for service in ("postgres", "redis", "s3", "prometheus", *ONCE):
        assert SERVICES[service]["networks"] == ["backend"]


def unknown_among(environment: dict[str, Any]) -> set[str]:
    """Names that are neither settings of Mimeo nor known to belong to another program."""
    known = {f"MIMEO_{name.upper()}" for name in Settings.model_fields} | FOREIGN
    return {name for name in environment if not name.startswith(("OMP_", "GOMP_"))} - known


@pytest.mark.parametrize("service", OURS)
def test_each_variable_of_a_service_is_a_setting(service: str) -> None:
    assert unknown_among(SERVICES[service]["environment"]) == set()


@pytest.mark.parametrize("service", [name for name in SERVICES if name not in ONCE])
def test_services_that_stay_have_a_health_check(service: str) -> None:
    assert "healthcheck" in SERVICES[service] or service == "api"  # the API's is in its image


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


def test_configuration_of_flower_has_the_queues_and_keys_of_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("p@ss:w/ord\n")
    monkeypatch.setenv("MIMEO_REDIS_URL", "redis://redis:6379/0")
    monkeypatch.setenv("MIMEO_REDIS_PASSWORD_FILE", str(tmp_path / "password"))

    found = runpy.run_path(str(ROOT / "docker" / "flower_config.py"))

    assert found["broker_url"] == Settings().celery_broker_url
    assert found["broker_transport_options"] == {"global_keyprefix": KEY_PREFIX, "priority_steps": PRIORITY_STEPS}
    assert {queue.name for queue in found["task_queues"]} == set(QUEUED_KINDS)


def test_files_of_prometheus_and_grafana_that_are_mounted_exist() -> None:
    mounts = [each for name in ("prometheus", "grafana", "flower") for each in SERVICES[name]["volumes"]]
    sources = [ROOT / mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert len(sources) == 5
    assert [source for source in sources if not source.exists()] == []


def test_prometheus_of_compose_differs_in_its_key_alone() -> None:
    own = yaml.safe_load((ROOT / "docker" / "prometheus.yml").read_text())
    (job,) = own["scrape_configs"]
    assert job.pop("authorization") == {"credentials_file": "/run/mimeo/metrics_key"}
    assert own == yaml.safe_load((ROOT / "observability" / "prometheus" / "prometheus.yml").read_text())


def test_hosts_file_publishes_servers_only_on_the_address_that_the_user_names() -> None:
    opened = yaml.safe_load(FILES["docker-compose.hosts.yml"])["services"]
    assert set(opened) == {"postgres", "redis", "s3"}
    for service in opened.values():
        assert all(port.startswith("${MIMEO_PRIVATE_ADDRESS:?") for port in service["ports"])


@pytest.mark.parametrize("service", ["training-worker", "generation-worker"])
def test_worker_of_another_host_differs_from_one_of_the_stack_in_addresses_alone(service: str) -> None:
    here, there = SERVICES[service], WORKER_FILE["services"][service]
    for name in ("image", "build", "command", "stop_grace_period", "healthcheck", "deploy", "tmpfs", "read_only"):
        assert there[name] == here[name], name
    for name in ("cap_drop", "security_opt", "logging", "init", "restart"):
        assert there[name] == here[name], name
    assert unknown_among(there["environment"]) == set()
    assert "ports" not in there
    for name in ("MIMEO_DATABASE_URL", "MIMEO_REDIS_URL", "MIMEO_STORAGE_URL"):
        assert there["environment"][name].startswith(f"${{{name}:?")
    of_workers = {name: value for name, value in here["environment"].items() if name in there["environment"]}
    differing = {name for name, value in of_workers.items() if there["environment"][name] != value}
    assert differing == {"MIMEO_DATABASE_URL", "MIMEO_REDIS_URL", "MIMEO_STORAGE_URL"}


def test_gpu_file_gives_devices_only_to_both_workers() -> None:
    override = yaml.safe_load(FILES["docker-compose.gpu.yml"])
    assert set(override["services"]) == {"training-worker", "generation-worker"}
    for service in override["services"].values():
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia"
