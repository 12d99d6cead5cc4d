"""The lock files: one set of versions, hashes on everything, no registry's address, no torch for the API."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "requirements"
LOCKS = sorted(path.stem for path in FOLDER.glob("*.txt"))
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)(?: ; ([^\\]*))?", re.MULTILINE)


def pins(lock: str) -> dict[tuple[str, str], str]:
    """(package, environment marker) → version."""
    return {
        (name, marker.strip()): version for name, version, marker in PIN.findall((FOLDER / f"{lock}.txt").read_text())
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_each_pin_has_a_hash_and_no_line_names_a_registry(lock: str) -> None:
    text = (FOLDER / f"{lock}.txt").read_text()
    assert pins(lock)
    for entry in re.split(r"\n(?=[a-z0-9])", text.split("\n", 2)[2]):
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    assert "--index-url" not in text


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock not in {"all", "uv", "bench-keras"}])
def test_images_and_options_use_the_versions_of_the_tests(lock: str) -> None:
    everything = {(name, version) for (name, _), version in pins("all").items()}
    assert {(name, version) for (name, _), version in pins(lock).items()} <= everything


@pytest.mark.parametrize("lock", ["api", "no-torch", "worker-no-torch"])
def test_locks_without_torch_have_neither_torch_nor_its_gpu_libraries(lock: str) -> None:
    heavy = {name for name, _ in pins(lock) if re.match(r"(torch|triton)$|nvidia-(?!ml-py)|cuda-", name)}
    assert not heavy
