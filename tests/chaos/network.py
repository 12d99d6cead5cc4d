"""A network that can be cut, with or without closed connections: a TCP proxy."""

import contextlib
import socket
import threading
from pathlib import Path


class Proxy:
    """Forwards TCP connections to a Unix socket or to a port of this machine.

    After `cut`, existing connections stay open and carry nothing, as after a firewall's timeout or a pulled cable;
    later connections are forwarded. While `is_refusing`, every new connection is closed at once.
    """

    def __init__(self, target: Path | int) -> None:
        self._target = target
        self.is_refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._epoch = 0
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def url(self) -> str:
        """Its address in redis-py's form."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Carry no more data on the existing connections."""
        self._epoch += 1

    def refuse(self) -> None:
        """Close all connections and refuse new ones, until `is_refusing` is reset."""
        self.is_refusing = True
        _close(self._sockets)

    def close(self) -> None:
        """Close everything."""
        _close([self._listener, *self._sockets])

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = self._connect()
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target, self._epoch), daemon=True).start()

    def _connect(self) -> socket.socket:
        if self.is_refusing:
            raise ConnectionRefusedError
        if isinstance(self._target, int):
            return socket.create_connection(("127.0.0.1", self._target))
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(self._target))
        return far

    def _carry(self, source: socket.socket, target: socket.socket, epoch: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if epoch == self._epoch:
                    target.sendall(data)
            if epoch == self._epoch:
                target.shutdown(socket.SHUT_WR)


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
