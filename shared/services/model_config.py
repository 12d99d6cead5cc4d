"""The configuration of a checkpoint's model: character set, image shape, classes.

A checkpoint's row has it. Rows of earlier versions get it from the manifest in storage when a request first needs it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog
from pydantic import BaseModel
from sqlalchemy.orm import Session

from shared.datasets import DatasetShape
from shared.db.tables import Checkpoint
from shared.errors import NotFound
from shared.services import attempt_writes
from shared.settings import Settings
from shared.storage import Storage

log = structlog.get_logger(__name__)

MANIFEST = "manifest.json"


class _Manifest(BaseModel):
    """The one value of a manifest that is read here."""

    config: dict[str, Any]


def of_checkpoint(session: Session, checkpoint: Checkpoint, settings: Settings) -> Mapping[str, Any]:
    """The configuration, without hyperparameters; empty where it cannot be read, since a worker checks again."""
    if checkpoint.config is None:
        found = _of_manifest(checkpoint, settings)
        if not found:
            return {}
        checkpoint.config = found
        session.flush()
    return checkpoint.config


def without_hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a manifest's configuration that a checkpoint's row has."""
    return {name: value for name, value in config.items() if name != "hyperparameters"}


def shape(config: Mapping[str, Any], dataset: DatasetShape) -> DatasetShape:
    """The shape of the data that a model was trained on: its configuration's numbers over those of its dataset."""
    known: dict[str, Any] = {}
    if "image_shape" in config:
        known |= dict(zip(("channels", "height", "width"), config["image_shape"], strict=True))
    if "class_names" in config:
        known["classes"] = len(config["class_names"])
    if "vocabulary" in config:
        known["vocabulary"] = len(config["vocabulary"])
    return replace(dataset, **known)


def _of_manifest(checkpoint: Checkpoint, settings: Settings) -> dict[str, Any]:
    storage = Storage.open_url(settings.resolved_storage_url)
    try:
        manifest = _Manifest.model_validate_json(storage.read_bytes(f"{checkpoint.storage_key.rstrip('/')}/{MANIFEST}"))
    except (NotFound, OSError, ValueError) as error:
        log.warning("manifest of a checkpoint not read", checkpoint_id=checkpoint.id, reason=str(error))
        return {}
    return dict(attempt_writes.storable(without_hyperparameters(manifest.config)))
