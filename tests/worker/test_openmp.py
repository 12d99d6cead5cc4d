"""How OpenMP's threads wait: by the neighbours of a trainer, unless the user has set it."""

import pytest

from worker.openmp import SPINS, wait_policy


def test_threads_of_a_lone_training_spin_and_those_of_neighbours_sleep() -> None:
    assert wait_policy({}, is_alone=True) == {"GOMP_SPINCOUNT": str(SPINS)}
    assert wait_policy({"OMP_NUM_THREADS": "2"}, is_alone=False) == {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_a_policy_of_the_user_is_left_alone(name: str, is_alone: bool) -> None:
    assert wait_policy({name: "7"}, is_alone=is_alone) == {}
