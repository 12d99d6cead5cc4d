"""Every command line of the documentation, on a real stack, in the order of the pages.

A placeholder (`mdl_…`) stands for a model of the type that the command's options belong to. Datasets that need a
download are substituted, and long trainings get the small budget of their contract: see `SUBSTITUTED` and `REDUCED`.
`NOT_RUN` names the commands that run elsewhere or need more than this machine, each with its reason.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shared.model_types import REGISTRY
from tests.acceptance.stack import Stack
from tests.documented_commands import Command, commands
from tests.pictures import class_files
from tests.waiting import PATIENCE_S

LONGEST_S = 600.0  # a training with its evaluation, beside other work

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * LONGEST_S)]

NOT_RUN = {
    r"(\w+=\S+ )*docker ": "needs Docker; `make compose-test` runs the compose file",
    r"git clone": "needs the repository's address",
    r"(source|export) ": "only changes a shell",
    r"mimeo keys revoke": "names the id of an example; tests/api/test_keys_program.py",
    r"curl --silent \S+/metrics": "prints text; tests/observability reads it",
    r"curl -H \"Authorization": "needs a server with keys; tests/api/test_authentication.py",
    r"make (demo|up)\b": "tests/acceptance/test_demo.py and this stack run their programs",
    r"mimeo up": "this stack",
    r"make ": "runs tests, builds, benchmarks or locks for minutes; test_targets_of_make_exist",
    r"(\.venv/bin/)?python -m pytest": "these tests",
    r"(\w+=\d+ )?(\.venv/bin/)?python -m pytest": "these tests",
    r"\w+=\d+ make ": "runs for hours",
    r"(\w+=\S+ )+mimeo up": "this stack",
    r"mimeo restore": "needs an empty stack; tests/acceptance/test_backup.py restores",
    r"python -m migrations": "moves the database; tests/migrations runs it",
    r"python -m tests\.upgrades": "needs another checkout",
    r"python -m stack\.backup": "tests/stack/test_backup.py runs it",
    r"CUDA_VISIBLE_DEVICES=": "needs a GPU",
    r"python -m benchmarks\.": "trains for minutes to hours; tests/benchmarks runs each with a small budget",
    r"python -m worker\.data\.prepare": "downloads a dataset",
    r"python -m api\.server": "this stack runs it",
    r"python -m shared\.model_types\.reference": "prints a page that tests/shared/test_model_types.py compares",
}
# Parts of commands, named within a sentence: something is left out after them.
MENTIONS = {
    "curl -f -o model.onnx", "curl --retry", "mimeo export", "mimeo show", "mimeo generate", "mimeo train --follow",
    "python -m worker.train", "mimeo train NAME", "mimeo retry", "mimeo delete", "mimeo follow",
    "mimeo datasets add PATH", "mimeo backup", "mimeo restore", "mimeo resume", "mimeo train",
}  # fmt: skip
SUBSTITUTED = {
    "fashion-mnist": "digits", "--dataset mnist": "--dataset digits", "--dataset shakespeare": "--dataset verses",
    "FOLDER --name NAME": "pets --name pictures", "replace NAME PATH": "replace mine mine.txt",
    "show NAME --preview": "show digits --preview",
    "NAME": "vae", "FILE": "mine.txt", "--labels sneaker,bag": "--labels 3,7", ".venv/bin/mimeo": "mimeo",
}  # fmt: skip
REDUCED = {
    "mimeo train lstm --dataset shakespeare --follow": "lstm",
    "mimeo train lstm --dataset mine --follow": "lstm",
    "mimeo train acgan --dataset mnist --follow": "acgan",
    "mimeo train acgan --dataset pets-64 --follow": "acgan",
}
# Minutes long, or without a worker: submitted with a dataset, then cancelled.
CANCELLED = re.compile(r"mimeo train (lstm|vae|acgan) --(set|device|requires)")
ENDLESS = {
    r"mimeo tensorboard": "TensorBoard: http",
    r"tensorboard --logdir": "http://",
    r"curl -N \S+/v1/jobs/stream": "event: queue",
    r"(\w+=\S+ )*python -m worker (training|generation)": "worker ready",
}


def is_run(command: Command) -> bool:
    if command.text in MENTIONS or "…" in command.words:
        return False
    return not any(re.match(pattern, command.text) for pattern in NOT_RUN)


@dataclass
class Session:
    """A folder with a shell on the stack. models, jobs: by model type."""

    stack: Stack
    folder: Path
    models: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)

    def env(self) -> dict[str, str]:
        return {**self.stack.env(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}

    def shell(self, text: str, *, fails: bool = False) -> str:
        """Run a text in bash and return its output; `fails` permits a status other than 0."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder, env=self.env(), capture_output=True, text=True, timeout=LONGEST_S, check=False,
        )  # fmt: skip
        assert fails or done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def model(self, model_type: str) -> str:
        """A small model of a type, trained when it is first needed."""
        if model_type not in self.models:
            dataset = "verses" if REGISTRY[model_type].data_kind == "text" else "digits"
            done = self.shell(f"mimeo train {model_type} --dataset {dataset} {small(model_type)} --follow --json")
            job = [line["job"] for line in map(json.loads, done.splitlines()) if line["type"] == "job"][-1]
            self.models[model_type], self.jobs[model_type] = job["model"], job["id"]
        return self.models[model_type]

    def job(self, model_type: str) -> str:
        """The training job of that model."""
        self.model(model_type)
        return self.jobs[model_type]

    def generate(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.shell(f"mimeo generate {self.model('vae')} --mode random --json"))
        return found


