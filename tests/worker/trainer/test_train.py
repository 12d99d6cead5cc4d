"""The trainer program as a process: on a terminal, on a pipe, and under a supervisor."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared import trainer_protocol
from shared.trainer_protocol import EVENT
from tests.waiting import PATIENCE_S

ENVIRONMENT = {"PATH": os.environ["PATH"], "MIMEO_OFFLINE": "1", "PYTHONWARNINGS": "error::RuntimeWarning"}


def spec_file(folder: Path, body: Any) -> Path:
    path = folder / "spec.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


def started(folder: Path, *options: str, **fields: Any) -> subprocess.Popen[str]:
    """The trainer with the toy model, in a process of its own."""
    path = spec_file(folder, {"model_type": "toy", "seed": 1, "threads": 1, **fields})
    return subprocess.Popen(
        [sys.executable, "-m", "tests.worker.trainer.toy", str(path), str(folder / "run"), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "MIMEO_HOME": str(folder / "home")},
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"model_type": ', "is not JSON: Expecting value at line 1, column 16"),
        ({"model_typ": "vae"}, '/model_typ: There is no field "model_typ". Did you mean "model_type"?'),
        ({"model_type": "vea"}, "/model_type: There is no model type `vea`. Did you mean `vae`?"),
        ({"model_type": "vae", "preset": "bok"}, '/preset: vae has no preset `bok`. Did you mean "book"?'),
        ({"model_type": "vae", "hyperparameters": {"epoch": 3}}, 'no field "epoch". Did you mean "epochs"?'),
        ({"model_type": "vae", "hyperparameters": {"epochs": 0}}, "/hyperparameters/epochs: "),
        ({"model_type": "vae", "seed": -1}, "/seed: "),
        ("[]", "spec.json"),
    ],
)  # fmt: skip
def test_invalid_specification_is_one_clear_line_and_exit_status_2(body: Any, says: str, tmp_path: Path) -> None:
    path = spec_file(tmp_path, body)
    program = (
        "import sys; from worker.train import main; status = main(); sys.exit(99 if 'torch' in sys.modules else status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(tmp_path / "run")],
        capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()


def test_missing_specification_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    done = subprocess.run(
        [sys.executable, "-m", "worker.train", str(missing), str(tmp_path / "run")],
        capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, f"{missing}: cannot be read: No such file or directory\n")


def test_supervised_trainer_writes_only_events_and_stops_and_resumes(tmp_path: Path) -> None:
    with started(tmp_path, "--supervised", hyperparameters={"step_s": 0.01, "epochs": 1000}) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdin is not None
        lines = []
        for line in trainer.stdout:
            lines.append(line)
            if '"progress"' in line:
                break
        # Ctrl-C in a terminal reaches the whole process group: the supervisor has to handle it.
        trainer.send_signal(signal.SIGINT)
        trainer.stdin.write("stop\n")
        trainer.stdin.flush()
        lines += trainer.stdout.readlines()
        assert trainer.wait(PATIENCE_S) == trainer_protocol.EXIT_STOPPED
    reported = [EVENT.validate_json(line) for line in lines]
    assert isinstance(reported[0], trainer_protocol.Started)
    assert isinstance(reported[-2], trainer_protocol.CheckpointWritten)
    assert isinstance(reported[-1], trainer_protocol.Stopped)
    assert (tmp_path / "run/checkpoints" / f"{reported[-1].step:08d}").is_dir()


def test_trainer_ends_at_once_after_its_supervisor(tmp_path: Path) -> None:
    with started(tmp_path, "--supervised", hyperparameters={"step_s": 0.01, "epochs": 1000}) as trainer:
        assert trainer.stdin is not None
        assert trainer.stdout is not None
        EVENT.validate_json(trainer.stdout.readline())  # torch is loaded, so only the end is timed
        trainer.stdin.close()
        assert trainer.wait(PATIENCE_S) == 5


def test_invalid_specification_is_an_event_for_a_supervisor(tmp_path: Path) -> None:
    path = spec_file(tmp_path, {"model_type": "vae", "preset": "bok"})
    command = [sys.executable, "-m", "worker.train", str(path), str(tmp_path / "run"), "--supervised"]
    # Its standard input stays open: closing it means that the supervisor has ended.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as trainer:
        assert trainer.stdout is not None
        failed = EVENT.validate_json(trainer.stdout.read())
        assert trainer.wait(PATIENCE_S) == trainer_protocol.EXIT_FAILED
    assert isinstance(failed, trainer_protocol.Failed)
    assert failed.code == "invalid_request"
    assert "bok" in failed.message


def test_terminal_shows_progress_paths_of_samples_and_the_end(tmp_path: Path) -> None:
    path = spec_file(tmp_path, {"model_type": "toy", "threads": 1, "hyperparameters": {"epochs": 2}})
    terminal, inside = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.worker.trainer.toy", str(path), str(tmp_path / "run")],
        stdout=inside, stderr=inside, env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "200"},
    )  # fmt: skip
    os.close(inside)
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # Linux reports EIO when the other side has closed
        pass
    assert child.wait(PATIENCE_S) == 0
    for expected in (
        "25,920 parameters on cpu in float32",
        "epoch 2/2",
        "epoch 2 evaluated",
        "samples/epoch-0002-first.png",
        "finished:",
    ):
        assert expected in shown.decode(), shown.decode()
