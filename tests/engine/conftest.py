"""Hypothesis profiles of the engine's tests, and helpers with rewritten assertions."""

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.engine.comparing", "tests.engine.job_machine", "tests.engine.stage")

_COMMON = settings(deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
settings.register_profile("engine", _COMMON, max_examples=40, stateful_step_count=50)
settings.register_profile("engine-soak", _COMMON, max_examples=1000, stateful_step_count=120)
