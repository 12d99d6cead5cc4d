"""How OpenMP's threads wait for work, as environment variables; they have to be set before torch is imported.

docs/decisions/0014-openmp-wait-policy.md has the measurements.
"""

from collections.abc import Mapping

SPINS = 30_000  # tens of microseconds: as long as the gaps between the parallel regions of one training step

_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def wait_policy(environment: Mapping[str, str], *, is_alone: bool) -> dict[str, str]:
    """Variables to add to a process's environment; none where the user has set a wait policy.

    is_alone: no other training uses this machine's cores. Threads then spin for a short time before they block, which
    makes a step faster. Beside another training they block at once, since a spinning thread occupies a core that the
    other training needs.
    """
    if any(name in environment for name in _SETTINGS):
        return {}
    return {"GOMP_SPINCOUNT": str(SPINS)} if is_alone else {"OMP_WAIT_POLICY": "PASSIVE"}
