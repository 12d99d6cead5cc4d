"""Choice of the demonstration's dataset for each model type."""

import time
from dataclasses import dataclass

import httpx

from client.schema import Dataset, ModelType

PROBE_S = 4.0  # duration of the trial download
PROBE_BYTES = 1 << 20
PATIENCE_S = 45.0  # a longer download is not used


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A dataset, and the reason for its choice."""

    dataset: str
    reason: str


def choose(model_type: ModelType, datasets: dict[str, Dataset]) -> Choice:
    """The model type's default dataset if it is present or quickly downloaded, else the built-in one."""
    usual, fallback = model_type["default_dataset"], model_type["demo"]["fallback_dataset"]
    availability = datasets[usual]["availability"]
    if availability in {"present", "builtin"}:
        return Choice(dataset=usual, reason="it is present")
    if availability == "missing":
        return Choice(dataset=fallback, reason=f"built in; {usual} is not present and the server is offline")
    problem = download_problem(datasets[usual].get("sources") or [])
    if problem is None:
        return Choice(dataset=usual, reason="it can be downloaded")
    return Choice(dataset=fallback, reason=f"built in; {usual} is not present and {problem}")


def download_problem(sources: list[str]) -> str | None:
    """Try a download for a few seconds. Returns the reason against it, or None.

    sources: addresses of the dataset's files, the largest first.
    """
    started = time.monotonic()
    received = 0
    try:
        with httpx.stream("GET", sources[0], timeout=PROBE_S, follow_redirects=True) as response:
            if response.is_error:
                return f"its source answers {response.status_code}"
            total = int(response.headers.get("Content-Length", 0))
            for chunk in response.iter_raw():
                received += len(chunk)
                if received >= min(PROBE_BYTES, total or PROBE_BYTES) or time.monotonic() - started > PROBE_S:
                    break
    except (httpx.HTTPError, IndexError):
        return "it cannot be downloaded from here"
    expected_s = (time.monotonic() - started) * total / max(received, 1)
    return f"its download would take about {expected_s:.0f} s" if expected_s > PATIENCE_S else None
