"""The benchmark of many workers, with few of them."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import crowd

pytestmark = pytest.mark.slow


def test_all_owners_are_served_and_no_lease_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ["--jobs", "500", "--owners", "5", "--workers", "20", "--job-s", "0.5", "--heartbeat-s", "0.2"]
    options = [*few, "--seconds", "6", "--processes", "1", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["crowd", *options])
    crowd.main()
    [run] = json.loads((tmp_path / "crowd.json").read_text())["runs"]
    assert run["workers"] == 20
    assert run["owners"] == 5
    assert run["leases_lost"] == 0
    assert set(run["ms"]) == {"claim", "heartbeat", "finish"}
    assert run["claims_per_s"] > 0
