"""What a training asks of its worker: a device and labels, as one string in `jobs.placement`.

`any` is met by every worker; `cuda`, `any,a100` and `cuda,a100,large` name a GPU and labels, sorted.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

ANYWHERE = "any"  # the placement of a job that every worker takes
RequestedDevice = Literal["auto", "cpu", "cuda"]
LABEL = r"[a-z0-9][a-z0-9._-]{0,62}"
MOST_LABELS = 8


def canonical(device: RequestedDevice, labels: Iterable[str]) -> str:
    """The placement of a training. A `cpu` job is `any`, because every worker has cores."""
    return ",".join(["cuda" if device == "cuda" else ANYWHERE, *sorted(set(labels))])


def is_met(placement: str, device: str, labels: Collection[str]) -> bool:
    """Whether a worker with this device (`cpu`, `cuda`) and these labels can run a job of a placement."""
    wanted, *required = placement.split(",")
    return wanted in {ANYWHERE, device} and all(label in labels for label in required)


def checked_label(text: str) -> str:
    """The label itself. Raises ValueError for one that is not valid."""
    if not re.fullmatch(LABEL, text):
        raise ValueError(
            f"{text!r} is not a label; use up to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or a digit"
        )
    return text


@dataclass(frozen=True, kw_only=True)
class Ability:
    """What a worker can run. device: `cpu` or `cuda`."""

    device: str
    labels: frozenset[str] = frozenset()

    def meets(self, placement: str) -> bool:
        """Whether the worker has the device and the labels of a placement."""
        return is_met(placement, self.device, self.labels)
