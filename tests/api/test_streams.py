"""Live streams of jobs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.openapi import DocumentedApi
from shared.broker import LiveMessage, NullBroker
from shared.job_status import JobKind
from tests.api.worker_hands import WorkerWrites
from tests.waiting import wait_until


class Reader:
    """Reads the events of a stream as they are sent."""

    def __init__(self, response: TestResponse) -> None:
        self.response = response
        self._events = self._parse(response.iter_encoded())

    def next(self, *names: str) -> tuple[str, str | None, Any]:
        """The next event of one of these names (of any without names), as name, id and data."""
        return next(event for event in self._events if not names or event[0] in names)

    def _parse(self, chunks: Iterator[bytes]) -> Iterator[tuple[str, str | None, Any]]:
        text = ""
        for chunk in chunks:
            text += chunk.decode()
            while "\n\n" in text:
                block, text = text.split("\n\n", 1)
                fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
                if "event" in fields:
                    yield fields["event"], fields.get("id"), json.loads(fields["data"])


@contextmanager
def stream(client: FlaskClient, path: str, **headers: str) -> Iterator[Reader]:
    response = client.get(path, headers=headers, buffered=False)
    assert response.status_code == 200, response.text
    assert response.mimetype == "text/event-stream"
    try:
        yield Reader(response)
    finally:
        response.close()


@pytest.fixture
def job_id(client: FlaskClient) -> str:
    job: dict[str, str] = client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).get_json()
    return job["id"]


def test_a_stream_sends_the_job_then_each_change_until_its_end(
    client: FlaskClient, worker: WorkerWrites, job_id: str
) -> None:
    with stream(client, f"/v1/training-jobs/{job_id}/stream") as events:
        assert events.next()[2]["status"] == "queued"
        lease = worker.claim(JobKind.TRAINING)
        assert events.next("history")[2]["type"] == "running"
        while events.next("job")[2]["status"] != "running":
            pass
        worker.point(lease, "loss", epoch=1, step=10, value=2.5)
        worker.file(lease, "samples/1.png", b"png", epoch=1, step=10)
        worker.report(lease, metrics={"loss": 2.5})
        [point] = events.next("metrics")[2]["points"]
        assert (point["name"], point["step"], point["value"]) == ("loss", 10, 2.5)
        assert events.next("sample")[2]["name"] == "samples/1.png"
        worker.publish(lease)
        assert events.next("end")[0] == "end"


def test_a_client_that_connects_again_receives_what_it_missed_once(
    client: FlaskClient, worker: WorkerWrites, job_id: str
) -> None:
    lease = worker.claim(JobKind.TRAINING)
    worker.point(lease, "loss", epoch=1, step=1, value=3.0)
    with stream(client, f"/v1/training-jobs/{job_id}/stream") as events:
        cursor = events.next("job")[1]
    assert cursor is not None
    for step in (2, 3):
        worker.point(lease, "loss", epoch=1, step=step, value=1.0 / step)
    with stream(client, f"/v1/training-jobs/{job_id}/stream", **{"Last-Event-ID": cursor}) as events:
        points = events.next("metrics")[2]["points"]
        assert [point["step"] for point in points] == [2, 3]
        worker.point(lease, "loss", epoch=1, step=4, value=0.2)
        worker.report(lease, metrics={"loss": 0.2})
        assert [point["step"] for point in events.next("metrics")[2]["points"]] == [4]


def test_a_stream_of_an_ended_job_ends_at_once(
    client: FlaskClient, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.streams.hub.COMMENT_EVERY_S", 3600)  # a stream that waited would hang
    client.post(f"/v1/training-jobs/{job_id}/cancel")
    response = client.get(f"/v1/training-jobs/{job_id}/stream")
    assert [line for line in response.text.splitlines() if line.startswith("event:")] == ["event: job", "event: end"]


def test_a_stream_reports_the_deletion_of_its_job(client: FlaskClient, job_id: str) -> None:
    with stream(client, "/v1/jobs/stream") as overview:
        overview.next("queue")
        client.post(f"/v1/training-jobs/{job_id}/cancel")
        while overview.next("job")[2]["status"] != "cancelled":
            pass
        client.delete(f"/v1/training-jobs/{job_id}")
        assert overview.next("deleted")[2] == {"id": job_id}


def test_the_stream_of_all_jobs_sends_the_queue_and_changes_of_both_kinds(
    client: FlaskClient, worker: WorkerWrites
) -> None:
    with stream(client, "/v1/jobs/stream") as events:
        assert events.next("queue")[2]["training"] == {"queued": 0, "running": 0, "workers": 0}
        job = client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).get_json()
        assert events.next("job")[2]["id"] == job["id"]
        assert events.next("queue")[2]["positions"] == [job["id"]]
        model = worker.publish(worker.claim(JobKind.TRAINING))
        generation = client.post("/v1/generation-jobs", json={"model": model}).get_json()
        while (shown := events.next("job")[2])["object"] != "generation_job":
            assert shown["id"] == job["id"]
        assert shown["id"] == generation["id"]


def test_more_streams_than_the_limit_are_refused_and_a_closed_one_frees_its_place(
    app: DocumentedApi, client: FlaskClient, job_id: str
) -> None:
    with stream(client, f"/v1/training-jobs/{job_id}/stream") as events:
        events.next("job")
        places = app.extensions["mimeo"].streams
        taken = 0
        while places.take():
            taken += 1
        assert f"mimeo_streams_open {places.limit}.0" in client.get("/metrics").text
        refused = client.get("/v1/jobs/stream")
        assert (refused.status_code, refused.get_json()["code"]) == (503, "unavailable")
        assert "MIMEO_MAX_STREAMS" in refused.get_json()["detail"]
        assert refused.headers["Retry-After"]
        for _ in range(taken):
            places.leave()
    with stream(client, "/v1/jobs/stream") as events:
        assert events.next("queue")[0] == "queue"


@pytest.mark.parametrize("cursor", ["x", "m1", "m1.e2.s", "m-1.e0.s0", "m9999999999999999999.e0.s0"])
def test_an_id_that_is_not_of_this_stream_is_refused(client: FlaskClient, job_id: str, cursor: str) -> None:
    response = client.get(f"/v1/training-jobs/{job_id}/stream?after={cursor}")
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == "?after"


def test_an_unknown_job_has_no_stream(client: FlaskClient) -> None:
    assert client.get("/v1/training-jobs/trn_00000000000000000000000000/stream").status_code == 404


def test_a_point_is_sent_before_it_is_recorded_and_without_a_position(
    client: FlaskClient, broker: NullBroker, worker: WorkerWrites, job_id: str
) -> None:
    lease = worker.claim(JobKind.TRAINING)
    with stream(client, f"/v1/training-jobs/{job_id}/stream") as events:
        events.next("job")
        point = {"name": "loss", "step": 7, "epoch": 1, "value": 0.5, "at": 1.0}
        wait_until(lambda: broker.has_receivers)
        broker.publish_live(LiveMessage(job_id=job_id, content={"points": [point]}))
        _, position, data = events.next("metrics")
        assert (position, data) == (None, {"points": [point]})
        worker.point(lease, "loss", epoch=1, step=7, value=0.5)
        worker.report(lease, metrics={"loss": 0.5})
        while (found := events.next("metrics"))[1] is None:
            pass
        assert [(each["step"], each["value"]) for each in found[2]["points"]] == [(7, 0.5)]


def test_a_text_is_sent_as_it_is_written_and_its_end_with_the_output(
    client: FlaskClient, broker: NullBroker, worker: WorkerWrites, job_id: str
) -> None:
    model = worker.publish(worker.claim(JobKind.TRAINING))
    generation = client.post("/v1/generation-jobs", json={"model": model}).get_json()["id"]
    lease = worker.claim(JobKind.GENERATION)
    with stream(client, f"/v1/generation-jobs/{generation}/stream") as events:
        assert events.next("job")[2]["status"] == "running"
        wait_until(lambda: broker.has_receivers)
        content = {"start": 0, "texts": ["To be"]}
        broker.publish_live(LiveMessage(job_id=generation, content=content))
        assert events.next("text")[1:] == (None, content)
        worker.finish(lease, output={"texts": ["To be or not"]})
        while (job := events.next("job")[2])["status"] != "succeeded":
            pass
        assert job["output"]["texts"] == ["To be or not"]
        assert events.next()[0] == "end"
    with stream(client, f"/v1/generation-jobs/{generation}/stream") as events:  # a client that arrives late
        assert events.next("job")[2]["output"]["texts"] == ["To be or not"]
        assert events.next()[0] == "end"


def test_messages_of_one_job_do_not_reach_the_stream_of_another(
    client: FlaskClient, broker: NullBroker, worker: WorkerWrites, job_id: str
) -> None:
    worker.claim(JobKind.TRAINING)
    with stream(client, f"/v1/training-jobs/{job_id}/stream") as events, stream(client, "/v1/jobs/stream") as every:
        events.next("job")
        wait_until(lambda: broker.has_receivers)
        broker.publish_live(LiveMessage(job_id="trn_other", content={"points": []}))
        broker.publish_live(LiveMessage(job_id=job_id, content={"points": [1]}))
        assert events.next("metrics")[2] == {"points": [1]}
        client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"})
        assert {every.next()[0] for _ in range(2)} <= {"job", "queue"}
