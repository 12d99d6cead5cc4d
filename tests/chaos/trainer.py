"""A trainer with a hash chain as its weights: a lost, repeated or reordered step changes the final bytes.

It uses the real protocol, stops and dies like the real trainer, and writes real checkpoint folders, without torch and
in milliseconds. Every epoch is one step. `python -S -m tests.chaos.trainer OPTIONS SPEC.json RUN_DIR --supervised`

OPTIONS is a JSON object:

  step_s, save_s     duration of a step, and of the writing of a checkpoint
  every              steps between checkpoints
  act, at            the fault after step `at`, in every attempt (see `misbehave`)
  only_seed          `act` applies only to jobs of this seed
"""

import errno
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.worker.manifests import manifest_json
from worker.trainer.stop_signal import StopSignal

WEIGHTS, TRAINING, MANIFEST = "model.safetensors", "training.safetensors", "manifest.json"
ORPHANED = 5


def first_state(seed: int) -> bytes:
    """The weights before the first step."""
    return hashlib.sha256(b"seed %d" % seed).digest()


def next_state(state: bytes, step: int) -> bytes:
    """The weights after a step: a function of all steps before it."""
    return hashlib.sha256(state + b"step %d" % step).digest()


def loss_of(state: bytes) -> float:
    """The loss of a state, in [0, 1)."""
    return int.from_bytes(state[:6], "big") / 2**48


def weights_of(state: bytes) -> bytes:
    """The weights file, large enough to be truncated."""
    return state.hex().encode() * 64


def expected(seed: int, steps: int, every: int) -> tuple[list[float], int, str]:
    """The results of an uninterrupted run: losses, the published step, and the sha256 of its weights."""
    state, losses, best, digest = first_state(seed), [], 0, ""
    for step in range(1, steps + 1):
        state = next_state(state, step)
        losses.append(loss_of(state))
        if (step % every == 0 or step == steps) and (best == 0 or losses[-1] < losses[best - 1]):
            best, digest = step, hashlib.sha256(weights_of(state)).hexdigest()
    return losses, best, digest


class Run:
    """One run of the program."""

    def __init__(self, options: dict[str, Any], spec: dict[str, Any], folder: Path) -> None:
        self.folder = folder
        self.seed, self.steps = int(spec["seed"]), int(spec["hyperparameters"]["epochs"])
        self.every, self.step_s, self.save_s = options["every"], options["step_s"], options["save_s"]
        is_meant = options.get("only_seed") in {None, self.seed}
        self.act: str | None = options.get("act") if is_meant else None
        self.at: int = options.get("at", 0) if is_meant else 0
        self.step, self.state, self.best, self.best_loss = 0, first_state(self.seed), 0, 1.0
        self.control = StopSignal()
        self.control.follow_supervisor()

    def train(self) -> int:
        """Train. Returns the exit status."""
        is_resumed = self._resume()
        versions = {"chain": "1"}
        self._report("started", device="cpu", precision="float32", epochs=self.steps, steps=self.steps, step=self.step,
                  epoch=max(self.step, 1), parameters=256, versions=versions)  # fmt: skip
        while self.step < self.steps:
            self._sleep(self.step_s)
            if self.control.stop_requested:
                self._save()
                self._report("stopped", epoch=max(self.step, 1), step=self.step)
                return 3
            self._advance()
            if self.act is not None and self.step == self.at:
                self._misbehave(is_resumed=is_resumed)
        path = f"checkpoints/{self.best:08d}"
        self._report(
            "finished", epoch=self.steps, step=self.steps, checkpoint=path, quality={"val_loss": self.best_loss}
        )
        return 0

    def _advance(self) -> None:
        self.step += 1
        self.state = next_state(self.state, self.step)
        loss = loss_of(self.state)
        self._report("progress", epoch=self.step, step=self.step, examples_per_s=100.0, metrics={"loss": loss})
        self._report("metrics", epoch=self.step, step=self.step, values={"loss": loss})
        if self.step % self.every == 0 or self.step == self.steps:
            if self.best == 0 or loss < self.best_loss:
                self.best, self.best_loss = self.step, loss
            self._save()

    def _misbehave(self, *, is_resumed: bool) -> None:
        match self.act:
            case "crash_once" if not is_resumed:
                sys.exit("a crash on purpose")
            case "hang_once" if not is_resumed:
                time.sleep(3600)
            case "kill_worker":
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(3600)
            case "kill_itself":
                os.kill(os.getpid(), signal.SIGKILL)

    # --- checkpoints --------------------------------------------------------------------------------------------

    def _resume(self) -> bool:
        for folder in sorted((self.folder / "checkpoints").glob("[0-9]*"), reverse=True):
            manifest = json.loads((folder / MANIFEST).read_text())
            files = manifest["files"]
            if all(_digest(folder / name) == files[name] for name in files):
                state, best, best_loss = json.loads((folder / TRAINING).read_text())
                self.step, self.state = manifest["step"], bytes.fromhex(state)
                self.best, self.best_loss = best, best_loss
                return True
        return False

    def _save(self) -> None:
        final = self.folder / "checkpoints" / f"{self.step:08d}"
        if final.exists():
            return
        try:
            files = self._write(final)
        except OSError as error:
            code = "storage_full" if error.errno == errno.ENOSPC else "internal"
            self._report("failed", code=code, message=f"The checkpoint cannot be written: {error.strerror}.")
            sys.exit(4)
        self._report("checkpoint", epoch=max(self.step, 1), step=self.step, path=f"checkpoints/{final.name}",
                  sha256=files[WEIGHTS]["sha256"], size=sum(file["size"] for file in files.values()),
                  metrics={"val_loss": loss_of(self.state)}, is_best=self.step == self.best)  # fmt: skip
        self._prune()

    def _write(self, final: Path) -> dict[str, Any]:
        hidden = final.with_name(f".tmp-{final.name}")
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir(parents=True)
        weights, half = weights_of(self.state), len(weights_of(self.state)) // 2
        with (hidden / WEIGHTS).open("wb", buffering=0) as stream:
            stream.write(weights[:half])
            self._sleep(self.save_s)
            stream.write(weights[half:])
        (hidden / TRAINING).write_text(json.dumps([self.state.hex(), self.best, self.best_loss]))
        files = {name: _digest(hidden / name) for name in (WEIGHTS, TRAINING)}
        (hidden / MANIFEST).write_text(manifest_json(self.step, files))
        hidden.rename(final)
        return files

    def _prune(self) -> None:
        for folder in sorted((self.folder / "checkpoints").glob("[0-9]*"))[:-2]:
            if int(folder.name) != self.best:
                shutil.rmtree(folder)

    # --- the protocol -------------------------------------------------------------------------------------------

    def _report(self, kind: str, **fields: Any) -> None:
        try:
            print(json.dumps({"type": kind, **fields}), flush=True)
        except BrokenPipeError:
            os._exit(ORPHANED)

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self.control.stop_requested:
            time.sleep(min(left, 0.02))


def _digest(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


if __name__ == "__main__":
    given, about, place = sys.argv[1:4]
    sys.exit(Run(json.loads(given), json.loads(Path(about).read_text()), Path(place)).train())
