"""The shared objects of a worker process."""

import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.broker import Broker
from shared.db.session import SessionFactory, make_engine, session_factory
from shared.ids import new_id
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage

TRAINER = (sys.executable, "-m", "worker.train")
_NVIDIA = Path("/dev/nvidiactl")


def _found_device() -> str:
    return "cuda" if _NVIDIA.exists() else "cpu"


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """One worker process.

    device: `cpu` or `cuda`. trainer: the command to which specification and run folder are appended. stopping: set when
    the process has received a stop signal; no job is claimed after that.
    """

    settings: Settings
    kind: JobKind
    sessions: SessionFactory
    storage: Storage
    broker: Broker
    id: str = field(default_factory=lambda: new_id("wrk"))
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    device: str = field(default_factory=_found_device)
    trainer: Sequence[str] = TRAINER
    stopping: threading.Event = field(default_factory=threading.Event)


def make_context(settings: Settings, kind: JobKind, broker: Broker) -> WorkerContext:
    """The parts of a worker. Connects to nothing yet. Raises SetupError for settings that cannot work."""
    return WorkerContext(
        settings=settings,
        kind=kind,
        sessions=session_factory(make_engine(settings)),
        storage=Storage.open_url(settings.resolved_storage_url),
        broker=broker,
    )
