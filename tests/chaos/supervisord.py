"""Restarts of programs through the embedded stack's supervisord."""

import xmlrpc.client
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from shared.settings import Settings
from stack.configuration import control_socket


def restart_program(home: Path, name: str) -> None:
    """Stop a program with SIGTERM and start it again."""
    socket = control_socket(Settings(home=home))
    transport = SupervisorTransport(serverurl=f"unix://{socket}")
    with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
        programs: Any = proxy.supervisor.getAllProcessInfo()
        [group] = [program["group"] for program in programs if program["name"] == name]
        proxy.supervisor.stopProcess(f"{group}:{name}")
        proxy.supervisor.startProcess(f"{group}:{name}")
