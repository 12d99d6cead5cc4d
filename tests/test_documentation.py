"""The documentation: its table of settings, its links, and the site with the API reference."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api.app import create_app
from docs_site.api_reference import render
from docs_site.hooks import relink
from shared.job_status import ErrorCode
from shared.settings import Settings

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "docs" / "reference" / "settings.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks" / "results").glob("*.md")),
]


def setting_rows() -> dict[str, tuple[str, str]]:
    """Variable → (default, meaning), as in the table of the settings page."""
    rows = re.findall(r"^\| `(MIMEO_[A-Z_]+)` \| (.*?) \| (.*?) \|$", SETTINGS.read_text(), re.MULTILINE)
    return {name: (default, meaning) for name, default, meaning in rows}


def default_of(value: object) -> str:
    if value in (None, ()):
        return "–"
    if isinstance(value, bool):
        return "`1`" if value else "`0`"
    if isinstance(value, float) and value.is_integer():
        return f"`{int(value)}`"
    return f"`{value}`"


def test_settings_page_has_every_setting_with_its_default_and_meaning() -> None:
    expected = {
        f"MIMEO_{name.upper()}": (default_of(field.default), field.description)
        for name, field in Settings.model_fields.items()
    }
    assert setting_rows() == expected


def test_failure_page_has_every_code_and_whether_it_is_retried() -> None:
    page = (ROOT / "docs" / "reference" / "failure-codes.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (yes|no) \|", page, re.MULTILINE)
    assert dict(rows) == {code.value: "yes" if code.is_retried else "no" for code in ErrorCode}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_to_existing_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


def test_modules_of_the_glossary_exist() -> None:
    rows = [line for line in (ROOT / "docs" / "glossary.md").read_text().splitlines() if line.startswith("| ")]
    paths = [path for row in rows for path in re.findall(r"`([a-z_/]+(?:\.py|/))`", row.rpartition("| ")[2])]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_decision_index_lists_every_decision() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^- \[\d{4}\]\(([^)]+)\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert listed == sorted(path.name for path in folder.glob("0*.md"))


def test_links_of_the_repository_become_links_of_the_site() -> None:
    page = "[a](../../benchmarks/results/bench.md) [b](../decisions/README.md#x) [c](https://example.org/a) [d](#here)"

    assert relink(page, "docs/reference/results.md", "reference/results.md") == (
        "[a](../measurements/bench.md) [b](../decisions/README.md#x) [c](https://example.org/a) [d](#here)"
    )
    assert relink("[a](docs/glossary.md)", "CHANGELOG.md", "changelog.md") == "[a](glossary.md)"


def test_api_reference_has_every_operation_and_links_to_its_own_schemas_only() -> None:
    document = create_app(Settings()).spec_json
    page = render(document)

    headings = re.findall(r"^### (.+)$", page, re.MULTILINE)
    operations = [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item]
    assert sorted(map(html.unescape, headings)) == sorted([*operations, *document["components"]["schemas"]])
    assert set(re.findall(r"\]\(#([a-z]+)\)", page)) <= {name.lower() for name in document["components"]["schemas"]}
    assert "<br/>" not in page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `make docs`; the strict build fails on a broken link or anchor."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
def test_site_has_every_page_and_every_operation_and_schema_of_the_api(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        built = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / (built.with_name("index.html") if page.stem == "README" else built)).is_file(), page
    document = create_app(Settings()).spec_json
    reference = html.unescape(re.sub(r"<[^>]+>", "", (site / "reference" / "http-api.html").read_text()))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert f"{method.upper()} {path}" in reference
            assert all(parameter["name"] in reference for parameter in operation.get("parameters", []))
    for name, schema in document["components"]["schemas"].items():
        assert name in reference
        assert all(field in reference for field in schema.get("properties", {}))


@pytest.mark.slow
def test_site_loads_nothing_from_the_network(site: Path) -> None:
    loaded = re.compile(r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=[\"'](?:https?:)?//[^\"']+")
    pages = list(site.rglob("*.html"))
    assert pages
    assert [found for page in pages for found in loaded.findall(page.read_text())] == []
    assert [sheet for sheet in site.rglob("*.css") if re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text())] == []
