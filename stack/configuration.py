"""The configuration file of supervisord, written at each start."""

import os
import pwd
import shlex
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from shared.errors import SetupError
from shared.settings import Settings
from stack import parent_death_signal
from stack.programs import Program

LOG_BYTES = 10_000_000
LOG_BACKUPS = 3


def log_path(settings: Settings, program: str) -> Path:
    """Log file of a program."""
    return settings.home_path / "logs" / f"{program}.log"


def control_socket(settings: Settings) -> Path:
    """Socket of supervisord's control interface; mode 0700, in a folder that only this user can enter."""
    return settings.redis_socket.with_name("supervisord.sock")


def render(settings: Settings, programs: Sequence[Program]) -> str:
    """The text of supervisord.conf."""
    run = settings.home_path / "run"
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        f"logfile={_value(log_path(settings, 'supervisord'))}",
        f"logfile_maxbytes={LOG_BYTES}",
        f"logfile_backups={LOG_BACKUPS}",
        f"pidfile={_value(run / 'supervisord.pid')}",
        f"childlogdir={_value(settings.home_path / 'logs')}",
        "nocleanup=true",
        # An explicit user prevents supervisord's warning about root, for example in a container.
        *([f"user={pwd.getpwuid(0).pw_name}"] if os.getuid() == 0 else []),
        "",
        "[unix_http_server]",
        f"file={_value(control_socket(settings))}",
        "chmod=0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
        "[supervisorctl]",
        f"serverurl={_value(f'unix://{control_socket(settings)}')}",
        "",
    ]
    for program in programs:
        lines += _program(settings, program)
    by_group = sorted(programs, key=lambda program: (program.rank, program.group))
    for group, members in groupby(by_group, key=lambda program: program.group):
        of_group = list(members)
        names = ",".join(program.name for program in of_group)
        # supervisord starts groups in rising order of priority and stops them, one after another, in falling order.
        lines += [f"[group:{group}]", f"programs={names}", f"priority={of_group[0].rank}", ""]
    return "\n".join(lines)


def _program(settings: Settings, program: Program) -> list[str]:
    return [
        f"[program:{program.name}]",
        f"command={_value(shlex.join(parent_death_signal.command(*program.command)))}",
        f"autostart={'false' if program.waits else 'true'}",
        "autorestart=true",
        "startsecs=1",
        "startretries=1000000",
        f"stopwaitsecs={program.stop_s}",
        "stopsignal=TERM",
        # SIGTERM goes to the process alone, which ends its own children in order; SIGKILL goes to the whole group.
        "stopasgroup=false",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_value(log_path(settings, program.name))}",
        f"stdout_logfile_maxbytes={LOG_BYTES}",
        f"stdout_logfile_backups={LOG_BACKUPS}",
        "",
    ]


def _value(value: object) -> str:
    """A value in the syntax of supervisord's parser, with `%` escaped. Comment markers cannot be escaped."""
    text = str(value)
    if "\n" in text or any(sign in text for sign in (" ;", " #", "\t;", "\t#")):
        raise SetupError(f"the path {text!r} contains ' ;', ' #' or a line break: choose a MIMEO_HOME without them")
    return text.replace("%", "%%")
