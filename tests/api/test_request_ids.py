"""Ids of requests: those of clients are taken over where they are no more than ids."""

import pytest
from flask.testing import FlaskClient

from shared.db.session import SessionFactory
from shared.settings import Settings
from tests import jobs

pytestmark = pytest.mark.slow_on_postgresql

JOB = {"model_type": "vae", "dataset": "digits"}


@pytest.mark.parametrize("given", ["a" * 8, "a" * 64, "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "deploy-1.2_3"])
def test_id_of_the_client_names_the_request_and_its_job(
    client: FlaskClient, database: SessionFactory, given: str
) -> None:
    answer = client.post("/v1/training-jobs", json=JOB, headers={"X-Request-Id": given})

    assert answer.headers["X-Request-Id"] == given
    assert jobs.read_job(database, answer.get_json()["id"]).request_id == given


@pytest.mark.parametrize(
    "given", ["", "short", "a" * 65, "a b c d e f", "<script>alert(1)", "ä" * 10, "-leading-dash", "a\tbcdefgh"]
)
def test_other_ids_are_replaced(client: FlaskClient, given: str) -> None:
    answer = client.get("/v1/workers", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"].startswith("rqs_")


def test_job_without_a_request_has_none(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings)
    assert jobs.read_job(database, job_id).request_id is None
