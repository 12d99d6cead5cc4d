"""Lists of jobs: several statuses, search and order, over all pages."""

import pytest
from flask.testing import FlaskClient

from shared.db.session import SessionFactory
from shared.job_status import JobKind, JobStatus
from tests import jobs
from tests.api.worker_hands import WorkerWrites

TRAINING = "/v1/training-jobs"
VAE = {"model_type": "vae", "dataset": "digits"}


def submitted(client: FlaskClient, **fields: object) -> str:
    return str(client.post(TRAINING, json={**VAE, **fields}).get_json()["id"])


def listed(client: FlaskClient, query: str, limit: int = 2) -> list[str]:
    """Ids over all pages of a list, by its links."""
    found: list[str] = []
    url = f"{TRAINING}?limit={limit}&{query}"
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.get_json()
        found += [job["id"] for job in response.get_json()["data"]]
        link = response.headers.get("Link")
        url = link.partition(">")[0].removeprefix("<") if link else ""
    return found


def test_several_statuses_are_listed_over_all_pages(client: FlaskClient, database: SessionFactory) -> None:
    ids = [submitted(client) for _ in range(6)]
    for job, status in zip(ids, ("running", "paused", "failed", "queued", "running", "succeeded"), strict=True):
        jobs.set_values(database, job, status=JobStatus(status))

    assert listed(client, "status=running&status=queued") == [ids[4], ids[3], ids[0]]
    assert listed(client, "status=paused") == [ids[1]]
    assert listed(client, "") == ids[::-1]
    refused = client.get(f"{TRAINING}?status=running&status=lost")
    assert [error["pointer"] for error in refused.get_json()["errors"]] == ["?status"]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("apple", "pie"),
        ("APPLE", "pie"),
        ("apple+digits", "pie"),
        ("apple+pear", ""),
        ("SWEEP-7", "m"),
        ("größe", "u"),
        ("GRÖSSE", ""),
        ("größe+vae", "u"),
        ("100%25", "p"),
        ("100_", ""),
        ("fashion", "f"),
        ("%27", ""),
        ("%5C", ""),
        ("", "pimupf"),
    ],
)
def test_search_finds_each_word_in_name_id_dataset_type_or_metadata(client: FlaskClient, q: str, expected: str) -> None:
    made = {
        "p": submitted(client, name="Apple 100%"),
        "i": submitted(client, name="apple pie"),
        "m": submitted(client, metadata={"run": "sweep-7"}),
        "u": submitted(client, name="x", metadata={"note": "Größe"}),
        "f": submitted(client, dataset="fashion-mnist"),
    }
    wanted = {made[letter] for letter in expected if letter in made}

    assert set(listed(client, f"q={q}")) == wanted


def test_search_finds_a_part_of_an_id(client: FlaskClient) -> None:
    first, _ = submitted(client), submitted(client)

    assert listed(client, f"q={first[8:].upper()}") == [first]


def test_too_many_words_and_control_characters_are_refused(client: FlaskClient) -> None:
    for q in ("+".join("abcdefghijk"), "%1B", "x" * 201):
        refused = client.get(f"{TRAINING}?q={q}")
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.get_json()["errors"]] == ["?q"]


def test_each_order_visits_every_job_once_over_its_pages(client: FlaskClient, database: SessionFactory) -> None:
    names = ("pear", "Apple", "fig", "apple", "fig")
    ids = [submitted(client, name=name) for name in names]
    for job, status in zip(ids, ("succeeded", "queued", "running", "queued", "failed"), strict=True):
        jobs.set_values(database, job, status=JobStatus(status))

    assert listed(client, "sort=oldest") == ids
    assert listed(client, "sort=newest") == ids[::-1]
    assert listed(client, "sort=name") == [ids[place] for place in (1, 3, 2, 4, 0)]
    assert listed(client, "sort=status") == [ids[place] for place in (2, 3, 1, 4, 0)]
    assert listed(client, "sort=name&q=apple&status=queued&status=failed", limit=1) == [ids[1], ids[3]]
    assert client.get(f"{TRAINING}?sort=size").status_code == 422


def test_page_by_name_after_a_deleted_job_names_the_parameter(client: FlaskClient, worker: WorkerWrites) -> None:
    job, _ = submitted(client, name="a"), submitted(client, name="b")
    client.post(f"{TRAINING}/{job}/cancel")
    client.delete(f"{TRAINING}/{job}")

    refused = client.get(f"{TRAINING}?sort=name&after={job}")

    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.get_json()["errors"]] == ["?after"]
    assert client.get(f"{TRAINING}?sort=newest&after={job}").status_code == 200


def test_generation_jobs_have_the_same_parameters(client: FlaskClient, worker: WorkerWrites) -> None:
    submitted(client)
    model = worker.publish(worker.claim(JobKind.TRAINING))
    made = [
        client.post("/v1/generation-jobs", json={"model": model, "name": name}).get_json()["id"] for name in ("b", "a")
    ]

    def found(query: str) -> list[str]:
        return [job["id"] for job in client.get(f"/v1/generation-jobs?{query}").get_json()["data"]]

    assert found("sort=name&status=queued&status=running") == made[::-1]
    assert found(f"q={model}&sort=oldest") == made
    assert found("q=nothing") == []


def test_chosen_jobs_are_cancelled_at_once_and_counted(client: FlaskClient, worker: WorkerWrites) -> None:
    running, first, second, other = (submitted(client) for _ in range(4))
    worker.claim(JobKind.TRAINING)
    client.post(f"{TRAINING}/{second}/pause")
    absent = f"trn_{'0' * 26}"

    answer = client.post(f"{TRAINING}/cancel", json={"ids": [running, first, second, absent]}).get_json()
    waiting = client.post(f"{TRAINING}/cancel", json={"ids": [running, other], "status": "queued"}).get_json()

    statuses = [client.get(f"{TRAINING}/{job}").get_json()["status"] for job in (running, first, second, other)]
    assert (answer["count"], waiting["count"]) == (3, 1)
    assert statuses == ["cancelling", "cancelled", "cancelled", "cancelled"]


@pytest.mark.parametrize("ids", [[], ["trn_1"], "trn_1", [1]])
def test_ids_that_no_job_can_have_are_refused(client: FlaskClient, ids: object) -> None:
    refused = client.post(f"{TRAINING}/cancel", json={"ids": ids})

    assert refused.status_code == 422
    assert refused.get_json()["errors"][0]["pointer"].startswith("/ids")


def test_queue_states_counts_live_workers_and_the_order(client: FlaskClient, worker: WorkerWrites) -> None:
    running, second, first = (submitted(client, priority=priority) for priority in ("high", "normal", "high"))
    worker.claim(JobKind.TRAINING)

    queue = client.get("/v1/queue").get_json()

    assert queue["object"] == "queue"
    assert queue["training"] == {"queued": 2, "running": 1, "workers": 0}
    assert queue["generation"] == {"queued": 0, "running": 0, "workers": 0}
    assert queue["positions"] == [first, second]
    assert running not in queue["positions"]
