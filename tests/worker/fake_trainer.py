"""A trainer without a model: it uses the real protocol, writes real checkpoints, and fails on request.

`python fake_trainer.py BEHAVIOUR SPEC.json RUN_DIR --supervised`
"""

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.worker.manifests import manifest_json

STEPS = 6
DAMAGED_STEP = 9
EPOCH = 1


def report(kind: str, **fields: Any) -> None:
    print(json.dumps({"type": kind, **fields}), flush=True)


def progress(step: int) -> None:
    report("progress", epoch=EPOCH, step=step, examples_per_s=100.0, metrics={"loss": 10.0 - step})


def checkpoint(run_dir: Path, step: int, *, is_best: bool = False, is_damaged: bool = False) -> None:
    contents = {"model.safetensors": b"weights %d" % step, "training.safetensors": b"optimizer %d" % step}
    folder = run_dir / "checkpoints" / f"{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        digests[name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (folder / "manifest.json").write_text(manifest_json(step, digests))
    if is_damaged:
        (folder / "model.safetensors").write_bytes(b"WEIGHTS %d" % step)
    report(
        "checkpoint",
        epoch=EPOCH,
        step=step,
        path=f"checkpoints/{folder.name}",
        sha256=digests["model.safetensors"]["sha256"],
        size=sum(len(data) for data in contents.values()),
        metrics={"val_loss": 10.0 - step},
        is_best=is_best,
    )


def sample(run_dir: Path, name: str, text: str) -> None:
    (run_dir / "samples").mkdir(exist_ok=True)
    (run_dir / "samples" / name).write_text(text)
    meta = {"temperature": 0.5}
    report("sample", epoch=EPOCH, step=1, path=f"samples/{name}", media_type="text/plain", meta=meta)


def asked_to_stop(wait_s: float) -> bool:
    ready, _, _ = select.select([0], [], [], wait_s)
    if not ready:
        return False
    line = os.read(0, 100)
    if not line:
        os._exit(5)
    return b"stop" in line


def first_step(run_dir: Path) -> int:
    whole = (run_dir / "checkpoints").glob("[0-9]*/model.safetensors")
    return max((int(path.parent.name) for path in whole), default=0)


def start(run_dir: Path) -> int:
    step = first_step(run_dir)
    report(
        "started",
        device="cpu",
        precision="float32",
        epochs=EPOCH,
        steps=STEPS,
        step=step,
        epoch=EPOCH,
        parameters=3,
        versions={"fake": "1"},
    )
    return step


def finish(run_dir: Path, best: int) -> None:
    report("finished", epoch=EPOCH, step=STEPS, checkpoint=f"checkpoints/{best:08d}", quality={"val_loss": 1.5})


def train(run_dir: Path) -> None:
    for step in range(start(run_dir) + 1, STEPS + 1):
        progress(step)
        report("metrics", epoch=EPOCH, step=step, values={"loss": 10.0 - step})
        checkpoint(run_dir, step, is_best=step <= 4)
    sample(run_dir, "epoch-0001-t0.5.txt", json.dumps(dict(os.environ)))
    report("notice", code="collapse", message="All samples look alike.", hint="Lower the rate.", data={"n": 1})
    finish(run_dir, 4)


def work_until_stopped(run_dir: Path, *, stops: bool = True) -> None:
    step = start(run_dir)
    checkpoint(run_dir, step + 1, is_best=True)
    while True:
        progress(step + 1)
        if not asked_to_stop(0.02):
            continue
        if stops:
            checkpoint(run_dir, step + 2)
            report("stopped", epoch=EPOCH, step=step + 2)
            sys.exit(3)
        (run_dir.parent / "stop_ignored").touch()


def finish_when_asked_to_stop(run_dir: Path) -> None:
    start(run_dir)
    checkpoint(run_dir, 4, is_best=True)
    while not asked_to_stop(0.02):
        progress(4)
    finish(run_dir, 4)


def crash(run_dir: Path) -> None:
    start(run_dir)
    print("Traceback: the reason of it all", file=sys.stderr)
    sys.exit(1)


