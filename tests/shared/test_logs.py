"""Log lines as a terminal shows them."""

import os
import subprocess
import sys

import pytest

PROGRAM = r"""
import structlog
from shared import logs
from shared.settings import Settings
logs.configure(Settings(), "test")
structlog.get_logger("x").info("request", path="/v1/\x1b[31m\x9b2J\nfake line\u202e", name="é 😀")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_control_characters_are_escaped(log_format: str) -> None:
    env = {**os.environ, "MIMEO_LOG_FORMAT": log_format, "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, check=True)

    [line] = done.stderr.decode().splitlines()
    assert line.isprintable()
    assert "fake line" in line
