"""The query by which KEDA scales the workers, on PostgreSQL."""

from sqlalchemy import Engine, text

from tests.kubernetes.manifests import BASE, documents

JOB = """
INSERT INTO jobs (id, kind, status, model_type, spec, metadata, priority, seed, max_attempts, timeout_s, attempt,
                  fencing_token, not_before, progress, metrics, created_at, updated_at, version)
VALUES (:id, :kind, :status, 'vae', '{}', '{}', 1, 7, 3, 60, 0, 0, :not_before, '{}', '{}', 100, 100, 1)
"""
FAR_FUTURE_MS = 4_000_000_000_000


def queries() -> dict[str, str]:
    """The query of each scaled Deployment."""
    scaled = [each for each in documents(BASE / "autoscaling.yaml") if each["kind"] == "ScaledObject"]
    return {each["metadata"]["name"]: each["spec"]["triggers"][0]["metadata"]["query"] for each in scaled}


def test_query_counts_jobs_that_a_worker_has_or_could_start_now(postgresql_tables: Engine) -> None:
    counted = [("queued", None), ("queued", 100), ("running", None), ("pausing", None), ("cancelling", None)]
    others = [("queued", FAR_FUTURE_MS), ("paused", None), ("succeeded", None), ("failed", None), ("cancelled", None)]
    with postgresql_tables.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        connection.execute(text("TRUNCATE jobs CASCADE"))  # of the test before, until the rollback
        for number, (status, not_before) in enumerate(counted + others):
            row = {"id": f"trn_{number}", "kind": "training", "status": status, "not_before": not_before}
            connection.execute(text(JOB), row)
        connection.execute(text(JOB), {"id": "gen_1", "kind": "generation", "status": "queued", "not_before": None})

        found = {name: connection.execute(text(query)).scalar_one() for name, query in queries().items()}
        connection.rollback()

    assert found == {"mimeo-training-worker": len(counted), "mimeo-generation-worker": 1}
