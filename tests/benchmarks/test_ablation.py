"""The ablations: rows that the contracts accept, real tiny runs, and results that outlive a broken-off run."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation import plan as plans
from benchmarks.ablation.__main__ import main
from benchmarks.ablation.choices import ABLATIONS, FULL
from benchmarks.ablation.plan import Plan
from benchmarks.ablation.results import OtherSettingsError, Results
from shared import datasets, model_types
from shared.errors import SpecError

EACH = pytest.mark.parametrize("model_type", list(ABLATIONS))
EACH_ROW = pytest.mark.parametrize(
    ("model_type", "name"), [(model_type, name) for model_type, found in ABLATIONS.items() for name in found.names]
)
COMMON = {"device": "cpu", "precision": "float32", "threads": 1}
TINY = {
    "lstm": ["--dataset", "python-source", "--set", "layers=[8]", "--set", "window=8", "--set", "batch_size=4"],
    "vae": ["--dataset", "digits", "--set", "hidden=[16]"],
}


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMEO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MIMEO_OFFLINE", "1")
    monkeypatch.delenv("MIMEO_DATASETS_DIR", raising=False)


def plan_of(model_type: str, dataset: str | None = None, **overrides: Any) -> Plan:
    return plans.make(model_type, overrides, dataset=dataset or model_types.get(model_type).default_dataset, **COMMON)


def ablate(model_type: str, folder: Path, *more: str) -> int:
    """The command, on little."""
    little = ["--epochs", "1", "--set", "examples_per_epoch=640", "--results", str(folder)]
    return main([model_type, *TINY[model_type], *little, *more])


def found_in(folder: Path, model_type: str) -> dict[str, dict[str, Any]]:
    """Rows of the JSON by name."""
    contents = json.loads((folder / f"ablation-{model_type}.json").read_text())
    return {row["name"]: row for row in contents["rows"]}


# --- rows ---------------------------------------------------------------------------------------------------------


@EACH_ROW
def test_every_row_is_accepted_by_its_contract_and_undoes_something(model_type: str, name: str) -> None:
    plan, contract = plan_of(model_type), model_types.get(model_type)
    [row] = [row for row in plan.rows if row.name == name]
    full = plan.settings["hyperparameters"]

    resolved = contract.resolve("fast", plan.spec(row, 0)["hyperparameters"])

    assert resolved.model_dump(mode="json") == {**full, **row.instead}
    assert all(full[changed] != value for changed, value in row.instead.items())
    assert bool(row.instead) == (name != FULL)
    for dataset in (contract.default_dataset, contract.fallback_dataset):
        contract.check_training(resolved, datasets.REGISTRY[dataset].shape)


@EACH
def test_the_full_row_is_the_fast_preset_but_for_its_epochs(model_type: str) -> None:
    fast = model_types.get(model_type).resolve("fast", {})

    full = plan_of(model_type).settings["hyperparameters"]

    assert full == fast.model_dump(mode="json") | {"epochs": ABLATIONS[model_type].epochs}
    assert full["epochs"] < fast.epochs


def test_windows_make_as_many_steps_of_as_many_characters_as_streams() -> None:
    plan = plan_of("lstm")
    full = plan.settings["hyperparameters"]
    [row] = [row for row in plan.rows if row.name == "every-character"]

    assert row.instead["examples_per_epoch"] // full["batch_size"] == 1_000_000 // (full["batch_size"] * full["window"])
    with pytest.raises(SpecError, match="Give a number"):
        plan_of("lstm", examples_per_epoch=None)


def test_a_row_that_cannot_be_trained_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (["--set", "hiden=[8]"], ["--only", "depht"], ["--dataset", "shakespeare"], ["--at-once", "0"]):
        with pytest.raises(SystemExit) as ended:
            main(["vae", *wrong, "--results", str(tmp_path)])
        assert ended.value.code == 2
    assert 'Did you mean "hidden"?' in capsys.readouterr().err


# --- runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_rows_are_measured_two_at_once_and_others_are_added_later(tmp_path: Path) -> None:
    assert ablate("lstm", tmp_path, "--only", "full", "every-character", "--at-once", "2") == 0

    first = json.loads((tmp_path / "ablation-lstm.json").read_text())
    assert [run["steps"] for run in first["runs"]] == [20, 20]
    assert all(0 < run["trained_s"] < run["wall_s"] and run["at_once"] == 2 for run in first["runs"])
    rows = found_in(tmp_path, "lstm")
    assert set(rows["full"]["figures"]) == {*model_types.get("lstm").quality, "trained_s", "wall_s"}
    bits = {name: row["figures"]["bits_per_char"]["mean"] for name, row in rows.items()}
    assert rows["every-character"]["difference"]["mean"] == bits["every-character"] - bits["full"]

    assert ablate("lstm", tmp_path, "--only", "full", "width") == 0

    later = json.loads((tmp_path / "ablation-lstm.json").read_text())
    assert [run for run in later["runs"] if run["name"] != "width"] == first["runs"], "they are not made again"
    page = (tmp_path / "ablation-lstm.md").read_text()
    assert page.count("\n| ") == 2 + 3
    assert "| wide layers (`width`) | `layers` [128, 128] |" in page
    assert "with `batch_size` 4, `window` 8, `layers` [8]" in page
    [*_, command] = page.rstrip("`\n").split("`")
    assert command == (
        "python -m benchmarks.ablation lstm --dataset python-source --epochs 1 --set batch_size=4"
        " --set examples_per_epoch=640 --set window=8 --set layers=[8] --at-once 2"
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_vaes_row_has_the_figures_of_its_contract(tmp_path: Path) -> None:
    assert ablate("vae", tmp_path, "--only", "silu") == 0

    row = found_in(tmp_path, "vae")["silu"]
    assert row["instead"] == {"activation": "relu"}
    assert set(row["figures"]) == {*model_types.get("vae").quality, "trained_s", "wall_s"}
    assert row["difference"] is None, "the full preset is not there to compare with"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_that_fails_is_said_to_have_failed(tmp_path: Path) -> None:
    assert ablate("lstm", tmp_path, "--dataset", "nietzsche", "--only", "full") == 1

    assert found_in(tmp_path, "lstm")["full"]["failed"]
    assert "| nothing: `fast` | – | failed |" in (tmp_path / "ablation-lstm.md").read_text()


# --- results ------------------------------------------------------------------------------------------------------


def record(quality: dict[str, float], status: str = "finished") -> dict[str, Any]:
    """What a measured run looks like."""
    about = {"machine": {"cpu": "abacus", "cores": 2}, "commit": None, "health": [], "started_at": "2026-01-01"}
    started = {"device": "cpu", "precision": "float32", "versions": {"torch": "2"}, "steps": 2, "parameters": 1}
    ended = {"quality": quality, "wall_s": 3.0, "epochs": [{"trained_s": 2.0}], "published_step": 2}
    return {"status": status, **about, **started, **ended}


def results_with(path: Path, plan: Plan, figures: dict[str, list[float]]) -> Results:
    """`figures`: `val_loss` of each seed by row."""
    results = Results(path, plan)
    rows = {row.name: row for row in plan.rows}
    for name, values in figures.items():
        for seed, value in enumerate(values):
            results.take(rows[name], seed, record({"val_loss": value}), at_once=1)
    return results


def test_several_seeds_give_mean_and_spread_and_differences_are_taken_seed_by_seed(tmp_path: Path) -> None:
    results = results_with(tmp_path / "ablation-vae.json", plan_of("vae"), {"full": [20.0, 30.0], "silu": [21.0, 32.0]})

    full, silu = results.rows()

    assert full["figures"]["val_loss"] == {"mean": 25, "spread": pytest.approx(50**0.5)}
    assert silu["difference"] == {"mean": 1.5, "spread": pytest.approx(0.5**0.5)}
    page = (tmp_path / "ablation-vae.md").read_text()
    assert '| SiLU (`silu`) | `activation` "relu" | 26.50 ± 7.78 | +1.50 ± 0.71 |' in page


def test_rows_come_worst_first_after_the_full_preset(tmp_path: Path) -> None:
    figures = {"silu": [21.0], "depth": [25.0], "cosine": [19.0], "full": [20.0]}
    results = results_with(tmp_path / "ablation-vae.json", plan_of("vae"), figures)

    assert [row["name"] for row in results.rows()] == ["full", "depth", "silu", "cosine"]


def test_what_a_broken_off_ablation_found_is_there_and_a_stopped_run_is_not(tmp_path: Path) -> None:
    path, plan = tmp_path / "ablation-vae.json", plan_of("vae")
    results = results_with(path, plan, {"full": [20.0]})
    silu = next(row for row in plan.rows if row.name == "silu")
    results.take(silu, 0, record({}, status="stopped"), at_once=1)

    again = Results(path, plan)

    assert again.has(plan.rows[0], 0)
    assert not again.has(plan.rows[0], 1)
    assert not again.has(silu, 0)


def test_results_of_other_settings_are_not_mixed_nor_lost_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "ablation-vae.json"
    results_with(path, plan_of("vae"), {"full": [20.0]})
    before = path.read_text()
    longer = plan_of("vae", epochs=9)

    with pytest.raises(OtherSettingsError, match="epochs"):
        Results(path, longer)

    assert path.read_text() == before
    assert not Results(path, longer, again=True).has(longer.rows[0], 0)
