import pytest

from client.errors import BadInput
from client.values import settings_of, texts_of


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("epochs=3", {"epochs": 3}),
        ("layers=[128,64]", {"layers": [128, 64]}),
        ("optimizer=rmsprop", {"optimizer": "rmsprop"}),
        ("label_map=null", {"label_map": None}),
        ("stop=a=b", {"stop": "a=b"}),
        ('name="3"', {"name": "3"}),
        ("rate=NaN", {"rate": "NaN"}),
        ("rate=-Infinity", {"rate": "-Infinity"}),
        ("rate=1e999", {"rate": "1e999"}),
        ("deep=" + "[" * 100_000, {"deep": "[" * 100_000}),
    ],
)
def test_value_is_json_where_it_parses_and_text_otherwise(pair: str, expected: dict[str, object]) -> None:
    assert settings_of([pair]) == expected


@pytest.mark.parametrize("value", ["831877e8", "0.10", "true", "null", "007", " x ", "a=b", '"3"', ""])
def test_text_is_kept_as_typed(value: str) -> None:
    assert texts_of([f"key={value}"], "--metadata") == {"key": value}


@pytest.mark.parametrize("pair", ["epochs", "=3", " =3"])
def test_pair_without_key_or_equals_sign_is_refused_with_the_syntax(pair: str) -> None:
    with pytest.raises(BadInput, match="key=value"):
        settings_of([pair])


def test_repeated_key_is_refused() -> None:
    with pytest.raises(BadInput, match="epochs is given twice"):
        settings_of(["epochs=3", "epochs=4"])
