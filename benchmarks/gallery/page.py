"""The page: Markdown that people write, with parts between markers that the command writes."""

from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import MimeoError

IMAGES = "images"  # the pictures' folder, beside the page


class PageError(MimeoError):
    """The page cannot be filled."""

    code = "page"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the page. body: Markdown; pictures: PNG by file name, which the body links to in IMAGES."""

    body: str
    pictures: dict[str, bytes] = field(default_factory=dict)


def markers(name: str) -> tuple[str, str]:
    """The lines that a part stands between."""
    return f"<!-- gallery: {name} -->", f"<!-- end of gallery: {name} -->"


def fill(page: Path, sections: dict[str, Section]) -> list[Path]:
    """Put the parts into the page, and their pictures beside it. Returns the written files.

    Raises PageError, with nothing written, for a page that is not there or has no place for a part.
    """
    if not page.is_file():
        raise PageError(f"{page} is not there: name the page with --page.")
    text = page.read_text(encoding="utf-8")
    for name, section in sections.items():
        text = _with_part(text, name, section.body, page)
    images = page.parent / IMAGES
    images.mkdir(exist_ok=True)
    written = []
    for section in sections.values():
        for file_name, data in section.pictures.items():
            (images / file_name).write_bytes(data)
            written.append(images / file_name)
    page.write_text(text, encoding="utf-8")
    return [*written, page]


def _with_part(text: str, name: str, body: str, page: Path) -> str:
    begin, end = markers(name)
    before, found, rest = text.partition(begin)
    _, found_too, after = rest.partition(end)
    if not (found and found_too):
        raise PageError(f"{page} has no place for `{name}`: put the lines `{begin}` and `{end}` into it.")
    return f"{before}{begin}\n\n{body}\n\n{end}{after}"
