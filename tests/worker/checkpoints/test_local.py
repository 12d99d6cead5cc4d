"""A checkpoint is complete, verified and byte-identical for equal weights, or it does not exist."""

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from worker.checkpoints import local
from worker.checkpoints.manifest import WEIGHTS, Checkpoint, DamagedCheckpoint, Manifest, verify


def manifest(step: int = 5) -> Manifest:
    return Manifest(
        model_type="toy",
        config={"pixels": 784},
        hyperparameters={"epochs": 1},
        dataset="digits",
        seed=7,
        epoch=1,
        step=step,
        step_in_epoch=step,
        device="cpu",
        precision="float32",
        loop={"meter": {"loss": [0.1 + 0.2, 3]}},
    )


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tied = torch.randn(3, 4, generator=generator)
    return {"z.weight": tied, "a.tied": tied, "b.transposed": tied.T, "c.count": torch.tensor(3)}


def write(folder: Path, step: int = 5) -> Checkpoint:
    return local.write(folder, manifest(step), weights=weights(), training={"0.exp_avg": torch.ones(2)})


def test_checkpoint_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    written = write(tmp_path)
    found = verify(written.path)
    assert found.manifest.loop == {"meter": {"loss": [0.1 + 0.2, 3]}}
    loaded = local.load_tensors(written.path / WEIGHTS)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights().items())
    assert loaded.keys() == weights().keys()


def test_training_tensors_keep_their_memory_layout(tmp_path: Path) -> None:
    moment = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    written = local.write(tmp_path, manifest(), weights={}, training={"moment": moment, "plain": torch.ones(2, 3)})
    loaded = local.load_training(verify(written.path))
    assert loaded["moment"].stride() == moment.stride()
    assert torch.equal(loaded["moment"], moment)
    assert loaded["plain"].is_contiguous()


def test_equal_weights_give_equal_bytes_in_any_order_of_the_dictionary() -> None:
    turned_round = dict(reversed(weights().items()))
    config = {"b": 1, "a": 2}
    first = local.weights_bytes("toy", config, weights())
    assert first == local.weights_bytes("toy", {"a": 2, "b": 1}, turned_round)


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_any_damage_is_detected_and_named(name: str, damage: str, tmp_path: Path) -> None:
    path = write(tmp_path).path
    file = path / name
    data = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    else:
        data[len(data) // 2] ^= 0x80
        file.write_bytes(data if damage == "flip" else data[:-7])
    with pytest.raises(DamagedCheckpoint, match=name):
        verify(path)


def test_changed_bit_anywhere_in_the_manifest_is_detected(tmp_path: Path) -> None:
    path = write(tmp_path).path
    whole = (path / "manifest.json").read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        (path / "manifest.json").write_bytes(damaged)
        if b"0.3000000000000000" in whole[place - 18 : place]:
            continue  # with this many digits the last one does not change the number
        with pytest.raises(DamagedCheckpoint, match=r"manifest\.json"):
            verify(path)


def test_newest_valid_checkpoint_is_found_and_damaged_ones_are_listed(tmp_path: Path) -> None:
    for step in (9, 100, 1_000):
        write(tmp_path, step)
    (tmp_path / "checkpoints/00001000/model.safetensors").write_bytes(b"")
    search = local.newest_valid(tmp_path)
    assert search.found is not None
    assert search.found.manifest.step == 100
    assert [name for name, _ in search.damaged] == ["00001000"]


def test_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert local.newest_valid(tmp_path) == local.Search()


def test_pruning_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for step in range(1, 7):
        write(tmp_path, step)
    local.prune(tmp_path, keep=2, best=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["00000002", "00000005", "00000006"]


def test_damaged_checkpoint_is_replaced_when_its_step_is_repeated(tmp_path: Path) -> None:
    path = write(tmp_path).path
    (path / "model.safetensors").write_bytes(b"")
    write(tmp_path)
    verify(path)


def test_partial_files_of_a_killed_run_are_removed_and_never_used(tmp_path: Path) -> None:
    write(tmp_path)
    half = tmp_path / "checkpoints/.tmp-00000006-123"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert local.newest_valid(tmp_path).damaged == []
    local.sweep(tmp_path)
    assert not half.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not allow mounting")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_full_disk_leaves_the_last_checkpoint_intact_and_no_partial_one(small_disk: Path) -> None:
    last = write(small_disk)
    (small_disk / "filler").write_bytes(bytes(200_000))
    with pytest.raises(OSError, match="space") as full:
        local.write(small_disk, manifest(6), weights={"big": torch.zeros(100_000)}, training={})
    assert full.value.errno == errno.ENOSPC
    assert [path.name for path in (small_disk / "checkpoints").iterdir()] == [last.path.name]
    verify(last.path)


def test_read_only_disk_leaves_the_last_checkpoint_intact(small_disk: Path) -> None:
    last = write(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match=r"[Rr]ead-only"):
        write(small_disk, 6)
    verify(last.path)


def test_manifest_is_json_without_nan(tmp_path: Path) -> None:
    path = write(tmp_path).path
    stored = json.loads((path / "manifest.json").read_text())
    assert stored["files"]["model.safetensors"]["size"] == (path / "model.safetensors").stat().st_size
