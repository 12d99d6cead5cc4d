"""Output on terminals and pipes: hostile texts are escaped, and characters that an encoding lacks are replaced."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from client.terminal import printable, printable_json
from tests.client.server import Reply, Request, Server, serving, training_job
from tests.client.test_cli import ROOT
from tests.terminal import HOSTILE, on_a_terminal

UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # sequences that rich writes: colours, cursor

AT = "2026-11-23T04:05:06Z"
EVENT = {"id": 1, "type": HOSTILE, "attempt": 1, "message": HOSTILE, "data": {"hint": HOSTILE}, "at": AT}
SAMPLE = {
    "id": "art_1", "job": "trn_1", "kind": "sample", "name": f"epoch-0001-{HOSTILE}.txt", "media_type": "text/plain",
    "size": 3, "sha256": "0", "epoch": 1, "step": 1, "details": {}, "created_at": AT, "urls": {},
}  # fmt: skip
MODEL = {
    "id": "mdl_1", "name": HOSTILE, "model_type": "vae", "dataset": HOSTILE, "training_job": "trn_1", "device": HOSTILE,
    "checkpoint": {"id": "ckp_1", "sha256": "0"}, "hyperparameters": {HOSTILE: HOSTILE}, "quality": {HOSTILE: 1.0},
    "versions": {}, "created_at": AT,
}  # fmt: skip
DATASET = {
    "name": HOSTILE, "kind": "text", "title": HOSTILE, "source": "upload", "availability": "present", "detail": HOSTILE,
    "license": None, "examples": 3, "classes": None, "vocabulary": None, "size": 1, "sha256": None, "created_at": None,
    "checksums": {"a": HOSTILE},
}  # fmt: skip
WORKER = {
    "id": "wrk_1", "kind": "training", "host": HOSTILE, "pid": 1, "device": HOSTILE, "is_alive": True, "job": HOSTILE,
    "jobs_done": 0, "examples_per_s": None, "started_at": AT, "heartbeat_at": AT,
}  # fmt: skip
FAILED = training_job(
    name=HOSTILE, status="failed", is_terminal=True, dataset=HOSTILE, device=HOSTILE, preset=HOSTILE,
    hyperparameters={HOSTILE: HOSTILE}, metrics={HOSTILE: 1.0},
    error={"code": HOSTILE, "message": HOSTILE, "hint": HOSTILE},
)  # fmt: skip
GENERATION = training_job(
    id="gen_1", object="generation_job", status="succeeded", is_terminal=True, model="mdl_1", name=HOSTILE,
    output={"text": f"one\n\ttwo {HOSTILE}"}, artifacts=[], sampling={HOSTILE: HOSTILE},
)  # fmt: skip
PROBLEM = {"code": HOSTILE, "detail": HOSTILE, "errors": [{"pointer": f"/{HOSTILE}", "detail": HOSTILE, "code": "x"}]}
LISTS: dict[str, list[Any]] = {
    "models": [MODEL], "datasets": [DATASET], "workers": [WORKER], "events": [EVENT], "samples": [SAMPLE],
    "checkpoints": [],
}  # fmt: skip
ANSWERS = {
    "generation-jobs": Reply(202, GENERATION),
    "gen_1": Reply(200, GENERATION),
    "content": Reply(200, HOSTILE.encode()),
    "mdl_1": Reply(200, MODEL),
    "trn_1": Reply(200, FAILED),
    "cancel": Reply(409, PROBLEM),
    **{name: Reply(200, {"data": data, "has_more": False}) for name, data in LISTS.items()},
}


def answer(request: Request) -> Reply:
    """An answer whose texts are all hostile."""
    last = request.path.split("?")[0].rpartition("/")[2]
    if last == "training-jobs" and request.method == "GET":
        return Reply(200, {"data": [FAILED], "has_more": False})
    return ANSWERS.get(last, Reply(202, FAILED))


COMMANDS = [
    ("models",),
    ("jobs",),
    ("show", "trn_1"),
    ("show", "gen_1"),
    ("show", "mdl_1"),
    ("datasets",),
    ("workers",),
    ("follow", "trn_1"),
    ("generate", "mdl_1", "--mode", "grid"),
    ("cancel", "trn_1"),
    ("train", "vae", "--name", "x"),
    ("models", "--json"),
    ("show", "trn_1", "--json"),
    ("follow", "trn_1", "--json"),
]
QUICK = {"models", "show"}  # the others need a process each as well


def each_command(test: Any) -> Any:
    """Run a test for every command, most of them in the slow suite."""
    cases = [
        pytest.param(each, id=" ".join(each), marks=() if each[0] in QUICK else pytest.mark.slow) for each in COMMANDS
    ]
    return pytest.mark.parametrize("arguments", cases)(test)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(answer) as running:
        yield running


def piped(server: Server, *arguments: str, cwd: Any, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    env = {**os.environ, "MIMEO_URL": server.url, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "client.cli", *arguments]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, timeout=30, check=False)


@each_command
def test_hostile_texts_are_escaped_on_a_pipe(server: Server, arguments: tuple[str, ...], tmp_path: Any) -> None:
    done = piped(server, *arguments, cwd=tmp_path, PYTHONUTF8="1")

    text = (done.stdout + done.stderr).decode()
    assert "Traceback" not in text
    assert UNSAFE.findall(text) == []
    assert "\r" not in text
    assert "\\x1b[31m" in text or "\\u001b[31m" in text or arguments[0] == "train"
    if arguments[0] in {"models", "jobs", "datasets", "workers"}:
        assert len(done.stdout.splitlines()) == (1 if "--json" in arguments else 2)


@pytest.mark.slow
@each_command
def test_hostile_texts_are_escaped_on_a_terminal(server: Server, arguments: tuple[str, ...], tmp_path: Any) -> None:
    _, output = on_a_terminal([sys.executable, "-m", "client.cli", *arguments], tmp_path, {"MIMEO_URL": server.url})

    text = output.decode()
    assert "Traceback" not in text
    assert UNSAFE.findall(STYLE.sub("", text)) == []
    assert "\x1b[31mred" not in text
    assert "\x1b]" not in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@each_command
def test_missing_characters_are_replaced(
    server: Server, arguments: tuple[str, ...], encoding: str, tmp_path: Any
) -> None:
    done = piped(server, *arguments, cwd=tmp_path, PYTHONIOENCODING=encoding)

    assert b"Traceback" not in done.stderr
    assert b"UnicodeEncodeError" not in done.stderr
    text = done.stdout.decode(encoding)
    if "--json" in arguments:
        assert "\\x1b[31m" in json.dumps([json.loads(line) for line in text.splitlines()]).replace("\\u001b", "\\x1b")


@pytest.mark.slow
@each_command
def test_ascii_terminal_without_utf_8_mode(server: Server, arguments: tuple[str, ...], tmp_path: Any) -> None:
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "MIMEO_URL": server.url}
    _, output = on_a_terminal([sys.executable, "-m", "client.cli", *arguments], tmp_path, variables)

    assert b"Traceback" not in output
    assert output.isascii()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_help_and_usage_errors_are_printed_in_every_encoding(encoding: str, tmp_path: Any, server: Server) -> None:
    for arguments in (("--help",), ("train", "--help"), ("train", "vae", "--näme", "😀"), ("frobnicate😀",)):
        done = piped(server, *arguments, cwd=tmp_path, PYTHONIOENCODING=encoding)
        assert b"Traceback" not in done.stderr
        assert done.stdout + done.stderr


def test_argument_that_is_not_unicode_is_refused(server: Server, tmp_path: Any) -> None:
    command = [sys.executable.encode(), b"-m", b"client.cli", b"train", b"vae", b"--name", b"caf\xe9"]
    env = {**os.environ, "MIMEO_URL": server.url, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, timeout=30, check=False)

    assert (done.returncode, b"Traceback" in done.stderr) == (2, False)
    assert b"not valid Unicode" in done.stderr


def test_json_document_keeps_its_value() -> None:
    value = {"text": HOSTILE + "\ud800 é 😀"}
    document = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value
    assert UNSAFE.findall(document) == []
    assert "é 😀" in document


def test_joiners_and_accents_stay() -> None:
    assert printable("👩‍🔬 é न्‍ ü") == "👩‍🔬 é न्‍ ü"
    assert printable("a\tb\nc") == "a\\tb\\nc"
    assert printable("a\tb\nc\r", keeps_lines=True) == "a\tb\nc\\r"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(
    "program", [("client.demo", "--url", "http://127.0.0.1:9/é😀"), ("stack", "--home", "/dev/null/é😀–")]
)
def test_demo_and_stack_print_in_every_encoding(program: tuple[str, ...], encoding: str, tmp_path: Any) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-m", *program], env=env, cwd=tmp_path, capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, b"Traceback" in done.stderr) == (2, False)
    assert b"mimeo: " in done.stdout + done.stderr
