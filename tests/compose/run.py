"""Builds the images, runs docker-compose.yml on a real engine, trains through it, scales it, and takes it down.

`make compose-test`. Exit 1, saying why, where no engine can be started or a step fails.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.compose import backups, faults, hosts, jobs
from tests.compose.engine import EngineError, docker, running_engine
from tests.compose.project import Project, deployed, make_secrets
from tests.compose.standins import provide_images

IMAGES = ("mimeo-api:0.1.0", "mimeo-worker:0.1.0")
API_IMAGE_LIMIT_MB = 250
PYTHON_IMAGE = "python:3.11.14-slim-bookworm"
PYTHON_IMAGE_MB = 130  # the official one; a stand-in is larger
JOB_TIMEOUT_S = 600.0
POLL_WORKERS_S = 1.0
# Trainers that share two cores with each other and with the servers are faster with one thread each.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
CACHE = Path(tempfile.gettempdir()) / "mimeo-compose"

# Only built-in datasets: the containers need no network.
FIRST = {
    "model_type": "vae",
    "dataset": "digits",
    "hyperparameters": {"epochs": 3, "examples_per_epoch": 5000},
    "seed": 7,
}
TOGETHER: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("lstm", "python-source", {"epochs": 2, "examples_per_epoch": 300_000, "layers": [64]}),
    ("vae", "digits", {"epochs": 10, "examples_per_epoch": 20_000}),
    ("acgan", "digits", {"epochs": 2, "examples_per_epoch": 5_000, "width": 8}),
)


def main() -> int:
    """Run every step. Returns the exit code."""
    started = time.monotonic()
    CACHE.mkdir(mode=0o700, exist_ok=True)
    try:
        with running_engine(CACHE / "dockerd.log"):
            step(f"base images: {provide_images(CACHE)}")
            refuse_a_start_without_passwords()
            make_secrets(CACHE / "project")
            build()
            up_at = time.monotonic()
            with deployed(variables=ONE_THREAD) as project:
                exercise(project, up_at)
            assert not project.containers(), "containers are left after down"
            assert not project.volumes(), "volumes are left after down --volumes"
            step("taken down: no container and no volume left")
            with hosts.stack_and_worker_host() as stack:
                train_on_another_host(stack)
    except (EngineError, AssertionError, httpx.HTTPError, subprocess.TimeoutExpired) as error:
        print(f"\ncompose-test: FAILED: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    print(f"\ncompose-test: passed in {time.monotonic() - started:.0f} s")
    return 0


def step(message: str) -> None:
    """Print a verified fact."""
    print(f"• {message}", flush=True)


def refuse_a_start_without_passwords() -> None:
    """`docker compose up` without the folder of the secrets starts nothing and names the command."""
    os.environ.pop("MIMEO_SECRETS_DIR", None)
    message = ""
    try:
        Project(0).compose("up", "--detach")
    except EngineError as error:
        message = str(error)
    assert "docker/make-secrets.sh" in message, f"the stack started without passwords: {message}"
    assert not Project(0).containers()
    step("a start without passwords stops with the command that makes them")


def build() -> None:
    """Build both images and check their contents."""
    started = time.monotonic()
    Project(0).compose("build")
    step(f"images built in {time.monotonic() - started:.0f} s")
    megabytes = {image: size_of(image) for image in IMAGES}
    for image, size in megabytes.items():
        step(f"{image}: {size:,.0f} MB")
    added = megabytes[IMAGES[0]] - size_of(PYTHON_IMAGE)
    step(f"{IMAGES[0]} adds {added:,.0f} MB to {PYTHON_IMAGE}")
    assert added + PYTHON_IMAGE_MB < API_IMAGE_LIMIT_MB, "the API image has grown: is torch in it?"
    probe = "import importlib.util as u, os; print(os.getuid(), u.find_spec('torch') is not None)"
    seen = {image: docker("run", "--rm", image, "python", "-c", probe).split() for image in IMAGES}
    assert seen == {IMAGES[0]: ["10001", "False"], IMAGES[1]: ["10001", "True"]}, seen
    step("both run as user 10001; torch is in the worker image alone")


def size_of(image: str) -> float:
    """An image's size in megabytes."""
    return int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def check_isolation(project: Project) -> None:
    """Only the API's port is published, Redis asks for its password, and root file systems are read-only."""
    ports = {
        docker("inspect", "--format", '{{index .Config.Labels "com.docker.compose.service"}}', container).strip()
        for container in project.containers()
        if "HostPort" in docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", container)
    }
    assert ports == {"api"}, ports
    answer = project.compose("exec", "--no-TTY", "redis", "redis-cli", "ping", check=False)
    assert "NOAUTH" in answer, answer
    for service in ("api", "training-worker", "postgres", "redis"):
        probe = "touch /probe 2>/dev/null || touch /usr/probe 2>/dev/null || echo refused"
        assert project.compose("exec", "--no-TTY", service, "sh", "-c", probe).strip() == "refused", service
    step("only the API is published, Redis asks for its password, root file systems are read-only")


