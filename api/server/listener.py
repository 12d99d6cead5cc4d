"""A listening socket, and the limit of open connections."""

import errno
import socket
import time
from typing import Any

import structlog
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer

from api.server.connection import Connection
from api.server.event_loop import EventLoop
from api.server.slots import RequestSlots

ACCEPTS = 64  # connections accepted in one round of the event loop
EVICTED_SHARE = 64
NO_DESCRIPTOR_PAUSE_S = 0.05
_NO_DESCRIPTOR = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
log = structlog.get_logger(__name__)


class Listener(TcpWSGIServer):
    """Accepts connections. At the limit it closes those that have been inactive longest, and accepts new ones."""

    channel_class = Connection

    def __init__(self, *arguments: Any, loop: EventLoop, most_connections: int, **options: Any) -> None:
        self.loop = loop
        self.most_connections = most_connections
        super().__init__(*arguments, map=loop.map, **options)

    @classmethod
    def on(
        cls,
        opened: socket.socket,
        *,
        application: Any,
        limits: Adjustments,
        loop: EventLoop,
        slots: RequestSlots,
        most_connections: int,
    ) -> "Listener":
        """A listener on a bound socket."""
        return cls(
            application,
            loop=loop,
            most_connections=most_connections,
            dispatcher=slots,
            adj=limits,
            _sock=opened,
            sockinfo=limits.listen[0],
            bind_socket=False,
        )

    @property
    def slots(self) -> RequestSlots:
        """The threads that run the application."""
        slots: RequestSlots = self.task_dispatcher
        return slots

    def readable(self) -> bool:
        """Whether connections are accepted."""
        return bool(self.accepting)

    def handle_accept(self) -> None:
        """Accept the connections that are waiting."""
        for _ in range(ACCEPTS):
            if len(self.active_channels) >= self.most_connections and not self._evict():
                return
            try:
                opened, address = self.socket.accept()
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    log.warning("connection_not_accepted", reason=error.strerror, open=len(self.active_channels))
                    if not self._evict():
                        time.sleep(NO_DESCRIPTOR_PAUSE_S)
                return
            self.set_socket_options(opened)
            self.loop.add(self.channel_class(self, opened, address, self.adj, map=self._map))

    def pull_trigger(self) -> None:
        """Wake the event loop, for the connection of the current thread."""
        self.loop.wake(self.slots.current_task)

    def enforce_limits(self, now: float) -> None:
        """Enforce the time limits of all connections."""
        for connection in list(self.active_channels.values()):
            connection.enforce_limits(now)
            self.loop.add(connection)

    def stop(self) -> None:
        """Stop listening; open connections stay."""
        self.loop.forget(self)
        self.accepting = False
        del self._map[self._fileno]
        self.socket.close()

    def close_unused(self) -> bool:
        """Close the connections without a request or response in progress. Returns whether any other is left."""
        for connection in list(self.active_channels.values()):
            if not connection.is_in_use:
                connection.handle_close()
        return bool(self.active_channels)

    def _evict(self) -> bool:
        """Close some connections without a running request, the least active first. Returns whether there was one."""
        idle = sorted(
            (one for one in self.active_channels.values() if not one.requests), key=lambda one: one.last_activity
        )
        for connection in idle[: 1 + len(idle) // EVICTED_SHARE]:
            connection.handle_close()
        return bool(idle)


def bound_sockets(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host name. `::` accepts IPv4 too. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    dual = host in {"", "::"} and socket.has_dualstack_ipv6()
    return [
        socket.create_server(address[:2], family=family, dualstack_ipv6=dual and family == socket.AF_INET6)
        for family, _, _, _, address in dict.fromkeys(found)
    ]
