"""Checkpoints on disk: complete or absent, verified by sha256, equal weights in equal bytes.

A checkpoint is written into a hidden folder, each file is flushed to the disk, and the folder is renamed into place. A
folder without a leading dot is therefore a complete checkpoint, unless it was damaged later.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from shared.atomic_files import TEMPORARY_PREFIX, sync, write_synced
from shared.failpoints import failpoint
from worker.checkpoints.manifest import (
    MANIFEST,
    TRAINING,
    WEIGHTS,
    Checkpoint,
    DamagedCheckpoint,
    FileDigest,
    Manifest,
    seal,
    verify,
)

FOLDER = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class Search:
    """The newest checkpoint that verifies, and the newer ones that did not: (folder name, reason)."""

    found: Checkpoint | None = None
    damaged: list[tuple[str, str]] = field(default_factory=list)


def weights_bytes(
    model_type: str, config: Mapping[str, Any], weights: Mapping[str, Tensor], dataset: str | None = None
) -> bytes:
    """model.safetensors. Its metadata (key `mimeo`) names model type, configuration and dataset, for an import.

    One metadata key only: safetensors writes several in no fixed order.
    """
    about = {"model_type": model_type, "config": config} | ({} if dataset is None else {"dataset": dataset})
    text = json.dumps(about, sort_keys=True, allow_nan=False)
    return safetensors.torch.save(_plain(weights), metadata={"mimeo": text})


def write(
    run_dir: Path, manifest: Manifest, *, weights: Mapping[str, Tensor], training: Mapping[str, Tensor]
) -> Checkpoint:
    """Write a checkpoint durably; `manifest.files`, `strides` and `digest` are filled in here.

    Raises OSError, and then leaves no incomplete checkpoint.
    """
    parent = run_dir / FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    contents = {
        WEIGHTS: weights_bytes(manifest.model_type, manifest.config, weights, manifest.dataset),
        TRAINING: safetensors.torch.save(_plain(training)),
    }
    digests = {
        name: FileDigest(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in contents.items()
    }
    strides = {name: list(tensor.stride()) for name, tensor in training.items() if not tensor.is_contiguous()}
    manifest = manifest.model_copy(update={"files": digests, "strides": strides})
    manifest = manifest.model_copy(update={"digest": seal(manifest.model_dump())["digest"]})
    name = f"{manifest.step:08d}"
    hidden = parent / f"{TEMPORARY_PREFIX}{name}-{os.getpid()}"
    try:
        hidden.mkdir()
        for file_name, data in contents.items():
            write_synced(hidden / file_name, data)
            failpoint("checkpoint.file_written")
        text = json.dumps(manifest.model_dump(), sort_keys=True, indent=1, allow_nan=False)
        write_synced(hidden / MANIFEST, text.encode())
        failpoint("checkpoint.manifest_written")
        sync(hidden)
        _discard(parent / name)
        failpoint("checkpoint.synced")
        hidden.rename(parent / name)
        failpoint("checkpoint.renamed")
        sync(parent)
    except OSError:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return Checkpoint(path=parent / name, manifest=manifest)


def newest_valid(run_dir: Path) -> Search:
    """The newest checkpoint that verifies, searched from the newest to the oldest."""
    damaged: list[tuple[str, str]] = []
    for path in reversed(_folders(run_dir)):
        try:
            return Search(found=verify(path), damaged=damaged)
        except DamagedCheckpoint as error:
            damaged.append((path.name, error.detail))
    return Search(damaged=damaged)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, copied into memory with torch's alignment."""
    return {name: tensor.clone() for name, tensor in safetensors.torch.load(path.read_bytes()).items()}


def load_training(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The training state's tensors, laid out in memory as they were."""
    tensors = load_tensors(checkpoint.path / TRAINING)
    for name, stride in checkpoint.manifest.strides.items():
        stored = tensors[name]
        tensors[name] = torch.empty_strided(stored.shape, stride, dtype=stored.dtype).copy_(stored)
    return tensors


def prune(run_dir: Path, *, keep: int, best: int | None) -> None:
    """Remove all but the newest `keep` checkpoints and the one at step `best`."""
    kept = {f"{best:08d}"} if best is not None else set()
    for path in _folders(run_dir)[: -max(keep, 1)]:
        if path.name not in kept:
            _discard(path)


def sweep(run_dir: Path) -> None:
    """Remove the incomplete folders and files that killed runs left in a run folder."""
    for path in (run_dir / FOLDER).glob(f"{TEMPORARY_PREFIX}*"):
        shutil.rmtree(path)
    for path in run_dir.glob(f"{TEMPORARY_PREFIX}*"):
        path.unlink()


def _folders(run_dir: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    found = [path for path in (run_dir / FOLDER).glob("[0-9]*") if path.name.isdigit() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def _discard(path: Path) -> None:
    """Rename a checkpoint to a hidden folder, then remove it: a kill in between leaves no damaged checkpoint."""
    if path.exists():
        hidden = path.with_name(f"{TEMPORARY_PREFIX}old-{path.name}-{os.getpid()}")
        path.rename(hidden)
        failpoint("checkpoint.hidden")
        shutil.rmtree(hidden)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU that share no memory, in order of name, as safetensors requires."""
    return {name: tensors[name].detach().to("cpu", copy=True).contiguous() for name in sorted(tensors)}
