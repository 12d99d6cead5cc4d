"""Errors of pydantic as field errors, for every model type's parameters."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import MAX_ERRORS, FieldError
from shared.model_types import REGISTRY
from shared.spec_errors import nearest, spec_error
from tests.fourth_type.contract import SKETCH

TYPES = {**REGISTRY, SKETCH.name: SKETCH}
WRONG = [True, "x", 1.5, -(10**12), 10**400, [], [[]], ["x"], [[[1]]], {}, {"a": 1}, [{}], [-1, -1], "", 2**80]
PYTHONS_WORDS = ("list", "tuple", "dictionary", "dict ", "literal", "function-", "constrained", "instance", "float ")


def errors_of(validator: Any, value: Any, prefix: str = "") -> list[FieldError]:
    """The errors of a value; empty for a valid one."""
    validate = validator.validate_python if isinstance(validator, TypeAdapter) else validator.model_validate
    try:
        validate(value)
    except ValidationError as error:
        return list(spec_error(error, prefix, model=validator).errors)
    return []


def fields_of(validator: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """The start of a value and one of its fields: for each member of a union of objects, and for each field."""
    schema = validator.json_schema() if isinstance(validator, TypeAdapter) else validator.model_json_schema()
    members = schema.get("oneOf") or schema.get("anyOf") or [schema]
    for member in members:
        resolved = schema["$defs"][member["$ref"].rpartition("/")[2]] if "$ref" in member else member
        properties = resolved["properties"]
        mode = {"mode": properties["mode"]["const"]} if "const" in properties.get("mode", {}) else {}
        for name in properties:
            if name not in mode:
                yield mode, name


def exists(value: Any, pointer: str, *, is_missing: bool) -> bool:
    """Whether an RFC 6901 pointer leads to a place of the value, or to a place that is missing there."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for position, part in enumerate(parts):
        is_last = position == len(parts) - 1
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return is_last and is_missing and isinstance(value, dict | list)
    return True


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("part", ["sampling", "hyperparameters"])
def test_each_mistake_is_one_error_with_a_pointer_into_the_value_and_the_words_of_json(name: str, part: str) -> None:
    validator = getattr(TYPES[name], part)
    if part == "hyperparameters":
        validator = type(TYPES[name].resolve("fast", {}))
    seen = 0
    for start, field in fields_of(validator):
        for wrong in WRONG:
            value = {**start, field: wrong}
            errors = errors_of(validator, value)
            of_field = [error for error in errors if error.pointer.startswith(f"/{field}")]
            pointers = [error.pointer for error in errors]
            assert len(set(pointers)) == len(pointers), (value, pointers)
            assert len(of_field) <= (len(wrong) if isinstance(wrong, list) and len(wrong) > 1 else 1), (value, pointers)
            for error in errors:
                assert exists(value, error.pointer, is_missing=error.code == "missing"), (value, error)
                assert not [word for word in PYTHONS_WORDS if word in error.detail.lower()], error
            seen += len(of_field)
    assert seen > 10


ACGAN, VAE, LSTM = (REGISTRY[name].sampling for name in ("acgan", "vae", "lstm"))
LATENT_OR_INDEX = "Give an array of numbers or an integer."
MANY = "The latents have 101000 numbers; at most 100000 in one request."
LATENTS = "Give an array of arrays of numbers or an array of numbers."


@pytest.mark.parametrize(
    ("validator", "value", "pointer", "detail"),
    [
        (ACGAN, {"labels": [-1]}, "/sampling/labels/0", "Input should be greater than or equal to 0."),
        (ACGAN, {"labels": []}, "/sampling/labels", "Array should have at least 1 item, not 0."),
        (ACGAN, {"z": [2000, 0, 0]}, "/sampling/z/0", "Input should be less than or equal to 1000."),
        (ACGAN, {"z": [[0, 2000], [0, 0]]}, "/sampling/z/0/1", "Input should be less than or equal to 1000."),
        (ACGAN, {"z": [[1, 2], 3]}, "/sampling/z/1", "Input should be an array of numbers."),
        (ACGAN, {"z": "x"}, "/sampling/z", LATENTS),
        (
            ACGAN,
            {"z": [[0.5] * 1000] * 101},
            "/sampling/z",
            "The latents have 101000 numbers; at most 100000 in one request.",
        ),
        (VAE, {"mode": "latent", "z": [2000, 0, 0]}, "/sampling/z/0", "Input should be less than or equal to 1000."),
        (VAE, {"mode": "gird"}, "/sampling/mode", 'There is no mode "gird". Did you mean "grid"?'),
        (VAE, {"mode": "grid", "dims": 3}, "/sampling/dims", "Input should be an array of 2 integers."),
        (VAE, {"mode": "grid", "dims": [0]}, "/sampling/dims", "Input should be an array of 2 integers."),
        (
            VAE,
            {"mode": "interpolate", "from": 1.5, "to": 0},
            "/sampling/from",
            "Give an array of numbers or an integer.",
        ),
        (VAE, {"mode": "interpolate", "to": 0}, "/sampling/from", "This field is required."),
        (VAE, {"a/b~c": 1}, "/sampling/a~1b~0c", 'There is no field "a/b~c". Valid: mode, n.'),
        (LSTM, {"stop": "x"}, "/sampling/stop", "Input should be an array of strings."),
    ],
)
def test_error_of_a_union_is_that_of_the_branch_that_fits_best(
    validator: Any, value: Any, pointer: str, detail: str
) -> None:
    assert [(e.pointer, e.detail) for e in errors_of(validator, value, "/sampling")] == [(pointer, detail)]


class Inner(BaseModel):
    """An object in a union."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: Literal["inner"]
    size: Annotated[int, Field(ge=0)]


class Outer(BaseModel):
    """Unions in unions, in a map and in an array."""

    model_config = ConfigDict(extra="forbid", strict=True)
    either: dict[Annotated[str, Field(max_length=3)], list[Inner | int] | Literal["no", "some"]]


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"a": [{"kind": "inner", "size": -1}]}, "/either/a/0/size"),
        ({"a": [1, "x"]}, "/either/a/1"),
        ({"a": [{"kind": "inner"}]}, "/either/a/0/size"),
        ({"a": [{"kind": "inner", "size": 1, "c/d": 1}]}, "/either/a/0/c~1d"),
        ({"a": "NO"}, "/either/a"),
        ({"long": "no"}, "/either/long"),
    ],
)
def test_nested_unions_are_reduced_at_each_level(value: Any, pointer: str) -> None:
    assert [error.pointer for error in errors_of(Outer, {"either": value})] == [pointer]


def test_text_of_a_union_gets_the_nearest_name() -> None:
    assert errors_of(Outer, {"either": {"a": "NO"}})[0].detail.endswith('Did you mean "no"?')
    assert errors_of(Outer, {"either": {"a": "zzz"}})[0].detail == 'Give an array or "no" or "some".'


def test_at_most_fifty_errors_are_kept_and_the_others_are_counted() -> None:
    with pytest.raises(ValidationError) as caught:
        LSTM.validate_python({f"field{number}": 1 for number in range(1000)})
    error = spec_error(caught.value, "/sampling", model=LSTM)

    assert len(error.errors) == MAX_ERRORS
    assert error.detail.endswith(" And 997 more.")


def test_long_name_has_no_nearest_one() -> None:
    assert nearest("epoch" * 1_000_000, ["epochs"]) == " Valid: epochs."
    assert nearest("EPOCHS", ["epochs"]) == ' Did you mean "epochs"?'
