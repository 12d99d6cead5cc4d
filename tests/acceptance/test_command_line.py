"""The `mimeo` command against a real stack."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.stack import Stack
from tests.stack.processes import ROOT
from tests.terminal import on_a_terminal
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow

TINY = ("train", "vae", "--dataset", "digits", "--set", "epochs=2", "--set", "examples_per_epoch=2000", "--seed", "7")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "client.cli", *arguments]


def mimeo(stack: Stack, cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = {**stack.env(), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command(*arguments), env=env, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.fixture(scope="module")
def model(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small VAE, trained through the command line."""
    folder = tmp_path_factory.mktemp("train")
    done = mimeo(stack, folder, *TINY, "--name", "piped", "--follow", "--json", "--out", "samples")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["job"]["status"] == "succeeded"
    samples = [line for line in lines if line["type"] == "sample"]
    assert {sample["sample"]["epoch"] for sample in samples} == {0, 1, 2}
    for sample in samples:
        Image.open(folder / sample["path"]).verify()
    model: str = lines[-1]["job"]["model"]
    return model


def test_training_on_a_terminal_shows_progress_and_samples(stack: Stack, tmp_path: Path) -> None:
    status, written = on_a_terminal(command(*TINY, "--follow"), tmp_path, stack.env())
    output = written.decode(errors="replace")
    assert status == 0, output
    for part in ("epoch", "loss", "succeeded", "▀", "mimeo generate mdl_"):
        assert part in output
    assert len(list((tmp_path / "samples").rglob("*.png"))) == 3  # before training, and after each epoch


def test_generated_grid_is_written_to_the_file(stack: Stack, model: str, tmp_path: Path) -> None:
    done = mimeo(stack, tmp_path, "generate", model, "--mode", "grid", "--points", "4", "--out", "grid.png")
    assert (done.returncode, done.stdout) == (0, "grid.png\n")
    piped = subprocess.run(
        command("generate", model, "--mode", "grid", "--points", "4", "--out", "-"),
        env={**stack.env(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    with Image.open(tmp_path / "grid.png") as saved, Image.open(io.BytesIO(piped.stdout)) as streamed:
        assert saved.size == streamed.size
        assert saved.width >= 4 * 28


def test_job_and_model_can_be_listed_and_shown(stack: Stack, model: str, tmp_path: Path) -> None:
    (listed,) = [
        line.split("\t") for line in mimeo(stack, tmp_path, "models").stdout.splitlines() if line.startswith(model)
    ]
    assert listed[1:4] == ["piped", "vae", "digits"]
    shown = json.loads(mimeo(stack, tmp_path, "show", model, "--json").stdout)
    job = mimeo(stack, tmp_path, "show", shown["training_job"])
    assert job.returncode == 0
    for part in ("succeeded", "epoch 2/2", "History", "Checkpoints", "ckp_"):
        assert part in job.stdout
    kinds = {line.split("\t")[0] for line in mimeo(stack, tmp_path, "workers").stdout.splitlines()[1:]}
    assert kinds == {"training", "generation"}


def test_misspelt_hyperparameter_is_refused_with_the_closest_name(stack: Stack, tmp_path: Path) -> None:
    done = mimeo(stack, tmp_path, "train", "vae", "--set", "epocs=3")
    assert done.returncode == 2
    assert "hyperparameters.epocs" in done.stderr
    assert "epochs" in done.stderr


def test_cancelled_job_ends_its_follower_with_status_1(stack: Stack, tmp_path: Path) -> None:
    job_id = mimeo(stack, tmp_path, "train", "vae", "--dataset", "digits", "--set", "epochs=5000").stdout.strip()
    env = {**stack.env(), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command("follow", job_id), env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as follower:
        assert mimeo(stack, tmp_path, "cancel", job_id).returncode == 0
        _, remarks = follower.communicate(timeout=PATIENCE_S)
    assert follower.returncode == 1
    assert "cancelled" in remarks


def test_own_text_is_uploaded_once_and_listed(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "rhymes.txt").write_text("one two, buckle my shoe\n" * 500)
    assert mimeo(stack, tmp_path, "datasets", "add", "rhymes.txt", "--name", "rhymes").returncode == 0
    assert "rhymes" in mimeo(stack, tmp_path, "datasets").stdout
    again = mimeo(stack, tmp_path, "datasets", "add", "rhymes.txt", "--name", "rhymes")
    assert again.returncode == 2
    assert "rhymes" in again.stderr
    (tmp_path / "latin1.txt").write_bytes("café ".encode("latin-1") * 500)
    wrong = mimeo(stack, tmp_path, "datasets", "add", "latin1.txt")
    assert wrong.returncode == 2
    assert "byte" in wrong.stderr