def exercise(project: Project, up_at: float) -> None:
    """Keys of two owners; train, generate, scale out and in, kill each container, update the workers, restore.

    up_at: when the stack was started, on `time.monotonic`.
    """
    step(f"stack up and healthy at {project.url}")
    check_isolation(project)
    with client_of(project, "ada") as http, client_of(project, "bob") as other:
        assert http.get("/readyz").status_code == 200
        first_job_runs(http, up_at)
        check_owners(project, http, other)
        train_and_generate(http)
        project.up("--no-recreate", "--scale", "training-worker=3")
        wait_for_workers(http, 3)
        step("training-worker scaled to 3")
        for owner in (http, other):
            train_together(owner)
        ended = faults.scale_in_while_running(project, http)
        wait_for_workers(http, 1)
        step(f"training-worker scaled to 1 while {len(ended)} jobs ran: each succeeded in its first attempt")
        for service in faults.KILLED:
            job = faults.kill_while_running(project, http, service)
            step(f"{service} killed while a job ran: it succeeded in attempt {job['attempt']}")
        job = faults.update_while_running(project, http)
        step(f"workers replaced while a job ran: it succeeded in attempt {job['attempt']}")
        running = backups.create(project, http, CACHE / "backups")
        jobs.wait_for(http, running, timeout_s=JOB_TIMEOUT_S)
        count = backups.restored(http, running, CACHE / "backups", ONE_THREAD)
        step(f"backup of the running stack restored into a second project: {count} models and their outputs are equal")


def first_job_runs(http: httpx.Client, up_at: float) -> None:
    """Submit the first job and wait for its start."""
    job_id = jobs.submit(http, {**faults.JOB, "seed": 9})
    faults.wait_until_running(http, [job_id])
    step(f"first job runs {time.monotonic() - up_at:.0f} s after the start of the stack")
    jobs.wait_for(http, job_id, timeout_s=JOB_TIMEOUT_S)


def train_on_another_host(stack: Project) -> None:
    """A job whose only training worker is of another project, with object storage between both."""
    with client_of(stack, "ada") as http:
        wait_for_workers(http, 1)
        names = {each["host"] for each in http.get("/v1/workers").json()["data"] if each["kind"] == "training"}
        assert names == {hosts.HOST_NAME}, names
        job = jobs.wait_for(http, jobs.submit(http, FIRST), timeout_s=JOB_TIMEOUT_S)
        assert jobs.samples(http, job), "the job left no samples"
        grid = {"model": job["model"], "sampling": {"mode": "grid", "points": 4}, "seed": 1}
        jobs.generate(http, grid)
    step(f"a worker of docker-compose.worker.yml trained {job['id']}; its model generates on the stack")


def client_of(project: Project, owner: str) -> httpx.Client:
    """A client with a new API key of an owner."""
    command = ("exec", "--no-TTY", "api", "python", "-m", "api.keys", "create", "--owner", owner)
    key = project.compose(*command).split()[0]
    return httpx.Client(base_url=project.url, timeout=70, headers={"Authorization": f"Bearer {key}"})


def check_owners(project: Project, http: httpx.Client, other: httpx.Client) -> None:
    """A request without a key is refused, and an owner does not see another's jobs."""
    assert httpx.get(f"{project.url}/v1/training-jobs", timeout=70).status_code == 401
    job_id = jobs.submit(http, {**FIRST, "seed": 8})
    assert other.get(f"/v1/training-jobs/{job_id}").status_code == 404
    jobs.wait_for(http, job_id, timeout_s=JOB_TIMEOUT_S)
    step("requests need a key, and jobs of one owner are unknown to another")


def pixels(png: bytes) -> str:
    """A picture's size for the output."""
    return "×".join(map(str, jobs.image_size(png))) + " px"


def train_and_generate(http: httpx.Client) -> None:
    """The main job, through the published port."""
    job = jobs.wait_for(http, jobs.submit(http, FIRST), timeout_s=JOB_TIMEOUT_S)
    pictures = jobs.samples(http, job)
    assert pictures, "the job left no samples"
    step(f"{job['id']} succeeded; {len(pictures)} samples, the last {pixels(pictures[-1])}")
    grid = {"model": job["model"], "sampling": {"mode": "grid", "points": 10}, "seed": 1}
    first, again = jobs.generate(http, grid), jobs.generate(http, grid)
    assert first == again, "the same seed gave other bytes"
    step(f"generated a grid of {pixels(first[0])}, twice the same bytes")


def train_together(http: httpx.Client) -> None:
    """An LSTM, a VAE and an ACGAN job; all three must have been running at one time."""
    ids = [
        jobs.submit(http, {"model_type": model_type, "dataset": dataset, "hyperparameters": chosen, "seed": 7})
        for model_type, dataset, chosen in TOGETHER
    ]
    runs = [jobs.Run.of(jobs.wait_for(http, job_id, timeout_s=JOB_TIMEOUT_S)) for job_id in ids]
    overlap = jobs.all_at_once(runs)
    print(jobs.table(runs), flush=True)
    assert overlap > 0, "the three jobs did not run at once"
    step(f"three jobs ran at once for {overlap:.1f} s")


def wait_for_workers(http: httpx.Client, count: int, *, timeout_s: float = 60.0) -> None:
    """Wait until exactly `count` training workers are known."""
    deadline = time.monotonic() + timeout_s
    while True:
        workers = [worker for worker in http.get("/v1/workers").json()["data"] if worker["kind"] == "training"]
        if len(workers) == count:
            return
        assert time.monotonic() < deadline, f"{len(workers)} training workers after {timeout_s} s instead of {count}"
        time.sleep(POLL_WORKERS_S)


if __name__ == "__main__":
    sys.exit(main())
