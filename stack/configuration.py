"""The configuration file of supervisord, written at each start.

Paths are not in the file but in environment variables to which it refers. supervisord inserts their values as they are;
in the file it would interpret percent signs and comment markers.
"""

import os
import pwd
import shlex
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

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


def variables(settings: Settings, programs: Sequence[Program]) -> dict[str, str]:
    """Environment of supervisord: the variables to which the file refers."""
    return {
        "MIMEO_HOME": str(settings.home_path),
        "MIMEO_CONTROL_SOCKET": str(control_socket(settings)),
        **{
            _command_variable(program): shlex.join(parent_death_signal.command(*program.command))
            for program in programs
        },
    }


def render(programs: Sequence[Program]) -> str:
    """The text of supervisord.conf."""
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        "logfile=%(ENV_MIMEO_HOME)s/logs/supervisord.log",
        f"logfile_maxbytes={LOG_BYTES}",
        f"logfile_backups={LOG_BACKUPS}",
        "pidfile=%(ENV_MIMEO_HOME)s/run/supervisord.pid",
        "childlogdir=%(ENV_MIMEO_HOME)s/logs",
        "nocleanup=true",
        # An explicit user prevents supervisord's warning about root, for example in a container.
        *([f"user={pwd.getpwuid(0).pw_name}"] if os.getuid() == 0 else []),
        "",
        "[unix_http_server]",
        "file=%(ENV_MIMEO_CONTROL_SOCKET)s",
        "chmod=0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
        "[supervisorctl]",
        "serverurl=unix://%(ENV_MIMEO_CONTROL_SOCKET)s",
        "",
    ]
    for program in programs:
        lines += _program(program)
    by_group = sorted(programs, key=lambda program: (program.rank, program.group))
    for group, members in groupby(by_group, key=lambda program: program.group):
        of_group = list(members)
        names = ",".join(program.name for program in of_group)
        # supervisord starts groups in rising order of priority and stops them, one after another, in falling order.
        lines += [f"[group:{group}]", f"programs={names}", f"priority={of_group[0].rank}", ""]
    return "\n".join(lines)


def _program(program: Program) -> list[str]:
    return [
        f"[program:{program.name}]",
        f"command=%(ENV_{_command_variable(program)})s",
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
        f"stdout_logfile=%%(ENV_MIMEO_HOME)s/logs/{program.name}.log",  # the parser expands this option twice
        f"stdout_logfile_maxbytes={LOG_BYTES}",
        f"stdout_logfile_backups={LOG_BACKUPS}",
        "",
    ]


def _command_variable(program: Program) -> str:
    return f"MIMEO_COMMAND_{program.name.upper().replace('-', '_')}"
