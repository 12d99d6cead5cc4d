"""A network that can be cut without anybody being told: a TCP proxy in front of a Unix socket."""

import contextlib
import socket
import threading
from pathlib import Path


class Proxy:
    """Forwards TCP connections to a Unix socket, until `cut`: from then on the connections of that time stay open and
    carry nothing, as after a firewall's timeout or a pulled cable. Connections made later are forwarded."""

    def __init__(self, target: Path) -> None:
        self._target = target
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
        """Carry nothing any more on the connections that there are."""
        self._epoch += 1

    def close(self) -> None:
        """Close everything."""
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                try:
                    far.connect(str(self._target))
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target, self._epoch), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, epoch: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if epoch == self._epoch:
                    target.sendall(data)
            if epoch == self._epoch:
                target.shutdown(socket.SHUT_WR)
