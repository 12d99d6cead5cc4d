"""The fork server of a training worker: `python -m worker.fork_server DESCRIPTOR`, on Linux.

It imports torch and the models once. For each message on its socket it forks a trainer, which starts without imports.
The trainer is the same program as `python -m worker.train SPEC.json RUN_DIR --supervised`, in a process of its own.

Messages are those of shared/trainer_protocol.py. The process ends at the end of the socket, and with its worker.
It has one thread and opens no GPU, so a forked trainer may start CUDA: a fork after CUDA has started would fail.
"""

import gc
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from shared import model_types
from shared.trainer_protocol import ACCEPTED, MAX_FORK_BYTES, READY, Forked, ForkRequest
from worker import train
from worker.trainer.stop_signal import end_with_parent

_STREAMS = 3
_ORPHANED = 5
_PARENT_LIMIT_S = 10.0


def main(descriptor: int) -> None:
    """Serve until the socket ends. Raises RuntimeError if an import has opened a GPU."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the worker too
    with socket.socket(fileno=descriptor) as connection:
        _import_all()
        try:
            _serve(connection)
        except BrokenPipeError:  # the worker has closed the socket meanwhile
            return


def _serve(connection: socket.socket) -> None:
    connection.send(READY)
    while True:
        message, streams, _, _ = socket.recv_fds(connection, MAX_FORK_BYTES, _STREAMS)
        if not message:
            return
        pid = _fork(ForkRequest.model_validate_json(message), streams, connection)
        for stream in streams:
            os.close(stream)
        connection.send(Forked(pid=pid).model_dump_json().encode())


def _import_all() -> None:
    """Import all modules of a training. Raises RuntimeError if that has opened a GPU."""
    import torch._dynamo  # noqa: PLC0415 - each optimizer imports it in its first step

    import worker.failures  # noqa: PLC0415
    import worker.trainer.run  # noqa: F401, PLC0415
    from worker.models import implementation  # noqa: PLC0415

    for contract in model_types.REGISTRY.values():
        implementation(contract)
    if torch.cuda.is_initialized() or opens_gpu():
        raise RuntimeError("an import has opened the GPU, so forked trainers could not use it")
    gc.collect()
    gc.freeze()  # a collection in a trainer would copy the pages of all objects that it visits


def opens_gpu() -> bool:
    """Whether this process has a device file of a GPU open."""
    return any(_target(each).startswith("/dev/nvidia") for each in Path("/proc/self/fd").iterdir())


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def _fork(request: ForkRequest, streams: list[int], connection: socket.socket) -> int:
    """Fork a trainer as a child of the worker; returns its process id, or 0 where the system has no room for it.

    The process between the two ends at once. The kernel then gives its child to the worker, which is a subreaper
    (prctl(2), PR_SET_CHILD_SUBREAPER): the worker signals it and waits for it, and the end of this process has no
    effect on it.
    """
    reading, writing = os.pipe()
    try:
        between = os.fork()
    except OSError:
        between = -1
    if between == 0:
        _fork_again(request, streams, connection, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        pid = int(answer.read() or 0)
    if between > 0:
        os.waitpid(between, 0)
    return pid


def _fork_again(request: ForkRequest, streams: list[int], connection: socket.socket, writing: int) -> NoReturn:
    try:
        between, pid = os.getpid(), os.fork()
        if pid == 0:
            os.close(writing)
            connection.close()
            _become_trainer(request, streams, between)
        os.write(writing, b"%d" % pid)
    finally:
        os._exit(0)


def _become_trainer(request: ForkRequest, streams: list[int], between: int) -> NoReturn:
    """Set up the process as a new one would be, and run the trainer program to its end."""
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(request.run_dir)
        _await_parent(between, request.worker_pid)
        os.write(1, ACCEPTED + b"\n")
        status = train.main([request.spec, request.run_dir, "--supervised"])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        train.leave(status)


def _await_parent(between: int, worker_pid: int) -> None:
    """Wait until the worker is the parent. Ends this process where it is not: the worker has ended."""
    deadline = time.monotonic() + _PARENT_LIMIT_S
    while os.getppid() == between and time.monotonic() < deadline:
        time.sleep(0.0005)
    if os.getppid() != worker_pid:
        os._exit(_ORPHANED)


if __name__ == "__main__":
    main(int(sys.argv[1]))
