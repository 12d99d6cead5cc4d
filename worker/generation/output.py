"""The result of a generation, without torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from worker.blocks import BetweenBlocks
from worker.checkpoints.manifest import CheckpointRef


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    """One file of a generation, complete in the work folder."""

    name: str
    path: Path
    media_type: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GenerationOutput:
    """The result of one request. output: the inline result in the job; files: become its artifacts."""

    output: dict[str, Any]
    files: list[OutputFile]


class Engine(Protocol):
    """Generates from stored checkpoints; worker/generation/engine.py is the implementation."""

    def generate(
        self,
        checkpoint: CheckpointRef,
        sampling: dict[str, Any],
        seed: int,
        format_: str | None,
        workdir: Path,
        /,
        *,
        between_blocks: BetweenBlocks,
    ) -> GenerationOutput:
        """Sample into `workdir`."""
        ...

    def export_graphs(
        self, checkpoint: CheckpointRef, workdir: Path, /, *, between_blocks: BetweenBlocks
    ) -> GenerationOutput:
        """Write ONNX graphs into `workdir`."""
        ...