def small(model_type: str) -> str:
    return " ".join(f"--set '{name}={json.dumps(value)}'" for name, value in REGISTRY[model_type].small.items())


@pytest.fixture(scope="module")
def session(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("documented")
    for name in ("mine.txt", "verses.txt"):
        (folder / name).write_text(f"ROMEO: {name}, import what light through yonder window breaks?\n" * 400)
    for name, data in class_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    found = Session(stack, folder)
    found.shell("mimeo datasets add verses.txt")
    return found


def model_type_of(text: str) -> str:
    if "--prompt" in text:
        return "lstm"
    if "labels" in text:
        return "acgan"
    return "gan" if re.search(r" -n \d", text) else "vae"


@pytest.mark.parametrize("command", [pytest.param(each, id=str(each)) for each in commands() if is_run(each)])
def test_documented_command_works(session: Session, command: Command) -> None:
    text = with_values(session, command)
    action = re.fullmatch(r"mimeo (pause|resume|cancel|retry|delete) trn_\w+", text)
    endless = [ready for pattern, ready in ENDLESS.items() if re.match(pattern, text)]
    if action:
        check_action(session, action[1])
    elif endless:
        check_endless(session, text, endless[0])
    elif CANCELLED.match(text):
        dataset = "verses" if " lstm " in text else "digits"
        session.shell(f"mimeo cancel $({text} --dataset {dataset})")
    else:
        session.shell("rm -f *.onnx")  # curl -OJ replaces no file
        check_output(session, text, session.shell(text))


def with_values(session: Session, command: Command) -> str:
    """The command with a value for each placeholder, and with its substitutions."""
    text = command.text
    for placeholder, value in SUBSTITUTED.items():
        text = text.replace(placeholder, value)
    if command.text in REDUCED:
        text = f"{text} {small(REDUCED[command.text])}"
    if text.startswith("echo"):
        request = {"model_type": "vae", "dataset": "digits", "hyperparameters": REGISTRY["vae"].small}
        text = text.replace('{"model_type": "vae"}', json.dumps(request))
    if "datasets add" in text and "mine" in listed(session):  # two pages add the same file
        text = text.replace("--name mine", f"--name mine-{time.time_ns()}")
    text = text.replace("localhost:8000", session.stack.url.removeprefix("http://"))
    if "mdl_…" in text:
        text = text.replace("mdl_…", session.model(model_type_of(text)))
    if "PATCH" in text or "mimeo priority" in text:  # only a job that waits can be changed
        text = text.replace("trn_…", paused_job(session))
    if "trn_…" in text:
        text = text.replace("trn_…", session.job("vae"))
    if "gen_…" in text or "art_…" in text:
        job = session.generate()
        text = text.replace("gen_…", job["id"]).replace("art_…", job["artifacts"][0]["id"])
    assert "…" not in text, "a command with an omission belongs to MENTIONS or NOT_RUN"
    return text


def check_output(session: Session, text: str, output: str) -> None:
    if text.startswith("curl -N"):
        assert "event: end\n" in output
    elif text.startswith("curl") and "-o" not in text and "-OJ" not in text and output:
        answer = json.loads(output)
        assert not isinstance(answer.get("status"), int), output  # a problem document
    if "-o grid.png" in text or "--out grid.png" in text:
        assert (session.folder / "grid.png").read_bytes().startswith(b"\x89PNG")


def listed(session: Session) -> list[str]:
    return [line.split("\t")[0] for line in session.shell("mimeo datasets").splitlines()]


def paused_job(session: Session) -> str:
    job_id = session.shell("mimeo train vae --dataset digits --set epochs=5000").strip()
    session.shell(f"mimeo pause {job_id}")
    deadline = time.monotonic() + LONGEST_S
    while status(session, job_id) != "paused":
        assert time.monotonic() < deadline, "the job is not paused"
        time.sleep(0.2)
    return job_id


def check_action(session: Session, action: str) -> None:
    """An action on a job in the state that the action needs."""
    job_id = session.shell("mimeo train vae --dataset digits --set epochs=5000").strip()
    before = {"resume": ["pause"], "retry": ["cancel"], "delete": ["cancel"]}.get(action, [])
    for each in [*before, action]:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and "ing" in status(session, job_id).replace("running", ""):
            time.sleep(0.2)  # pausing, cancelling
        session.shell(f"mimeo {each} {job_id}")
    if action != "delete":
        session.shell(f"mimeo cancel {job_id}", fails=True)


def status(session: Session, job_id: str) -> str:
    return str(json.loads(session.shell(f"mimeo show {job_id} --json"))["status"])


def check_endless(session: Session, text: str, ready: str) -> None:
    """A program that runs until Ctrl-C: it starts, reports that it is ready, and ends."""
    log = session.folder / "endless.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"exec env {text}"],
            cwd=session.folder, env=session.env(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_S
        while ready not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()
