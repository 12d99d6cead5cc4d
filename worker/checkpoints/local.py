"""Checkpoints on disk: complete or not there, verified by sha256, equal weights in equal bytes.

    RUN_DIR/checkpoints/00000235/model.safetensors      weights and buffers
                                 training.safetensors   optimizers and whatever else the next step depends on
                                 manifest.json          position, configuration, sizes and digests; written last

A checkpoint is written into a hidden folder, every file flushed to the disk, and renamed into place; a name without
a leading dot is therefore a complete checkpoint, unless the disk or a person damaged it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from shared.errors import MimeoError
from shared.failpoints import failpoint
from worker.checkpoints.manifest import parsed, sealed

WEIGHTS = "model.safetensors"
TRAINING = "training.safetensors"
MANIFEST = "manifest.json"
FOLDER = "checkpoints"
_HIDDEN = ".tmp-"


class InvalidCheckpoint(MimeoError):
    """The checkpoint is damaged."""

    code = "invalid_checkpoint"


class FileDigest(BaseModel):
    """What a file must be: sha256 in hexadecimal, size in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size: int


class Manifest(BaseModel):
    """What a checkpoint holds and where in its run it stands.

    epoch: 1-based; step: optimizer steps done in the run; step_in_epoch: done in this epoch. training_values: the
    model's own JSON state. loop: the loop's (partial metric sums, the best so far). strides: of training tensors that
    are not laid out row by row, as safetensors stores them: fused optimizers walk weights and moments side by side in
    memory, so a moment that comes back in another layout than its weight would be applied to the wrong elements.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    model_type: str
    config: dict[str, Any]
    hyperparameters: dict[str, Any]
    dataset: str
    seed: int
    epoch: int
    step: int
    step_in_epoch: int
    metrics: dict[str, float] = {}
    training_values: dict[str, Any] = {}
    strides: dict[str, list[int]] = {}
    loop: dict[str, Any] = {}
    versions: dict[str, str] = {}
    device: str
    precision: str
    kernel: str = "library"  # of checkpoints that do not say
    threads: int = 1
    files: dict[str, FileDigest] = {}
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint folder."""

    path: Path
    manifest: Manifest

    @property
    def sha256(self) -> str:
        """Digest of the weights file."""
        return self.manifest.files[WEIGHTS].sha256

    @property
    def size(self) -> int:
        """Bytes of all its files but the manifest."""
        return sum(digest.size for digest in self.manifest.files.values())


@dataclass(frozen=True, kw_only=True)
class Search:
    """The newest checkpoint that verifies, and the newer ones that did not: (folder name, reason)."""

    found: Checkpoint | None = None
    damaged: list[tuple[str, str]] = field(default_factory=list)


def weights_bytes(model_type: str, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> bytes:
    """model.safetensors. Its metadata (key `mimeo`) names the model type and the configuration that rebuilds it.

    One metadata key only: safetensors writes several in no fixed order.
    """
    about = json.dumps({"model_type": model_type, "config": config}, sort_keys=True, allow_nan=False)
    return safetensors.torch.save(_plain(weights), metadata={"mimeo": about})


def write(
    run_dir: Path, manifest: Manifest, *, weights: Mapping[str, Tensor], training: Mapping[str, Tensor]
) -> Checkpoint:
    """Write a checkpoint durably; `manifest.files`, `strides` and `digest` are filled in here.

    Raises OSError, and then nothing half-written shows.
    """
    parent = run_dir / FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    contents = {
        WEIGHTS: weights_bytes(manifest.model_type, manifest.config, weights),
        TRAINING: safetensors.torch.save(_plain(training)),
    }
    digests = {name: FileDigest(sha256=_sha256(data), size=len(data)) for name, data in contents.items()}
    strides = {name: list(tensor.stride()) for name, tensor in training.items() if not tensor.is_contiguous()}
    manifest = manifest.model_copy(update={"files": digests, "strides": strides})
    manifest = manifest.model_copy(update={"digest": sealed(manifest.model_dump())["digest"]})
    name = f"{manifest.step:08d}"
    hidden = parent / f"{_HIDDEN}{name}-{os.getpid()}"
    try:
        hidden.mkdir()
        for file_name, data in contents.items():
            write_durably(hidden / file_name, data)
            failpoint("checkpoint.file_written")
        text = json.dumps(manifest.model_dump(), sort_keys=True, indent=1, allow_nan=False)
        write_durably(hidden / MANIFEST, text.encode())
        failpoint("checkpoint.manifest_written")
        _sync_folder(hidden)
        _discard(parent / name)
        failpoint("checkpoint.synced")
        hidden.rename(parent / name)
        failpoint("checkpoint.renamed")
        _sync_folder(parent)
    except OSError:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return Checkpoint(path=parent / name, manifest=manifest)


def verify(path: Path) -> Checkpoint:
    """The checkpoint in a folder, all its bytes checked. Raises InvalidCheckpoint saying what is wrong."""
    try:
        manifest = Manifest.model_validate(parsed((path / MANIFEST).read_bytes()))
    except FileNotFoundError as error:
        raise InvalidCheckpoint(f"{path.name}: no {MANIFEST}") from error
    except (ValidationError, ValueError) as error:
        raise InvalidCheckpoint(f"{path.name}: {MANIFEST} is damaged") from error
    missing = {WEIGHTS, TRAINING} - manifest.files.keys()
    if missing:
        raise InvalidCheckpoint(f"{path.name}: {MANIFEST} does not list {', '.join(sorted(missing))}")
    for name, expected in manifest.files.items():
        file = path / name
        size = file.stat().st_size if file.is_file() else None
        if size != expected.size:
            raise InvalidCheckpoint(f"{path.name}: {name} is {size or 0} bytes long instead of {expected.size}")
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != expected.sha256:
                raise InvalidCheckpoint(f"{path.name}: the contents of {name} have changed")
    return Checkpoint(path=path, manifest=manifest)


def newest_valid(run_dir: Path) -> Search:
    """Look from the newest checkpoint back until one verifies."""
    damaged: list[tuple[str, str]] = []
    for path in reversed(_folders(run_dir)):
        try:
            return Search(found=verify(path), damaged=damaged)
        except InvalidCheckpoint as error:
            damaged.append((path.name, error.detail))
    return Search(damaged=damaged)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, in memory of their own (aligned as torch aligns, whatever the file does)."""
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
    """Remove what killed runs left half-written or half-removed."""
    for path in (run_dir / FOLDER).glob(f"{_HIDDEN}*"):
        shutil.rmtree(path)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _folders(run_dir: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    found = [path for path in (run_dir / FOLDER).glob("[0-9]*") if path.name.isdigit() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def _discard(path: Path) -> None:
    """Remove a checkpoint so that a kill in between leaves none that looks damaged."""
    if path.exists():
        hidden = path.with_name(f"{_HIDDEN}old-{path.name}-{os.getpid()}")
        path.rename(hidden)
        failpoint("checkpoint.hidden")
        shutil.rmtree(hidden)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU that share no memory, in one order, as safetensors wants them."""
    return {name: tensors[name].detach().to("cpu", copy=True).contiguous() for name in sorted(tensors)}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
