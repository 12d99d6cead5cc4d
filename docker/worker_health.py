"""Exit 0 while a worker on this host, which is this container, renews its row in the database.

A process that hangs or has lost the database is not healthy.
"""

import socket
import sys

from shared.db.session import make_engine, reading, session_factory
from shared.services import workers
from shared.settings import Settings

settings = Settings()
with reading(session_factory(make_engine(settings))) as session:
    alive = workers.list_alive(session, settings)
sys.exit(all(worker.host != socket.gethostname() for worker in alive))
