"""The OpenMP wait policy: by the number of trainers on the machine, unless the user has set it."""

import pytest

from worker.openmp import SPINS, wait_policy


def test_wait_policy_is_active_for_a_single_trainer_and_passive_for_several() -> None:
    assert wait_policy({}, is_alone=True) == {"GOMP_SPINCOUNT": str(SPINS)}
    assert wait_policy({"OMP_NUM_THREADS": "2"}, is_alone=False) == {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_wait_policy_of_the_user_is_kept(name: str, is_alone: bool) -> None:
    assert wait_policy({name: "7"}, is_alone=is_alone) == {}
