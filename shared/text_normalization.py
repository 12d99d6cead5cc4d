"""The one form of text in Mimeo: Unix line ends, and no byte-order mark at the beginning.

Uploads, dataset files, prompts and stop strings are normalised where they enter. A model therefore never sees a
carriage return.
"""

import codecs
import io
from collections.abc import Iterable, Iterator
from itertools import chain

BYTE_ORDER_MARK = "\ufeff"


def normalize(text: str) -> str:
    """The text with a line feed for each CR LF and each other CR, and without a byte-order mark at its beginning."""
    return text.removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n").replace("\r", "\n")


class InvalidUtf8(ValueError):
    """Bytes that are not UTF-8. offset: of the first invalid byte, in the whole text."""

    def __init__(self, error: UnicodeDecodeError, end: int) -> None:
        """end: number of bytes up to the end of those that the error refers to."""
        self.offset = end - len(error.object) + error.start
        self.byte = error.object[error.start]
        super().__init__(f"the byte {self.byte:#04x} at offset {self.offset:,} is invalid")


def normalized_pieces(pieces: Iterable[bytes]) -> Iterator[str]:
    """`normalize` of a UTF-8 text that arrives in pieces, which may end within a character or a line end.

    Yields non-empty strings. Raises InvalidUtf8.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    end = 0
    for piece in chain(filter(None, pieces), [b""]):
        end += len(piece)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            raise InvalidUtf8(error, end) from None
        if text:
            yield text
