"""Shape and bounds of requests."""

from typing import Any

import pytest
from pydantic import BaseModel

from shared.errors import SpecError
from shared.job_status import Priority
from shared.specs import MAX_SEED, parse_generation, parse_training

MODEL = "mdl_" + "0" * 26


def wrong(body: Any) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        parse_training(body)
    return [(error.pointer, error.detail) for error in caught.value.errors]


def test_model_type_is_the_only_required_field() -> None:
    request = parse_training({"model_type": "vae"})
    assert (request.preset, request.priority, request.max_attempts) == ("fast", Priority.NORMAL, 3)
    assert request.timeout_s == 86_400
    assert parse_generation({"model": MODEL}).sampling == {}


@pytest.mark.parametrize("body", [None, [], "x", 3, [{"model_type": "vae"}]])
def test_body_that_is_not_an_object_is_refused(body: Any) -> None:
    assert wrong(body) == [("", "The body must be a JSON object.")]


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"model_type": None}, "/model_type", "valid string"),
        ({"hyperparameter": {}}, "/hyperparameter", 'Did you mean "hyperparameters"?'),
        ({"zzz": 1}, "/zzz", "Valid: dataset, device, dry_run, evaluation, hyperparameters"),
        ({"a/b~c": 1}, "/a~1b~0c", "There is no field"),
        ({"seed": -1}, "/seed", "greater than or equal to 0"),
        ({"seed": MAX_SEED + 1}, "/seed", "less than or equal to"),
        ({"seed": 1.5}, "/seed", "integer"),
        ({"seed": 10**400}, "/seed", "less than or equal to"),
        ({"name": ""}, "/name", "at least 1 character"),
        ({"name": "x" * 201}, "/name", "at most 200 characters"),
        ({"name": "a\x00b"}, "/name", "This text holds a NUL"),
        ({"name": "\ud800"}, "/name", "This text holds a NUL"),
        ({"hyperparameters": {"x/~": ["ok", "\x00"]}}, "/hyperparameters/x~1~0/1", "This text holds a NUL"),
        ({"metadata": {"k\x00": "v"}}, "/metadata", "This text holds a NUL"),
        ({"metadata": {str(n): "" for n in range(17)}}, "/metadata", "at most 16 items"),
        ({"metadata": {"k": 5}}, "/metadata/k", "valid string"),
        ({"metadata": {"k": "v" * 513}}, "/metadata/k", "at most 512 characters"),
        ({"priority": "urgent"}, "/priority", "'low', 'normal' or 'high'"),
        ({"max_attempts": 0}, "/max_attempts", "greater than or equal to 1"),
        ({"timeout_s": 10**9}, "/timeout_s", "less than or equal to"),
        ({"init_from": "trn_" + "0" * 26}, "/init_from", "not an id of the expected kind"),
        ({"device": "gpu"}, "/device", "'auto', 'cpu' or 'cuda'"),
        ({"requires": ["A100"]}, "/requires/0", "'A100' is not a label; use up to 63 of a-z"),
        ({"requires": [f"l{n}" for n in range(9)]}, "/requires", "at most 8 items"),
        ({"hyperparameters": {str(n): n for n in range(65)}}, "/hyperparameters", "at most 64 items"),
    ],
)
def test_each_invalid_field_is_named_with_a_remedy(changes: dict[str, Any], pointer: str, words: str) -> None:
    [(at, detail)] = wrong({"model_type": "vae", **changes})
    assert at == pointer
    assert words in detail


def test_all_errors_are_reported_at_once() -> None:
    errors = wrong({"sed": 1, "priority": "urgent"})
    assert [pointer for pointer, _ in errors] == ["/model_type", "/priority", "/sed"]
    assert dict(errors)["/model_type"] == "This field is required."


@pytest.mark.parametrize("model", ["mdl_1", "art_" + "0" * 26, "", "mdl_" + "A" * 26, "mdl_" + "0" * 27])
def test_generation_names_a_model_a_checkpoint_or_a_job(model: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_generation({"model": model})
    assert [error.pointer for error in caught.value.errors] == ["/model"]


def test_request_is_immutable() -> None:
    request: BaseModel = parse_training({"model_type": "vae"})
    with pytest.raises(ValueError, match="frozen"):
        request.seed = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("character", ["\x1b", "\r", "\n", "\t", "\x7f", "\x9b", "\u2028", "\u202e", "\u2066"])
def test_control_characters_are_refused_in_names_and_metadata(character: str) -> None:
    text = f"a{character}b"
    code = f"U+{ord(character):04X}"

    [(pointer, detail)] = wrong({"model_type": "vae", "name": text})
    assert pointer == "/name"
    assert f"{code} at position 1" in detail
    [(pointer, detail)] = wrong({"model_type": "vae", "metadata": {"k": text}})
    assert pointer == "/metadata/k"
    assert code in detail
    [(pointer, detail)] = wrong({"model_type": "vae", "metadata": {text: "v"}})
    assert pointer.startswith("/metadata")
    assert code in detail


@pytest.mark.parametrize("name", ["Zoë's model", "👩‍🔬", "naïve 模型", "नमस्ते", "עברית"])
def test_names_in_every_script_are_accepted(name: str) -> None:
    assert parse_training({"model_type": "vae", "name": name}).name == name
