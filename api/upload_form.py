"""Reads a multipart form with one file in pieces, so that its fields are checked before the file arrives.

Flask's form parser stores the whole file before the view can read the first field.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from shared.errors import FieldError, MimeoError, SpecError, TooLarge
from shared.spec_errors import nearest, pointer

MEDIA_TYPE = "multipart/form-data"
FILE = "file"
OVERHEAD_BYTES = 64 << 10  # of a form, beside its file
MAX_PARTS = 16
_PIECE_BYTES = 64 << 10
_MEMORY_BYTES = 256 << 10  # a larger file is written to the disk
_DECODER_BYTES = 512 << 10  # the decoder keeps less than two pieces of a valid form

FieldChecks = Mapping[str, Callable[[str], object]]
"""The fields of a form by name, each with a check of its value that raises SpecError."""


@dataclass(frozen=True, kw_only=True)
class UploadForm:
    """The fields of a form and its file, at any position of its stream."""

    fields: Mapping[str, str]
    file: IO[bytes]


@contextmanager
def received(
    request: Request,
    *,
    checks: FieldChecks,
    required: tuple[str, ...],
    before_file: Callable[[Mapping[str, str]], None],
    max_file_bytes: int,
    folder: Path,
) -> Iterator[UploadForm]:
    """The form of a request. Its file is removed at the end of the block.

    before_file: called once with the fields, before the file is read if the required fields precede it. Its error
    refuses the form, and the rest is read without being stored. folder: of the temporary file.

    Raises SpecError with every missing, repeated, unknown or invalid field; TooLarge; the errors of `before_file`;
    UnsupportedMediaType (415); BadRequest (400); RequestEntityTooLarge (413).
    """
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != MEDIA_TYPE or not boundary:
        raise UnsupportedMediaType(f"Send a form, with the header 'Content-Type: {MEDIA_TYPE}' and its boundary.")
    request.max_content_length = max_file_bytes + OVERHEAD_BYTES
    stream = request.stream
    folder.mkdir(parents=True, exist_ok=True)
    with SpooledTemporaryFile(max_size=_MEMORY_BYTES, dir=str(folder)) as file:
        reader = _Reader(file, checks, required, before_file, max_file_bytes)
        try:
            for event in _events(stream, boundary):
                reader.take(event)
            reader.finish()
        except (MimeoError, BadRequest):
            _discard(stream)
            raise
        yield UploadForm(fields=reader.fields, file=file)


def _events(stream: IO[bytes], boundary: str) -> Iterator[Event]:
    decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), _DECODER_BYTES)
    try:
        while True:
            event = decoder.next_event()
            if isinstance(event, NeedData):
                decoder.receive_data(stream.read(_PIECE_BYTES) or None)
                continue
            yield event
            if isinstance(event, Epilogue):
                return
    except ValueError:
        raise BadRequest("The body is not a valid multipart form.") from None
    except RequestEntityTooLarge:
        if len(decoder.buffer) + _PIECE_BYTES < _DECODER_BYTES:
            raise
        raise BadRequest("The body is not a valid multipart form: it does not contain its boundary.") from None


def _discard(stream: IO[bytes]) -> None:
    """Read the rest of a refused request: a client that is still sending could not read the response."""
    with suppress(RequestEntityTooLarge):
        while stream.read(_PIECE_BYTES):
            pass


class _Reader:
    """Collects the parts of a form. A file is not stored once the form is known to be refused."""

    def __init__(
        self,
        file: IO[bytes],
        checks: FieldChecks,
        required: tuple[str, ...],
        before_file: Callable[[Mapping[str, str]], None],
        max_file_bytes: int,
    ) -> None:
        self._file, self._checks, self._required = file, checks, required
        self._before_file, self._max_file_bytes = before_file, max_file_bytes
        self.fields: dict[str, str] = {}
        self._errors: list[FieldError] = []
        self._seen: set[str] = set()
        self._parts = 0
        self._is_checked = False
        self._part: Event | None = None
        self._value = bytearray()
        self._size = 0

    def take(self, event: Event) -> None:
        """Process one event of the decoder."""
        match event:
            case Field() | File():
                self._begin(event)
            case Data():
                if isinstance(self._part, File):
                    self._store(event.data)
                else:
                    self._collect(event)

    def finish(self) -> None:
        """Raise the errors of the whole form."""
        for name in self._required:
            if name not in self._seen:
                self._refuse(name, "This field is required.", "missing")
        if FILE not in self._seen:
            self._refuse(FILE, "This field is required, as a file.", "missing")
        if self._errors:
            raise SpecError.of(self._errors)
        self._check()

    def _begin(self, part: Field | File) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadRequest(f"The form has more than {MAX_PARTS} parts.")
        name = part.name or ""
        is_file = isinstance(part, File)
        self._part, self._value = part, bytearray()
        if name in self._seen:
            self._refuse(name, "This field is given twice.", "repeated")
        elif name not in {*self._checks, FILE}:
            self._refuse(name, f"This field does not exist.{nearest(name, (*self._checks, FILE))}", "unknown_field")
        elif is_file and name != FILE:
            self._refuse(name, "This field is a text, not a file.", "invalid")
        elif name == FILE and not is_file:
            self._refuse(name, "Send this field as a file, with a file name.", "invalid")
        self._seen.add(name)
        if is_file and not self._errors and self._seen.issuperset(self._required):
            self._check()

    def _store(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_file_bytes:
            raise TooLarge(f"The file is larger than {self._max_file_bytes:,} bytes, the limit of this server.")
        if not self._errors:
            self._file.write(data)

    def _collect(self, event: Data) -> None:
        assert isinstance(self._part, Field)
        self._value += event.data
        if len(self._value) > OVERHEAD_BYTES:
            raise TooLarge(f"A field of the form is larger than {OVERHEAD_BYTES:,} bytes.")
        check = self._checks.get(self._part.name)
        if event.more_data or check is None or self._part.name in self.fields:
            return
        try:
            value = self._value.decode()
            check(value)
        except UnicodeDecodeError:
            self._refuse(self._part.name, "This field is not UTF-8.", "invalid")
        except SpecError as error:
            self._errors += error.errors
        else:
            self.fields[self._part.name] = value

    def _check(self) -> None:
        if not self._is_checked:
            self._is_checked = True
            self._before_file(self.fields)

    def _refuse(self, field: str, detail: str, code: str) -> None:
        self._errors.append(FieldError(pointer=pointer([field[:100]]), detail=detail, code=code))
