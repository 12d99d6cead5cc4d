import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest

from shared.errors import SetupError
from shared.settings import Settings
from stack.configuration import control_socket, render
from stack.programs import programs


def parsed(settings: Settings) -> ConfigParser:
    parser = ConfigParser(interpolation=None, inline_comment_prefixes=(";", "#"))
    parser.read_string(render(settings, programs(settings)))
    return parser


def test_each_program_is_restarted_logged_and_ends_with_its_parent(tmp_path: Path) -> None:
    configuration = parsed(Settings(home=tmp_path))
    names = {section.partition(":")[2] for section in configuration if section.startswith("program:")}
    assert names == {"valkey", "api", "training-worker", "generation-worker", "reconciler"}
    for name in names:
        program = configuration[f"program:{name}"]
        assert program["autorestart"] == "true"
        assert program["stdout_logfile"] == str(tmp_path / "logs" / f"{name}.log")
        assert shlex.split(program["command"])[3].endswith("stack/parent_death_signal.py")


def test_workers_stop_before_the_api_and_the_api_before_valkey(tmp_path: Path) -> None:
    configuration = parsed(Settings(home=tmp_path))
    priority = {name: int(configuration[f"group:{name}"]["priority"]) for name in ("engine", "api", "valkey")}
    assert priority["engine"] > priority["api"] > priority["valkey"]


def test_worker_has_more_time_to_stop_than_its_trainer(tmp_path: Path) -> None:
    configuration = parsed(Settings(home=tmp_path, stop_grace_s=33))
    assert int(configuration["program:training-worker"]["stopwaitsecs"]) > 33


def test_external_redis_replaces_valkey(tmp_path: Path) -> None:
    settings = Settings.model_validate({"home": tmp_path, "redis_url": "redis://elsewhere:6379/0"})
    assert "program:valkey" not in parsed(settings)


def test_home_with_spaces_and_percent_signs_is_read_back_unchanged(tmp_path: Path) -> None:
    home = tmp_path / "my 100% home"
    configuration = parsed(Settings(home=home))
    assert configuration["program:api"]["stdout_logfile"].replace("%%", "%") == str(home / "logs" / "api.log")
    valkey = shlex.split(configuration["program:valkey"]["command"].replace("%%", "%"))
    assert valkey[valkey.index("--dir") + 1] == str(home / "run")


def test_home_that_would_parse_as_a_comment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="MIMEO_HOME"):
        parsed(Settings(home=tmp_path / "work #3"))


def test_sockets_of_a_long_home_path_are_in_a_separate_short_folder(tmp_path: Path) -> None:
    deep, other = (Settings(home=tmp_path / ("d" * 90) / name) for name in ("a", "b"))
    assert len(str(control_socket(deep))) < 90
    assert deep.redis_socket != other.redis_socket
    assert deep.redis_socket == Settings(home=tmp_path / ("d" * 90) / "a").redis_socket
    assert Settings(home=Path("/srv/mimeo")).redis_socket == Path("/srv/mimeo/run/redis.sock")
