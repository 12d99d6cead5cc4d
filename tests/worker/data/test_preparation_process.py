"""The preparation is a separate program: started when needed, killed at any time, started twice at once."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.errors import JobFailure
from shared.job_status import ErrorCode
from tests.worker.data import formats
from tests.worker.data.conftest import FileServer
from worker.data import ImageDataset, load
from worker.data.progress import Progress

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow  # each process imports torch and torchvision


def start(home: Path, *arguments: str, startup: Path | None = None) -> "subprocess.Popen[str]":
    """Start the preparation of MNIST. startup: folder with a `sitecustomize.py` that the process runs first."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMEO_")}
    environment |= {"MIMEO_HOME": str(home), "PYTHONPATH": f"{startup}{os.pathsep}{ROOT}" if startup else str(ROOT)}
    command = [sys.executable, "-m", "worker.data.prepare", "mnist", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)


def events(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    output, _ = process.communicate(timeout=100)
    return [json.loads(line) for line in output.splitlines()]


def customise(folder: Path, program: str) -> Path:
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(program)
    return folder


def test_missing_prepared_file_is_made_by_a_process_with_relayed_progress(tmp_path: Path) -> None:
    formats.put(tmp_path / "mine", formats.idx_files("mnist"))
    seen: list[Progress] = []

    dataset = load("mnist", datasets_dir=tmp_path / "mine", home=tmp_path, offline=True, on_progress=seen.append)

    assert isinstance(dataset, ImageDataset)
    assert len(dataset.train_images) == 30
    assert seen == [Progress(stage="preparing", name="mnist")]


def test_failure_of_the_process_is_raised_with_its_message(tmp_path: Path) -> None:
    formats.put(tmp_path, dict.fromkeys(formats.idx_files("mnist"), b"?"))

    with pytest.raises(JobFailure) as caught:
        load("mnist", datasets_dir=tmp_path, home=tmp_path, offline=True)

    assert caught.value.error_code is ErrorCode.INVALID_DATA
    assert "train-images-idx3-ubyte" in caught.value.detail
    assert "good copies" in (caught.value.hint or "")


def test_process_killed_during_a_write_leaves_no_usable_file(tmp_path: Path) -> None:
    formats.put(tmp_path / "datasets", formats.idx_files("mnist"))
    half = customise(
        tmp_path / "startup",
        "import os, pathlib, signal\n"
        "import safetensors.torch\n"
        "def half(tensors, path, metadata):\n"
        "    pathlib.Path(path).write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "safetensors.torch.save_file = half\n",
    )
    folder = tmp_path / "datasets" / "prepared"

    killed = start(tmp_path, startup=half)
    events(killed)
    left = [path.name for path in folder.iterdir() if path.suffix == ".tmp"]
    (last,) = events(start(tmp_path))[-1:]

    assert killed.returncode == -signal.SIGKILL
    assert left == [f".mnist-{killed.pid}.tmp"]
    assert last["type"] == "prepared"
    assert {path.name for path in folder.iterdir()} == {Path(last["path"]).name, "mnist.lock"}
    assert isinstance(load("mnist", datasets_dir=None, home=tmp_path, offline=True), ImageDataset)


def test_one_of_two_concurrent_processes_does_the_work(tmp_path: Path) -> None:
    formats.put(tmp_path / "datasets", formats.idx_files("mnist"))

    both = [start(tmp_path), start(tmp_path)]
    reported = [events(process) for process in both]

    stages = [event["stage"] for each in reported for event in each if event["type"] == "progress"]
    assert [process.returncode for process in both] == [0, 0]
    assert stages.count("preparing") == 1
    assert reported[0][-1] == reported[1][-1]


def test_process_ends_with_its_parent(tmp_path: Path, server: FileServer) -> None:
    server.files["/slow"] = b"x" * 1000
    server.fenced.clear()
    startup = customise(
        tmp_path / "startup",
        "from dataclasses import replace\n"
        "from shared.datasets import REGISTRY, Source\n"
        f"source = Source(path='MNIST/raw/slow', urls=({server.url('/slow')!r},))\n"
        "REGISTRY['mnist'] = replace(REGISTRY['mnist'], sources=(source,))\n",
    )

    with start(tmp_path, "--supervised", startup=startup) as process:
        assert server.held.wait(60)  # the download has begun and is held
        assert process.stdin is not None
        process.stdin.close()
        status = process.wait(60)
    server.fenced.set()

    assert status == 5


def test_killed_download_resumes(tmp_path: Path, server: FileServer) -> None:
    contents = formats.idx_files("mnist", train=1000)  # random images: half of the first file is more than a chunk
    packed = {f"{path}.gz": gzip.compress(content) for path, content in contents.items()}
    server.files |= {f"/{path}": content for path, content in packed.items()}
    sources = [
        (path, server.url(f"/{path}"), f"sha256:{hashlib.sha256(content).hexdigest()}", path.removesuffix(".gz"))
        for path, content in packed.items()
    ]
    startup = customise(
        tmp_path / "startup",
        "from dataclasses import replace\n"
        "from shared.datasets import REGISTRY, Source\n"
        f"sources = {sources!r}\n"
        "sources = tuple(Source(path=p, urls=(u,), checksum=c, files=(f,)) for p, u, c, f in sources)\n"
        "REGISTRY['mnist'] = replace(REGISTRY['mnist'], sources=sources)\n",
    )
    server.fenced.clear()

    killed = start(tmp_path, startup=startup)
    assert server.held.wait(60)
    assert killed.stdout is not None
    begun = json.loads(killed.stdout.readline())
    killed.kill()
    killed.communicate()
    server.fenced.set()
    reported = events(start(tmp_path, startup=startup))

    assert begun["stage"] == "downloading"
    assert reported[-1]["type"] == "prepared"
    assert begun["done"] > 0
    assert server.requests[1] == (server.requests[0][0], f"bytes={begun['done']}-")
