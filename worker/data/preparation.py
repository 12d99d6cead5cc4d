"""Starts the preparation of a dataset in a child process, so that this process does not import torchvision."""

import json
import os
import subprocess
import sys
from pathlib import Path

from shared.datasets import DatasetInfo
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from worker.data.progress import OnProgress, Progress

_SOURCE = Path(__file__).resolve().parents[2]


def run(
    info: DatasetInfo,
    datasets_dir: Path | None,
    downloads: Path,
    *,
    offline: bool,
    on_progress: OnProgress,
    upload: Path | None = None,
) -> None:
    """Prepare a dataset in a child process and relay its progress. Raises the JobFailure that the child reports.

    upload: the stored form of uploaded images.

    The child ends when this process does: its standard input closes.
    """
    command = [sys.executable, "-m", "worker.data.prepare", info.name, "--supervised", "--downloads", str(downloads)]
    command += ["--datasets-dir", str(datasets_dir)] if datasets_dir else []
    command += ["--offline"] if offline else []
    command += ["--upload", str(upload)] if upload else []
    outcome: JobFailure | None = None
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(), text=True, encoding="utf-8"
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                outcome = _relay(json.loads(line), on_progress) or outcome
            child.wait()  # before its standard input is closed, since that would change its exit status
        except BaseException:
            child.kill()
            raise
    if outcome is not None:
        raise outcome
    if child.returncode:
        message = f"The preparation of the dataset `{info.name}` ended with status {child.returncode}."
        raise JobFailure(ErrorCode.INTERNAL, message, "The worker's log has its output.")


def _relay(event: dict[str, object], on_progress: OnProgress) -> JobFailure | None:
    match event:
        case {"type": "progress", "stage": str(stage), "name": str(name), "done": int(done)}:
            total = event["total"]
            on_progress(Progress(stage=stage, name=name, done=done, total=total if isinstance(total, int) else None))
        case {"type": "failed", "code": str(code), "message": str(message)}:
            hint = event["hint"]
            return JobFailure(ErrorCode(code), message, hint if isinstance(hint, str) else None)
    return None


def _environment() -> dict[str, str]:
    """This process's environment without Mimeo's settings, which the command line contains."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIMEO_")}
    search = os.pathsep.join(filter(None, (str(_SOURCE), kept.get("PYTHONPATH"))))
    return kept | {"PYTHONPATH": search}
