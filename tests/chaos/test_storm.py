"""Random kills of processes under load."""

import random

import pytest

from tests.chaos.conftest import IS_LONG
from tests.chaos.rig import Rig
from tests.chaos.storm import run_storm


@pytest.mark.starts_first
def test_small_jobs_while_a_random_process_is_killed_every_3_s(rig: Rig, chance: random.Random, run: int) -> None:
    jobs = (1000 if run == 0 else 200) if IS_LONG else 60

    result = run_storm(rig, jobs, kill_every_s=3.0, chance=chance)

    assert result.jobs == jobs
