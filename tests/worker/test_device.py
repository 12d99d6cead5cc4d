"""The number of threads of a run."""

import pytest

from worker.device import choose_threads


def test_threads_follow_the_setting_or_the_openmp_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert choose_threads(None) == 3
    assert choose_threads(2) == 2

    monkeypatch.setenv("OMP_NUM_THREADS", "5, 2")
    assert choose_threads(None) == 5


@pytest.mark.parametrize("nothing", [None, "", "0", "-1", "many"])
def test_default_threads_are_the_available_cores(nothing: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if nothing is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(40)), raising=False)
    monkeypatch.setattr("worker.host._quota", lambda: 6)

    assert choose_threads(None) == 6
