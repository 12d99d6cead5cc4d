"""Progress of obtaining a dataset."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step of obtaining a dataset.

    stage: `downloading`, `unpacking`, `preparing`, or `waiting` for another process that does the same. name: of the
    file or dataset. done, total: bytes of a download; total is None where the server does not report it.
    """

    stage: str
    name: str
    done: int = 0
    total: int | None = None

    def __str__(self) -> str:
        match self.stage:
            case "downloading":
                of = f" of {self.total / 1e6:.1f}" if self.total else ""
                return f"Downloading {self.name}: {self.done / 1e6:.1f}{of} MB."
            case "waiting":
                return f"Waiting for another process that prepares {self.name}."
            case _:
                return f"{self.stage.capitalize()} {self.name}."


OnProgress = Callable[[Progress], None]


def no_progress(progress: Progress) -> None:
    """Report nothing."""
