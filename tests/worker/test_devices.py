"""The devices that a process sees, and the processes that share a machine's cores."""

from pathlib import Path

import pytest

from shared import cgroup_memory
from shared.cgroup_memory import MemoryLimit
from worker import devices, host
from worker.devices import named

UUIDS = ["GPU-aa1", "GPU-ab2", "GPU-b3", "MIG-4"]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (None, UUIDS),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", ["GPU-aa1"]),
        ("2, 0", ["GPU-b3", "GPU-aa1"]),
        ("1,7,0", ["GPU-ab2"]),  # CUDA ignores what follows an entry without a device
        ("GPU-b", ["GPU-b3"]),
        ("GPU-a", []),  # two of them
        ("GPU-ab2,MIG-4", ["GPU-ab2", "MIG-4"]),
    ],
)
def test_variable_names_devices_as_for_cuda(listed: str | None, expected: list[str]) -> None:
    assert named(listed, UUIDS) == expected


def test_without_a_gpu_the_device_is_the_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(cgroup_memory, "limit", lambda: None)

    [device] = devices.visible()

    assert (device.id, device.type) == (f"cpu:{host.boot_id()}", "cpu")
    assert device.total_bytes == cgroup_memory.physical()
    assert devices.usage(device) is None


def test_memory_of_a_limited_container_is_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    ids = set()
    for name in ("one", "two", "one"):
        limits = tmp_path / name / "memory.max"
        limits.parent.mkdir(exist_ok=True)
        monkeypatch.setattr(cgroup_memory, "_FILES", (limits, tmp_path / "none"))
        limits.write_text("1048576\n")
        assert cgroup_memory.limit() == MemoryLimit(size=1 << 20, file=limits)
        [device] = devices.visible()
        ids.add((device.id, device.total_bytes))
        limits.write_text("max\n")
        assert cgroup_memory.limit() is None

    assert len(ids) == 2
    assert all(id_.startswith(f"cpu:{host.boot_id()}/") and total == 1 << 20 for id_, total in ids)


def test_workers_share_cores_unless_their_container_has_a_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(host, "_CPU_QUOTA", quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert (host.machine_id(), host.cores()) == (host.boot_id(), 12)
    quota.write_text("max 100000\n")
    assert (host.machine_id(), host.cores()) == (host.boot_id(), 12)

    quota.write_text("350000 100000\n")

    assert host.machine_id().startswith(f"{host.boot_id()}/")
    assert host.cores() == 4
    assert [host.threads(count) for count in (1, 2, 3, 9)] == [4, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert host.threads(2) == 7
