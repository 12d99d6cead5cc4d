"""The job queue against its model, in random histories. A failure prints the steps and how to replay them."""

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

QUICK = 4  # histories in `make test`; `make test-all` runs the number of the profile


@pytest.mark.parametrize("histories", [QUICK, pytest.param(None, marks=pytest.mark.slow, id="profile")])
@pytest.mark.timeout(0)  # Hypothesis shrinks a failure before it shows it, for at most five minutes
def test_jobs_follow_the_model_in_random_histories(
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
