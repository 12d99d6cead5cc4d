"""The services of the views: settings, database, broker and file store, created once per process."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import cast

from flask import Flask, current_app, g, has_request_context
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from api import request_slots
from api.end_poller import EndPoller
from shared.broker import Broker
from shared.db.owned_rows import restrict
from shared.db.session import SessionFactory, make_engine, reading, session_factory, transaction
from shared.errors import Unavailable
from shared.identity import Scope
from shared.settings import Settings
from shared.storage import Storage

EXTENSION = "mimeo"
UPLOADS_PROCESSED = 1  # at a time; the work is bound by the interpreter, and two take as long as one after the other
UPLOAD_WAIT_S = 30.0


class Places:
    """A limited number of places, of which each is taken by one user."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a place, if one is free."""
        with self._lock:
            is_free = self.taken < self.limit
            self.taken += is_free
        return is_free

    def leave(self) -> None:
        """Free a place."""
        with self._lock:
            self.taken -= 1


class Runtime:
    """Connections of this process.

    A server that forks after loading the application must not share sockets with its parent. Objects with a socket are
    therefore created on first use, and again when the process id has changed.
    """

    def __init__(self, settings: Settings, make_broker: Callable[[], Broker]) -> None:
        self.settings = settings
        self._make_broker = make_broker
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._engine: Engine
        self._sessions: SessionFactory
        self._broker: Broker
        self._storage: Storage
        self._inherited: list[object] = []
        self._waits = threading.Semaphore(settings.api_waits)
        self.ends = EndPoller(self.reading)
        self.is_stopping = threading.Event()  # requests that wait are answered
        self._uploads = threading.BoundedSemaphore(UPLOADS_PROCESSED)
        self.streams = Places(settings.max_streams)

    def writing(self) -> AbstractContextManager[Session]:
        """One transaction that may write; commits at its end. Restricted as `reading`."""
        self._connect()
        return _restricted(transaction(self._sessions))

    def reading(self) -> AbstractContextManager[Session]:
        """One transaction that only reads, in a request restricted to the rows of the request's owner."""
        self._connect()
        return _restricted(reading(self._sessions))

    @property
    def broker(self) -> Broker:
        """The broker of this process."""
        self._connect()
        return self._broker

    @property
    def storage(self) -> Storage:
        """The file store of this process."""
        self._connect()
        return self._storage

    @contextmanager
    def may_wait(self, seconds: float) -> Iterator[bool]:
        """Permit a request to wait; at most `api_waits` wait at a time. Yields whether it may."""
        granted = seconds > 0 and self._waits.acquire(blocking=False)
        try:
            yield granted
        finally:
            if granted:
                self._waits.release()

    def stop(self) -> None:
        """End all waits, because the server stops."""
        self.is_stopping.set()

    @contextmanager
    def processing_upload(self) -> Iterator[None]:
        """Process an uploaded file; others wait for their turn. Raises Unavailable after half a minute."""
        with request_slots.yielded():
            is_turn = self._uploads.acquire(timeout=UPLOAD_WAIT_S)
        if not is_turn:
            raise Unavailable("Other uploads are being processed; send the file again later.")
        try:
            yield
        finally:
            self._uploads.release()

    def close(self) -> None:
        """Close the connections to the database, once no request waits; the next use opens new ones."""
        self.ends.close()
        if self._pid == os.getpid():
            self._engine.dispose()
            self._pid = None

    def _connect(self) -> None:
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            if self._pid is not None:
                # Kept open, because closing these sockets would end the parent's connections.
                self._inherited.append((self._engine, self._broker, self._storage))
            self._engine = make_engine(self.settings)
            self._sessions = session_factory(self._engine)
            self._broker = self._make_broker()
            self._storage = Storage.open_url(self.settings.resolved_storage_url)
            self._pid = os.getpid()


@contextmanager
def _restricted(sessions: AbstractContextManager[Session]) -> Iterator[Session]:
    """The session, restricted to the owner of the current request, if it is identified."""
    with sessions as session:
        if has_request_context() and "identity" in g:
            restrict(session, g.identity.owner, may_change_shared=g.identity.has(Scope.ADMIN))
        yield session


def install(app: Flask, runtime: Runtime) -> None:
    """Attach the runtime to the application."""
    app.extensions[EXTENSION] = runtime


def runtime() -> Runtime:
    """The runtime of the current application."""
    return cast(Runtime, current_app.extensions[EXTENSION])
