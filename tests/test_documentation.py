"""The README tells the truth about the settings, and every link in the documentation leads somewhere."""

import re
from pathlib import Path

import pytest

from shared.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def setting_rows() -> dict[str, tuple[str, str]]:
    """Variable → (default, meaning), as the README's table has them."""
    rows = re.findall(r"^\| `(MIMEO_[A-Z_]+)` \| (.*?) \| (.*?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {name: (default, meaning) for name, default, meaning in rows}


def default_of(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "`1`" if value else "`0`"
    if isinstance(value, float) and value.is_integer():
        return f"`{int(value)}`"
    return f"`{value}`"


def test_readme_documents_every_setting_with_its_default_and_meaning() -> None:
    expected = {
        f"MIMEO_{name.upper()}": (default_of(field.default), field.description)
        for name, field in Settings.model_fields.items()
    }
    assert setting_rows() == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_to_files_that_are_there(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing
