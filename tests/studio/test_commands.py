"""The commands that playgrounds print do what the page shows."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.studio.conftest import Studio, Trained

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "query", "sampling"),
    [
        ("vae", "?points=3&start=-1&end=1", {"mode": "grid", "points": 3, "start": -1, "end": 1}),
        ("acgan", "?draw=2026&seed=5", {"labels": [2, 0, 2, 6]}),
        ("gan", "?zero=1", {"mode": "latent"}),
        ("lstm", "?length=20&t=0.5&prompt=it%27s", {"length": 20, "temperature": 0.5, "prompt": "it's"}),
    ],
)
def test_printed_command_and_body_are_the_request_in_view(
    play: Studio, trained: Trained, tmp_path: Path, name: str, query: str, sampling: dict[str, object]
) -> None:
    page = play.open(f"/play/{trained.models[name]['id']}{query}")
    page.get_by_text("As command").click()
    printed = page.locator("details.command pre").inner_text().replace("\\\n", "")
    line, curl = printed.split("\n\n")

    body = json.loads(shlex.split(curl)[-1])
    assert sampling.items() <= body["sampling"].items()
    answer = httpx.post(
        f"{trained.url}/v1/generation-jobs", json=body, headers={"Prefer": "wait=60"}, timeout=90, trust_env=False
    )
    assert answer.json()["status"] == "succeeded", answer.text
    command = [sys.executable, "-m", "client.cli", *shlex.split(line)[1:]]
    environment = {**os.environ, "MIMEO_URL": trained.url, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert name == "lstm" or any(tmp_path.glob("*.png"))
