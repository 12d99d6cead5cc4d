"""Runs an application until SIGTERM or SIGINT."""

import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Protocol

import structlog
from flask import Flask

from api.request_slots import SLOTS
from api.runtime import EXTENSION, Runtime
from api.server.event_loop import TICK_S, EventLoop
from api.server.listener import Listener, bound_sockets
from api.server.requests import Limits
from api.server.slots import RequestSlots, Task
from shared.settings import Settings

URGENT_PATH = "/healthz"
STREAM_THREADS = 256
STOP_S = 9.0
HEADER_BYTES = 32 << 10
MEMORY_BYTES = 64 << 10  # of a request body, before it goes to a temporary file
FORM_BYTES = 1 << 20  # an upload's form around its file
OUTPUT_BYTES = 1 << 20  # of a response in memory, and ahead of its reader
UNSENT_BYTES = 128 << 10
SWITCH_S = 0.001
DESCRIPTORS_EACH = 2
OTHER_DESCRIPTORS = 256
log = structlog.get_logger(__name__)


class _Wsgi(Protocol):
    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any], /) -> Iterable[bytes]: ...


def serve(app: Flask, settings: Settings) -> int:
    """Serve the application. Returns the exit status.

    On SIGTERM or SIGINT the socket closes, waiting requests are answered, and requests in progress have `STOP_S`.
    """
    runtime: Runtime = app.extensions[EXTENSION]
    most_connections = _permit_connections(settings.api_connections)
    try:
        sockets = bound_sockets(settings.host, settings.port)
    except OSError as error:
        print(f"mimeo: cannot listen on {settings.host} port {settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    sys.setswitchinterval(SWITCH_S)  # the event loop waits this long for each thread that computes
    loop = EventLoop()
    slots = RequestSlots(
        settings.api_threads,
        most_threads=settings.api_threads + settings.api_waits + STREAM_THREADS,
        is_urgent=_is_urgent,
        run_soon=loop.run_soon,
    )
    listeners = [
        Listener.on(
            opened,
            application=_with_slots(app.wsgi_app, slots),
            limits=_limits(opened, settings),
            loop=loop,
            slots=slots,
            most_connections=most_connections,
        )
        for opened in sockets
    ]
    stop_requests: list[int] = []

    def on_stop(number: int, _frame: FrameType | None) -> None:
        stop_requests.append(number)
        loop.wake()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_stop)
    loop.start(listeners[0].trigger.pull_trigger)
    log.info("listening", host=settings.host, port=settings.port, connections=most_connections)
    loop.run_until(_time_limits(listeners, lambda: bool(stop_requests)))
    for listener in listeners:
        listener.stop()
    runtime.stop()
    loop.run_until(_drained(listeners, slots))
    log.info("stopped")
    return 0


def _time_limits(listeners: list[Listener], is_over: Callable[[], bool]) -> Callable[[float], bool]:
    """Enforces time limits every second until `is_over`."""
    due = time.time() + TICK_S

    def check(now: float) -> bool:
        nonlocal due
        if now >= due or due > now + TICK_S:  # the clock was set back
            due = now + TICK_S
            for listener in listeners:
                listener.enforce_limits(now)
        return is_over()

    return check


def _drained(listeners: list[Listener], slots: RequestSlots) -> Callable[[float], bool]:
    """Whether every response is sent, or `STOP_S` have passed."""
    deadline = time.monotonic() + STOP_S

    def check(_now: float) -> bool:
        is_busy = slots.is_busy  # first: a thread that ends after this check has its connection in use
        in_use = [listener.close_unused() for listener in listeners]
        if time.monotonic() >= deadline:
            log.warning("requests_cut_off", connections=sum(len(listener.active_channels) for listener in listeners))
            return True
        return not (is_busy or any(in_use))

    return check


def _is_urgent(task: Task) -> bool:
    request: Any = getattr(task, "requests")[0]  # noqa: B009  every task is a Connection
    return not request.error and request.path == URGENT_PATH


def _with_slots(app: _Wsgi, slots: RequestSlots) -> _Wsgi:
    """The application, with the slots in its environment. The slot is free while the response is iterated and sent."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any], /) -> Iterable[bytes]:
        environ[SLOTS] = slots
        try:
            return app(environ, start_response)
        finally:
            slots.release()

    return application


def _limits(opened: socket.socket, settings: Settings) -> Limits:
    limits = Limits(
        sockets=[opened],
        backlog=2048,
        ident=None,
        recv_bytes=64 << 10,
        inbuf_overflow=MEMORY_BYTES,
        outbuf_overflow=OUTPUT_BYTES,
        outbuf_high_watermark=OUTPUT_BYTES,
        channel_request_lookahead=1,  # a hung-up client is noticed while its request is in progress
        max_request_header_size=HEADER_BYTES,
        max_request_body_size=max(settings.max_upload_bytes, settings.max_body_bytes) + FORM_BYTES,
        clear_untrusted_proxy_headers=False,
        log_socket_errors=False,
    )
    limits.max_json_body_size = settings.max_body_bytes
    limits.socket_options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # Without it the kernel keeps megabytes for each reader that has stopped.
        limits.socket_options.append((socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES))
    return limits


def _permit_connections(wanted: int) -> int:
    """Raise the soft limit of descriptors as far as needed. Returns the number of connections that it permits."""
    needed = wanted * DESCRIPTORS_EACH + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if limit > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    permitted = max((limit - OTHER_DESCRIPTORS) // DESCRIPTORS_EACH, 16)
    if permitted < wanted:
        log.warning(
            "few_descriptors",
            detail=f"The limit of {limit} open files permits {permitted} connections instead of MIMEO_API_CONNECTIONS="
            f"{wanted}. Raise it (`ulimit -Hn {needed}`, LimitNOFILE= in systemd, `ulimits:` in Compose).",
        )
    return permitted
