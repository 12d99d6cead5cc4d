import json

import pytest

from client.errors import ApiError, ServerUnreachable
from client.http import Client, default_url
from tests.client.server import Reply, Request, serving, training_job


def test_address_comes_from_the_url_variable_then_from_the_port_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIMEO_URL", raising=False)
    monkeypatch.delenv("MIMEO_PORT", raising=False)
    assert default_url() == "http://127.0.0.1:8000"
    monkeypatch.setenv("MIMEO_PORT", "8123")
    assert default_url() == "http://127.0.0.1:8123"
    monkeypatch.setenv("MIMEO_URL", "http://far:1")
    assert default_url() == "http://far:1"


def test_get_is_repeated_after_a_lost_connection() -> None:
    replies = [Reply(dropped=True), Reply(dropped=True), Reply(body={"data": []})]
    with serving(lambda _: replies.pop(0)) as server, Client(server.url) as client:
        assert client.workers() == []
    assert len(server.requests) == 3


def test_submission_is_repeated_after_a_lost_connection_with_the_same_key() -> None:
    replies = [Reply(dropped=True), Reply(dropped=True), Reply(202, training_job())]
    with serving(lambda _: replies.pop(0)) as server, Client(server.url) as client:
        assert client.train({"model_type": "vae"})["id"] == "trn_1"
    keys = {request.headers["Idempotency-Key"] for request in server.requests}
    assert (len(server.requests), len(keys)) == (3, 1)


def test_each_submission_has_its_own_key_unless_one_is_given() -> None:
    with serving(lambda _: Reply(202, training_job())) as server, Client(server.url) as client:
        client.train({"model_type": "vae"})
        client.train({"model_type": "vae"})
        client.submit_generation({"model": "mdl_1"})
        client.train({"model_type": "vae"}, idempotency_key="mine")
        client.submit_generation({"model": "mdl_1"}, idempotency_key="mine")
    *fresh, third, fourth = [request.headers["Idempotency-Key"] for request in server.requests]
    assert len(set(fresh)) == 3
    assert third == fourth == "mine"


def test_action_on_a_job_is_not_repeated() -> None:
    with serving(lambda _: Reply(dropped=True)) as server, Client(server.url) as client:
        for ask in (client.cancel, client.pause, client.resume, client.retry, client.delete):
            with pytest.raises(ServerUnreachable):
                ask("trn_1")
    assert len(server.requests) == 5


def test_missing_server_is_one_line_that_names_mimeo_up() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServerUnreachable, match="mimeo up") as caught:
        client.workers()
    assert "\n" not in str(caught.value)


def test_problem_document_becomes_an_error_that_names_the_fields() -> None:
    problem = {
        "code": "invalid_request",
        "detail": "The request is not valid.",
        "errors": [{"pointer": "/hyperparameters/epochs", "detail": "must be at least 1", "code": "too_small"}],
    }
    with (
        serving(lambda _: Reply(422, problem)) as server,
        Client(server.url) as client,
        pytest.raises(ApiError) as caught,
    ):
        client.train({"model_type": "vae", "hyperparameters": {"epochs": 0}})
    assert caught.value.status == 422
    assert caught.value.lines() == ["hyperparameters.epochs: must be at least 1"]
    assert caught.value.is_the_users


def test_response_without_a_problem_document_becomes_an_error() -> None:
    with (
        serving(lambda _: Reply(502, b"<html>bad gateway</html>")) as server,
        Client(server.url) as client,
        pytest.raises(ApiError, match="502") as caught,
    ):
        client.workers()
    assert not caught.value.is_the_users


def test_wait_sends_the_last_etag_and_returns_the_terminal_job() -> None:
    done = training_job(status="succeeded", is_terminal=True)
    script = [
        Reply(body=training_job(), headers={"ETag": '"1"'}),
        Reply(304),
        Reply(body=done, headers={"ETag": '"2"'}),
    ]
    with serving(lambda _: script.pop(0)) as server, Client(server.url) as client:
        assert client.wait("trn_1", poll_s=0.01)["status"] == "succeeded"
    assert [request.headers.get("If-None-Match") for request in server.requests] == [None, '"1"', '"1"']
    assert {request.path for request in server.requests} == {"/v1/training-jobs/trn_1"}


def test_wait_ends_at_its_timeout() -> None:
    with (
        serving(lambda _: Reply(body=training_job())) as server,
        Client(server.url) as client,
        pytest.raises(TimeoutError),
    ):
        client.wait("trn_1", poll_s=0.01, timeout_s=0.1)


def test_generation_request_prefers_to_wait() -> None:
    job = training_job(id="gen_1", object="generation_job", status="succeeded", is_terminal=True)
    with serving(lambda _: Reply(202, job)) as server, Client(server.url) as client:
        assert client.generate({"model": "mdl_1"})["id"] == "gen_1"
    (request,) = server.requests
    assert request.headers["Prefer"] == "wait=60"
    assert json.loads(request.body) == {"model": "mdl_1"}


def test_list_is_read_through_all_pages() -> None:
    def answer(request: Request) -> Reply:
        if "after=art_2" in request.path:
            return Reply(body={"data": [{"id": "art_3"}], "has_more": False})
        return Reply(body={"data": [{"id": "art_1"}, {"id": "art_2"}], "has_more": True})

    with serving(answer) as server, Client(server.url) as client:
        assert [sample["id"] for sample in client.samples("trn_1")] == ["art_1", "art_2", "art_3"]
