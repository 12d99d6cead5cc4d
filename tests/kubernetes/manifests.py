"""Reads the manifests and resolves what kustomize would: files, patches, generated ConfigMaps."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "kubernetes"
BASE = FOLDER / "base"
OVERLAY = FOLDER / "overlays" / "example"
Manifest = dict[str, Any]


def documents(file: Path) -> list[Manifest]:
    """The documents of a file."""
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


def kustomization(folder: Path) -> Manifest:
    """The kustomization of a folder."""
    (document,) = documents(folder / "kustomization.yaml")
    return document


def resources(folder: Path) -> list[Manifest]:
    """The resources of a folder and of the folders that it builds on. Raises FileNotFoundError for a bad reference."""
    found: list[Manifest] = []
    for name in kustomization(folder)["resources"]:
        path = folder / name
        found += resources(path) if path.is_dir() else documents(path)
    return found


def name_of(manifest: Manifest) -> str:
    """Kind and name."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Pod templates of Deployments and Jobs, by kind and name."""
    return {name_of(each): each["spec"]["template"] for each in manifests if each["kind"] in ("Deployment", "Job")}


def container_of(pod: Manifest) -> Manifest:
    """The one container of a pod template."""
    (container,) = pod["spec"]["containers"]
    found: Manifest = container
    return found


def settings(folder: Path) -> dict[str, str]:
    """The variables of the generated ConfigMap, those of the folders below included."""
    found: dict[str, str] = {}
    for name in kustomization(folder)["resources"]:
        if (folder / name).is_dir():
            found |= settings(folder / name)
    for generator in kustomization(folder)["configMapGenerator"]:
        found |= dict(literal.split("=", 1) for literal in generator["literals"])
    return found
