"""One job in the logs of a real stack, from its request to its trainer."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.stack import running_stack, wait_for_job

pytestmark = pytest.mark.slow

REQUEST_ID = "deploy-2026.11_29-0001"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
BODY = {"model_type": "vae", "dataset": "digits", "hyperparameters": {"epochs": 1}, "evaluation": "none"}


def lines_of(home: Path) -> list[dict[str, Any]]:
    """All JSON lines that the stack has logged."""
    texts = (path.read_text() for path in sorted((home / "logs").glob("*.log")))
    return [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]


def test_job_is_found_by_its_id_and_by_its_request_in_every_log(tmp_path: Path) -> None:
    home = tmp_path / "home"
    headers = {"X-Request-Id": REQUEST_ID, "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
    with running_stack(home, {"MIMEO_LOG_FORMAT": "json"}) as stack, httpx.Client(base_url=stack.url) as client:
        submitted = client.post("/v1/training-jobs", json=BODY, headers=headers)
        assert submitted.headers["X-Request-Id"] == REQUEST_ID
        job_id = submitted.json()["id"]
        assert wait_for_job(client, f"/v1/training-jobs/{job_id}")["status"] == "succeeded"

    lines = lines_of(home)

    of_job = [line for line in lines if line.get("job_id") == job_id]
    assert {(line["process"], line["event"]) for line in of_job} >= {
        ("api", "job_queued"),
        ("training-worker", "job claimed"),
        ("trainer", "trainer started"),
        ("training-worker", "checkpoint stored"),
        ("trainer", "trainer ended"),
        ("training-worker", "job ended"),
    }
    in_attempt = [line for line in of_job if line["process"] in {"training-worker", "trainer"}]
    assert {line["attempt"] for line in in_attempt} == {1}
    assert {line["request_id"] for line in of_job} == {REQUEST_ID}
    of_request = [line for line in lines if line.get("request_id") == REQUEST_ID]
    assert {line["process"] for line in of_request} == {"api", "training-worker", "trainer"}
    assert {line["trace_id"] for line in of_request if line["process"] == "api"} == {TRACE_ID}
