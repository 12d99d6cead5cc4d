"""The ablation on real runs of a tiny model."""

import subprocess
import sys

import pytest

TINY = ["--model-type=vae", "--dataset=digits", "--epochs=1", "--set=hidden=[8]", "--set=examples_per_epoch=256"]


@pytest.mark.slow
@pytest.mark.timeout(600)  # three trainer processes
def test_each_change_is_one_row_with_the_quality_or_the_failure_of_its_run() -> None:
    changes = ["--change", "latent_size=4 kl_weight=0.5", "--change", "no_such_setting=1"]
    command = [sys.executable, "-m", "benchmarks.ablation", *changes, "--", *TINY, "--threads=1"]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 1  # one run failed
    header, _, unchanged, changed, refused = ended.stdout.strip().split("\n\n")[-1].splitlines()
    assert "elbo" in header
    assert unchanged.startswith("| none |")
    assert unchanged.endswith("| finished |")
    assert changed.startswith("| latent_size=4 kl_weight=0.5 |")
    assert unchanged.split("|")[2:4] != changed.split("|")[2:4]
    assert refused.startswith("| no_such_setting=1 |")
    assert refused.endswith("| failed |")
