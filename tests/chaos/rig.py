"""A stack of real processes for faults: workers, reconcilers and an API, on real servers.

After every test, `settle` checks Mimeo's guarantees: every accepted job ends, and the invariants hold.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.broker import CeleryBroker
from shared.db.session import make_engine, reading, session_factory, transaction
from shared.db.tables import Base, Job, Worker
from shared.job_status import TERMINAL, JobKind, JobStatus, Priority
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.chaos import invariants
from tests.chaos.observer import Observer
from tests.chaos.processes import Keeper, Process, processes_of
from tests.servers import Valkey, free_port
from tests.waiting import wait_until
from tests.worker.attempts.harness import history

TRAINER = {"step_s": 0.1, "save_s": 0.0, "every": 4}
QUICK = {"step_s": 0.0, "save_s": 0.0, "every": 4}
# Slow enough for faults during its work, and quick enough for a test: about three seconds.
STEPS = 30


@dataclass(frozen=True)
class Accepted:
    """The accepted run of the hash chain."""

    seed: int
    steps: int


class Rig:
    """The stack. Every process has the same settings; `options` changes some of them (`lease_s=30`)."""

    def __init__(self, home: Path, database_url: str, valkey: Valkey, **options: Any) -> None:
        known: dict[str, Any] = {
            "home": home,
            "database_url": SecretStr(database_url),
            "redis_url": SecretStr(valkey.url),
            "lease_s": 3.0,
            "heartbeat_s": 0.4,
            "control_poll_s": 0.1,
            "reconcile_s": 0.2,
            "notification_stale_s": 2.0,
            "backoff_s": 0.1,
            "backoff_max_s": 0.5,
            "stop_grace_s": 10.0,
            "min_free_bytes": 0,  # of small disks that tests fill
            "log_level": "debug",
            "offline": True,
        }
        self.settings = Settings(**{**known, **options})
        self.valkey = valkey
        # The observer needs connections while fifty claims use theirs.
        self.engine = make_engine(self.settings.model_copy(update={"api_threads": 64}))
        if self.engine.dialect.name == "sqlite":
            Base.metadata.create_all(self.engine)
        self.sessions = session_factory(self.engine)
        self.storage = Storage.open_url(self.settings.resolved_storage_url)
        self.broker = CeleryBroker(self.settings)
        self.processes: list[Process] = []
        self.accepted: dict[str, Accepted | None] = {}
        self.trainer = dict(TRAINER)
        self.observer = Observer(self.sessions)
        self._keeper = Keeper()

    # --- processes ----------------------------------------------------------------------------------------------

    def worker(self, *, prefix: Iterable[str] = (), launcher: Iterable[str] = (), clock_s: float = 0,
               env: dict[str, str] | None = None, **trainer: Any) -> Process:  # fmt: skip
        """A training worker with the trainer of this folder; keywords change the trainer's options.

        launcher: words before the worker's command, such as those of another host; prefix: before the trainer's.
        """
        given = json.dumps({**self.trainer, **trainer})
        command = [*prefix, sys.executable, "-S", "-m", "tests.chaos.trainer", given]
        options = json.dumps({"trainer": command, "clock_s": clock_s})
        return self._start("worker", [*launcher, sys.executable, "-m", "tests.chaos.worker_main", options], env)

    def real_worker(self, kind: str = "training", *, prefix: Iterable[str] = ()) -> Process:
        """`python -m worker KIND`: the unchanged worker, with the real trainer (behind a prefix of its command)."""
        if not prefix:
            return self._start(f"{kind}-worker", [sys.executable, "-m", "worker", kind])
        options = json.dumps({"trainer": [*prefix, sys.executable, "-m", "worker.train"]})
        return self._start("training-worker", [sys.executable, "-m", "tests.chaos.worker_main", options])

    def reconciler(self) -> Process:
        """`python -m worker.reconciler`."""
        return self._start("reconciler", [sys.executable, "-m", "worker.reconciler"])

    def api(self) -> tuple[Process, httpx.Client]:
        """The API as a process, once it answers, and a client of it."""
        port = free_port()
        command = [sys.executable, "-m", "api.server"]
        process = self._start("api", command, {"MIMEO_PORT": str(port)})
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30)
        wait_until(lambda: is_up(client))
        return process, client

    def keep(self, *processes: Process) -> None:
        """From here on, restart these whenever they have ended, like a process supervisor."""
        self._keeper.keep(*processes)

    def holder(self, job_id: str) -> Process:
        """The worker process that runs the job."""
        with reading(self.sessions) as session:
            worker = session.get_one(Worker, session.get_one(Job, job_id).worker)
        return next(process for process in self.processes if process.pid == worker.pid)

    def _start(self, name: str, command: list[str], env: dict[str, str] | None = None) -> Process:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MIMEO_")}
        environment |= {"OMP_NUM_THREADS": "1", "MIMEO_DATABASE_URL": self.settings.resolved_database_url}
        environment |= {"MIMEO_REDIS_URL": self.settings.resolved_redis_url, "MIMEO_READY_MODELS": "0"}
        for field in self.settings.model_fields_set - {"database_url", "redis_url"}:
            environment[f"MIMEO_{field.upper()}"] = str(getattr(self.settings, field))
        log = self.settings.home_path / f"{len(self.processes)}-{name}.log"
        self.processes.append(Process(name, command, {**environment, **(env or {})}, log))
        return self.processes[-1]

    # --- jobs ---------------------------------------------------------------------------------------------------

    def submit(self, steps: int = STEPS, *, notifies: bool = True, **body: Any) -> str:
        """Accept a job of `steps` steps as the API does: the row, then the notification."""
        body = self.body(steps, **body)
        job_id = jobs.submitted(self.sessions, self.settings, **body)
        self.accepted[job_id] = Accepted(body["seed"], steps)
        if notifies:
            self.notify(job_id)
        return job_id

    def body(self, steps: int, **changes: Any) -> dict[str, Any]:
        """A request for a job of `steps` steps."""
        seed = len(self.accepted) + 1
        known = {"model_type": "vae", "dataset": "digits", "hyperparameters": {"epochs": steps}, "seed": seed}
        return {**known, **changes}

    def adopt(self, answer: dict[str, Any]) -> str:
        """Record a job that the API has accepted. Returns its id."""
        self.accepted[answer["id"]] = Accepted(answer["seed"], answer["hyperparameters"]["epochs"])
        return str(answer["id"])

    def submit_real(self, **body: Any) -> str:
        """Accept a job for the real trainer."""
        job_id = jobs.submitted(self.sessions, self.settings, **body)
        self.accepted[job_id] = None
        self.notify(job_id)
        return job_id

    def notify(self, job_id: str) -> bool:
        """Send a notification."""
        return self.broker.send(JobKind.TRAINING, job_id, Priority.NORMAL)

    def read_job(self, job_id: str) -> Job:
        """The job's current row."""
        return jobs.read_job(self.sessions, job_id)

    def status(self, job_id: str) -> JobStatus:
        """The job's current status."""
        return self.read_job(job_id).status

    def step(self, job_id: str) -> int:
        """The job's last step in the database."""
        return int(self.read_job(job_id).progress.get("step", 0))

    def reaches(self, job_id: str, step: int) -> None:
        """Wait until the job is at a step."""
        wait_until(lambda: self.step(job_id) >= step, because=f"{job_id} does not reach step {step}")

    def becomes(self, job_id: str, *statuses: JobStatus) -> None:
        """Wait until the job has one of the statuses."""
        wait_until(lambda: self.status(job_id) in statuses, because=f"{job_id} does not become {statuses}")

    def end(self, *job_ids: str) -> None:
        """Wait until the jobs, or all that were accepted, have ended."""
        asked = set(job_ids or self.accepted)
        wait_until(lambda: not asked & self.unfinished(), because=f"of these, some never end: {asked}")

    def unfinished(self) -> set[str]:
        """The accepted jobs that have not ended."""
        with reading(self.sessions) as session:
            return set(session.scalars(select(Job.id).where(Job.status.not_in(TERMINAL)))) & self.accepted.keys()

    def events(self, job_id: str) -> list[str]:
        """Types of the job's events."""
        return [event.type for event in history(self.sessions, job_id)]

    def starts(self, job_id: str) -> list[int]:
        """The start steps of the job's trainers."""
        return [event.data["step"] for event in history(self.sessions, job_id) if event.type == "started"]

    def apply(self, action: Callable[[Session, str], JobStatus], job_id: str) -> JobStatus:
        """Apply an action to a job (`transitions.cancel`)."""
        with transaction(self.sessions) as session:
            return action(session, job_id)

    # --- the end ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait for the end of every accepted job, stop all processes, and check the invariants."""
        self._keeper.stop()
        if not all(self.status(job_id).is_terminal for job_id in self.accepted):
            if not any(process.is_alive for process in self.processes if "worker" in process.name):
                self.worker()
            if not any(process.is_alive for process in self.processes if process.name == "reconciler"):
                self.reconciler()
            self.end()
        self.observer.stop()
        invariants.check_jobs(self)
        self.kill_all()
        try:
            wait_until(lambda: not processes_of(self.settings.home_path))
        except AssertionError:
            left = [process.cmdline() for process in processes_of(self.settings.home_path)]
            raise AssertionError(f"orphans: {left}") from None
        invariants.check_files(self)

    def kill_all(self) -> None:
        """Kill every process."""
        for process in self.processes:
            if process.is_alive:
                process.kill()

    def close(self) -> None:
        """Remove everything, after any result of the test."""
        self._keeper.stop()
        self.observer.stop()
        self.kill_all()
        for process in processes_of(self.settings.home_path):
            process.send_signal(signal.SIGKILL)
        self.engine.dispose()


MakeRig = Callable[..., Rig]


def is_up(client: httpx.Client) -> bool:
    """Whether an API answers."""
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
