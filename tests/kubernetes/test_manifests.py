"""The manifests against the published schemas of Kubernetes and KEDA, and against each other."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import cloudcoil.models.keda.v1alpha1 as keda
import kubernetes_validate
import pytest
import yaml
from sqlalchemy.engine import make_url

from shared.settings import Settings
from tests.compose.test_compose_file import FOREIGN
from tests.kubernetes.manifests import (
    BASE,
    FOLDER,
    OVERLAY,
    Manifest,
    container_of,
    documents,
    kustomization,
    name_of,
    pods,
    resources,
    settings,
)

VERSIONS = ("1.31", kubernetes_validate.latest_version())
MANIFESTS = resources(OVERLAY)
PODS = pods(MANIFESTS)
ENGINE = [name for name in PODS if name.startswith("Deployment/")]
SECRET = "mimeo-secrets"


def validate(manifest: Manifest) -> None:
    """Raise an error where the manifest has a wrong or an unknown field."""
    if manifest["apiVersion"].startswith("keda.sh/"):
        model = getattr(keda, manifest["kind"])
        known = model.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert known == manifest, "a field is unknown to KEDA"
        return
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name_of)
def test_manifest_matches_the_published_schema(manifest: Manifest) -> None:
    validate(manifest)


@pytest.mark.parametrize("name", ["Deployment/mimeo-api", "ScaledObject/mimeo-training-worker"])
def test_unknown_field_is_found(name: str) -> None:
    (manifest,) = [each for each in MANIFESTS if name_of(each) == name]

    with pytest.raises((kubernetes_validate.ValidationError, AssertionError)):
        validate({**manifest, "spec": {**manifest["spec"], "replica": 2}})


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_manifests_that_kustomize_renders_match_the_published_schemas() -> None:
    command = ["kubectl", "kustomize", str(OVERLAY)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [document for document in yaml.safe_load_all(rendered) if document]

    assert Counter(each["kind"] for each in found) == Counter(["ConfigMap", *(each["kind"] for each in MANIFESTS)])
    assert {each["metadata"].get("namespace", "mimeo") for each in found} == {"mimeo"}
    for manifest in found:
        validate(manifest)
    training = container_of(pods(found)["Deployment/mimeo-training-worker"])
    assert training["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert training["image"] == "registry.example.org/mimeo-worker:0.1.0"


@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=lambda folder: folder.name)
def test_each_file_of_a_folder_is_used(folder: Path) -> None:
    used = set(kustomization(folder)["resources"])
    used |= {patch["path"] for patch in kustomization(folder).get("patches", [])}
    files = {name for name in used if ".." not in name}
    assert {path.name for path in folder.glob("*.yaml")} == {"kustomization.yaml", *files}


def test_patches_change_a_container_that_exists() -> None:
    for patch in kustomization(OVERLAY)["patches"]:
        (change,) = documents(OVERLAY / patch["path"])
        target = f"{patch['target']['kind']}/{patch['target']['name']}"
        assert name_of(change) == target
        assert container_of(change["spec"]["template"])["name"] == container_of(PODS[target])["name"]


def test_names_are_unique() -> None:
    assert max(Counter(map(name_of, MANIFESTS)).values()) == 1


@pytest.mark.parametrize("name", PODS)
def test_references_of_a_pod_exist(name: str) -> None:
    pod, container = PODS[name]["spec"], container_of(PODS[name])
    names = {name_of(each) for each in MANIFESTS}
    assert f"ServiceAccount/{pod['serviceAccountName']}" in names
    assert [each["configMapRef"]["name"] for each in container["envFrom"]] == ["mimeo-settings"]
    assert container["image"] in {image["name"] for image in kustomization(BASE)["images"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume} == {SECRET}


@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget", "Service"])
def test_selectors_match_the_pods(kind: str) -> None:
    labels = {name.partition("/")[2]: pod["metadata"]["labels"] for name, pod in PODS.items()}
    for manifest in (each for each in MANIFESTS if each["kind"] == kind):
        selector = manifest["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert wanted.items() <= labels[manifest["metadata"]["name"]].items()


def test_each_deployment_has_a_disruption_budget_and_each_queue_a_scaler() -> None:
    names = {name_of(each) for each in MANIFESTS}
    assert {f"PodDisruptionBudget/{name.partition('/')[2]}" for name in ENGINE} <= names
    scaled = [each for each in MANIFESTS if each["kind"] == "ScaledObject"]
    targets = [f"Deployment/{each['spec']['scaleTargetRef']['name']}" for each in scaled]
    assert targets == ["Deployment/mimeo-training-worker", "Deployment/mimeo-generation-worker"]
    for each in scaled:
        (trigger,) = each["spec"]["triggers"]
        assert f"TriggerAuthentication/{trigger['authenticationRef']['name']}" in names
    for manifest in MANIFESTS:
        if name_of(manifest) in targets:
            assert "replicas" not in manifest["spec"]  # the autoscaler's


@pytest.mark.parametrize("name", PODS)
def test_pods_are_restricted(name: str) -> None:
    pod, container = PODS[name]["spec"], container_of(PODS[name])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", ENGINE)
def test_probes_of_workers_do_not_restart_them(name: str) -> None:
    container = container_of(PODS[name])
    assert {"startupProbe", "readinessProbe"} <= set(container)
    assert ("livenessProbe" in container) == (name == "Deployment/mimeo-api")
    for probe in ("startupProbe", "readinessProbe"):
        if "exec" in container[probe]:
            assert (FOLDER.parent / container[probe]["exec"]["command"][1]).is_file()


def test_variables_are_settings_and_passwords_are_files_of_the_secret() -> None:
    found = settings(OVERLAY)
    assert set(found) <= {f"MIMEO_{name.upper()}" for name in Settings.model_fields} | FOREIGN
    assert found["MIMEO_AUTH"] == "required"
    files = [value for name, value in found.items() if name.endswith("_FILE")]
    assert len(files) == 4
    assert all(file.startswith("/run/secrets/mimeo/") for file in files)
    assert make_url(found["MIMEO_DATABASE_URL"]).password is None
    assert urlsplit(found["MIMEO_REDIS_URL"]).password is None
