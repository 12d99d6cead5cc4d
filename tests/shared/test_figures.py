"""Every figure that a model type promises is explained, in the API's description and in the documentation."""

from pathlib import Path

import pytest

from shared.model_types import REGISTRY
from shared.quality import QUALITY

DOCUMENT = Path(__file__).parents[2] / "docs" / "quality.md"
NAMES = sorted({name for kind in REGISTRY.values() for name in kind.quality})


@pytest.mark.parametrize("name", NAMES)
def test_a_promised_figure_has_a_meaning_and_a_row_in_the_table(name: str) -> None:
    assert QUALITY[name].endswith(".")
    cells = [line.split("|")[1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in cell for cell in cells)
