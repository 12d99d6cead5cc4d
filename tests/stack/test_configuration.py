import json
import os
import shlex
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from shared.settings import Settings
from stack import configuration
from stack.configuration import control_socket
from stack.programs import programs
from tests.stack.processes import ROOT

# Prints, from supervisord's own parser, its log file, and the command and log file of each program.
READ = """
import json, shlex, sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["-c", sys.argv[1]])
found = {config.name: [shlex.split(config.command), config.stdout_logfile]
         for group in options.process_group_configs for config in group.process_configs}
print(json.dumps([options.logfile, options.server_configs[0]["file"], found]))
"""


def parsed(settings: Settings) -> ConfigParser:
    parser = ConfigParser(interpolation=None, inline_comment_prefixes=(";", "#"))
    parser.read_string(configuration.render(programs(settings)))
    return parser


def test_each_program_is_restarted_logged_and_ends_with_its_parent(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    found = parsed(settings)
    names = {section.partition(":")[2] for section in found if section.startswith("program:")}
    assert names == {"valkey", "api", "training-worker", "generation-worker", "reconciler"}
    for name in names:
        program = found[f"program:{name}"]
        assert program["autorestart"] == "true"
        command = configuration.variables(settings, programs(settings))[program["command"][6:-2]]
        assert shlex.split(command)[3].endswith("stack/parent_death_signal.py")


def test_workers_stop_before_the_api_and_the_api_before_valkey(tmp_path: Path) -> None:
    found = parsed(Settings(home=tmp_path))
    priority = {name: int(found[f"group:{name}"]["priority"]) for name in ("engine", "api", "valkey")}
    assert priority["engine"] > priority["api"] > priority["valkey"]


def test_worker_has_more_time_to_stop_than_its_trainer(tmp_path: Path) -> None:
    found = parsed(Settings(home=tmp_path, stop_grace_s=33))
    assert int(found["program:training-worker"]["stopwaitsecs"]) > 33


def test_external_redis_replaces_valkey(tmp_path: Path) -> None:
    settings = Settings.model_validate({"home": tmp_path, "redis_url": "redis://elsewhere:6379/0"})
    assert "program:valkey" not in parsed(settings)


STRANGE_NAMES = [
    "my 100% home",
    "work #3 ;x",
    "a?b=c#d%20e",
    "häuser 'é' \"q\"",
    "%(ENV_HOME)s",
    "a::b",
    "$HOME $(id) `id`",
]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_home_with_any_name_is_read_back_unchanged_by_supervisord(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    (home / "logs").mkdir(parents=True)
    (home / "run").mkdir()
    settings = Settings(home=home)
    stack = programs(settings)
    path = tmp_path / "supervisord.conf"
    path.write_text(configuration.render(stack), encoding="utf-8")
    environment = {**os.environ, **configuration.variables(settings, stack)}
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    log, socket, found = json.loads(done.stdout)
    assert (log, socket) == (str(home / "logs" / "supervisord.log"), str(control_socket(settings)))
    assert found["api"][1] == str(home / "logs" / "api.log")
    valkey, _ = found["valkey"]
    assert valkey[valkey.index("--dir") + 1] == str(home / "run")
    assert valkey[valkey.index("--unixsocket") + 1] == str(settings.redis_socket)


def test_sockets_of_a_long_home_path_are_in_a_separate_short_folder(tmp_path: Path) -> None:
    deep, other = (Settings(home=tmp_path / ("d" * 90) / name) for name in ("a", "b"))
    assert len(str(control_socket(deep))) < 90
    assert deep.redis_socket != other.redis_socket
    assert deep.redis_socket == Settings(home=tmp_path / ("d" * 90) / "a").redis_socket
    assert Settings(home=Path("/srv/mimeo")).redis_socket == Path("/srv/mimeo/run/redis.sock")
