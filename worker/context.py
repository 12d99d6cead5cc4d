"""The shared objects of a worker process."""

import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.broker import Broker
from shared.db.session import SessionFactory, make_engine, session_factory
from shared.ids import new_id
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from worker.devices import Device, Usage, usage, visible
from worker.host import machine_id

TRAINER = (sys.executable, "-m", "worker.train")


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """One worker process.

    trainer: the command to which specification and run folder are appended. stopping: set when the process has received
    a stop signal; no job is claimed after that. machine: the same for workers that share cores. devices: all that the
    process sees. measure: reads the use of one.
    """

    settings: Settings
    kind: JobKind
    sessions: SessionFactory
    storage: Storage
    broker: Broker
    id: str = field(default_factory=lambda: new_id("wrk"))
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    machine: str = field(default_factory=machine_id)
    devices: Sequence[Device] = field(default_factory=visible)
    measure: Callable[[Device], Usage | None] = usage
    trainer: Sequence[str] = TRAINER
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def device(self) -> str:
        """The type of its devices, `cpu` or `cuda`."""
        return self.devices[0].type


def make_context(settings: Settings, kind: JobKind, broker: Broker) -> WorkerContext:
    """The parts of a worker. Connects to nothing yet. Raises SetupError for settings that cannot work."""
    return WorkerContext(
        settings=settings,
        kind=kind,
        sessions=session_factory(make_engine(settings)),
        storage=Storage.open_url(settings.resolved_storage_url),
        broker=broker,
    )
