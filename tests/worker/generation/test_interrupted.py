"""Interruptions change no byte of a generation: the same seed gives the same files as without them."""

from pathlib import Path
from typing import Any

import pytest

from shared import model_types
from shared.settings import Settings
from shared.storage import Storage
from tests.fourth_type import MODEL_TYPES
from tests.worker.models.conftest import build, builtin
from worker.checkpoints import local
from worker.checkpoints.manifest import CheckpointRef, Manifest
from worker.generation.engine import GenerationEngine
from worker.models.lstm import sampling as writing

# A request of several blocks. A model type without one is interrupted before its only block ends, or not at all.
REQUESTS: dict[str, dict[str, Any]] = {
    "lstm": {"prompt": "import os", "length": 300, "n": 40, "top_p": 0.95},
    "vae": {"n": 1200},
    "acgan": {"labels": [0, 1], "n_per_label": 600},
    "gan": {"n": 1200},
}
ONE_TEXT = {"length": 300, "temperature": 0.9}


def stored(name: str, settings: Settings, folder: Path) -> CheckpointRef:
    """A fresh model in the store."""
    model, kind = build(name), model_types.get(name)
    manifest = Manifest(
        model_type=name,
        config=model.config(),
        hyperparameters=model.hyperparameters.model_dump(mode="json"),
        dataset=builtin(kind).name,
        seed=0,
        epoch=1,
        step=1,
        step_in_epoch=1,
        device="cpu",
        precision="float32",
    )
    written = local.write(folder / name, manifest, weights=model.state_dict(), training={})
    Storage.open_url(settings.resolved_storage_url).put_tree(written.path, name)
    return CheckpointRef(id="ckp_1", storage_key=name, sha256=written.sha256, model_type=name)


@pytest.mark.parametrize("is_cached", [True, False], ids=["cached", "evicted"])
@pytest.mark.parametrize("name", list(MODEL_TYPES))
@pytest.mark.usefixtures("fourth_type")
def test_interrupted_generation_gives_the_same_bytes(name: str, tmp_path: Path, *, is_cached: bool) -> None:
    settings = Settings(home=tmp_path, generation_cache_bytes=1 << 30 if is_cached else 1)
    checkpoint = stored(name, settings, tmp_path)
    others = [stored(other, settings, tmp_path / "others") for other in ("lstm", "vae", "acgan")]
    engine = GenerationEngine(settings)
    sampling = REQUESTS.get(name, {})
    blocks: list[int] = []

    def interrupt(*_: object) -> None:
        blocks.append(len(blocks))
        if len(blocks) <= 3:
            other = others[len(blocks) % 3]
            again = engine.generate(other, {}, len(blocks), None, folder("other"))
            assert again.files

    def folder(what: str) -> Path:
        made = tmp_path / what
        made.mkdir(exist_ok=True)
        return made

    def data(what: str, **options: Any) -> bytes:
        [file] = engine.generate(checkpoint, sampling, 5, None, folder(what), **options).files
        return file.path.read_bytes()

    alone = data("alone")
    assert data("interrupted", between_blocks=interrupt) == alone
    assert len(blocks) >= (2 if name in REQUESTS else 0)
    assert data("after") == alone


def test_length_of_blocks_does_not_change_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("lstm")
    requests = [model_types.get("lstm").sampling.validate_python(each) for each in (REQUESTS["lstm"], ONE_TEXT)]
    expected = [model.generate(request, seed=3).texts for request in requests]
    for work in (1, 200_000, 3_000_000):
        monkeypatch.setattr(writing, "BLOCK_WORK", work)
        assert [model.generate(request, seed=3).texts for request in requests] == expected
