"""Keras in an environment and a process of its own, which is idle between commands."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed.cases import Case
from benchmarks.speed.implementations import BenchContext, Implementation, LeftOutError, Ready

ROOT = Path(__file__).parents[2]
# The comparison uses processors only.
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Keras:
    """The child process and its replies."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send one command. Raises LeftOutError with the error that the child reports."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            log = self._log.read_text(errors="replace").strip().splitlines()
            raise LeftOutError(f"Keras's process ended with status {self._process.wait()}: {''.join(log[-1:])}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LeftOutError(answer["error"])
        return answer


@contextmanager
def started(python: Path, context: BenchContext) -> Iterator[Keras]:
    """A child process that has loaded the data."""
    arrays = context.folder / "data.npz"
    context.data.write(arrays)
    command = [str(python.absolute()), "-m", "benchmarks.speed.baselines_keras", str(arrays), str(context.threads)]
    log = context.folder / "keras.log"  # TensorFlow logs at length at its start
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            yield Keras(process, log)
        finally:
            process.kill()


def prepare(case: Case, context: BenchContext, *, keras: Keras | str) -> Ready:
    """The child's model for the case. keras: a string is the reason why there is no child; the row is left out."""
    if isinstance(keras, str):
        raise LeftOutError(keras)
    if case.unit == "character" and case.batch > 1:
        raise LeftOutError("the book writes one text at a time")
    vocabulary = len(context.data.text.vocabulary)
    reply = keras.ask(do="prepare", case={**asdict(case), "vocabulary": vocabulary})

    def run(count: int) -> float:
        return float(keras.ask(do="run", count=count)["seconds"])

    return Ready(run=run, about=reply["about"], parameters=reply["parameters"])


def implementations(keras: Keras | str) -> tuple[Implementation, ...]:
    """The rows, with a reason where there is no Keras."""
    prepared = partial(prepare, keras=keras)
    return tuple(
        Implementation(name="keras", title="Keras 3 on TensorFlow", role="peer", kind=kind, prepare=prepared)
        for kind in ("training", "sampling")
    )
