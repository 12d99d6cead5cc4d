"""The job core against a model of itself, in random lives. A failure prints the steps and how to replay them."""

import secrets
from collections import Counter

import pytest
from hypothesis import seed
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from shared.db.session import SessionFactory
from shared.settings import Settings
from tests.engine.fake_clock import FakeClock
from tests.engine.job_machine import JobMachine

QUICK = 4  # histories in `make test`; `make test-all` runs as many as the profile says


@pytest.mark.parametrize("histories", [QUICK, pytest.param(None, marks=pytest.mark.slow, id="profile")])
@pytest.mark.timeout(0)  # a failure is made small before it is shown; Hypothesis ends that after five minutes
def test_jobs_live_as_the_model_says_whatever_happens(
    engine: Engine,
    database: SessionFactory,
    settings: Settings,
    request: pytest.FixtureRequest,
    histories: int | None,
) -> None:
    chosen = request.config.getoption("--hypothesis-seed") or secrets.randbelow(2**32)
    print(f"replay: pytest {request.node.nodeid!r} --hypothesis-seed={chosen}")

    class Machine(JobMachine):
        pass

    Machine.database, Machine.settings, Machine.clock = database, settings, FakeClock(engine)
    Machine.happened = Counter()
    profile = hypothesis_settings.get_profile(request.config.getoption("--hypothesis-profile") or "engine")
    if histories is not None:
        profile = hypothesis_settings(profile, max_examples=histories)
    run_state_machine_as_test(seed(chosen)(Machine), settings=profile)
    print("\n".join(f"{count:6} {what}" for what, count in sorted(Machine.happened.items())))
