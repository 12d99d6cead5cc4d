"""A backup of a stack that trains, restored into a second project."""

from pathlib import Path

import httpx

from tests.compose import jobs
from tests.compose.faults import JOB, wait_until_running
from tests.compose.project import Project, deployed

NAME = "mimeo-compose-test-restored"
FILE = "stack.zip"
TIMEOUT_S = 600.0


def create(project: Project, http: httpx.Client, folder: Path) -> str:
    """Back up a project while a job runs. Returns the id of the job.

    folder: receives the file. The containers write it as a user of their own.
    """
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    (folder / FILE).unlink(missing_ok=True)
    job_id = jobs.submit(http, {**JOB, "seed": 6})
    wait_until_running(http, [job_id])
    _run(project, folder, "create")
    return job_id


def restored(http: httpx.Client, running: str, folder: Path, variables: dict[str, str]) -> int:
    """Restore a backup into an empty project, compare the models of an owner and what they generate.

    Returns the number of models.

    http: of the project of the backup; its key is valid in the other, too. running: the job that ran at the backup; it
    has ended in the first project, and has to end with the same weights in the second.
    """
    models = _models(http)
    (continued,) = (each for each in models.values() if each["training_job"] == running)
    kept = {model_id: model for model_id, model in models.items() if model is not continued}
    pictures = {model_id: _output(http, model_id) for model_id in kept}
    with deployed("postgres", name=NAME, variables=variables) as project:
        _run(project, folder, "restore")
        project.up()
        with httpx.Client(base_url=project.url, timeout=70, headers=http.headers) as other:
            job = jobs.wait_for(other, running, timeout_s=TIMEOUT_S)
            found = _models(other)
            again = found.pop(job["model"])
            assert found == kept, "a model of the backup differs"
            assert again["checkpoint"]["sha256"] == continued["checkpoint"]["sha256"], (
                "the running job ended differently"
            )
            assert {model_id: _output(other, model_id) for model_id in kept} == pictures
    return len(pictures)


def _run(project: Project, folder: Path, command: str) -> None:
    options = ("run", "--rm", "--no-deps", "--volume", f"{folder}:/backups")
    project.compose(*options, "api", "python", "-m", "stack.backup", command, f"/backups/{FILE}")


def _models(http: httpx.Client) -> dict[str, jobs.Json]:
    listed = http.get("/v1/models", params={"limit": 100})
    assert listed.status_code == 200, listed.text
    return {model["id"]: model for model in listed.json()["data"]}


def _output(http: httpx.Client, model_id: str) -> list[bytes]:
    return jobs.generate(http, {"model": model_id, "seed": 3})
