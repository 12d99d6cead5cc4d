"""The form of an upload, on its way through the reader."""

import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.test import EnvironBuilder

from api.upload_form import MAX_PARTS, received
from shared.errors import Conflict, MimeoError, SpecError, TooLarge

BOUNDARY = "limit"
LARGE = 8 << 20


def part(name: str, value: bytes, *, file_name: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
    return f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + value + b"\r\n"


def a_file(value: bytes, name: str = "file") -> bytes:
    return part(name, value, file_name="a.txt")


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class Watched(io.BytesIO):
    """A body that measures the files of a folder that this process has open."""

    def __init__(self, body: bytes, folder: Path) -> None:
        super().__init__(body)
        self._folder = folder
        self.largest = 0

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # the descriptor of this listing
                if str(descriptor.readlink()).startswith(str(self._folder)):
                    self.largest = max(self.largest, descriptor.stat().st_size)
        return super().readinto(buffer)


def request_of(body: io.BytesIO) -> Request:
    builder = EnvironBuilder(
        method="POST",
        input_stream=body,
        content_length=len(body.getbuffer()),
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
    )
    return Request(builder.get_environ())


def read(
    body: bytes | io.BytesIO,
    folder: Path,
    *,
    taken: str | None = None,
    max_file_bytes: int = 2 * LARGE,
) -> tuple[Mapping[str, str], bytes]:
    """Fields and file of a form. taken: a name that is refused before the file."""

    def before_file(fields: Mapping[str, str]) -> None:
        if fields["name"] == taken:
            raise Conflict("taken")

    def check_name(name: str) -> None:
        if not name.islower():
            raise SpecError.at("/name", "Use lower-case letters.", "invalid")

    with received(
        request_of(body if isinstance(body, io.BytesIO) else io.BytesIO(body)),
        checks={"name": check_name, "note": str},
        required=("name",),
        before_file=before_file,
        max_file_bytes=max_file_bytes,
        folder=folder,
    ) as found:
        found.file.seek(0)
        return dict(found.fields), found.file.read()


@pytest.mark.parametrize("size", [0, 10, 65_535, 65_536, 300_000, LARGE])
def test_file_and_fields_are_read_in_any_order(tmp_path: Path, size: int) -> None:
    value = os.urandom(size)
    fields = (part("name", b"mine"), part("note", "né\r\n".encode()))

    assert read(form(*fields, a_file(value)), tmp_path) == ({"name": "mine", "note": "né\r\n"}, value)
    assert read(form(a_file(value), *fields), tmp_path) == ({"name": "mine", "note": "né\r\n"}, value)


def test_file_of_line_ends_and_near_boundaries_is_read_whole(tmp_path: Path) -> None:
    value = b"\r\n--limi\r\n--limit \r\n\r\r\n" * 20_000 + b"\r"

    assert read(form(part("name", b"mine"), a_file(value.replace(b"--limit ", b"-limit "))), tmp_path)[1] == (
        value.replace(b"--limit ", b"-limit ")
    )


@pytest.mark.parametrize(
    ("first", "error"),
    [((part("name", b"taken"),), Conflict), ((part("name", b"CAPS"),), SpecError), ((part("nmae", b"x"),), SpecError)],
)
def test_file_of_a_form_that_is_refused_by_its_fields_is_not_stored(
    tmp_path: Path, first: tuple[bytes, ...], error: type[MimeoError]
) -> None:
    body = Watched(form(*first, a_file(bytes(LARGE))), tmp_path)

    with pytest.raises(error):
        read(body, tmp_path, taken="taken")

    assert body.largest == 0
    assert body.tell() == len(body.getbuffer()), "the client can send it all and read the answer"
    assert list(tmp_path.iterdir()) == []


def test_file_is_removed_with_the_request_even_without_an_answer(tmp_path: Path) -> None:
    body = Watched(form(part("name", b"mine"), a_file(bytes(LARGE))), tmp_path)

    read(body, tmp_path)

    assert body.largest > LARGE / 2
    assert list(tmp_path.iterdir()) == []


def test_file_over_the_limit_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        read(form(part("name", b"mine"), a_file(bytes(1001))), tmp_path, max_file_bytes=1000)
    with pytest.raises(RequestEntityTooLarge):
        read(form(part("name", b"mine"), a_file(bytes(200_000))), tmp_path, max_file_bytes=1000)


@pytest.mark.parametrize(
    ("parts", "pointer", "code"),
    [
        ((part("name", b"a"), part("name", b"a"), a_file(b"x")), "/name", "repeated"),
        ((part("name", b"a"), a_file(b"x"), a_file(b"x")), "/file", "repeated"),
        ((part("name", b"a"), part("file", b"x")), "/file", "invalid"),
        ((a_file(b"a", "name"), a_file(b"x")), "/name", "invalid"),
        ((part("name", b"\xff"), a_file(b"x")), "/name", "invalid"),
        ((part("name", b"a"), a_file(b"x"), part("a/~b", b"")), "/a~1~0b", "unknown_field"),
        ((a_file(b"x"),), "/name", "missing"),
        ((part("name", b"a"),), "/file", "missing"),
    ],
)
def test_wrong_part_is_named(tmp_path: Path, parts: tuple[bytes, ...], pointer: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(form(*parts), tmp_path)

    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        os.urandom(LARGE),
        form(part("name", b"a"), a_file(b"x"))[:-20],
        b"--limit\r\nContent-Disposition: form-data\r\n\r\n" * 3,
        b"--limit\r\n\r\nx\r\n--limit--\r\n",
        form(*(part("name", b"a") for _ in range(MAX_PARTS + 1))),
        b"--limit\r\n" + b"X: y\r\n" * 100_000,
        b"--limit\r\nContent-Disposition: form-data; name=\xff\r\n\r\nx\r\n--limit--\r\n",
    ],
)
def test_malformed_form_is_a_bad_request(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body, tmp_path)
