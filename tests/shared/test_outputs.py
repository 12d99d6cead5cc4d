"""The part of an output that rows and responses hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import outputs

TEXTS = st.lists(st.builds(lambda length: "x" * length, st.integers(0, 9_000)), max_size=12)


@pytest.mark.parametrize("output", [{}, {"texts": ["a", "b"], "n": 2}, {"rows": 3, "labels": [1, 2], "mode": "grid"}])
def test_small_output_is_kept_as_it_is(output: dict[str, Any]) -> None:
    assert outputs.head(output) == output


@given(TEXTS)
def test_head_is_bounded_a_prefix_of_each_text_and_its_own_head(texts: list[str]) -> None:
    output = {"texts": texts, "n": len(texts), "prompt": "p" * 5_000, "indices": list(range(2_000))}

    shown = outputs.head(output)

    assert sum(map(len, shown["texts"])) <= outputs.MAX_CHARACTERS_OF_ALL
    assert all(text.startswith(part) for part, text in zip(shown["texts"], texts, strict=False))
    assert all(len(part) <= outputs.MAX_CHARACTERS for part in shown["texts"])
    assert (len(shown["prompt"]), len(shown["indices"]), shown["truncated"]) == (4_000, 1_000, True)
    assert outputs.head(shown) == shown
