"""`make bench` at small size: every implementation runs, they take turns, and baselines compute the same."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import keras_child, ours
from benchmarks.speed.__main__ import main
from benchmarks.speed.arithmetic import flops
from benchmarks.speed.baselines_torch import TRAINERS
from benchmarks.speed.bench_data import BenchData
from benchmarks.speed.cases import CASES, Case
from benchmarks.speed.implementations import BenchContext, Implementation, LeftOutError, Ready
from benchmarks.speed.measuring import FULL, Plan, faster, measure
from shared import model_types
from shared.settings import Settings
from worker.models import GenerativeModel, implementation
from worker.models.base import count_parameters
from worker.models.lstm.recurrence import onednn_has_bfloat16
from worker.trainer.backend_choice import Hardware

pytestmark = pytest.mark.usefixtures("torch_as_it_was")

ROOT = Path(__file__).parents[2]
KERAS = ROOT / ".venv-keras" / "bin" / "python"
TRAINING = {case.name: case for case in CASES if case.kind == "training"}
BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> BenchData:
    return BenchData.at_hand(Settings(home=tmp_path_factory.mktemp("home"), datasets_dir=None), builtin=True)


@pytest.fixture
def context(data: BenchData, tmp_path: Path) -> BenchContext:
    return BenchContext(data=data, folder=tmp_path, threads=1)


def model_of(case: Case, data: BenchData, **changed: Any) -> GenerativeModel:
    """Our model, ready for its first step."""
    kind = model_types.get(case.model_type)
    chosen = kind.resolve("book", {**ours.hyperparameters(case), **changed})
    torch.manual_seed(3)
    model = implementation(kind).for_data(chosen, data.datasets[case.model_type])
    model.train()
    model.start_training(data.datasets[case.model_type], seed=3)
    return model


# --- the command --------------------------------------------------------------------------------------------------


def test_quick_run_measures_every_case_and_implementation_and_writes_table_figures_and_picture(tmp_path: Path) -> None:
    main(["--quick", "--threads", "1", "--results", str(tmp_path)])

    results = json.loads((tmp_path / "bench.json").read_text())
    assert list(results["cases"]) == [case.name for case in CASES]
    assert results["machine"]["threads"] == 1
    assert {"torch", "python"} <= set(results["versions"])
    page = (tmp_path / "bench.md").read_text()
    for case in CASES:
        found = results["cases"][case.name]
        training = case.kind == "training"
        played = {name for name, row in found["rows"].items() if "left_out" not in row}
        expected = {"mimeo", "mimeo-loop", "torch", "torch-bf16"} if training else {"mimeo", "torch"}
        if training and Hardware.detect("cpu").has_bfloat16:
            expected.add("mimeo-f32")  # the trainer's rule chooses bfloat16
        if training and not onednn_has_bfloat16():
            expected.remove("torch-bf16")
            assert "does not multiply bfloat16" in found["rows"]["torch-bf16"]["left_out"]
        assert played == expected
        assert found["rows"]["keras"]["left_out"] == "left out: KERAS=0"
        for name in played:
            row = found["rows"][name]
            assert 0 < row["ms_fastest"] <= row["ms"] <= row["ms_slowest"]
            assert set(row["times_as_fast_as"]) == {"torch", "torch-bf16"} & played - {name}
            assert row["share_of_ceiling"]["float32"] > 0
        assert f"## {found['title']}" in page
    assert page.count("| Keras 3 on TensorFlow | – (left out: KERAS=0) |") == len(CASES)
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_rows_of_keras_give_the_reason_when_it_is_not_installed(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "python"
    main(["--quick", "--cases", "grid-400", "--keras", str(missing), "--results", str(tmp_path)])

    results = json.loads((tmp_path / "bench.json").read_text())
    assert results["cases"]["grid-400"]["rows"]["keras"]["left_out"] == f"not installed: {missing} is missing"


def test_full_run_stays_within_its_time_budget() -> None:
    measured = sum(FULL.budget_s[case.kind] for case in CASES)
    assert measured < 4 * 60, "the other two of six minutes are for starting and warming up"


# --- taking turns -------------------------------------------------------------------------------------------------


def test_implementations_take_turns_and_ratios_are_computed_within_rounds(context: BenchContext) -> None:
    turns: list[str] = []
    machine = iter([1.0, 10.0, 1.0])  # in the second round the machine is ten times slower
    pace = 1.0

    def implementation_of(name: str, seconds: float) -> Implementation:
        def run(count: int) -> float:
            nonlocal pace
            if name == "a":
                pace = next(machine)
            turns.append(name)
            return count * seconds * pace

        return Implementation(
            name=name, title=name, role="peer", kind="sampling", prepare=lambda _case, _place: Ready(run=run)
        )

    def absent(_case: Case, _place: BenchContext) -> Ready:
        raise LeftOutError("not here")

    implementations = [
        implementation_of("b", 2.0),
        Implementation(name="c", title="c", role="peer", kind="sampling", prepare=absent),
        Implementation(name="t", title="t", role="peer", kind="training", prepare=absent),
    ]
    plan = Plan(slice_s={"sampling": 0.0}, budget_s={"sampling": 0.0}, fewest=2)
    measured = measure(BY_NAME["grid-400"], [implementation_of("a", 1.0), *implementations], context, {}, plan)

    assert turns == ["a", "b", "a", "b", "a", "b"]  # the first call of each is the warm-up
    a, b = measured.entries
    assert (a.times, b.times) == ([10.0, 1.0], [20.0, 2.0])
    assert faster(a, b) == 2.0
    assert [(left.name, reason) for left, reason in measured.left_out] == [("c", "not here")]


def test_loop_runs_the_given_number_of_steps_and_continues_from_there(context: BenchContext) -> None:
    ready = ours.prepare_loop(TRAINING["vae"].small(), context)

    assert all(ready.run(count) > 0 for count in (3, 2))

    checkpoints = sorted(path.name for path in context.folder.glob("vae-auto-*/checkpoints/*"))
    ready.close()
    assert checkpoints == ["00000003", "00000005"]


# --- the same mathematics -----------------------------------------------------------------------------------------


def lstm_weights(model: GenerativeModel) -> dict[str, torch.Tensor]:
    weights = model.state_dict()
    layers = {
        name.replace("layers.", "lstm.").replace(f".{index}.", ".").replace("_l0", f"_l{index}"): value
        for index in range(2)
        for name, value in weights.items()
        if name.startswith(f"layers.{index}.")
    }
    return layers | {name: value for name, value in weights.items() if name.startswith("head.")}


def vae_weights(model: GenerativeModel) -> dict[str, torch.Tensor]:
    weights = model.state_dict()
    found = {name: value for name, value in weights.items() if name.startswith("decoder.")}
    for part in ("weight", "bias"):
        found[f"hidden.{part}"] = weights[f"encoder.0.{part}"]
        found[f"mean.{part}"], found[f"log_var.{part}"] = weights[f"encoder.2.{part}"].chunk(2)
    return found


def acgan_weights(model: GenerativeModel) -> dict[str, torch.Tensor]:
    places = {"generator.": "0.", "discriminator.": "1.", **{f"convolutions.{i}": f"body.{3 * i}" for i in range(4)}}
    found = {}
    for name, value in model.state_dict().items():
        renamed = name
        for before, after in places.items():
            renamed = renamed.replace(before, after, 1)
        found[renamed] = value
    return found


WEIGHTS = {"lstm": lstm_weights, "vae": vae_weights, "acgan": acgan_weights}


def plain_batch(case: Case, batch: Any) -> tuple[torch.Tensor, ...]:
    """Our batch as the plain trainer takes it."""
    if case.model_type == "lstm":
        last = batch.targets[-1:] if case.every_character else batch.targets[None]
        return (torch.cat([batch.inputs, last]).T,)
    if case.model_type == "vae":
        return (batch[0].float() / 255,)
    return batch[0].float() / 127.5 - 1, batch[1]


@pytest.mark.parametrize("name", TRAINING)
def test_plain_torch_computes_the_same_losses_from_equal_weights_batch_and_noise(name: str, data: BenchData) -> None:
    case = TRAINING[name].small()
    model = model_of(case, data, **({"dropout": 0.0} if case.model_type == "acgan" else {}))
    trainer: Any = TRAINERS[case.model_type](case, data, nullcontext)
    trainer.model.load_state_dict(WEIGHTS[case.model_type](model))
    for part in trainer.model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    batch = next(iter(model.batches(1, 0)))

    torch.manual_seed(5)
    expected = model.training_step(batch)
    torch.manual_seed(5)
    found = trainer.learn(*plain_batch(case, batch))

    for loss, value in found.items():
        assert float(value) == pytest.approx(float(expected[loss]), rel=1e-4), loss


@pytest.mark.parametrize("name", TRAINING)
def test_plain_torch_has_the_same_number_of_parameters(name: str, data: BenchData) -> None:
    case = TRAINING[name]
    trainer = TRAINERS[case.model_type](case, data, nullcontext)
    assert sum(p.numel() for p in trainer.model.parameters()) == count_parameters(model_of(case, data))


@pytest.mark.slow
@pytest.mark.skipif(not KERAS.is_file(), reason="`make bench` has not installed Keras")
def test_keras_has_the_same_number_of_parameters_and_trains_and_samples(context: BenchContext) -> None:
    with keras_child.started(KERAS, context) as keras:
        implementations = {each.kind: each for each in keras_child.implementations(keras)}
        for case in CASES:
            if case.name == "text-64":
                with pytest.raises(LeftOutError, match="one text at a time"):
                    implementations[case.kind].prepare(case, context)
                continue
            ready = implementations[case.kind].prepare(case.small(), context)
            assert ready.run(2) > 0
            if case.kind == "training":
                # torch has two biases where Keras has their sum
                second_biases = 4 * sum(case.small().layers) if case.model_type == "lstm" else 0
                model = model_of(case.small(), context.data)
                assert ready.parameters == count_parameters(model) - second_biases


# --- arithmetic ---------------------------------------------------------------------------------------------------


def counted(case: Case, data: BenchData) -> int:
    """FLOPs of one plain step, as torch counts them."""
    trainer: Any = TRAINERS[case.model_type](case, data, nullcontext)
    with FlopCounterMode(display=False) as counter:
        trainer.step()
    return int(counter.get_total_flops())


def test_operations_of_the_vae_equal_those_counted_by_torch(data: BenchData) -> None:
    case = TRAINING["vae"].small()
    assert flops(case, 0) == counted(case, data)


def test_operations_of_the_acgan_equal_those_counted_by_torch_without_padding(
    data: BenchData,
) -> None:
    case = TRAINING["acgan"].small()
    assert 0.8 * counted(case, data) < flops(case, 0) < counted(case, data)


def test_operations_of_the_lstm_equal_a_calculation_by_hand() -> None:
    first, second, head = 128 * 512, 2 * 128 * 512, 128 * 65
    body = 3 * 2 * (first + second) * 128 * 60
    assert flops(TRAINING["lstm-last"], 65) == body + 3 * 2 * head * 128
    assert flops(TRAINING["lstm-every"], 65) == body + 3 * 2 * head * 128 * 60
    assert flops(BY_NAME["text-1"], 65) == flops(BY_NAME["text-64"], 65) == 2 * (first + second + head)
