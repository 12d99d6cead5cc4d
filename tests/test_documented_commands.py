"""Command lines of the documentation: their programs, subcommands, options and files exist.

`tests/acceptance/test_documented_commands.py` runs them.
"""

import functools
import itertools
import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from api import keys
from client.cli import app
from client.served_options import served_options
from shared.model_types import REGISTRY
from tests.client.server import model_types
from tests.documented_commands import ROOT, Command, commands

SERVED = {"train": "hyperparameters_schema", "generate": "sampling_schema"}
OF_OTHER_PROGRAMS = {"git", "source", "echo", "export", "docker", "tensorboard"}


def of(program: str) -> list[Any]:
    """The commands of a program, as parameters."""
    return [pytest.param(each, id=str(each)) for each in commands() if program_of(each) == program]


def program_of(command: Command) -> str:
    first = command.words[0]
    if first.endswith("python"):
        return "pytest" if command.words[2] == "pytest" else "python"
    return first.rpartition("/")[2]


def test_every_command_is_of_a_known_program() -> None:
    known = {"mimeo", "make", "curl", "python", "pytest"} | OF_OTHER_PROGRAMS
    assert [str(each) for each in commands() if program_of(each) not in known] == []
    assert len(commands()) > 100


@pytest.mark.parametrize("command", of("mimeo"))
def test_options_of_mimeo_exist(command: Command) -> None:
    words = command.words[1:]
    if words[:1] == ["up"]:
        return check_help("stack", words[1:])
    if words[:1] in (["backup"], ["restore"]):
        return check_help(f"stack.backup {'create' if words[0] == 'backup' else 'restore'}", words[1:])
    if words[:1] == ["keys"]:
        assert keys.parser().parse_args(words[1:]).run is not None
        return None
    node: Any = typer.main.get_command(app)
    names = []
    while words and words[0] in getattr(node, "commands", {}):
        names.append(words[0])
        node = node.commands[words.pop(0)]
    assert names, f"mimeo has no command {words[0]}"
    known = {flag for parameter in node.params for flag in parameter.opts} | {"--help"}
    if names[0] in SERVED:
        options = served_options(model_types()["data"], SERVED[names[0]])  # type: ignore[arg-type]
        known |= {flag for option in options.values() for flag in option.flags}
    assert {word.partition("=")[0] for word in words if is_option(word)} <= known
    if names[0] == "train" and words and words[0] in REGISTRY:
        check_settings(REGISTRY[words[0]].hyperparameters, words)
    return None


def check_settings(hyperparameters: Any, words: list[str]) -> None:
    pairs = [after for word, after in itertools.pairwise(words) if word == "--set"]
    assert {pair.partition("=")[0] for pair in pairs} <= set(hyperparameters.model_fields)


@pytest.mark.parametrize("command", of("make"))
def test_targets_of_make_exist(command: Command) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert command.words[1] in targets
    for word in command.words[2:]:
        assert re.search(rf"\$\(.*\b{word.partition('=')[0]}\b", (ROOT / "Makefile").read_text())


@pytest.mark.parametrize("command", of("pytest"))
def test_files_of_pytest_exist(command: Command) -> None:
    for word in command.words[3:]:
        if word.startswith("tests/"):
            file, _, name = word.partition("::")
            assert (ROOT / file).exists()
            assert not name or f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("command", of("python"))
def test_options_of_modules_exist(command: Command) -> None:
    assert command.words[1] == "-m"
    check_help(command.words[2], command.words[3:])


@pytest.mark.parametrize("command", of("curl"))
def test_options_of_curl_exist(command: Command) -> None:
    help_text = subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, check=True).stdout
    flags = set(re.findall(r"(?<![\w-])--?[\w-]+", help_text))
    for word in filter(is_option, command.words[1:]):
        letters = {word} if word.startswith("--") else {f"-{letter}" for letter in word[1:]}
        assert letters <= flags


def check_help(module: str, words: list[str]) -> None:
    own = itertools.takewhile(lambda word: word != "--", words)  # what follows is of another program
    options = {word.partition("=")[0] for word in own if is_option(word)}
    assert not options or options <= flags_of(module)


@functools.cache
def flags_of(module: str) -> set[str]:
    done = subprocess.run([sys.executable, "-m", *module.split(), "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"--?[a-z][a-z-]*", done.stdout))


def is_option(word: str) -> bool:
    return re.match(r"-{1,2}[A-Za-z]", word) is not None
