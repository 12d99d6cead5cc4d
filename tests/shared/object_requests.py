"""A proxy that counts the bytes that a server sends."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def counted(target: int) -> Iterator[tuple[int, list[int]]]:
    """Forward connections to a port of this machine. Yields the proxy's port and the sizes of what the target sent."""
    sent: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, target, sent), daemon=True).start()
        yield listener.getsockname()[1], sent
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, target: int, sent: list[int]) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", target))
            for source, sink, sizes in ((client, server, []), (server, client, sent)):
                threading.Thread(target=_copy, args=(source, sink, sizes), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket, sizes: list[int]) -> None:
    with source, suppress(OSError):
        while data := source.recv(1 << 16):
            sizes.append(len(data))
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
