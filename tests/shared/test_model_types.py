"""The contracts of the model types: presets, bounds, sampling parameters and estimates."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from shared import model_types
from shared.datasets import REGISTRY as DATASETS
from shared.errors import SpecError
from shared.model_types import DatasetShape
from shared.model_types.reference import markdown
from tests.fourth_type import MODEL_TYPES

EACH = pytest.mark.parametrize("kind", MODEL_TYPES.values(), ids=list(MODEL_TYPES))


def hyperparameters(name: str, **overrides: Any) -> Any:
    return model_types.get(name).resolve("fast", overrides)


def sampling(name: str, **fields: Any) -> Any:
    return model_types.get(name).sampling.validate_python(fields)


@EACH
def test_each_preset_resolves_to_all_hyperparameters_as_json(kind: model_types.ModelType) -> None:
    assert next(iter(kind.presets)) == "fast"
    for preset in kind.presets:
        resolved = kind.resolve(preset, {})
        assert kind.hyperparameters.model_validate_json(resolved.model_dump_json()) == resolved
        assert kind.resolve(preset, kind.small).model_dump().items() >= kind.small.items()
    assert kind.resolve("fast", kind.demo).model_dump().items() >= kind.demo.items()


@EACH
def test_metrics_and_quality_figures_have_descriptions_and_headlines(kind: model_types.ModelType) -> None:
    for measures in (kind.metrics, kind.quality):
        assert all(each.meaning.endswith(".") for each in measures.values())
        assert 1 <= sum(each.is_headline for each in measures.values()) <= 3
    assert kind.selection[0] in kind.metrics
    assert kind.metrics[kind.selection[0]].better == {"min": "lower", "max": "higher"}[kind.selection[1]]
    assert {"learning_rate", "examples_per_s"} <= set(kind.metrics)


@EACH
def test_bands_of_figures_follow_the_direction_of_an_improvement(kind: model_types.ModelType) -> None:
    for measure in (*kind.metrics.values(), *kind.quality.values()):
        if measure.bands is not None:
            good, usual = measure.bands
            assert good > usual if measure.better == "higher" else good < usual
            assert measure.better is not None


@EACH
def test_datasets_of_a_model_type_have_its_kind_and_the_fallback_is_builtin(kind: model_types.ModelType) -> None:
    assert DATASETS[kind.default_dataset].kind == kind.data_kind
    assert DATASETS[kind.fallback_dataset].kind == kind.data_kind
    assert DATASETS[kind.fallback_dataset].builtin


@EACH
def test_unknown_hyperparameter_is_refused(kind: model_types.ModelType) -> None:
    with pytest.raises(ValidationError):
        kind.resolve("fast", {"learning_rat": 1})
    with pytest.raises(ValidationError):
        kind.resolve("fast", {"learning_rate": float("nan")})


@EACH
def test_sampling_parameters_all_have_defaults_and_a_schema(kind: model_types.ModelType) -> None:
    kind.sampling.validate_python({})
    kind.sampling.validate_python(dict(kind.demo_sampling))
    kind.sampling.validate_python(dict(kind.small_sampling))
    json.dumps(kind.sampling.json_schema())
    json.dumps(kind.hyperparameters.model_json_schema())


@EACH
def test_memory_estimates_grow_with_the_request(kind: model_types.ModelType) -> None:
    shape = DATASETS[kind.default_dataset].shape
    small, large = (kind.resolve("fast", {"batch_size": size}) for size in (4, 4096))

    assert 0 < kind.training_bytes(small, shape) < kind.training_bytes(large, shape)
    assert kind.sampling_bytes(small, kind.sampling.validate_python({}), shape) > 0
    for preset in kind.presets:
        assert kind.training_bytes(kind.resolve(preset, {}), shape) < 4 << 30
        kind.check_training(kind.resolve(preset, {}), shape)
        kind.check_training(kind.resolve(preset, {}), DatasetShape(kind=kind.data_kind))


@pytest.mark.parametrize(("latent_size", "z"), [(2, [0.1, 0.2]), (512, [0.1] * 512)])
def test_a_flat_latent_is_estimated_as_one_image(latent_size: int, z: list[float]) -> None:
    kind = model_types.get("vae")
    model = hyperparameters("vae", latent_size=latent_size)
    shape = DATASETS["digits"].shape

    flat, nested = (kind.sampling_bytes(model, sampling("vae", mode="latent", z=given), shape) for given in (z, [z]))
    many = kind.sampling_bytes(model, sampling("vae", mode="latent", z=[z] * 100), shape)

    assert flat == nested < many


def test_an_unknown_model_type_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="Did you mean `acgan`"):
        model_types.get("acgn")


def test_book_presets_are_the_published_settings() -> None:
    lstm = model_types.get("lstm").resolve("book", {})
    assert lstm.model_dump(include={"window", "sample_step", "layers", "examples_per_epoch", "epochs"}) == {
        "window": 60,
        "sample_step": 3,
        "layers": (128, 128),
        "examples_per_epoch": 10_000,
        "epochs": 120,
    }
    vae = model_types.get("vae").resolve("book", {})
    assert vae.model_dump(include={"latent_size", "hidden", "batch_size", "learning_rate", "kl_weight"}) == {
        "latent_size": 2,
        "hidden": (512,),
        "batch_size": 256,
        "learning_rate": 1e-3,
        "kl_weight": 1.0,
    }
    acgan = model_types.get("acgan").resolve("book", {})
    assert acgan.model_dump(include={"latent_size", "soft_label", "learning_rate", "beta1", "dropout"}) == {
        "latent_size": 100,
        "soft_label": 0.95,
        "learning_rate": 2e-4,
        "beta1": 0.5,
        "dropout": 0.3,
    }


def test_lstm_layers_can_have_different_sizes() -> None:
    assert hyperparameters("lstm", layers=[100, 50]).layers == (100, 50)


def test_vae_can_be_trained_without_the_kl_term() -> None:
    assert hyperparameters("vae", kl_weight=0).kl_weight == 0


@pytest.mark.parametrize(
    ("fields", "mode", "reads"),
    [
        ({}, "random", False),
        ({"n": 3}, "random", False),
        ({"mode": "grid", "points": 30}, "grid", False),
        ({"mode": "interpolate", "from": [0, 0], "to": [1, 1]}, "interpolate", False),
        ({"mode": "interpolate", "from": 3, "to": [1, 1]}, "interpolate", True),
        ({"mode": "latent", "z": [1, 2]}, "latent", False),
        ({"mode": "reconstruct"}, "reconstruct", True),
        ({"mode": "encode", "indices": [5]}, "encode", True),
    ],
)
def test_vae_samples_in_several_modes_and_declares_those_that_need_the_dataset(
    fields: dict[str, Any], mode: str, *, reads: bool
) -> None:
    parsed = sampling("vae", **fields)

    assert parsed.mode == mode
    assert parsed.reads_dataset is reads
    again = model_types.get("vae").sampling.validate_python(parsed.model_dump(mode="json", by_alias=True))
    assert again == parsed


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("lstm", {"temperature": -1}),
        ("lstm", {"top_p": 0}),
        ("lstm", {"length": 0}),
        ("lstm", {"prompt": ""}),
        ("vae", {"mode": "dream"}),
        ("vae", {"mode": "grid", "points": 101}),
        ("vae", {"mode": "grid", "n": 3}),
        ("acgan", {"labels": []}),
        ("acgan", {"labels": "some"}),
        ("acgan", {"z": [[1e9]]}),
    ],
)
def test_sampling_out_of_bounds_is_refused(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        sampling(name, **fields)


def test_too_much_text_in_one_request_is_refused() -> None:
    with pytest.raises(SpecError, match="at most"):
        model_types.get("lstm").check_sampling(
            hyperparameters("lstm"), sampling("lstm", n=1024, length=100_000), DatasetShape(kind="text")
        )


def test_labels_are_validated_against_known_classes() -> None:
    merged = hyperparameters("acgan", label_map=[0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    check = model_types.get("acgan").check_sampling

    check(merged, sampling("acgan", labels=[1]), DatasetShape(kind="images", classes=10))
    with pytest.raises(SpecError) as caught:
        check(merged, sampling("acgan", labels=[1, 2]), DatasetShape(kind="images", classes=10))
    assert caught.value.errors[0].pointer == "/sampling/labels/1"


def test_window_that_is_too_long_for_the_text_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        model_types.get("lstm").check_training(
            hyperparameters("lstm", window=500), DatasetShape(kind="text", examples=1000)
        )
    assert caught.value.errors[0].pointer == "/hyperparameters/window"


def test_book_networks_require_images_of_the_book_s_size() -> None:
    kind = model_types.get("acgan")

    with pytest.raises(SpecError, match="28×28"):
        kind.check_training(kind.resolve("book", {}), DatasetShape(kind="images", height=32, width=32))


def test_reference_describes_each_preset_option_and_figure_of_each_model_type() -> None:
    page = markdown(MODEL_TYPES.values())

    for kind in MODEL_TYPES.values():
        names = [*kind.presets, *kind.hyperparameters.model_fields, *kind.metrics, *kind.quality]
        assert all(f"| `{name}` |" in page for name in names)
    assert "| `n_per_label` | null | Images of each; 10 unless `z` is given. |" in page
    assert "### Sampling: GridSampling" in page
