"""The jobs of the demonstration: one of each model type, at the same time."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import TaskID

from client.demo.datasets import Choice
from client.following import PlainPresenter
from client.formatting import outcome
from client.headlines import Headlines, Names, shown_metrics
from client.http import Client
from client.live import job_progress, show_job
from client.readiness import ReadinessNotices
from client.schema import Job, ModelType

POLL_S = 0.3
SEED = 7


def train_all(
    client: Client, console: Console, model_types: Mapping[str, ModelType], choices: Mapping[str, Choice]
) -> dict[str, Job]:
    """Train every model type with its demonstration budget, and return the ended jobs by model type.

    If a job fails for lack of its dataset, it is sent again with the built-in dataset.
    """
    running = {name: _submit(client, model_types[name], choice.dataset) for name, choice in choices.items()}
    display = _Display(console, Headlines(client).metrics)
    ended: dict[str, Job] = {}
    readiness = ReadinessNotices(client)
    try:
        while len(ended) < len(running):
            for name in running.keys() - ended.keys():
                job = client.job(running[name]["id"])
                fallback = model_types[name]["demo"]["fallback_dataset"]
                if _lacks_its_data(job) and job.get("dataset") != fallback:
                    display.say(f"{outcome(job)} Training on {fallback} instead.")
                    running[name] = job = _submit(client, model_types[name], fallback)
                display.show(name, job)
                if job["is_terminal"]:
                    ended[name] = job
            for reason in readiness.new():
                display.say(f"Mimeo waits: {reason}")
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        for name in running.keys() - ended.keys():
            client.cancel(running[name]["id"])
        raise
    finally:
        display.close()
    return {name: ended[name] for name in choices}


def _submit(client: Client, model_type: ModelType, dataset: str) -> Job:
    return client.train(
        {
            "model_type": model_type["name"],
            "dataset": dataset,
            "hyperparameters": model_type["demo"]["hyperparameters"],
            "seed": SEED,
            "name": f"demo-{model_type['name']}",
        }
    )


def _lacks_its_data(job: Job) -> bool:
    return job["error"] is not None and job["error"]["code"] == "dataset_unavailable"


class _Display:
    """Bars on a terminal, lines on a pipe."""

    def __init__(self, console: Console, names: Names) -> None:
        self._console = console
        self._names = names
        self._progress = job_progress(console)
        self._tasks: dict[str, TaskID] = {}
        self._plain: dict[str, PlainPresenter] = {}
        if console.is_terminal:
            self._progress.start()

    def show(self, name: str, job: Job) -> None:
        if not self._console.is_terminal:
            self._plain.setdefault(name, PlainPresenter(self._console, self._names)).job(job)
            return
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(f"{name} on {job.get('dataset')}", total=None, state="")
        show_job(self._progress, self._tasks[name], job, shown_metrics(job, self._names))

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def close(self) -> None:
        self._progress.stop()
