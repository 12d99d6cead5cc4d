"""Loads a model for sampling from a stored checkpoint."""

import hashlib
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from shared import model_types
from shared.errors import DependencyUnavailable, JobFailure
from shared.job_status import ErrorCode
from shared.storage import Storage
from worker.checkpoints.manifest import MANIFEST, WEIGHTS, CheckpointRef, Manifest, NewerCheckpoint, parse
from worker.models import implementation
from worker.models.base import GenerativeModel


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in evaluation mode on its device, with the manifest of its checkpoint."""

    model: GenerativeModel
    manifest: Manifest

    @property
    def size(self) -> int:
        """Bytes of weights and buffers."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.model.state_dict().values())


def load_model(storage: Storage, checkpoint: CheckpointRef, device: torch.device) -> LoadedModel:
    """Read, verify and build. Raises JobFailure for damaged files or a later version's, NotFound for missing ones."""
    key = checkpoint.storage_key.rstrip("/")
    manifest = _manifest(storage, f"{key}/{MANIFEST}")
    contract = model_types.get(manifest.model_type)
    model = implementation(contract).from_config(manifest.config)
    model.load_state_dict(_weights(storage, f"{key}/{WEIGHTS}", checkpoint))
    return LoadedModel(model=model.to(device).eval(), manifest=manifest)


def _manifest(storage: Storage, key: str) -> Manifest:
    try:
        return parse(storage.read_bytes(key))
    except NewerCheckpoint as error:
        raise DependencyUnavailable(error.detail) from error
    except ValueError as error:
        raise _damaged(key) from error


def _weights(storage: Storage, key: str, checkpoint: CheckpointRef) -> dict[str, Tensor]:
    data = storage.read_bytes(key)
    if hashlib.sha256(data).hexdigest() != checkpoint.sha256:
        raise _damaged(key)
    return safetensors.torch.load(data)


def _damaged(key: str) -> JobFailure:
    message = f"The stored file {key} is damaged: its contents have changed since it was written."
    return JobFailure(
        ErrorCode.CHECKPOINT_UNUSABLE, message, "Generate from another checkpoint of the same training job."
    )
