"""The benchmark of a steady load, for seconds."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import soak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_steady_load_is_answered_without_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--rate", "20", "--seconds", "8", "--connections", "8", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["soak", *options])
    soak.main()
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["errors"] == {}
    assert found["answers"] == 160
    assert found["attempt"] == 1
    assert any("api.server" in name for name in found["memory_mib"])
