"""Programs on a pseudo-terminal, and a text that attacks a terminal."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.stack.processes import ROOT
from tests.waiting import PATIENCE_S

# Colour, window title, cursor, carriage return, line break, C1 control sequence, bidirectional override, markup, emoji.
HOSTILE = "\x1b[31mred\x1b]0;title\x07\x1b[2J\r\n\x08\x7f\x9b31m\u202etxt.exe\u2066\u2028[bold]:smile:[/x]😀é–"


def on_a_terminal(command: Sequence[str], cwd: Path, variables: Mapping[str, str]) -> tuple[int, bytes]:
    """Run a program on a pseudo-terminal with 24-bit colour. Returns its exit status and its output."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    env |= {"COLUMNS": "120", "LINES": "40", **variables}
    env.pop("NO_COLOR", None)
    master, slave = pty.openpty()
    process = subprocess.Popen(command, env=env, cwd=cwd, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    output = bytearray()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.5)[0]:
            try:
                output += os.read(master, 65536)
            except OSError:  # the other end is closed: the program has ended
                break
        elif process.poll() is not None:
            break
    os.close(master)
    return process.wait(PATIENCE_S), bytes(output)
