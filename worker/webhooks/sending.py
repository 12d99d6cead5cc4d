"""One HTTP request of a delivery: to a checked address, without redirects, within a time limit."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from shared.services.webhook_deliveries import Claimed, Outcome
from shared.settings import Settings
from shared.version import VERSION
from shared.webhooks import signing, targets
from shared.webhooks.targets import Address, ForbiddenTarget, Target

_MOST_ADDRESSES = 3
_MOST_BYTES = 4096  # of a response
_GONE = 410


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to the given addresses. The host's name is used for the Host header and the certificate alone."""

    def __init__(self, target: Target, addresses: Sequence[Address], timeout_s: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout_s)
        self.default_port = 443 if target.is_encrypted else 80  # left out of the Host header
        self._target, self._addresses = target, addresses
        self._deadline = time.monotonic() + timeout_s

    def connect(self) -> None:
        """Connect to the first address that answers. Raises OSError."""
        last: OSError = OSError("there is no address")
        for address in self._addresses[:_MOST_ADDRESSES]:
            left_s = max(0.05, self._deadline - time.monotonic())
            try:
                self.sock = socket.create_connection((str(address), self._target.port), left_s)
                break
            except OSError as error:
                last = error
        else:
            raise last
        if self._target.is_encrypted:
            context = ssl.create_default_context()
            wrapped = context.wrap_socket(self.sock, server_hostname=self._target.host, do_handshake_on_connect=False)
            self.sock = wrapped  # before the handshake, so that `cut` can end it
            wrapped.do_handshake()

    def cut(self) -> None:
        """End the connection from another thread."""
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


def send(claimed: Claimed, settings: Settings) -> Outcome:
    """Send a delivery once. Its URL is in no message: it may hold a secret."""
    target = targets.parse(claimed.url)
    try:
        addresses = targets.resolve(target, settings.webhook_allowed_hosts)
        return _request(target, addresses, claimed, settings)
    except ForbiddenTarget as error:
        return Outcome(error=f"{error}.")
    except socket.gaierror as error:
        return Outcome(error=f"The host is unknown: {error.strerror}.")
    except TimeoutError:
        return Outcome(error=_too_slow(settings))
    except ssl.SSLError as error:
        return Outcome(error=f"TLS failed: {error.reason or error}.")
    except (OSError, http.client.HTTPException) as error:
        return Outcome(
            error=f"The receiver gave no answer: {getattr(error, 'strerror', None) or type(error).__name__}."
        )


def _request(target: Target, addresses: Sequence[Address], claimed: Claimed, settings: Settings) -> Outcome:
    body = claimed.payload.encode()
    headers = signing.headers(claimed.id, round(time.time()), body, settings.webhook_keys)
    headers |= {"Content-Type": "application/json", "User-Agent": f"mimeo/{VERSION}", "Connection": "close"}
    connection = _PinnedConnection(target, addresses, settings.webhook_timeout_s)
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        connection.cut()

    timer = threading.Timer(settings.webhook_timeout_s, end)  # a limit of a socket applies to each read alone
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", target.path, body, headers)
        response = connection.getresponse()
        response.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException):
        if is_over.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        connection.close()
    if is_over.is_set():
        return Outcome(error=_too_slow(settings))
    return _judged(response.status)


def _judged(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome(error=None, response_status=status)
    if 300 <= status < 400:
        return Outcome(error=f"HTTP {status}: redirects are not followed.", response_status=status)
    return Outcome(error=f"HTTP {status}.", response_status=status, is_final=status == _GONE)


def _too_slow(settings: Settings) -> str:
    return f"The receiver did not answer within {settings.webhook_timeout_s:g} s."