def sample_and_crash(run_dir: Path) -> None:
    start(run_dir)
    checkpoint(run_dir, 4, is_best=True)
    sample(run_dir, "epoch-0001-t0.5.txt", "from before")
    sys.exit(1)


def crash_once(run_dir: Path) -> None:
    if first_step(run_dir) == 0:
        start(run_dir)
        checkpoint(run_dir, 3)
        sys.exit(1)
    train(run_dir)


def event_file(run_dir: Path, step: int, contents: str) -> None:
    (run_dir / "tensorboard").mkdir(exist_ok=True)
    name = f"events.out.tfevents.{len(list((run_dir / 'tensorboard').iterdir())) + 1:08d}"
    (run_dir / "tensorboard" / name).write_text(contents)
    report("event_file", step=step, path=f"tensorboard/{name}")


def alarm_and_crash_once(run_dir: Path) -> None:
    """Both attempts run step 5 and find the same there, as a deterministic run does."""
    first = first_step(run_dir)
    start(run_dir)
    if first == 0:
        event_file(run_dir, 3, "steps 1 to 3")
        checkpoint(run_dir, 3)
    alarm = {"hint": "Lower the rate.", "step": 5, "is_warning": True, "data": {"n": 1}}
    report("notice", code="mode_collapse", message="It has collapsed.", **alarm)
    if first == 0:
        sys.exit(1)
    event_file(run_dir, 6, "steps 4 to 6")
    checkpoint(run_dir, 6, is_best=True)
    finish(run_dir, 6)


def hang(run_dir: Path) -> None:
    start(run_dir)
    time.sleep(600)


def killed(run_dir: Path) -> None:
    start(run_dir)
    os.kill(os.getpid(), signal.SIGKILL)


def diverged(run_dir: Path) -> None:
    start(run_dir)
    report("failed", code="diverged", message="loss became nan at step 3.", hint="Lower the rate.")
    sys.exit(4)


def out_of_memory(run_dir: Path) -> None:
    """Memory runs out after step 3 where a batch is computed at once."""
    if json.loads((run_dir / "job.json").read_text())["batch_parts"] > 1:
        train(run_dir)
        return
    start(run_dir)
    checkpoint(run_dir, 3)
    report("failed", code="out_of_memory", message="The run needs more memory.", available_bytes=1 << 25)
    sys.exit(4)


def noise(run_dir: Path) -> None:
    print("a line that is no event\n{broken\n" + "x" * 3_000_000, flush=True)
    print("y" * 200_000, file=sys.stderr)
    train(run_dir)


def escape(run_dir: Path) -> None:
    start(run_dir)
    report("sample", epoch=1, step=1, path="../../../../etc/hostname", media_type="text/plain")
    time.sleep(600)


def damaged(run_dir: Path) -> None:
    """The damaged checkpoint has the highest step: if it had a row, it would never be pruned."""
    first = start(run_dir)
    checkpoint(run_dir, DAMAGED_STEP, is_damaged=True)
    for step in range(first + 1, STEPS + 1):
        checkpoint(run_dir, step, is_best=step <= 4)
    finish(run_dir, 4)


def family(run_dir: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (run_dir.parent / "grandchild").write_text(str(child.pid))
    work_until_stopped(run_dir)


BEHAVIOURS = {
    "train": train,
    "work": work_until_stopped,
    "ignore_stop": lambda run_dir: work_until_stopped(run_dir, stops=False),
    "finish_when_asked_to_stop": finish_when_asked_to_stop,
    "lies": start,
    "crash": crash,
    "crash_once": crash_once,
    "sample_and_crash": sample_and_crash,
    "alarm_and_crash_once": alarm_and_crash_once,
    "hang": hang,
    "killed": killed,
    "diverged": diverged,
    "out_of_memory": out_of_memory,
    "noise": noise,
    "escape": escape,
    "damaged": damaged,
    "family": family,
}

if __name__ == "__main__":
    BEHAVIOURS[sys.argv[1]](Path(sys.argv[3]))
