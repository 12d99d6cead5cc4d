"""Requests with retries, and responses as values or errors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from client.errors import ApiError, BadInput, ServerUnreachable
from client.event_stream import StreamEvent, StreamRefused, events
from client.files import Opener, open_file
from client.schema import JsonObject, ProblemError

PAGE = 100  # items of a list at a time
_KEY = re.compile("[!-~]+")  # characters that a header can carry
STREAM_SILENCE_S = 30.0  # a stream sends a comment every ten seconds
_TRIES, _FIRST_PAUSE_S = 4, 0.1  # pauses of 0.1, 0.2 and 0.4 s: a restart takes less than a second


class Transport:
    """A connection to one server. Close it, or use it in a `with` block. Raises BadInput for a malformed key."""

    def __init__(self, base_url: str, timeout: float, api_key: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout = timeout
        # Proxies of the environment are not used: a Mimeo server is local, often on a loopback address.
        key = (api_key or "").strip()
        if key and not _KEY.fullmatch(key):
            raise BadInput("the API key has a space, a line break or a special character; a key is one word, mimeo_…")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self.base_url, timeout=timeout, trust_env=False, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self, method: str, path: str, *, timeout: float | None = None, is_repeatable: bool = False, **options: Any
    ) -> httpx.Response:
        """Send a request. After a connection error it is repeated, up to three times, if it is repeatable.

        timeout: seconds for this request; None: the usual limit. is_repeatable: whether a repetition has no further
        effect, as for every GET.
        Raises ServerUnreachable, and ApiError for every status of 400 and above.
        """
        retrying = Retrying(
            retry=retry_if_exception(_is_connection_error),
            stop=stop_after_attempt(_TRIES if is_repeatable or method == "GET" else 1),
            wait=wait_exponential(_FIRST_PAUSE_S),
            reraise=True,
        )
        try:
            response = retrying(self._http.request, method, path, timeout=timeout or self._timeout, **options)
        except UnicodeEncodeError as error:  # an argument that is not valid UTF-8
            raise BadInput(f"{error.object[:100]!r} is not valid Unicode") from error
        except httpx.InvalidURL as error:
            raise ServerUnreachable(self.base_url, str(error)) from error
        except httpx.TransportError as error:
            raise ServerUnreachable(self.base_url, _reason(error)) from error
        if response.is_error:
            raise problem(response)
        return response

    @contextmanager
    def stream(self, path: str, *, after: str | None = None) -> Iterator[Iterator[StreamEvent]]:
        """The events of a stream within the block. after: the id of the last event that was received.

        Raises ServerUnreachable when the connection is lost, also within the block, StreamRefused where the response
        is no stream, and ApiError.
        """
        limits = httpx.Timeout(self._timeout, read=STREAM_SILENCE_S)
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        try:
            with self._http.stream("GET", path, headers=headers, timeout=limits) as response:
                if response.is_error:
                    response.read()
                    raise problem(response)
                if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                    raise StreamRefused
                yield events(response.iter_lines())
        except httpx.TransportError as error:
            raise ServerUnreachable(self.base_url, _reason(error)) from error

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON at `path`. Parameters that are None are left out."""
        return self.request("GET", path, params=_given(parameters)).json()

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that answers a POST."""
        return self.request("POST", path, json=body).json()

    def send_file(
        self,
        method: str,
        address: str,
        path: Path,
        media_type: str,
        *,
        opener: Opener = open_file,
        **fields: str | None,
    ) -> Any:
        """The JSON that answers a form. Its fields precede the file, so that they are checked before it arrives."""
        given = {name: value for name, value in fields.items() if value is not None}
        timeout = max(self._timeout, 300.0)
        with opener(path) as file:
            files = {"file": (path.name, file, media_type)}
            response = self.request(method, address, data=given, files=files, timeout=timeout)
        return response.json()

    def all_of(
        self, path: str, after: str | int | None = None, key: str = "id", **filters: str | None
    ) -> list[JsonObject]:
        """Every item of a list after the item `after`, over all pages. key: field by which pages continue."""
        items: list[JsonObject] = []
        while True:
            page = self.get(path, limit=PAGE, after=after, **filters)
            items += page["data"]
            if not page["has_more"]:
                return items
            after = items[-1][key]

    def is_healthy(self) -> bool:
        """Whether the API process answers."""
        return self.request("GET", "/healthz").status_code == 200

    def is_ready(self) -> bool:
        """Whether all servers that requests need answer."""
        try:
            return self.request("GET", "/readyz").status_code == 200
        except ApiError:
            return False

    def failed_checks(self) -> list[str]:
        """The reasons for which the server is not ready, one for each check that fails. Raises ServerUnreachable."""
        try:
            body = self._http.get("/readyz").json()
        except httpx.TransportError as error:
            raise ServerUnreachable(self.base_url, _reason(error)) from error
        except ValueError:  # a proxy's own page
            return []
        return [check["detail"] for check in body.get("checks", ()) if not check["ok"]]

    def server_metrics(self) -> str:
        """The server's metrics in Prometheus' text format."""
        return self.request("GET", "/metrics").text

    def openapi(self) -> dict[str, Any]:
        """The server's OpenAPI document."""
        document: dict[str, Any] = self.get("/openapi/openapi.json")
        return document


def problem(response: httpx.Response) -> ApiError:
    """The error of a response of 400 and above, with any body."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {"detail": f"the server answered {response.status_code} {response.reason_phrase}"}
    errors: list[ProblemError] = body.get("errors") or []
    detail = body.get("detail") or body.get("title") or response.reason_phrase
    return ApiError(response.status_code, str(body.get("code", "error")), str(detail), errors)


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _is_connection_error(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it did not answer in time"
    return str(error).removeprefix("[Errno 111] ").lower() or type(error).__name__
