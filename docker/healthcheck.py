"""Exit 0 while this container does its work: `python docker/healthcheck.py api | worker`, asked by the engine.

A worker is healthy while its row in the database is fresh: a process that lives but hangs or lost the database is not.
"""

import socket
import sys
from urllib.request import urlopen

from shared.db.session import make_engine, reading, session_factory
from shared.services import workers
from shared.settings import Settings

TIMEOUT_S = 4.0


def api_answers() -> bool:
    """Whether the API answers; whether it reaches its database is for /readyz to say, and no restart would help."""
    with urlopen("http://127.0.0.1:8000/healthz", timeout=TIMEOUT_S) as response:
        return bool(response.status == 200)


def worker_beats() -> bool:
    """Whether a worker on this host, which is this container, was heard of lately."""
    settings = Settings()
    with reading(session_factory(make_engine(settings))) as session:
        return any(worker.host == socket.gethostname() for worker in workers.list_alive(session, settings))


if __name__ == "__main__":
    sys.exit(not {"api": api_answers, "worker": worker_beats}[sys.argv[1]]())
