"""The scripts that run inside containers: the creation of the bucket, and the health of the reconciler."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from migrations import runner
from shared.db.session import make_engine, session_factory, transaction
from shared.services import metric_totals
from shared.settings import Settings
from tests.compose.test_compose_file import ROOT
from tests.compose.test_make_secrets import make
from tests.servers import object_store


def run(script: str, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, str(ROOT / "docker" / script)]
    environment = {**kept, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_bucket_is_made_once_with_the_keys_of_the_secrets(project: Path) -> None:
    make(project)
    with object_store() as server:
        variables = {
            "AWS_ENDPOINT_URL": server.environment["AWS_ENDPOINT_URL"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_SHARED_CREDENTIALS_FILE": str(project / "secrets" / "s3_credentials"),
            "MIMEO_STORAGE_URL": "s3://mimeo/stack",
        }
        for _ in range(2):
            done = run("make_bucket.py", variables)
            assert (done.returncode, done.stdout, done.stderr) == (0, "the bucket mimeo exists\n", "")
        address = f"{variables['AWS_ENDPOINT_URL']}/mimeo"
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=10) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("url", ["file:///srv", "s3://"])
def test_bucket_of_another_storage_is_refused_with_one_line(url: str) -> None:
    done = run("make_bucket.py", {"MIMEO_STORAGE_URL": url})

    assert done.returncode == 2
    assert done.stderr == "mimeo: MIMEO_STORAGE_URL must be s3://BUCKET/PREFIX for the profile s3\n"


def test_unreachable_server_ends_the_creation_of_the_bucket_with_one_line(tmp_path: Path) -> None:
    missing = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "AWS_EC2_METADATA_DISABLED": "true"}
    done = run(
        "make_bucket.py", {"MIMEO_STORAGE_URL": "s3://mimeo", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", **missing}
    )

    assert done.returncode == 2
    assert done.stderr.startswith("mimeo: the bucket mimeo cannot be created: ")
    assert done.stderr.count("\n") == 1


def test_reconciler_is_healthy_after_a_recorded_round(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    runner.upgrade(settings)
    before = run("reconciler_health.py", {"MIMEO_HOME": str(tmp_path)})

    engine = make_engine(settings)
    with transaction(session_factory(engine)) as session:
        metric_totals.record_reconciler(session)
    engine.dispose()
    after = run("reconciler_health.py", {"MIMEO_HOME": str(tmp_path)})

    assert (before.returncode, after.returncode) == (1, 0)
