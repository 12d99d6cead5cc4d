"""MkDocs hooks: navigation by folder, generated reference pages, and pages from outside `docs/`.

Links are written for the repository, where they work in any viewer. Links from `docs/` to `benchmarks/results/` and
`CHANGELOG.md`, and back, become links between pages of the site.
"""

import os.path
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pygments.formatters import HtmlFormatter

from api.app import create_app
from docs_site.api_reference import render
from shared.model_types import REGISTRY
from shared.model_types.reference import markdown
from shared.settings import Settings

ROOT = Path(__file__).parent.parent
API_PAGE = "reference/http-api.md"
MODEL_TYPES_PAGE = "reference/model-types.md"
RESULTS = "benchmarks/results"
SECTIONS = {"how-to": "How-to guides", "reference": "Reference", "explanation": "Explanation", "decisions": "Decisions"}
LAST = ["glossary.md", "changelog.md"]
# `](target)` of a link or an image, where the target is a relative path.
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
CSS = """
.wy-nav-content { max-width: 1100px; }
.wy-table-responsive table td, .wy-table-responsive table th { white-space: normal; }
.wy-nav-content img { max-width: min(100%, 720px); }
.rst-content pre { overflow-x: auto; line-height: 1.35; }
"""


def site_path(repository_path: str) -> str | None:
    """Path in the site of a file of the repository, or None outside the site."""
    if repository_path.startswith("docs/"):
        return repository_path.removeprefix("docs/")
    if repository_path.startswith(f"{RESULTS}/"):
        return repository_path.replace(RESULTS, "measurements", 1)
    return {"CHANGELOG.md": "changelog.md", "README.md": "index.md"}.get(repository_path)


def relink(markdown: str, source: str, page: str) -> str:
    """Rewrite the relative links of the file `source` of the repository for its place `page` in the site."""

    def rewritten(link: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(source).parent / link["path"])
        in_site = site_path(target)
        if in_site is None:
            return link[0]  # the strict build reports it
        return os.path.relpath(in_site, PurePosixPath(page).parent) + (link["anchor"] or "")

    return LINK.sub(rewritten, markdown)


def navigation(pages: list[str]) -> list[object]:
    """Every page by folder: pages of the top level, the sections, the last pages."""
    top = [page for page in pages if "/" not in page and page not in LAST]
    nav: list[object] = sorted(top, key=lambda page: (page != "index.md", page != "quickstart.md", page))
    for folder, title in SECTIONS.items():
        inside = [page for page in pages if page.startswith(f"{folder}/")]
        nav.append({title: sorted(inside, key=lambda page: (not page.endswith("README.md"), page))})
    return nav + LAST


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Navigation from the files in `docs/`."""
    docs = Path(config.docs_dir)
    written = [path.relative_to(docs).as_posix() for path in docs.rglob("*.md")]
    config.nav = navigation([*written, API_PAGE, MODEL_TYPES_PAGE])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the API reference, the model types, the measured results, the changelog and the style sheet."""
    document = create_app(Settings()).spec_json
    files.append(File.generated(config, API_PAGE, content=render(document)))
    files.append(File.generated(config, MODEL_TYPES_PAGE, content=markdown(REGISTRY.values())))
    files.append(File.generated(config, "changelog.md", content=(ROOT / "CHANGELOG.md").read_text()))
    for path in sorted((ROOT / RESULTS).iterdir()):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, str(site_path(name)), content=path.read_bytes()))
    highlighting = HtmlFormatter().get_style_defs(".codehilite")
    files.append(File.generated(config, "assets/site.css", content=f"{CSS}{highlighting}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  MkDocs names them
    """Rewrite links that leave `docs/`."""
    here = page.file.src_uri
    if here == "changelog.md":
        return relink(markdown, "CHANGELOG.md", here)
    if here.startswith("measurements/"):
        return relink(markdown, here.replace("measurements", RESULTS, 1), here)
    return relink(markdown, f"docs/{here}", here)
