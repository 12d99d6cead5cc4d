"""Copies event files of training jobs into a folder, and runs TensorBoard on it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.errors import ApiError, ClientError
from client.http import Client
from client.schema import Job

KIND = "tensorboard"
NEWEST = 20
_UNFIT = re.compile(r"[^\w .,()+=-]")


class BoardFailed(ClientError):
    """TensorBoard did not start."""


class EventFolder:
    """A folder with a run for each job, updated by `bring`.

    job_ids: the jobs; empty: the newest ones, and jobs that start later.
    """

    def __init__(self, client: Client, folder: Path, job_ids: list[str]) -> None:
        self._client, self._folder, self._job_ids = client, folder, job_ids
        self._over: set[str] = set()

    def refresh(self) -> int:
        """Download new files; returns their number. Raises the errors of the client."""
        if self._job_ids:
            jobs = [self._client.job(job_id) for job_id in self._job_ids]
        else:
            jobs = self._client.training_jobs(limit=NEWEST)["data"]
        brought = 0
        for job in jobs:
            if job["is_terminal"] and job["id"] in self._over:
                continue
            brought += self._bring(job["id"], self._folder / _run_name(job))
            # The status was read before the list of files, so the files of an ended job are complete here.
            if job["is_terminal"]:
                self._over.add(job["id"])
            else:
                self._over.discard(job["id"])
        return brought

    def _bring(self, job_id: str, run: Path) -> int:
        """Download the missing event files of a job, in order, because TensorBoard never returns to an earlier file."""
        files = sorted(self._client.artifacts(job_id, kind=KIND), key=lambda file: file["name"])
        missing = [file for file in files if not (run / Path(file["name"]).name).exists()]
        for file in missing:
            try:
                content = self._client.content(file["id"])
            except ApiError as error:
                if error.status == 404:  # deleted meanwhile
                    return 0
                raise
            run.mkdir(parents=True, exist_ok=True)
            unfinished = run / ".unfinished"
            unfinished.write_bytes(content)
            unfinished.replace(run / Path(file["name"]).name)
        return len(missing)


def _run_name(job: Job) -> str:
    """Name of a job's run in TensorBoard: its id, and its name without characters that folders cannot have."""
    return f"{job['id']} {_UNFIT.sub('_', job['name'])}"[:200].strip() if job["name"] else job["id"]


@contextmanager
def serving(folder: Path, port: int | None) -> Iterator[str]:
    """TensorBoard on a folder, until the block ends; yields its address. Raises BoardFailed.

    port: None for the first free one from 6006 on, 0 for any.
    """
    command = [sys.executable, "-m", "client.board_server", str(folder), *([str(port)] if port is not None else [])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().strip()
        if not address:
            output = process.stderr.read().strip().splitlines()
            raise BoardFailed(f"TensorBoard did not start: {output[-1] if output else 'it printed no error'}")
        try:
            yield address
        finally:
            process.terminate()
