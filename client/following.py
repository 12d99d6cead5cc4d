"""Follows a training job until it ends: its progress and its samples."""

import time
from pathlib import Path
from typing import Protocol

from rich.console import Console

from client.errors import ApiError
from client.files import safe_name
from client.formatting import progress_line, queue_position, sample_title
from client.headlines import Names, everything, shown_metrics
from client.http import Client
from client.output import print_json
from client.readiness import ReadinessNotices
from client.schema import Artifact, Event, Job
from client.terminal import printable

PLAIN_EVERY_S = 10.0


class Presenter(Protocol):
    """Presents the changes of a followed job. Calls: job, sample, job, …, close."""

    def job(self, job: Job) -> None:
        """The job has changed."""

    def sample(self, sample: Artifact, content: bytes, path: Path) -> None:
        """A sample was fetched and saved at `path`."""

    def alarm(self, alarm: Event) -> None:
        """A health check failed; the message contains advice."""

    def notice(self, text: str) -> None:
        """The server is not ready, so the job makes no progress."""

    def close(self) -> None:
        """The job has ended."""


class PlainPresenter:
    """Lines for pipes and logs: one for each status and each epoch, and every ten seconds during progress.

    names: metrics to show, by model type.
    """

    def __init__(self, console: Console, names: Names = everything) -> None:
        self._console = console
        self._names = names
        self._news: tuple[object, ...] = ()
        self._line = ""
        self._shown_at = 0.0

    def job(self, job: Job) -> None:
        """Print a line if the job has changed."""
        progress = job.get("progress")
        epoch = progress["epoch"] if progress else None
        news = (job["status"], job["attempt"], queue_position(job), job.get("waiting_for"), epoch)
        line = f"{job['id']}  {progress_line(job, shown_metrics(job, self._names))}"
        moved = line != self._line and time.monotonic() - self._shown_at >= PLAIN_EVERY_S
        if news == self._news and not moved:
            return
        self._news, self._line, self._shown_at = news, line, time.monotonic()
        self._print(line)

    def sample(self, sample: Artifact, content: bytes, path: Path) -> None:  # noqa: ARG002  a path is enough on a pipe
        """Print the path of the sample."""
        self._print(f"sample  {sample_title(sample)}  {path}")

    def alarm(self, alarm: Event) -> None:
        """Print the warning."""
        self._print(f"warning  {alarm['type']}  {alarm['message']}")

    def notice(self, text: str) -> None:
        """Print the reason."""
        self._print(f"waiting  {text}")

    def close(self) -> None:
        """Do nothing: every line is printed at once."""

    def _print(self, line: str) -> None:
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


class JsonPresenter:
    """JSON lines: `{"type": "job", "job": …}` at each change; likewise `sample` with its path, and `alarm`."""

    def job(self, job: Job) -> None:
        """Print the whole job."""
        print_json({"type": "job", "job": job})

    def sample(self, sample: Artifact, content: bytes, path: Path) -> None:  # noqa: ARG002  the path is enough
        """Print the artifact and its path."""
        print_json({"type": "sample", "sample": sample, "path": str(path)})

    def alarm(self, alarm: Event) -> None:
        """Print the event."""
        print_json({"type": "alarm", "alarm": alarm})

    def notice(self, text: str) -> None:
        """Print the reason."""
        print_json({"type": "notice", "notice": text})

    def close(self) -> None:
        """Do nothing: every line is printed at once."""


class Follower:
    """Follows one job for one presenter. folder: where its samples are saved."""

    def __init__(
        self,
        client: Client,
        job_id: str,
        presenter: Presenter,
        folder: Path,
        readiness: ReadinessNotices | None = None,
    ) -> None:
        self._client = client
        self._job_id = job_id
        self._presenter = presenter
        self._folder = folder
        self._seen: set[str] = set()
        self._newest: str | None = None
        self._last_event: int | None = None
        self._readiness = readiness or ReadinessNotices(client)

    def run(self) -> Job:
        """Follow until the job is terminal and return it. Raises the errors of the client."""
        last: Job | None = None
        try:
            for job in self._client.watch(self._job_id, on_silence=self._notify):
                last = job
                self._fetch_samples(all_of_them=job["is_terminal"])
                self._fetch_alarms()
                self._presenter.job(job)  # last, so that the last line of an ended job is the job
        finally:
            self._presenter.close()
        assert last is not None, "a followed job is shown at least once"
        return last

    def _notify(self) -> None:
        for reason in self._readiness.new():
            self._presenter.notice(reason)

    def _fetch_alarms(self) -> None:
        """Show new warnings of health checks: events with a hint."""
        for event in self._client.events(self._job_id, after=self._last_event):
            self._last_event = event["id"]
            if event["data"].get("hint"):
                self._presenter.alarm(event)

    def _fetch_samples(self, *, all_of_them: bool) -> None:
        """Save and show the samples that are new.

        all_of_them: read the whole list, at the end. Ids of one millisecond are unordered, so `after` may have skipped
        one.
        """
        found = self._client.samples(self._job_id, after=None if all_of_them else self._newest)
        for sample in sorted(found, key=_reading_order):
            if sample["id"] in self._seen:
                continue
            self._seen.add(sample["id"])
            self._newest = max(sample["id"], self._newest or "")
            try:
                content = self._client.content(sample["id"])
            except ApiError as error:
                if error.status != 404:  # a restarted job may have replaced it since the listing
                    raise
                continue
            path = self._folder / safe_name(sample["name"])
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self._presenter.sample(sample, content, path)


def _reading_order(sample: Artifact) -> tuple[int, float, str]:
    """By epoch, and within an epoch by rising temperature."""
    return sample["epoch"] or 0, sample["details"].get("temperature", 0.0), sample["name"]
