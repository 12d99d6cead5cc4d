"""Spans of a request and of the attempts at its job, as a collector receives them."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared import tracing

pytestmark = pytest.mark.slow

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROGRAM = f"""
import logging, sys
from pathlib import Path
from api.wsgi import app
from migrations import runner
from shared.broker import NullBroker
from shared.job_status import JobKind
from shared.settings import Settings
from worker.context import make_context
from worker.tasks.claim import claim, logged

settings = Settings()
runner.upgrade(settings)
app.extensions["mimeo"]._make_broker = NullBroker
headers = {{"traceparent": "00-{TRACE_ID}-{PARENT_ID}-01"}}
answer = app.test_client().post("/v1/training-jobs", json={{"model_type": "vae", "dataset": "digits"}}, headers=headers)
assert answer.status_code == 202, answer.text
job = claim(make_context(settings, JobKind.TRAINING, NullBroker()))
with logged(job):
    pass
print(job.id)
"""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Address of a collector that speaks OTLP over HTTP, and what it has received."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", received
    server.shutdown()
    server.server_close()
    thread.join()


def run(home: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MIMEO_", "OTEL_"))}
    environment = {**kept, "MIMEO_HOME": str(home), **variables}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)


def test_attempt_is_a_span_below_the_request_of_its_job(
    tmp_path: Path, collector: tuple[str, list[ExportTraceServiceRequest]]
) -> None:
    address, received = collector

    done = run(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=address)

    assert done.returncode == 0, done.stderr
    batches = [batch for request in received for batch in request.resource_spans]
    spans = {span.name: span for batch in batches for scope in batch.scope_spans for span in scope.spans}
    request, attempt = spans["POST /v1/training-jobs"], spans["training attempt"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert (attempt.trace_id, attempt.parent_span_id) == (request.trace_id, request.span_id)
    attributes = {pair.key: pair.value for pair in attempt.attributes}
    assert attributes["mimeo.job.id"].string_value == done.stdout.strip()
    assert attributes["mimeo.job.attempt"].int_value == 1
    names = {pair.value.string_value for batch in batches for pair in batch.resource.attributes}
    assert "mimeo-api" in names


def test_without_the_variable_nothing_is_exported(
    tmp_path: Path, collector: tuple[str, list[ExportTraceServiceRequest]]
) -> None:
    assert run(tmp_path).returncode == 0
    assert collector[1] == []
    assert tracing.start("x", parent=None).trace_parent is None


def test_variable_without_the_extra_stops_the_start(tmp_path: Path) -> None:
    program = "import sys; sys.modules['opentelemetry.sdk.trace'] = None; import api.wsgi"
    environment = {**os.environ, "MIMEO_HOME": str(tmp_path), tracing.VARIABLE: "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip().splitlines()) == (
        2,
        ["mimeo: OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: pip install 'mimeo[otel]'."],
    )
