"""Trainings and generations at the edges of what the bounds of their floats allow.

Each ends with finite figures, or as `diverged` with a sentence; never with an unexpected exception.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared import model_types, trainer_protocol
from shared.model_types import REGISTRY
from shared.model_types.lstm import LstmSampling
from tests.worker.models.conftest import build
from tests.worker.trainer.harness import run
from worker.models.lstm.sampling import gumbel, scores
from worker.trainer.spec import TrainerSpec

LEAST = 5e-324  # the smallest float above 0
QUICK: dict[str, dict[str, Any]] = {
    "lstm": {"warmup_steps": 0, "recurrent_dropout": 0.1},
    "vae": {"warmup_steps": 0},
    "acgan": {},
    "gan": {},
}


def edges(schema: Mapping[str, Any]) -> Iterator[float]:
    """The smallest and the largest value of a float by its JSON schema."""
    if "exclusiveMinimum" in schema:
        yield max(LEAST, np.nextafter(schema["exclusiveMinimum"], math.inf))
    else:
        yield schema["minimum"]
    if "exclusiveMaximum" in schema:
        yield float(np.nextafter(schema["exclusiveMaximum"], -math.inf))
    else:
        yield schema["maximum"]


def floats(properties: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Each float field with each of its edges."""
    for name, schema in properties.items():
        options = [schema, *schema.get("anyOf", ())]
        for option in options:
            if option.get("type") == "number":
                yield from ((name, float(value)) for value in edges(option))


HYPERPARAMETERS = [
    pytest.param(name, field, value, id=f"{name}-{field}-{value:g}")
    for name, kind in REGISTRY.items()
    for field, value in floats(kind.hyperparameters.model_json_schema()["properties"])
]


LONG = {"examples_per_epoch": 12_000, "schedule": "constant", "learning_rate": 10.0}
DIVERGING = [
    pytest.param("lstm", {**LONG, "optimizer": "rmsprop", "clip_norm": 0.0}, id="lstm-rmsprop"),
    pytest.param("lstm", {**LONG, "weight_decay": 0.0}, id="lstm-adamw"),
    pytest.param("lstm", {**LONG, "weight_decay": 10.0}, id="lstm-decay"),
    pytest.param("vae", {**LONG, "clip_norm": 0.0, "kl_weight": 0.0}, id="vae"),
    pytest.param(
        "vae", {**LONG, "examples_per_epoch": 128, "latent_spread": 100.0, "learning_rate": 1e-30}, id="vae-wide"
    ),
    pytest.param("acgan", {**LONG, "examples_per_epoch": 400}, id="acgan"),
    pytest.param("gan", {**LONG, "examples_per_epoch": 400}, id="gan"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runs, with one home for the evaluation classifier."""
    return tmp_path_factory.mktemp("extremes")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "field", "value"), HYPERPARAMETERS)
def test_training_at_the_edge_of_a_float_ends_finite_or_diverged(
    name: str, field: str, value: float, runs: Path
) -> None:
    check_end(name, {field: value}, runs / f"{name}-{field}-{value:g}")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changes"), DIVERGING)
def test_training_that_explodes_ends_diverged_or_with_warnings(
    name: str, changes: dict[str, Any], runs: Path, request: pytest.FixtureRequest
) -> None:
    warnings = check_end(name, changes, runs / request.node.callspec.id, evaluation="full")
    assert warnings is None or warnings


def check_end(name: str, changes: Mapping[str, Any], folder: Path, evaluation: str = "auto") -> set[str] | None:
    """Train, and check the end of the run. Returns the codes of its warnings; None for a run that has diverged."""
    kind = model_types.get(name)
    hyperparameters = {**kind.small, **QUICK.get(name, {}), "epochs": 2, **changes}
    body = {"model_type": name, "dataset": kind.fallback_dataset, "threads": 1, "hyperparameters": hyperparameters}

    _, reports = run(folder, TrainerSpec.model_validate({**body, "evaluation": evaluation}).completed())

    end = reports.events[-1]
    if isinstance(end, trainer_protocol.Failed):
        assert end.code == "diverged", end
        return None
    assert isinstance(end, trainer_protocol.Finished)
    assert all(math.isfinite(figure) for figure in end.quality.values())
    notices = reports.of(trainer_protocol.Notice)
    omitted = {name for notice in notices if notice.code == "quality_omitted" for name in notice.data["omitted"]}
    assert not omitted or evaluation == "auto"
    warnings = [notice for notice in notices if notice.is_warning]
    dropped = {warning.data["name"] for warning in warnings if warning.code == "quality_not_finite"}
    assert set(end.quality) | dropped | omitted == set(kind.quality)
    return {warning.code for warning in warnings}


SAMPLING = [
    pytest.param({"temperature": 0.75, field: value}, id=f"{field}-{value:g}")
    for field, value in floats(LstmSampling.model_json_schema()["properties"])
]


@pytest.mark.parametrize("sampling", SAMPLING)
def test_text_at_the_edge_of_a_float_has_its_length(sampling: dict[str, Any]) -> None:
    model = build("lstm").eval()
    generated = model.generate(LstmSampling(length=100, n=3, **sampling), seed=1)
    assert generated.texts is not None
    assert [len(text) for text in generated.texts] == [100] * 3


LOGITS = {
    "spread": [3, 2.9, 1, -2, -5, 2.9999],
    "ties": [2, 2, 2, -4],
    "close": [0.001, 0.0, -0.001, 0.0005],
    "large": [300, 299.9, 100, -2000],
}
DRAWS = 20_000


def expected_shares(logits_V: list[float], sampling: LstmSampling) -> Any:
    """softmax(logits / temperature) after top_k and top_p, in double precision."""
    logits = np.array(logits_V, np.float32).astype(float)
    kept = np.ones(len(logits), bool)
    if sampling.top_k is not None and sampling.top_k < len(logits):
        kept &= logits >= np.sort(logits)[-sampling.top_k]
    gaps = logits - logits.max()
    shares: Any = np.where(
        kept, [math.exp(max(gap / sampling.temperature, -1e4)) if gap else 1.0 for gap in gaps.tolist()], 0.0
    )
    shares /= shares.sum()
    if sampling.top_p is not None:
        order = np.argsort(-shares)
        count = int((np.cumsum(shares[order])[:-1] < sampling.top_p).sum())
        shares = np.where(shares >= shares[order][count], shares, 0.0)
    return shares / shares.sum()


@pytest.mark.parametrize("top_p", [None, LEAST, 1e-12, 0.5, 1 - 2**-53, 1.0])
@pytest.mark.parametrize("top_k", [None, 1, 2])
@pytest.mark.parametrize("temperature", [LEAST, 1e-300, 1e-38, 1e-8, 1e-6, 1e-3, 1.0, 100.0])
@pytest.mark.parametrize("logits", LOGITS)
def test_characters_are_drawn_by_their_shares_at_any_temperature(
    logits: str, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    sampling = LstmSampling(temperature=temperature, top_k=top_k, top_p=top_p)
    logits_NV = np.repeat(np.array(LOGITS[logits], np.float32)[None], DRAWS, 0)

    noise_NV = gumbel(np.random.default_rng(0), logits_NV.shape, temperature)
    drawn = (scores(logits_NV, sampling) + noise_NV).argmax(1)

    found = np.bincount(drawn, minlength=logits_NV.shape[1]) / DRAWS
    np.testing.assert_allclose(found, expected_shares(LOGITS[logits], sampling), atol=0.02)
