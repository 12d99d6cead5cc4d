"""Keras in an environment and a process of its own, which works only when it is asked to."""

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
# The comparison is of processors.
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Keras:
    """The child and its answers."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log

    def ask(self, **command: Any) -> dict[str, Any]:
        """One command. Raises LeftOutError with what the child says went wrong."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise LeftOutError(f"Keras's process ended with status {self._process.wait()}: {''.join(said[-1:])}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LeftOutError(answer["error"])
        return answer


@contextmanager
def started(python: Path, workplace: BenchContext) -> Iterator[Keras]:
    """A child that has read the data."""
    data = workplace.folder / "data.npz"
    workplace.material.write(data)
    command = [str(python.absolute()), "-m", "benchmarks.speed.baselines_keras", str(data), str(workplace.threads)]
    log = workplace.folder / "keras.log"  # TensorFlow greets at length
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


def prepare(case: Case, workplace: BenchContext, *, keras: Keras | str) -> Ready:
    """The child's model for the case. keras: a reason instead of a child leaves the row out."""
    if isinstance(keras, str):
        raise LeftOutError(keras)
    if case.unit == "character" and case.batch > 1:
        raise LeftOutError("the book writes one text at a time")
    vocabulary = len(workplace.material.text.vocabulary)
    said = keras.ask(do="prepare", case={**asdict(case), "vocabulary": vocabulary})

    def run(count: int) -> float:
        return float(keras.ask(do="run", count=count)["seconds"])

    return Ready(run=run, about=said["about"], parameters=said["parameters"])


def sides(keras: Keras | str) -> tuple[Implementation, ...]:
    """The rows, with a reason where there is no Keras."""
    prepared = partial(prepare, keras=keras)
    return tuple(
        Implementation(name="keras", title="Keras 3 on TensorFlow", role="peer", kind=kind, prepare=prepared)
        for kind in ("training", "sampling")
    )
