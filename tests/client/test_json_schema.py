from typing import Any

import pytest

from client.json_schema import decode, expected, properties_of
from shared.model_types import REGISTRY

LSTM, VAE, ACGAN = (properties_of(REGISTRY[name].sampling.json_schema()) for name in ("lstm", "vae", "acgan"))
LSTM_HYPERPARAMETERS = properties_of(REGISTRY["lstm"].hyperparameters.model_json_schema())


@pytest.mark.parametrize(
    ("schema", "texts", "value"),
    [
        (LSTM["length"], ["3"], 3),
        (LSTM["temperature"], ["0"], 0.0),
        (LSTM["prompt"], ["123"], "123"),
        (LSTM["prompt"], ["null"], "null"),
        (LSTM["top_k"], ["null"], None),
        (LSTM["stop"], ["one, two"], ["one, two"]),
        (LSTM["stop"], ["one", "two"], ["one", "two"]),
        (ACGAN["labels"], ["all"], "all"),
        (ACGAN["labels"], ["sneaker"], ["sneaker"]),
        (ACGAN["labels"], ["ankle boot, 3"], ["ankle boot", 3]),
        (ACGAN["labels"], ["sneaker", "3"], ["sneaker", 3]),
        (ACGAN["labels"], ["3,1,4"], [3, 1, 4]),
        (ACGAN["labels"], ["3", "1"], [3, 1]),
        (ACGAN["labels"], ["[3, 1]"], [3, 1]),
        (ACGAN["z"], ["0.5,-1"], [0.5, -1.0]),
        (ACGAN["z"], ["0,1", "1,0"], [[0.0, 1.0], [1.0, 0.0]]),
        (ACGAN["z"], ["[[0, 1], [1, 0]]"], [[0, 1], [1, 0]]),
        (VAE["mode"], ["grid"], "grid"),
        (VAE["dims"], ["0,1"], [0, 1]),
        (VAE["from"], ["3"], 3),
        (VAE["from"], ["0.5,1"], [0.5, 1.0]),
        (VAE["start"], ["-4"], -4.0),
        (LSTM_HYPERPARAMETERS["layers"], ["128,128"], [128, 128]),
        (LSTM_HYPERPARAMETERS["optimizer"], ["rmsprop"], "rmsprop"),
        ({"type": "boolean"}, ["true"], True),
        ({"anyOf": [{"type": "object"}, {"type": "null"}]}, ['{"a": 1}'], {"a": 1}),
    ],
)
def test_text_is_parsed_to_the_schema_s_type(schema: Any, texts: list[str], value: object) -> None:
    assert decode(texts, schema) == value


LABELS = {"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "integer"}}]}


def test_array_of_numbers_or_texts_is_described() -> None:
    assert expected(ACGAN["labels"]) == "all, or whole numbers or texts separated by commas"


@pytest.mark.parametrize(
    ("schema", "text", "words"),
    [
        (LABELS, "3;7", "all, or whole numbers separated by commas"),
        (LSTM["length"], "3.5", "a whole number"),
        (LSTM["temperature"], "nan", "a number"),
        (LSTM_HYPERPARAMETERS["optimizer"], "sgd", "adamw or rmsprop"),
        ({"type": "boolean"}, "yes", "true or false"),
    ],
)
def test_text_of_another_type_is_refused_with_the_allowed_types(schema: Any, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"expects {words}"):
        decode([text], schema)


def test_union_has_the_options_of_all_its_members() -> None:
    assert {"mode", "n", "points", "z", "from", "to", "indices"} <= set(VAE)
    assert expected(VAE["mode"]) == "random, or grid, or interpolate, or latent, or reconstruct, or encode"
