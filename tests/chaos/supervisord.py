"""Asking the embedded stack's process supervisor to restart what it keeps."""

import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from shared.settings import Settings
from stack.configuration import control_socket


def restart_programs(home: Path, settled: Callable[[], None]) -> list[str]:
    """Stop each program in good order and start it again, one after another; gives their names.

    settled: called after each restart; the next one begins when it returns.
    """
    socket = control_socket(Settings(home=home))
    transport = SupervisorTransport(serverurl=f"unix://{socket}")
    with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
        programs: Any = proxy.supervisor.getAllProcessInfo()
        for program in programs:
            full_name = f"{program['group']}:{program['name']}"
            proxy.supervisor.stopProcess(full_name)
            proxy.supervisor.startProcess(full_name)
            settled()
        return [program["name"] for program in programs]
